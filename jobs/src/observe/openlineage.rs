//! OpenLineage 2-0-2 run events: which job read and wrote what, column by column.
//!
//! Pure: values in, documents out. The specification and its facets: <https://openlineage.io/spec/2-0-2/OpenLineage.json>.

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use windrow_core::canonical::sha256_hex;

const EVENT_SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// A facet's key, and the version and name of its schema.
pub type FacetKind = (&'static str, &'static str, &'static str);

/// Start and end of the window as instants.
pub const NOMINAL_TIME: FacetKind = ("nominalTime", "1-0-1", "NominalTimeRunFacet");
/// The run that the stage is a part of.
pub const PARENT: FacetKind = ("parent", "1-2-0", "ParentRunFacet");
/// Why a stage failed.
pub const ERROR_MESSAGE: FacetKind = ("errorMessage", "1-0-1", "ErrorMessageRunFacet");
/// This program.
pub const PROCESSING_ENGINE: FacetKind = ("processing_engine", "1-1-1", "ProcessingEngineRunFacet");
/// Columns and their types.
pub const SCHEMA: FacetKind = ("schema", "1-2-0", "SchemaDatasetFacet");
/// Which epoch.
pub const VERSION: FacetKind = ("version", "1-0-1", "DatasetVersionDatasetFacet");
/// Which input columns each output column is computed from.
pub const COLUMN_LINEAGE: FacetKind = ("columnLineage", "1-2-0", "ColumnLineageDatasetFacet");
/// What the gate answered.
pub const ASSERTIONS: FacetKind = ("dataQualityAssertions", "1-1-0", "DataQualityAssertionsDatasetFacet");
/// How much was read.
pub const INPUT_STATISTICS: FacetKind = ("inputStatistics", "1-0-0", "InputStatisticsInputDatasetFacet");
/// How much was written.
pub const OUTPUT_STATISTICS: FacetKind = ("outputStatistics", "1-0-2", "OutputStatisticsOutputDatasetFacet");

/// Facets by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facets(Map<String, Value>);

impl Facets {
    /// Adds a facet.
    pub fn add(&mut self, producer: &str, kind: FacetKind, body: Value) {
        let (key, version, name) = kind;
        let url = format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}");
        let mut facet = Map::from_iter([("_producer".to_owned(), json!(producer)), ("_schemaURL".to_owned(), json!(url))]);
        if let Value::Object(body) = body {
            facet.extend(body);
        }
        self.0.insert(key.to_owned(), Value::Object(facet));
    }
}

/// What became of a stage, or that it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// It begins.
    Start,
    /// It did its work; a FAIL of the gate is an answer too.
    Complete,
    /// It failed.
    Fail,
}

impl EventType {
    fn as_str(self) -> &'static str {
        match self {
            EventType::Start => "START",
            EventType::Complete => "COMPLETE",
            EventType::Fail => "FAIL",
        }
    }
}

/// A dataset a stage reads or writes.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// `s3://bucket` or `file`.
    pub namespace: String,
    /// The key or path of its folder.
    pub name: String,
    /// What is true of it anywhere.
    pub facets: Facets,
    /// What is true of it as this stage's input or output.
    pub own_facets: Facets,
}

impl Dataset {
    fn document(&self, own: &str) -> Value {
        let mut document = json!({"namespace": self.namespace, "name": self.name, "facets": self.facets.0});
        if let Some(fields) = document.as_object_mut().filter(|_| !self.own_facets.0.is_empty()) {
            fields.insert(own.to_owned(), json!(self.own_facets.0));
        }
        document
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event<'a> {
    /// What it tells.
    pub event_type: EventType,
    /// When.
    pub time: Timestamp,
    /// Who tells it, a URI.
    pub producer: &'a str,
    /// The stage's run, a UUID.
    pub run_id: &'a str,
    /// What is known of the run.
    pub run_facets: Facets,
    /// The namespace of jobs.
    pub job_namespace: &'a str,
    /// `orders.raw_to_clean`.
    pub job_name: &'a str,
    /// What is read.
    pub inputs: &'a [Dataset],
    /// What is written.
    pub outputs: &'a [Dataset],
}

impl Event<'_> {
    /// The document.
    pub fn document(&self) -> Value {
        let inputs: Vec<Value> = self.inputs.iter().map(|dataset| dataset.document("inputFacets")).collect();
        let outputs: Vec<Value> = self.outputs.iter().map(|dataset| dataset.document("outputFacets")).collect();
        json!({
            "eventType": self.event_type.as_str(),
            "eventTime": self.time.to_string(),
            "producer": self.producer,
            "schemaURL": EVENT_SCHEMA,
            "run": {"runId": self.run_id, "facets": self.run_facets.0},
            "job": {"namespace": self.job_namespace, "name": self.job_name, "facets": {}},
            "inputs": inputs,
            "outputs": outputs,
        })
    }
}

