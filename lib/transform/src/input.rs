//! The tables a transform or check may read: the files of one window's head, or batches in memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType as Arrow, Schema, SchemaRef};
use parquet::file::metadata::ParquetMetaDataReader;
use polars::prelude::{
    DataType, Expr, HiveOptions, IntoLazy, LazyFrame, PlRefPath, ScanArgsParquet, Schema as PolarsSchema, col, lit,
};
use polars_plan::dsl::ScanSources;
use windrow_core::{Error, ErrorKind, PartitionWindow, Result};

use crate::bridge;
use crate::failure::classify;

/// One table of one window: explicit local Parquet files, never a pattern.
#[derive(Clone, Debug)]
pub struct TableInput {
    /// The name SQL uses, `orders` or `clean_orders`.
    pub name: String,
    /// The declared schema of all columns, the partition column included.
    pub schema: SchemaRef,
    /// The files of the head; none is an empty table.
    pub files: Vec<PathBuf>,
    /// The partition column, which stands in the path and not in the files, with the window it holds.
    pub partition: Option<(String, PartitionWindow)>,
}

impl TableInput {
    /// A lazy frame over exactly these files, with all declared columns in declared order.
    ///
    /// # Errors
    /// `Misconfigured` for a path that is not local UTF-8 or a partition column the schema lacks.
    pub fn scan(&self) -> Result<LazyFrame> {
        let frame = if self.files.is_empty() { bridge::empty_frame(&self.file_schema())?.lazy() } else { self.scan_files()? };
        let frame = match &self.partition {
            Some((column, window)) => frame.with_column(self.partition_literal(column, *window)?),
            None => frame,
        };
        Ok(frame.select(self.schema.fields().iter().map(|field| col(field.name().as_str())).collect::<Vec<_>>()))
    }

    /// The columns that stand in the files.
    pub fn file_schema(&self) -> SchemaRef {
        let partition = self.partition.as_ref().map(|(column, _)| column.as_str());
        let fields = self.schema.fields().iter().filter(|field| Some(field.name().as_str()) != partition);
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    }

    /// How many rows the files hold. Their footers tell; no row is read.
    ///
    /// # Errors
    /// `Transient` for a file that cannot be read, `Internal` for one that is no Parquet file.
    pub fn rows(&self) -> Result<u64> {
        self.files.iter().map(|file| rows_of(file).map_err(|error| error.with("file", file.display()))).sum()
    }

    fn scan_files(&self) -> Result<LazyFrame> {
        let paths = self.files.iter().map(|path| local_path(path)).collect::<Result<Vec<_>>>()?;
        let schema: PolarsSchema = bridge::empty_frame(&self.file_schema())?.schema().as_ref().clone();
        let arguments = ScanArgsParquet {
            glob: false,
            hive_options: HiveOptions::new_disabled(),
            schema: Some(Arc::new(schema)),
            ..ScanArgsParquet::default()
        };
        LazyFrame::scan_parquet_sources(ScanSources::Paths(paths.into_iter().collect()), arguments)
            .map_err(|error| classify(&error).with("table", &self.name))
    }

    fn partition_literal(&self, column: &str, window: PartitionWindow) -> Result<Expr> {
        let field = self.schema.field_with_name(column).map_err(|_| {
            Error::new(ErrorKind::Misconfigured, "the partition column is not declared")
                .with("column", column)
                .with("table", &self.name)
        })?;
        let text = lit(window.to_string());
        Ok(match field.data_type() {
            Arrow::Date32 => lit(days_since_epoch(window)).cast(DataType::Date).alias(column),
            _ => text.alias(column),
        })
    }
}

/// The tables of a transform, by the name SQL uses.
#[derive(Clone, Default)]
pub struct Inputs {
    tables: Vec<(String, LazyFrame)>,
}

impl Inputs {
    /// No tables.
    pub fn new() -> Self {
        Inputs::default()
    }

    /// The tables of a window's heads.
    ///
    /// # Errors
    /// As [`TableInput::scan`].
    pub fn from_tables(tables: &[TableInput]) -> Result<Self> {
        let scanned = tables.iter().map(|table| Ok((table.name.clone(), table.scan()?)));
        Ok(Inputs { tables: scanned.collect::<Result<_>>()? })
    }

    /// Adds a table of batches in memory.
    ///
    /// # Errors
    /// `Internal` when a column has a type polars does not know.
    pub fn with_batches(mut self, name: &str, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        self.tables.push((name.to_owned(), bridge::to_polars(schema, batches)?.lazy()));
        Ok(self)
    }

    /// Adds a table that is already a plan.
    #[must_use]
    pub fn with_frame(mut self, name: &str, frame: LazyFrame) -> Self {
        self.tables.push((name.to_owned(), frame));
        self
    }

    /// The lazy frame of a table.
    ///
    /// # Errors
    /// `Misconfigured` when the transform's contract does not declare the table.
    pub fn table(&self, name: &str) -> Result<LazyFrame> {
        self.tables.iter().find(|(known, _)| known == name).map(|(_, frame)| frame.clone()).ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            let message = format!("no input table `{name}`");
            Error::new(ErrorKind::Misconfigured, message).help(windrow_core::suggest::hint(name, &known))
        })
    }

    /// The names of the tables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|(name, _)| name.as_str())
    }

    /// Every table with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &LazyFrame)> {
        self.tables.iter().map(|(name, frame)| (name.as_str(), frame))
    }
}

fn rows_of(file: &Path) -> Result<u64> {
    let open =
        File::open(file).map_err(|error| Error::new(ErrorKind::Transient, "cannot open a table's file").caused_by(error))?;
    let footer = ParquetMetaDataReader::new().parse_and_finish(&open);
    let footer = footer.map_err(|error| Error::internal("a table's file has no readable footer").caused_by(error))?;
    u64::try_from(footer.file_metadata().num_rows()).map_err(|_| Error::internal("a footer counts less than no rows"))
}

fn local_path(path: &Path) -> Result<PlRefPath> {
    let refused = |why: &str| Error::new(ErrorKind::Misconfigured, why.to_owned()).with("path", path.display());
    let local = PlRefPath::try_from_path(path).map_err(|_| refused("the path is not UTF-8"))?;
    if local.has_scheme() { Err(refused("the path is not local")) } else { Ok(local) }
}

fn days_since_epoch(window: PartitionWindow) -> i32 {
    let epoch = jiff::civil::Date::constant(1970, 1, 1);
    epoch.until(window.start_date()).map_or(0, |span| span.get_days())
}
