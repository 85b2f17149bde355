//! Reading a written file back: footer, schema, row count, rows.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use windrow_core::{Contract, Error, Result};

use crate::schema::file_schema;

/// Reads a file's footer back, checks that it has exactly the expected columns (name, type, nullability, order), and answers its rows.
///
/// # Errors
/// `Internal` when the file cannot be read or is not what was meant to be written.
pub fn verify_part<R: ChunkReader + 'static>(file: R, expected: &Schema) -> Result<u64> {
    let reader = open(file)?;
    if reader.schema().fields() != expected.fields() {
        return Err(Error::internal("a written Parquet file has another schema than declared")
            .with("expected", expected)
            .with("found", reader.schema()));
    }
    let metadata = reader.metadata();
    let declared = metadata.file_metadata().num_rows();
    let counted: i64 = metadata.row_groups().iter().map(|group| group.num_rows()).sum();
    if declared != counted {
        return Err(Error::internal("a written Parquet file contradicts itself")
            .with("rows", declared)
            .with("row_groups", counted));
    }
    u64::try_from(declared).map_err(|error| Error::internal("a written Parquet file has a negative row count").caused_by(error))
}

/// Reads all rows of a table's file.
///
/// # Errors
/// `Internal` when the file cannot be read or does not have the contract's file schema.
pub fn read_parquet_batches(contract: &Contract, bytes: &Bytes) -> Result<Vec<RecordBatch>> {
    let schema = Arc::new(file_schema(contract));
    verify_part(bytes.clone(), &schema)?;
    let reader = open(bytes.clone())?.build().map_err(|error| Error::internal("cannot read Parquet").caused_by(error))?;
    reader.map(|batch| batch.map_err(|error| Error::internal("cannot read Parquet").caused_by(error))).collect()
}

fn open<R: ChunkReader + 'static>(file: R) -> Result<ParquetRecordBatchReaderBuilder<R>> {
    let opened = ParquetRecordBatchReaderBuilder::try_new(file);
    opened.map_err(|error| Error::internal("cannot read a Parquet footer").caused_by(error))
}