/// A UUID (version 8, RFC 9562) that follows from these words alone: a stage that is retried in the same run has the same.
pub fn uuid_of(words: &[&str]) -> String {
    let hex = sha256_hex(words.join("\n").as_bytes());
    let digit = |index: usize| hex.chars().nth(index).unwrap_or('0');
    let variant = char::from_digit(8 + digit(16).to_digit(16).unwrap_or_default() % 4, 16);
    let mut text = String::with_capacity(36);
    for index in 0..32 {
        if matches!(index, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(match index {
            12 => '8',
            16 => variant.unwrap_or('8'),
            _ => digit(index),
        });
    }
    text
}

/// Namespace and name of a folder of the lake: `s3://bucket` and `lake/clean/orders`, or `file` and an absolute path.
pub fn name_of(base_uri: &str, folder: &str) -> (String, String) {
    let base = base_uri.trim_end_matches('/');
    match base.strip_prefix("s3://") {
        Some(rest) => match rest.split_once('/') {
            Some((bucket, prefix)) => (format!("s3://{bucket}"), format!("{prefix}/{folder}")),
            None => (base.to_owned(), folder.to_owned()),
        },
        None => ("file".to_owned(), format!("{}/{folder}", base.trim_start_matches("file://"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_what_the_specification_asks_for() {
        let mut dataset = Dataset { namespace: "s3://acme".into(), name: "lake/clean/orders".into(), ..Dataset::default() };
        dataset.facets.add("urn:windrow:1", SCHEMA, json!({"fields": [{"name": "id", "type": "string"}]}));
        dataset.own_facets.add("urn:windrow:1", OUTPUT_STATISTICS, json!({"rowCount": 3, "size": 10, "fileCount": 1}));
        let mut run_facets = Facets::default();
        run_facets.add("urn:windrow:1", ERROR_MESSAGE, json!({"message": "no", "programmingLanguage": "SQL"}));
        let event = Event {
            event_type: EventType::Fail,
            time: "2024-09-09T02:00:00Z".parse().unwrap(),
            producer: "urn:windrow:1",
            run_id: &uuid_of(&["r1", "raw-to-clean", "clean.orders"]),
            run_facets,
            job_namespace: "s3://acme/lake",
            job_name: "orders.raw_to_clean",
            inputs: &[],
            outputs: &[dataset],
        };
        insta::assert_snapshot!(serde_json::to_string_pretty(&event.document()).unwrap());
    }

    #[test]
    fn a_uuid_follows_from_its_words_and_nothing_else() {
        let one = uuid_of(&["a", "b"]);
        assert_eq!(one, uuid_of(&["a", "b"]));
        assert_ne!(one, uuid_of(&["a", "c"]));
        for number in 0..64 {
            let text = uuid_of(&[&number.to_string()]);
            let parsed = uuid::Uuid::parse_str(&text).unwrap();
            assert_eq!((parsed.get_version_num(), parsed.get_variant()), (8, uuid::Variant::RFC4122), "{text}");
        }
    }

    #[test]
    fn datasets_are_named_by_bucket_or_path() {
        let named = |base, folder| name_of(base, folder);
        assert_eq!(named("s3://acme/lake/", "clean/orders"), ("s3://acme".into(), "lake/clean/orders".into()));
        assert_eq!(named("s3://acme", "clean/orders"), ("s3://acme".into(), "clean/orders".into()));
        assert_eq!(named("file:///data/lake", "raw/orders"), ("file".into(), "/data/lake/raw/orders".into()));
    }
}
