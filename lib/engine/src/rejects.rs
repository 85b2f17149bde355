//! The evidence of a window: every listed violation as a row of `rejects.parquet`.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use windrow_core::{Error, Result, Violation, ViolationReport};

use crate::write::write_single;

/// The columns of `rejects.parquet`.
pub fn rejects_schema() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        text("file", false),
        Field::new("line", DataType::UInt64, true),
        text("column", true),
        Field::new("byte_offset", DataType::UInt64, true),
        text("code", false),
        text("expected", false),
        text("value", true),
        text("contract_place", true),
    ])
}

/// Encodes the listed violations, in the report's order; equal reports give equal bytes.
///
/// Values stand as they are in the report, where classified ones are masked already. `line` is null for a file as a whole.
///
/// # Errors
/// `Internal` when the rows cannot be encoded.
pub fn rejects_parquet(report: &ViolationReport) -> Result<Bytes> {
    let listed = report.listed();
    let schema = Arc::new(rejects_schema());
    let texts =
        |of: &dyn Fn(&Violation) -> Option<String>| -> ArrayRef { Arc::new(listed.iter().map(of).collect::<StringArray>()) };
    let numbers =
        |of: &dyn Fn(&Violation) -> Option<u64>| -> ArrayRef { Arc::new(listed.iter().map(of).collect::<UInt64Array>()) };
    let columns = vec![
        texts(&|violation| Some(violation.file.to_string())),
        numbers(&|violation| Some(violation.line).filter(|line| *line > 0)),
        texts(&|violation| violation.column.as_ref().map(ToString::to_string)),
        numbers(&|violation| violation.byte_offset),
        texts(&|violation| Some(violation.code.to_string())),
        texts(&|violation| Some(violation.expected.clone())),
        texts(&|violation| violation.value.clone()),
        texts(&|violation| violation.contract.as_ref().map(|(place, _)| place.to_string())),
    ];
    let batch =
        RecordBatch::try_new(schema.clone(), columns).map_err(|error| Error::internal("cannot list rejects").caused_by(error))?;
    write_single(&schema, &[batch])
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt64Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    use windrow_core::{Code, Place};

    use super::*;
    use crate::write::verify_part;

    #[test]
    fn every_violation_is_a_row_and_the_bytes_repeat() {
        let mut report = ViolationReport::default();
        report.push(Violation::of_file(Code::EmptyFile, "a.csv", "expected a header"));
        report.push(Violation {
            line: 7,
            byte_offset: Some(120),
            column: Some("amount".into()),
            value: Some("1,5".to_owned()),
            contract: Some((Place::new("orders.raw.odcs.yaml", 12, 5), "logicalType: number".to_owned())),
            ..Violation::of_file(Code::WrongType, "b.csv", "expected decimal(15,2)")
        });
        let bytes = rejects_parquet(&report).unwrap();
        assert_eq!(bytes, rejects_parquet(&report).unwrap());
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        let rows = reader.next().unwrap().unwrap();
        assert_eq!(*rows.schema().fields(), *rejects_schema().fields());
        let lines = rows.column(1).as_primitive::<UInt64Type>();
        assert_eq!((lines.is_null(0), lines.value(1)), (true, 7));
        let texts =
            |column: usize| rows.column(column).as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
        assert_eq!(texts(4), [Some("W0107".to_owned()), Some("W0201".to_owned())]);
        assert_eq!(texts(7), [None, Some("orders.raw.odcs.yaml:12:5".to_owned())]);
    }

    #[test]
    fn an_empty_report_is_a_file_of_no_rows() {
        let bytes = rejects_parquet(&ViolationReport::default()).unwrap();
        assert_eq!(verify_part(bytes, &rejects_schema()).unwrap(), 0);
    }
}
