//! How much memory a query may well need, from the footers of the files it reads.

use std::fs::File;
use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaDataReader};
use polars::polars_utils::arena::Node;
use polars::prelude::Schema;
use polars_plan::dsl::ScanSources;
use polars_plan::plans::{IR, IRPlan};

/// What the program and the batches on their way need.
const WORKING_BYTES: u64 = 256 << 20;

/// How often the columns that are read are held at the same time, or nearly so: as they are, in hash tables or sorted, and as the result.
const COPIES: u64 = 3;

/// What a query needs whose tables all are in the order it needs: row groups that are read ahead, and the result until it is spilled.
const WORKING_IN_ORDER: u64 = 512 << 20;

/// Which part of their columns is held then, at the sizes that were measured (ADR 18).
const PART_IN_ORDER: u64 = 2;

/// Limits are proposed in multiples of this.
const STEP: u64 = 64 << 20;

/// What a view of a text takes in polars beside its bytes.
const VIEW_BYTES: u64 = 16;

/// What a query reads.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Each file with the columns that are read of it.
    files: Vec<(PathBuf, Vec<String>)>,
    is_in_order: bool,
}

impl Needs {
    /// The needs of an optimised plan with these nodes, that makes use of the order of so many of its scans.
    pub(crate) fn of(plan: &IRPlan, nodes: &[Node], in_order: usize) -> Self {
        let mut needs = Needs::default();
        let mut scans = 0;
        for node in nodes {
            let IR::Scan { sources: ScanSources::Paths(paths), file_info, output_schema, .. } = plan.lp_arena.get(*node) else {
                continue;
            };
            let read: &Schema = output_schema.as_deref().unwrap_or(&file_info.schema);
            let columns: Vec<String> = read.iter_names().map(ToString::to_string).collect();
            scans += 1;
            needs.files.extend(paths.iter().map(|path| (PathBuf::from(path.as_str()), columns.clone())));
        }
        Needs { is_in_order: in_order > 0 && in_order == scans, ..needs }
    }

    /// Tells whether it reads no file.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// A limit that should do where this one did not.
    pub(crate) fn would_do(&self, limit: u64) -> u64 {
        let columns: u64 = self.files.iter().filter_map(|(file, columns)| column_bytes(file, columns)).sum();
        let need = match self.is_in_order {
            true => WORKING_IN_ORDER.saturating_add(columns / PART_IN_ORDER),
            false => WORKING_BYTES.saturating_add(columns.saturating_mul(COPIES)),
        };
        let need = need.max(limit.saturating_add(limit / 2));
        need.div_ceil(STEP).saturating_mul(STEP)
    }
}

/// What columns of a file take in memory; `None` for a file without a footer, of which others speak.
fn column_bytes(file: &Path, columns: &[String]) -> Option<u64> {
    let footer = ParquetMetaDataReader::new().parse_and_finish(&File::open(file).ok()?).ok()?;
    let chunks = footer.row_groups().iter().flat_map(|group| group.columns());
    let is_read = |chunk: &&ColumnChunkMetaData| {
        chunk.column_path().parts().first().is_some_and(|name| columns.iter().any(|column| column == name))
    };
    Some(chunks.filter(is_read).map(chunk_bytes).sum())
}

