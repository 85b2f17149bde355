//! The rules on exact numbers (integers, decimals, dates, timestamps) and on floats.

use windrow_core::contract::{Property, ValueRules};
use windrow_core::{Code, Result};

use super::compile::{expected_range, listing, literals, refused};
use super::literal;

/// The compiled rules of an exact number column. Bounds are inclusive; an empty range refuses everything.
#[derive(Debug)]
pub(crate) struct NumberRules {
    least: i128,
    greatest: i128,
    expected_range: String,
    step: Option<(i128, String)>,
    allowed: Option<(Vec<i128>, String)>,
}

impl NumberRules {
    /// Compiles the rules; `None` when nothing is declared.
    pub(crate) fn compile(property: &Property) -> Result<Option<Self>> {
        let ValueRules { minimum, maximum, exclusive_minimum, exclusive_maximum, multiple_of, allowed, .. } = &property.rules;
        if !has_range(&property.rules) && multiple_of.is_none() && allowed.is_empty() {
            return Ok(None);
        }
        let read = |text: &String| literals(property, text, |text| literal::number(text, &property.data_type));
        let bound = |text: &Option<String>, open: i128| Ok(text.as_ref().map(read).transpose()?.unwrap_or(open));
        // Bounds are values of at most 127 bits, so one more or less never overflows.
        let least = bound(minimum, i128::MIN)?
            .max(bound(exclusive_minimum, i128::MIN)?.saturating_add(i128::from(exclusive_minimum.is_some())));
        let greatest = bound(maximum, i128::MAX)?
            .min(bound(exclusive_maximum, i128::MAX)?.saturating_sub(i128::from(exclusive_maximum.is_some())));
        let step = match multiple_of {
            None => None,
            Some(text) => Some((read(text)?, format!("expected a multiple of {text}"))),
        };
        if step.as_ref().is_some_and(|(step, _)| *step <= 0) {
            return Err(refused(property, "`multipleOf` must be greater than zero"));
        }
        let mut values = allowed.iter().map(read).collect::<Result<Vec<i128>>>()?;
        values.sort_unstable();
        let allowed = (!values.is_empty()).then(|| (values, listing(allowed)));
        Ok(Some(NumberRules { least, greatest, expected_range: expected_range(&property.rules), step, allowed }))
    }

    /// The least and the greatest value.
    pub(super) fn range(&self) -> (i128, i128) {
        (self.least, self.greatest)
    }

    /// The only values, ascending.
    pub(super) fn allowed(&self) -> Option<&[i128]> {
        self.allowed.as_ref().map(|(values, _)| values.as_slice())
    }

    /// What every value is a multiple of.
    pub(super) fn step(&self) -> Option<i128> {
        self.step.as_ref().map(|(step, _)| *step)
    }

    /// The first rule a value breaks.
    pub(crate) fn broken(&self, value: i128) -> Option<(Code, &str)> {
        if value < self.least || value > self.greatest {
            return Some((Code::OutOfRange, &self.expected_range));
        }
        if let Some((allowed, expected)) = &self.allowed
            && allowed.binary_search(&value).is_err()
        {
            return Some((Code::NotAllowed, expected));
        }
        let (step, expected) = self.step.as_ref()?;
        (value.checked_rem(*step) != Some(0)).then_some((Code::NotMultiple, expected.as_str()))
    }
}

/// The compiled rules of a float column. NaN and infinity are never values.
#[derive(Debug)]
pub(crate) struct FloatRules {
    minimum: Option<f64>,
    maximum: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
    expected_range: String,
    allowed: Option<(Vec<f64>, String)>,
}

impl FloatRules {
    /// Compiles the rules.
    pub(crate) fn compile(property: &Property, bits: u8) -> Result<Self> {
        let rules = &property.rules;
        let read = |text: &String| literals(property, text, |text| literal::float(text, bits));
        let bound = |text: &Option<String>| text.as_ref().map(read).transpose();
        let allowed = rules.allowed.iter().map(read).collect::<Result<Vec<f64>>>()?;
        Ok(FloatRules {
            minimum: bound(&rules.minimum)?,
            maximum: bound(&rules.maximum)?,
            above: bound(&rules.exclusive_minimum)?,
            below: bound(&rules.exclusive_maximum)?,
            expected_range: expected_range(rules),
            allowed: (!allowed.is_empty()).then(|| (allowed, listing(&rules.allowed))),
        })
    }

    /// Tells whether a value breaks no rule.
    #[inline]
    pub(super) fn holds(&self, value: f64) -> bool {
        self.broken(value).is_none()
    }

    /// The first rule a value breaks.
    #[inline]
    pub(crate) fn broken(&self, value: f64) -> Option<(Code, &str)> {
        if !value.is_finite() {
            return Some((Code::NotFinite, "expected a finite number"));
        }
        let inside = self.minimum.is_none_or(|bound| value >= bound)
            && self.maximum.is_none_or(|bound| value <= bound)
            && self.above.is_none_or(|bound| value > bound)
            && self.below.is_none_or(|bound| value < bound);
        if !inside {
            return Some((Code::OutOfRange, &self.expected_range));
        }
        let (allowed, expected) = self.allowed.as_ref()?;
        (!allowed.contains(&value)).then_some((Code::NotAllowed, expected.as_str()))
    }
}

/// Tells whether any bound is declared.
pub(crate) fn has_range(rules: &ValueRules) -> bool {
    [&rules.minimum, &rules.maximum, &rules.exclusive_minimum, &rules.exclusive_maximum].iter().any(|bound| bound.is_some())
}
