//! What a contract says, once it has been read and found consistent.

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::Place;
use crate::gate::Check;
use crate::id::{DatasetName, Layer, Table};
use crate::window::Grain;

use super::data_type::DataType;
use super::sla::Sla;

/// One contract: one table of one layer.
#[derive(Clone, Debug)]
pub struct Contract {
    /// The file it was read from, as shown to people.
    pub file: Arc<str>,
    /// The whole text, for excerpts.
    pub text: Arc<str>,
    /// SHA-256 of the text, hex.
    pub sha256: String,
    /// SHA-256, hex, of everything that rows and checks depend on: what the contract says, but for the size of files.
    pub rows_sha256: String,
    /// ODCS `id`.
    pub id: String,
    /// ODCS `version`.
    pub version: String,
    /// The table it describes.
    pub table: Table,
    /// The columns in declared order.
    pub properties: Vec<Property>,
    /// The partition window.
    pub window: WindowRule,
    /// Where raw files are; raw contracts only.
    pub input: Option<Input>,
    /// How raw files are read; raw contracts only.
    pub reader: Option<Reader>,
    /// What happens to a window with violations.
    pub on_violation: OnViolation,
    /// What happens when new raw files arrive for a published window.
    pub late: Late,
    /// The dedupe rule; needs a primary key.
    pub dedupe: Option<Dedupe>,
    /// The sort order of the output.
    pub sort: Vec<SortKey>,
    /// By what rows go to different files.
    pub split: Option<Split>,
    /// How Parquet is written.
    pub output: Output,
    /// How a curated table is computed.
    pub transform: Option<TransformSpec>,
    /// The quality rules of the contract itself.
    pub checks: Vec<Check>,
    /// The names of the SQL checks that must stand in `quality/checks/<dataset>/<layer>/`.
    pub sql_checks: Vec<(String, Place)>,
    /// When the table is promised to be there.
    pub sla: Option<Sla>,
}

impl Contract {
    /// The dataset the contract belongs to.
    pub fn dataset(&self) -> &DatasetName {
        &self.table.dataset
    }

    /// Tells whether values of any column, nested ones included, must not be shown.
    pub fn has_classified(&self) -> bool {
        self.properties.iter().any(Property::has_classified)
    }

    /// The layer the contract belongs to.
    pub fn layer(&self) -> Layer {
        self.table.layer
    }

    /// The column of this name.
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|property| &*property.name == name)
    }

    /// The primary key's columns in key order; empty when there is none.
    pub fn primary_key(&self) -> Vec<&Property> {
        let mut key: Vec<&Property> = self.properties.iter().filter(|property| property.key_position.is_some()).collect();
        key.sort_by_key(|property| property.key_position);
        key
    }

    /// The partition column; clean and curated contracts always have one. It stands in the path, not in the files.
    pub fn partition(&self) -> Option<&Property> {
        self.properties.iter().find(|property| property.partitioned)
    }

    /// The columns that stand in the Parquet files: all but the partition column.
    pub fn file_properties(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().filter(|property| !property.partitioned)
    }

    /// The text of a line of the contract, trimmed, for messages.
    pub fn line(&self, place: &Place) -> String {
        let index = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
        self.text.lines().nth(index).unwrap_or_default().trim().to_owned()
    }

    /// A place of the contract with its text, as violations carry it.
    pub fn quote(&self, place: &Place) -> (Place, String) {
        (place.clone(), self.line(place))
    }
}

/// A column, a struct's field or a list's item.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// The name.
    pub name: Arc<str>,
    /// Where the property starts in the contract.
    pub place: Place,
    /// Where its type is declared.
    pub type_place: Place,
    /// The exact type.
    pub data_type: DataType,
    /// Tells whether null is refused.
    pub required: bool,
    /// Position in the primary key, from 1.
    pub key_position: Option<u32>,
    /// Tells whether it is the partition column.
    pub partitioned: bool,
    /// Rules on single values.
    pub rules: ValueRules,
    /// Where the rules are declared (`logicalTypeOptions` or `enum`), for messages.
    pub rules_place: Place,
    /// The raw column it is copied from; defaults to the same name (clean contracts).
    pub source: Option<Arc<str>>,
    /// The SQL expression it is computed by (clean contracts), unless it is a plain column name.
    pub logic: Option<(String, Place)>,
    /// Data classification; anything but `public` masks the value in evidence.
    pub classification: Option<String>,
}

