//! Rules on single values (`required`, ranges, allowed values, patterns, lengths, formats), checked a column at a time.

use arrow_array::Array;
use windrow_core::contract::Property;
use windrow_core::{Code, Result};

/// The compiled rules of one property.
#[derive(Debug)]
pub struct Rules {}

/// One value that breaks a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The row in the array.
    pub row: usize,
    /// Which rule.
    pub code: Code,
    /// What was expected: `expected a value from 0 to 24`.
    pub expected: String,
}

impl Rules {
    /// Compiles the rules of a property, `required` included.
    ///
    /// # Errors
    /// `Misconfigured` when a bound or pattern is not a value of the property's type.
    pub fn compile(_property: &Property) -> Result<Self> {
        Ok(Rules {})
    }

    /// Lists the values of an array (of exactly the property's Arrow type) that break a rule, in row order, at most one per row.
    pub fn broken(&self, _array: &dyn Array) -> Vec<Broken> {
        Vec::new()
    }
}
