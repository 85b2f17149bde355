//! Transforms: one SQL file, or one Rust function, from the tables of a window to a table of that window.

use std::collections::BTreeMap;

use polars::prelude::LazyFrame;
use polars::sql::SQLContext;
use windrow_core::{Error, ErrorKind, Result, suggest};

use crate::failure::guarded;
use crate::input::Inputs;
use crate::lint::plan_strictly;
use crate::params::Params;
use crate::parse::parse_query;
use crate::text::SqlText;

/// From input tables to a lazy result; it reads nothing but its inputs.
pub trait Transform {
    /// The name in messages: the SQL file or the function's name.
    fn name(&self) -> &str;

    /// The plan of the result.
    ///
    /// # Errors
    /// `Misconfigured` when it cannot be planned on these inputs.
    fn plan(&self, inputs: &Inputs, params: &Params) -> Result<LazyFrame>;
}

/// One SQL file with one query.
#[derive(Clone, Debug)]
pub struct SqlTransform {
    file: String,
    text: String,
}

impl SqlTransform {
    /// Takes the text of a file; it is parsed when it is planned or linted.
    pub fn new(file: impl Into<String>, text: impl Into<String>) -> Self {
        SqlTransform { file: file.into(), text: text.into() }
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Transform for SqlTransform {
    fn name(&self) -> &str {
        &self.file
    }

    fn plan(&self, inputs: &Inputs, params: &Params) -> Result<LazyFrame> {
        plan_sql(&SqlText::whole(&self.text, &self.file), inputs, params, &[])
    }
}

/// Plans one query over tables.
///
/// # Errors
/// `Misconfigured` with the findings for an unknown placeholder, a syntax error, a statement outside the dialect, and
/// for decimals that would lose digits.
pub fn plan_sql(sql: &SqlText<'_>, inputs: &Inputs, params: &Params, extra: &[(&str, String)]) -> Result<LazyFrame> {
    let refused = |findings| Error::from_diagnostics(ErrorKind::Misconfigured, findings);
    let rendered = params.render(sql, extra).map_err(refused)?;
    let query = parse_query(sql, &rendered).map_err(refused)?;
    plan_strictly(sql, &rendered, &query, inputs)
}

/// Plans a rendered query without looking at it first.
///
/// # Errors
/// As the crate's classification of polars errors.
pub fn plan_text(text: &str, inputs: &Inputs) -> Result<LazyFrame> {
    guarded(|| {
        let mut context = SQLContext::new();
        for (name, frame) in inputs.iter() {
            context.register(name, frame.clone());
        }
        context.execute(text)
    })
}

/// The signature of a Rust transform.
pub type TransformFn = fn(&Inputs, &Params) -> Result<LazyFrame>;

/// One function compiled into the binary.
#[derive(Clone, Copy, Debug)]
pub struct RustTransform {
    name: &'static str,
    function: TransformFn,
}

impl RustTransform {
    /// Names a function.
    pub fn new(name: &'static str, function: TransformFn) -> Self {
        RustTransform { name, function }
    }
}

impl Transform for RustTransform {
    fn name(&self) -> &str {
        self.name
    }

    fn plan(&self, inputs: &Inputs, params: &Params) -> Result<LazyFrame> {
        (self.function)(inputs, params)
    }
}

/// The Rust transforms of a binary, by name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    transforms: BTreeMap<&'static str, RustTransform>,
}

impl Registry {
    /// No transforms.
    pub fn new() -> Self {
        Registry::default()
    }

    /// Adds a function; a later one of the same name replaces it.
    #[must_use]
    pub fn with(mut self, name: &'static str, function: TransformFn) -> Self {
        self.transforms.insert(name, RustTransform::new(name, function));
        self
    }

    /// The transform of this name.
    ///
    /// # Errors
    /// `Misconfigured` with the nearest name.
    pub fn get(&self, name: &str) -> Result<RustTransform> {
        self.transforms.get(name).copied().ok_or_else(|| {
            let known: Vec<&str> = self.transforms.keys().copied().collect();
            Error::new(ErrorKind::Misconfigured, format!("no Rust transform `{name}`")).help(suggest::hint(name, &known))
        })
    }
}
