//! Data contracts: Open Data Contract Standard v3 documents, one per dataset and layer, read strictly.
//!
//! ```text
//! YAML text ─▶ yaml (spanned tree) ─▶ read ─▶ model ─▶ lint (combinations, mapping from the layer below)
//! ```
//!
//! What the standard has no place for stands in `customProperties` with vendor `windrow`; `schemas/README.md` lists every key.

mod data_type;
mod json_schema;
pub mod literal;
mod model;
mod pattern;
mod read;
mod sla;

pub use data_type::{DataType, StringFormat, TimeUnit};
pub use json_schema::json_schema;
pub use model::{
    ColumnCase, ColumnOrder, Compression, Contract, Dedupe, DedupePolicy, ExtraColumns, Input, Late, MissingColumns, OnViolation,
    Output, Property, Reader, ReaderFormat, SortKey, Split, SplitBy, TransformKind, TransformSpec, ValueRules, WindowRule,
};
pub use pattern::{PatternToken, TimePattern};
pub use read::read;
pub use sla::Sla;
/// The strict reading of a file, for the other YAML documents of a project.
pub(crate) mod reading {
    pub(crate) use super::read::{Reading, severity, threshold};
}
