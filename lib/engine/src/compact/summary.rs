//! What the ledger says of a file's columns, added up from several files without reading them.

use std::cmp::Ordering;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use windrow_core::Contract;
use windrow_core::contract::{DataType, Property};

use crate::write::ColumnStats;

/// What the ledger knows of one published file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSummary {
    /// How many rows it has.
    pub rows: u64,
    /// What is known about its columns, in file order; empty when nothing is.
    pub stats: Vec<ColumnStats>,
}

/// The statistics of a file that holds the rows of these files. Bounds that one of them does not tell are not told.
pub fn merge_stats(contract: &Contract, files: &[FileSummary]) -> Vec<ColumnStats> {
    let properties: Vec<&Property> = contract.file_properties().collect();
    let is_complete = |file: &FileSummary| {
        file.stats.len() == properties.len()
            && file.stats.iter().zip(&properties).all(|(stats, property)| stats.name == *property.name)
    };
    if !files.iter().all(is_complete) {
        return Vec::new();
    }
    properties.iter().enumerate().map(|(index, property)| merged(property, index, files)).collect()
}

fn merged(property: &Property, index: usize, files: &[FileSummary]) -> ColumnStats {
    let of_files = || files.iter().filter_map(|file| Some((file.rows, file.stats.get(index)?)));
    let with_values = || of_files().filter(|(rows, stats)| stats.nulls < *rows).map(|(_, stats)| stats);
    ColumnStats {
        name: property.name.to_string(),
        nulls: of_files().map(|(_, stats)| stats.nulls).sum(),
        min: bound(&property.data_type, with_values().map(|stats| stats.min.as_deref()), Ordering::Less),
        max: bound(&property.data_type, with_values().map(|stats| stats.max.as_deref()), Ordering::Greater),
    }
}

/// The value that compares so with all others; `None` when one is not told or cannot be compared.
fn bound<'a>(data_type: &DataType, values: impl Iterator<Item = Option<&'a str>>, wanted: Ordering) -> Option<String> {
    let mut best: Option<&str> = None;
    for value in values {
        let value = value?;
        let is_better = match best {
            Some(best) => compare(data_type, value, best)? == wanted,
            None => true,
        };
        best = if is_better { Some(value) } else { best };
    }
    best.map(str::to_owned)
}

/// Compares two values in the ledger's text form.
fn compare(data_type: &DataType, left: &str, right: &str) -> Option<Ordering> {
    fn by<T: std::str::FromStr + Ord>(left: &str, right: &str) -> Option<Ordering> {
        Some(left.parse::<T>().ok()?.cmp(&right.parse::<T>().ok()?))
    }
    match data_type {
        DataType::Integer { .. } => by::<i128>(left, right),
        // All values of a column have as many digits after the point.
        DataType::Decimal { .. } => by::<i128>(&left.replace('.', ""), &right.replace('.', "")),
        DataType::Float { .. } => left.parse::<f64>().ok()?.partial_cmp(&right.parse::<f64>().ok()?),
        DataType::Boolean { .. } => by::<bool>(left, right),
        DataType::Date { .. } => by::<Date>(left, right),
        DataType::Timestamp { instant: true, .. } => by::<Timestamp>(left, right),
        DataType::Timestamp { .. } => by::<DateTime>(left, right),
        DataType::String { .. } => Some(left.cmp(right)),
        DataType::Struct(_) | DataType::List(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_contracts::{F64, I64, TEXT, contract, date, decimal, property, timestamp};
    use windrow_core::contract::TimeUnit;

    fn joined(data_type: DataType, bounds: &[(u64, u64, Option<&str>, Option<&str>)]) -> (u64, Option<String>, Option<String>) {
        let contract = contract(vec![property("x", data_type)]);
        let text = |text: &Option<&str>| text.map(str::to_owned);
        let file = |(rows, nulls, min, max): &(u64, u64, Option<&str>, Option<&str>)| FileSummary {
            rows: *rows,
            stats: vec![ColumnStats { name: "x".to_owned(), nulls: *nulls, min: text(min), max: text(max) }],
        };
        let stats = merge_stats(&contract, &bounds.iter().map(file).collect::<Vec<_>>());
        (stats[0].nulls, stats[0].min.clone(), stats[0].max.clone())
    }

    #[test]
    fn bounds_compare_as_values_and_not_as_text() {
        let told = |min: &str, max: &str| Some((Some(min.to_owned()), Some(max.to_owned())));
        let of = |data_type, pairs: [(&str, &str); 2]| {
            let bounds = pairs.map(|(min, max)| (5, 1, Some(min), Some(max)));
            let (nulls, min, max) = joined(data_type, &bounds);
            assert_eq!(nulls, 2);
            Some((min, max))
        };
        assert_eq!(of(I64, [("9", "10"), ("-3", "9")]), told("-3", "10"));
        assert_eq!(of(decimal(9, 2), [("9.00", "10.00"), ("-0.05", "9.50")]), told("-0.05", "10.00"));
        assert_eq!(of(F64, [("9", "1e300"), ("-0.5", "2")]), told("-0.5", "1e300"));
        assert_eq!(of(date(), [("2024-01-02", "2024-01-03"), ("2023-12-31", "2024-01-02")]), told("2023-12-31", "2024-01-03"));
        let times = [("2024-01-01T00:00:01.5Z", "2024-01-01T00:00:02Z"), ("2024-01-01T00:00:01Z", "2024-01-01T00:00:02.1Z")];
        assert_eq!(of(timestamp(TimeUnit::Milli, true), times), told("2024-01-01T00:00:01Z", "2024-01-01T00:00:02.1Z"));
        assert_eq!(of(TEXT, [("b", "c"), ("B", "é")]), told("B", "é"));
    }

    #[test]
    fn what_one_file_does_not_tell_is_not_told() {
        let with_null_file = [(2, 0, Some("1"), Some("2")), (3, 3, None, None), (0, 0, None, None)];
        assert_eq!(joined(I64, &with_null_file), (3, Some("1".to_owned()), Some("2".to_owned())));
        let classified = [(2, 0, Some("1"), Some("2")), (3, 0, None, None)];
        assert_eq!(joined(I64, &classified), (0, None, None));
        let one_bound = [(2, 0, Some("a"), None), (3, 0, Some("b"), Some("c"))];
        assert_eq!(joined(TEXT, &one_bound), (0, Some("a".to_owned()), None));
        assert_eq!(merge_stats(&contract(vec![property("x", I64)]), &[FileSummary { rows: 1, stats: Vec::new() }]), []);
    }
}