impl Property {
    /// Tells whether values may be shown in messages and evidence.
    pub fn may_be_shown(&self) -> bool {
        self.classification.as_deref().is_none_or(|class| class.eq_ignore_ascii_case("public"))
    }

    fn has_classified(&self) -> bool {
        let inside = match &self.data_type {
            DataType::Struct(properties) => properties.iter().any(Property::has_classified),
            DataType::List(item) => item.has_classified(),
            _ => false,
        };
        inside || !self.may_be_shown()
    }
}

/// Rules on a single value; unset ones demand nothing.
///
/// Bounds are kept as the contract's text and checked at read time to be values of the property's type.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueRules {
    /// The least value, inclusive: a literal of the property's type.
    pub minimum: Option<String>,
    /// The greatest value, inclusive.
    pub maximum: Option<String>,
    /// The bound below, exclusive.
    pub exclusive_minimum: Option<String>,
    /// The bound above, exclusive.
    pub exclusive_maximum: Option<String>,
    /// The step, for integers and decimals.
    pub multiple_of: Option<String>,
    /// Least number of characters (strings) or items (lists).
    pub min_length: Option<u64>,
    /// Greatest number of characters (strings) or items (lists).
    pub max_length: Option<u64>,
    /// A regular expression that must match the whole value.
    pub pattern: Option<String>,
    /// The allowed values: literals of the property's type; empty allows all.
    pub allowed: Vec<String>,
}

/// The partition window of a table.
#[derive(Clone, Debug)]
pub struct WindowRule {
    /// The length.
    pub grain: Grain,
    /// The IANA name of the zone whose clock bounds the windows; `UTC` unless declared.
    pub zone: String,
    /// A date or timestamp column whose every value must lie inside the window; clean and curated only.
    pub column: Option<Arc<str>>,
    /// Where it is declared.
    pub place: Place,
}

/// Where a window's raw files are.
#[derive(Clone, Debug)]
pub struct Input {
    /// A pattern below `{lake}/raw/`, `*` inside one segment, placeholders `{yyyy} {MM} {dd} {HH} {window}`.
    pub path: String,
    /// The least number of files.
    pub min_files: u64,
    /// A pattern below `{lake}/raw/` of an object that says the window is complete.
    pub marker: Option<String>,
    /// Where it is declared.
    pub place: Place,
}

/// The format of raw files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderFormat {
    /// RFC 4180 with a declared dialect.
    Csv,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
}

impl ReaderFormat {
    /// The name in contracts, which is also the file extension.
    pub fn as_str(self) -> &'static str {
        match self {
            ReaderFormat::Csv => "csv",
            ReaderFormat::Ndjson => "ndjson",
            ReaderFormat::Parquet => "parquet",
        }
    }
}

/// The compression of raw files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// By the file's extension (`.gz`, `.zst`, else none); the first bytes must agree.
    ByExtension,
    /// None; compressed content is refused.
    None,
    /// gzip, several members allowed.
    Gzip,
    /// zstd, several frames allowed.
    Zstd,
}

/// How raw files are read. No default guesses: each is the strict choice.
#[derive(Clone, Debug)]
pub struct Reader {
    /// The format.
    pub format: ReaderFormat,
    /// The compression.
    pub compression: Compression,
    /// The field delimiter, one ASCII byte (CSV).
    pub delimiter: u8,
    /// The quote, one ASCII byte; `None` reads quotes as text (CSV).
    pub quote: Option<u8>,
    /// Tells whether the first line names the columns (CSV).
    pub header: bool,
    /// Unquoted texts that mean null (CSV); default: the empty text.
    pub null_values: Vec<String>,
    /// Tells whether a quoted null token is null too; default false (CSV).
    pub quoted_null: bool,
    /// What a missing column means.
    pub missing_columns: MissingColumns,
    /// What an undeclared column means.
    pub extra_columns: ExtraColumns,
    /// Whether columns must stand in declared order (CSV).
    pub column_order: ColumnOrder,
    /// Whether column names must agree in case.
    pub column_case: ColumnCase,
    /// Tells whether empty lines are skipped; default false, then each is a violation.
    pub skip_blank_lines: bool,
    /// The largest field, in bytes.
    pub max_field_bytes: u64,
    /// The largest row, in bytes.
    pub max_row_bytes: u64,
    /// Where it is declared.
    pub place: Place,
}

