//! Typed ids. Each is parsed once at the edge; inside, a value that exists is valid and safe to put into a key.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

fn checked(text: &str, what: &str, rule: &str, valid: fn(&str) -> bool) -> Result<String> {
    if valid(text) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(80).collect();
    Err(usage(format!("{what} `{}` does not match {rule}", shown.escape_debug())))
}

/// The name of a dataset: `^[a-z][a-z0-9_]{0,62}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatasetName(String);

impl DatasetName {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatasetName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        checked(text, "dataset name", "^[a-z][a-z0-9_]{0,62}$", is_dataset_name).map(DatasetName)
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one trip of one window through all states: `^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(String);

impl RunId {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RunId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        checked(text, "run id", "^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$", is_run_id).map(RunId)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One process's try at a window: the 32 lowercase hex digits of a UUIDv7.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt(String);

impl Attempt {
    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Attempt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        checked(text, "attempt", "32 lowercase hex digits", is_attempt).map(Attempt)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_dataset_name(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn is_run_id(text: &str) -> bool {
    text.len() <= 80
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn is_attempt(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The number of a claim on a window, from 1; never reused. Written with 20 digits so that keys sort like numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The first epoch of a window.
    pub const FIRST: Epoch = Epoch(1);

    /// Makes an epoch; 0 is not one.
    pub fn new(number: u64) -> Option<Self> {
        (number > 0).then_some(Epoch(number))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The next epoch; `None` after the last number there is.
    pub fn next(self) -> Option<Epoch> {
        self.0.checked_add(1).map(Epoch)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}", self.0)
    }
}

impl FromStr for Epoch {
    type Err = Error;

    /// Reads exactly the 20 digits that [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self> {
        let number = (text.len() == 20 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten();
        number.and_then(Epoch::new).ok_or_else(|| usage(format!("epoch `{}` is not 20 digits from 1", text.escape_debug())))
    }
}

/// A layer of the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// Immutable files as producers sent them.
    Raw,
    /// Same grain, right types.
    Clean,
    /// What consumers read.
    Curated,
}

impl Layer {
    /// Every layer, in the order data flows.
    pub const ALL: [Layer; 3] = [Layer::Raw, Layer::Clean, Layer::Curated];

    /// The name in keys and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Layer::Raw => "raw",
            Layer::Clean => "clean",
            Layer::Curated => "curated",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Layer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Layer::ALL.into_iter().find(|layer| layer.as_str() == text).ok_or_else(|| {
            usage(format!(
                "layer `{}` is unknown; {}",
                text.escape_debug(),
                crate::suggest::hint(text, &["raw", "clean", "curated"])
            ))
        })
    }
}

/// A dataset in a layer; written `clean.orders`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table {
    /// The layer.
    pub layer: Layer,
    /// The dataset.
    pub dataset: DatasetName,
}

impl Table {
    /// Names a table.
    pub fn new(layer: Layer, dataset: DatasetName) -> Self {
        Table { layer, dataset }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.layer, self.dataset)
    }
}

impl FromStr for Table {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (layer, dataset) =
            text.split_once('.').ok_or_else(|| usage(format!("table `{}` is not layer.dataset", text.escape_debug())))?;
        Ok(Table { layer: layer.parse()?, dataset: dataset.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused() {
        for text in ["", "Orders", "1a", "a/b", "..", "a b", "a.b", "é", &"a".repeat(64)] {
            assert!(text.parse::<DatasetName>().is_err(), "{text}");
        }
        for text in ["", "-a", "a/b", "a.b", &"a".repeat(81)] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }

    #[test]
    fn epochs_sort_as_text() {
        let (small, large) = (Epoch(9), Epoch(10));
        assert!(small.to_string() < large.to_string());
        assert_eq!(large.to_string().parse::<Epoch>().unwrap(), large);
        assert!("00000000000000000000".parse::<Epoch>().is_err());
        assert!("99999999999999999999".parse::<Epoch>().is_err());
    }
}