fn chunk_bytes(chunk: &ColumnChunkMetaData) -> u64 {
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    let rows = unsigned(chunk.num_values());
    let is_decimal = chunk.column_descr().type_precision() > 0;
    match chunk.column_type() {
        Type::BOOLEAN => rows / 8 + 1,
        Type::BYTE_ARRAY => {
            let texts = chunk.unencoded_byte_array_data_bytes().unwrap_or(chunk.uncompressed_size());
            rows.saturating_mul(VIEW_BYTES).saturating_add(unsigned(texts))
        }
        Type::INT32 if !is_decimal => rows.saturating_mul(4),
        Type::FLOAT => rows.saturating_mul(4),
        Type::INT64 | Type::DOUBLE if !is_decimal => rows.saturating_mul(8),
        _ => rows.saturating_mul(16),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Date32Array, Int8Array, Int64Array, RecordBatch, StringArray};
    use polars::prelude::{DataFrame, IntoLazy, ParquetReader, SerReader, col, lit};

    use super::*;
    use crate::TableInput;
    use crate::fixture::{decimals, write_parquet};
    use crate::sorted::below_first;

    const ROWS: usize = 10_000;

    fn batch() -> RecordBatch {
        let texts = (0..ROWS).map(|row| format!("a text of more than twelve bytes, number {row}"));
        let columns: [(&str, ArrayRef); 5] = [
            ("id", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
            ("tiny", Arc::new(Int8Array::from(vec![1; ROWS]))),
            ("day", Arc::new(Date32Array::from(vec![1; ROWS]))),
            ("price", decimals(vec![1; ROWS], 9, 2)),
            ("text", Arc::new(StringArray::from_iter_values(texts))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    }

    fn file(folder: &Path) -> PathBuf {
        write_parquet(folder, "t.parquet", &batch())
    }

    #[test]
    fn columns_take_about_what_the_engine_says_they_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        let frame = ParquetReader::new(File::open(&file).unwrap()).finish().unwrap();
        for name in ["id", "day", "price", "text"] {
            // The engine's own estimate leaves out the views of texts.
            let views = if name == "text" { ROWS as f64 * VIEW_BYTES as f64 } else { 0.0 };
            let expected = frame.column(name).unwrap().as_materialized_series().estimated_size() as f64 + views;
            let found = column_bytes(&file, &[name.to_owned()]).unwrap() as f64;
            assert!((0.9..1.1).contains(&(found / expected)), "{name}: {found} of {expected}");
        }
        assert_eq!(column_bytes(&file, &[]), Some(0));
        assert_eq!(column_bytes(&folder.path().join("missing"), &["id".to_owned()]), None);
    }

    #[test]
    fn a_query_needs_what_it_reads_and_more_than_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let mib = 1_u64 << 20;
        let file = file(folder.path());
        let needs = |columns: &[&str], files: usize| {
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            Needs { files: (0..files).map(|_| (file.clone(), columns.clone())).collect(), is_in_order: false }
        };
        assert_eq!(needs(&[], 1).would_do(96 * mib), 256 * mib);
        assert_eq!(needs(&[], 1).would_do(1024 * mib), 1536 * mib);
        let (few, many) = (needs(&["tiny"], 1000).would_do(96 * mib), needs(&["text"], 1000).would_do(96 * mib));
        assert!(few < 512 * mib && many > 1024 * mib && many % STEP == 0, "{few} {many}");
        let in_order = Needs { is_in_order: true, ..needs(&["text"], 1000) }.would_do(96 * mib);
        assert!(512 * mib < in_order && in_order < many, "{in_order} {many}");
    }

    #[test]
    fn only_the_columns_of_files_that_a_plan_reads_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let table = TableInput { name: "t".into(), schema: batch().schema(), files: vec![path.clone()], partition: None };
        let plan = table.scan().unwrap().filter(col("id").gt(lit(3))).select([col("text")]);
        let plan = plan.to_alp_optimized().unwrap();
        let is_in_order = |in_order| Needs::of(&plan, &below_first(&plan), in_order).is_in_order;
        assert_eq!([0, 1, 2].map(is_in_order), [false, true, false]);
        let (file, mut columns) = Needs::of(&plan, &below_first(&plan), 0).files.remove(0);
        columns.sort_unstable();
        assert_eq!((file, columns), (path, vec!["id".to_owned(), "text".to_owned()]));
        let memory = DataFrame::empty().lazy().to_alp_optimized().unwrap();
        assert!(Needs::of(&memory, &below_first(&memory), 0).is_empty());
    }
}
