//! The plain way from raw to clean columns: pick and rename, no expression.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::Schema;
use windrow_core::{Contract, Error, Result};

use crate::chunk::Chunk;

/// Picks the raw columns a clean contract names (`property.source`, by default the same name) and renames them, types untouched.
///
/// The partition column is left out when no raw column gives it; the window does.
///
/// # Errors
/// `Misconfigured` when a raw column does not exist or a column has an expression, which `windrow-transform` computes.
pub fn project(contract: &Contract, chunk: &Chunk) -> Result<Chunk> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for property in &contract.properties {
        if let Some((logic, place)) = &property.logic {
            let message = format!("column `{}` is computed by `{logic}`, not copied", property.name);
            return Err(Error::misconfigured(message).with("place", place));
        }
        let source = property.source.as_ref().unwrap_or(&property.name);
        match chunk.batch.schema_ref().column_with_name(source) {
            Some((index, field)) => {
                fields.push(Arc::new(field.clone().with_name(property.name.to_string())));
                columns.push(chunk.batch.column(index).clone());
            }
            None if property.partitioned && property.source.is_none() => {}
            None => {
                let message = format!("column `{}` is copied from `{source}`, which the raw data does not have", property.name);
                return Err(Error::misconfigured(message).with("place", &property.place));
            }
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(chunk.batch.num_rows()));
    let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|error| Error::internal("cannot rename columns").caused_by(error))?;
    Ok(Chunk { batch, origin: chunk.origin.clone() })
}
