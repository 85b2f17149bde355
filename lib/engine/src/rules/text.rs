//! The rules on texts: allowed values, length, regular expression, named format.

use std::collections::HashSet;

use regex::Regex;
use windrow_core::contract::{Property, StringFormat};
use windrow_core::{Code, Result};

use super::compile::{Length, listing, refused};
use super::format::has_format;

/// The compiled rules of a text column.
#[derive(Debug)]
pub(crate) struct TextRules {
    allowed: Option<(Allowed, String)>,
    length: Option<Length>,
    pattern: Option<(Regex, String)>,
    format: Option<(StringFormat, String)>,
}

/// A few values are found faster by comparing than by hashing.
#[derive(Debug)]
enum Allowed {
    Few(Vec<Box<str>>),
    Many(HashSet<Box<str>>),
}

impl Allowed {
    fn has(&self, text: &str) -> bool {
        match self {
            Allowed::Few(values) => values.iter().any(|value| &**value == text),
            Allowed::Many(values) => values.contains(text),
        }
    }
}

impl TextRules {
    /// Compiles the rules; `None` when nothing is declared.
    pub(crate) fn compile(property: &Property, format: Option<StringFormat>) -> Result<Option<Self>> {
        const FEW: usize = 8;
        let rules = &property.rules;
        let values = || rules.allowed.iter().map(|value| value.as_str().into());
        let allowed = match rules.allowed.len() {
            0 => None,
            1..=FEW => Some(Allowed::Few(values().collect())),
            _ => Some(Allowed::Many(values().collect())),
        };
        let text = TextRules {
            allowed: allowed.map(|allowed| (allowed, listing(&rules.allowed))),
            length: Length::compile(property, "characters")?,
            pattern: rules.pattern.as_deref().map(|pattern| whole_value(property, pattern)).transpose()?,
            format: format.map(|format| (format, format!("expected a text of the format {}", format.as_str()))),
        };
        let any = text.allowed.is_some() || text.length.is_some() || text.pattern.is_some() || text.format.is_some();
        Ok(any.then_some(text))
    }

    /// The first rule a text breaks.
    pub(crate) fn broken(&self, text: &str) -> Option<(Code, &str)> {
        if let Some((allowed, expected)) = &self.allowed
            && !allowed.has(text)
        {
            return Some((Code::NotAllowed, expected));
        }
        if let Some(length) = self.length.as_ref().filter(|length| !length.holds_text(text)) {
            return Some((Code::LengthOutOfRange, &length.expected));
        }
        if let Some((pattern, expected)) = &self.pattern
            && !pattern.is_match(text)
        {
            return Some((Code::PatternMismatch, expected));
        }
        let (format, expected) = self.format.as_ref()?;
        (!has_format(text, *format)).then_some((Code::PatternMismatch, expected.as_str()))
    }
}

fn whole_value(property: &Property, pattern: &str) -> Result<(Regex, String)> {
    // Compiled alone first, so that `a)(b` is not repaired by the group around it.
    let compiled = Regex::new(pattern).and_then(|_| Regex::new(&format!("^(?:{pattern})$")));
    let regex =
        compiled.map_err(|error| refused(property, format!("`{pattern}` is not a regular expression")).caused_by(error))?;
    Ok((regex, format!("expected a text matching `{pattern}`")))
}
