//! The files of `runs/`: what a run says of itself beside the data. Written by name, over an older one if need be.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{DatasetName, Layer, Table};

const LINEAGE: &str = ".openlineage.jsonl";
const RESULT: &str = ".json";

/// The name of a verb as it stands in keys: `^[a-z]+(-[a-z]+)*$`, at most 40 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerbName(String);

impl VerbName {
    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VerbName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        if text.len() <= 40 && text.split('-').all(is_word) {
            return Ok(VerbName(text.to_owned()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(Error::new(ErrorKind::Usage, format!("verb `{}` does not match ^[a-z]+(-[a-z]+)*$", shown.escape_debug())))
    }
}

impl fmt::Display for VerbName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file below `runs/{dataset}/{window}/{run_id}/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunFile {
    /// The result of a verb, `{verb}.json` or `{verb}.{layer}.{dataset}.json`.
    Result(VerbName, Option<Table>),
    /// The OpenLineage events of a stage, one a line: `{verb}.{layer}.{dataset}.openlineage.jsonl`.
    Lineage(VerbName, Table),
}

impl fmt::Display for RunFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunFile::Result(verb, None) => write!(f, "{verb}{RESULT}"),
            RunFile::Result(verb, Some(table)) => write!(f, "{verb}.{table}{RESULT}"),
            RunFile::Lineage(verb, table) => write!(f, "{verb}.{table}{LINEAGE}"),
        }
    }
}

impl RunFile {
    /// Reads exactly what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<RunFile> {
        if let Some(name) = text.strip_suffix(LINEAGE) {
            let (verb, table) = parse_name(name)?;
            return Some(RunFile::Lineage(verb, table?));
        }
        let (verb, table) = parse_name(text.strip_suffix(RESULT)?)?;
        Some(RunFile::Result(verb, table))
    }
}

fn parse_name(name: &str) -> Option<(VerbName, Option<Table>)> {
    let mut parts = name.split('.');
    let verb = parts.next()?.parse().ok()?;
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => Some((verb, None)),
        // Raw tables too: their input is checked, and they are read.
        (Some(layer), Some(dataset), None) => {
            let table = Table::new(layer.parse::<Layer>().ok()?, dataset.parse::<DatasetName>().ok()?);
            Some((verb, Some(table)))
        }
        _ => None,
    }
}
