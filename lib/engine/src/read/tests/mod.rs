//! One module per kind of wrong input; every case is one file of one window.

mod csv_forms;
mod csv_rows;
mod csv_values;
mod each;
mod files;
mod header;
mod ndjson;
mod parquet;
mod round_trip;
mod threads;