/// What a missing column means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingColumns {
    /// A violation.
    Fail,
    /// Null in every row, for columns that are not required.
    Null,
}

/// What an undeclared column means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraColumns {
    /// A violation.
    Fail,
    /// It is read past.
    Ignore,
}

/// Whether columns must stand in declared order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnOrder {
    /// In declared order.
    Strict,
    /// In any order.
    Any,
}

/// Whether column names must agree in case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnCase {
    /// Exactly.
    Strict,
    /// Upper and lower case are the same.
    Ignore,
}

/// What happens to a window with violations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnViolation {
    /// The whole window fails.
    Fail,
    /// Offending rows are diverted to rejects.parquet, up to a budget; beyond it the window fails.
    QuarantineRows {
        /// The most rows.
        max_rows: u64,
        /// The most rows per million read rows.
        max_per_million: u64,
    },
}

/// What happens when new raw files arrive for a published window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// The next run computes the window again.
    Rerun,
    /// The published version stays; `status` shows the window as stale.
    Ignore,
    /// The next run fails.
    Fail,
}

/// How rows with the same primary key are resolved.
#[derive(Clone, Debug)]
pub struct Dedupe {
    /// The rule.
    pub policy: DedupePolicy,
    /// Where it is declared.
    pub place: Place,
}

/// The dedupe rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DedupePolicy {
    /// A second row with the same key is a violation.
    Fail,
    /// The first row in file and line order stays.
    First,
    /// The row with the greatest value of this column stays; among equals the last in file and line order.
    LastBy(Arc<str>),
}

/// One column of the sort order; nulls come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// The column.
    pub column: Arc<str>,
    /// Tells whether the greatest value comes first.
    pub descending: bool,
}

/// By what the rows of a window go to different files: every file holds one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// The column.
    pub column: Arc<str>,
    /// What of its values counts.
    pub by: SplitBy,
    /// Where it is declared.
    pub place: Place,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.by {
            SplitBy::Value => f.write_str(&self.column),
            SplitBy::Day => write!(f, "day({})", self.column),
            SplitBy::Month => write!(f, "month({})", self.column),
            SplitBy::Year => write!(f, "year({})", self.column),
        }
    }
}

/// What of a column's values decides about the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// All of it.
    Value,
    /// The day of a date or timestamp (UTC where it has a zone).
    Day,
    /// The month of a date or timestamp, likewise.
    Month,
    /// The year of a date or timestamp, likewise.
    Year,
}

impl SplitBy {
    /// What a value in ISO form shares with all values of its file.
    pub fn label<'t>(&self, value: &'t str) -> &'t str {
        let length = match self {
            SplitBy::Value => return value,
            SplitBy::Day => "2013-01-01".len(),
            SplitBy::Month => "2013-01".len(),
            SplitBy::Year => "2013".len(),
        };
        // A year before 0 has a sign.
        let length = length + usize::from(value.starts_with('-'));
        value.get(..length).unwrap_or(value)
    }
}

/// How Parquet is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// About how large a file becomes, in bytes.
    pub target_file_bytes: u64,
    /// How many rows a row group has at most.
    pub row_group_rows: u64,
    /// The zstd level.
    pub zstd_level: u8,
}

impl Default for Output {
    fn default() -> Self {
        Output { target_file_bytes: 128 << 20, row_group_rows: 1 << 18, zstd_level: 1 }
    }
}

/// How a curated table is computed from others, window by window.
#[derive(Clone, Debug)]
pub struct TransformSpec {
    /// The SQL file below the project's SQL folder, or the name of a Rust transform.
    pub kind: TransformKind,
    /// The tables it reads: resolved heads of the same window.
    pub inputs: Vec<Table>,
    /// Where it is declared.
    pub place: Place,
}

/// SQL or Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransformKind {
    /// A file below the project's SQL folder.
    Sql(String),
    /// A function compiled into the binary.
    Rust(String),
}
