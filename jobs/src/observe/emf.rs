//! CloudWatch's embedded metric format: one JSON document a stage, from which CloudWatch Logs takes the metrics.
//!
//! Pure: values in, document out. Dimensions are dataset, layer and stage and nothing else: each further one would make a
//! metric of its own for every value, so run and window are properties.

use serde_json::{Map, Value, json};
use windrow_core::ledger::RowCounts;
use windrow_core::{ErrorKind, Table};

/// The namespace of every metric.
pub const NAMESPACE: &str = "windrow";

/// What one line tells; what is `None` is not in it.
#[derive(Clone, Debug)]
pub struct Measures<'a> {
    /// When, in milliseconds since 1970.
    pub timestamp_milliseconds: i64,
    /// The table.
    pub table: &'a Table,
    /// The verb: `raw-to-clean`, `run`.
    pub stage: &'a str,
    /// Why it failed.
    pub error_kind: Option<ErrorKind>,
    /// How long it took.
    pub duration_milliseconds: u64,
    /// Rows read, written and refused, where rows were touched.
    pub rows: Option<RowCounts>,
    /// Checks of severity error that did not hold, where the gate was asked.
    pub quality_failures: Option<u64>,
    /// Whether the run is a replay.
    pub is_replay: bool,
    /// From the end of the window to its publication, where it was published.
    pub freshness_lag_seconds: Option<i64>,
    /// The run.
    pub run_id: &'a str,
    /// The window.
    pub window: &'a str,
    /// What became of it, in a word.
    pub status: &'a str,
    /// The epoch.
    pub epoch: Option<u64>,
    /// The version of this program.
    pub version: &'a str,
}

/// The document, to be written as one line.
pub fn document(measures: &Measures<'_>) -> Value {
    let metrics = metrics(measures);
    let definitions: Vec<Value> = metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
    let mut document = Map::new();
    document.insert(
        "_aws".to_owned(),
        json!({
            "Timestamp": measures.timestamp_milliseconds,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [["dataset", "layer", "stage"]],
                "Metrics": definitions,
            }],
        }),
    );
    document.insert("dataset".to_owned(), json!(measures.table.dataset.as_str()));
    document.insert("layer".to_owned(), json!(measures.table.layer.as_str()));
    document.insert("stage".to_owned(), json!(measures.stage));
    document.extend(metrics.into_iter().map(|(name, _, value)| (name.to_owned(), value)));
    document.extend(properties(measures).into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(document)
}

fn metrics(measures: &Measures<'_>) -> Vec<(&'static str, &'static str, Value)> {
    // Input that is not there yet is waited for; whether it came too late is the SLA's to say.
    let is_waiting = measures.stage == "check-input" && measures.error_kind == Some(ErrorKind::InputMissing);
    let has_failed = measures.error_kind.is_some() && !is_waiting;
    let mut metrics = vec![
        ("Success", "Count", json!(u8::from(measures.error_kind.is_none()))),
        ("Failure", "Count", json!(u8::from(has_failed))),
        ("Duration", "Milliseconds", json!(measures.duration_milliseconds)),
        ("Replays", "Count", json!(u8::from(measures.is_replay))),
    ];
    if let Some(rows) = measures.rows {
        metrics.push(("RowsIn", "Count", json!(rows.read)));
        metrics.push(("RowsOut", "Count", json!(rows.written)));
        metrics.push(("RowsRejected", "Count", json!(rows.rejected)));
    }
    metrics.extend(measures.quality_failures.map(|failures| ("QualityFailures", "Count", json!(failures))));
    metrics.extend(measures.freshness_lag_seconds.map(|lag| ("FreshnessLag", "Seconds", json!(lag))));
    metrics
}

fn properties(measures: &Measures<'_>) -> Vec<(&'static str, Value)> {
    let mut properties = vec![
        ("run_id", json!(measures.run_id)),
        ("window", json!(measures.window)),
        ("status", json!(measures.status)),
        ("version", json!(measures.version)),
    ];
    properties.extend(measures.error_kind.map(|kind| ("error_kind", json!(kind.name()))));
    properties.extend(measures.epoch.map(|epoch| ("epoch", json!(epoch))));
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures(table: &Table) -> Measures<'_> {
        Measures {
            timestamp_milliseconds: 1_725_840_000_123,
            table,
            stage: "run",
            error_kind: None,
            duration_milliseconds: 81,
            rows: Some(RowCounts { read: 324, written: 320, rejected: 4 }),
            quality_failures: Some(0),
            is_replay: true,
            freshness_lag_seconds: Some(7200),
            run_id: "r1",
            window: "2024-09-08",
            status: "published",
            epoch: Some(3),
            version: "0.1.0",
        }
    }

    #[test]
    fn a_published_window_has_every_metric() {
        let table: Table = "clean.orders".parse().unwrap();
        insta::assert_snapshot!(serde_json::to_string_pretty(&document(&measures(&table))).unwrap());
    }

    #[test]
    fn a_failure_has_only_what_is_known() {
        let table: Table = "raw.orders".parse().unwrap();
        let failed = Measures {
            stage: "check-input",
            error_kind: Some(ErrorKind::AccessDenied),
            rows: None,
            quality_failures: None,
            is_replay: false,
            freshness_lag_seconds: None,
            status: "failed",
            epoch: None,
            ..measures(&table)
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&document(&failed)).unwrap());
    }

    #[test]
    fn waiting_for_input_is_neither_success_nor_failure() {
        let table: Table = "raw.orders".parse().unwrap();
        let waiting = Measures { stage: "check-input", error_kind: Some(ErrorKind::InputMissing), ..measures(&table) };
        let document = document(&waiting);
        assert_eq!((&document["Success"], &document["Failure"]), (&json!(0), &json!(0)));
    }

    #[test]
    fn every_metric_and_dimension_of_the_directive_is_a_member() {
        let table: Table = "clean.orders".parse().unwrap();
        let document = document(&measures(&table));
        let directive = &document["_aws"]["CloudWatchMetrics"][0];
        for metric in directive["Metrics"].as_array().unwrap() {
            assert!(document[metric["Name"].as_str().unwrap()].is_number(), "{metric}");
        }
        for dimension in directive["Dimensions"][0].as_array().unwrap() {
            assert!(document[dimension.as_str().unwrap()].is_string(), "{dimension}");
        }
        assert!(!document.to_string().contains('\n'));
    }
}
