//! What compiling the rules of any type needs: refusing what does not fit the type, and saying what is expected.

use windrow_core::contract::{DataType, Property, ValueRules};
use windrow_core::{Code, Diagnostic, Error, ErrorKind, Result};

use super::number::has_range;

/// The error of a rule that cannot be.
pub(crate) fn refused(property: &Property, what: impl Into<String>) -> Error {
    let title = format!("{} (column `{}`, {})", what.into(), property.name, property.data_type.describe());
    let found = Diagnostic::new(Code::ContractValue, property.rules_place.clone(), title);
    Error::from_diagnostics(ErrorKind::Misconfigured, vec![found])
}

/// Reads one literal, or says that it is not a value of the type.
pub(crate) fn literals<T>(property: &Property, text: &str, read: impl Fn(&str) -> Option<T>) -> Result<T> {
    read(text).ok_or_else(|| {
        refused(property, format!("`{text}` is not a value of the column's type")).help(literal_help(&property.data_type))
    })
}

fn literal_help(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Date { .. } => "write dates in contracts as yyyy-MM-dd, whatever the raw text form is",
        DataType::Timestamp { instant: true, .. } => {
            "write instants in contracts as yyyy-MM-ddTHH:mm:ssZ, whatever the raw text form is"
        }
        DataType::Timestamp { .. } => "write local times in contracts as yyyy-MM-ddTHH:mm:ss, whatever the raw text form is",
        _ => "write a value that fits the declared type exactly",
    }
}

/// Refuses rules that mean nothing for the type, so that none is ever ignored.
pub(crate) fn refuse_foreign_rules(property: &Property) -> Result<()> {
    let rules = &property.rules;
    let data_type = &property.data_type;
    let exact = matches!(data_type, DataType::Integer { .. } | DataType::Decimal { .. });
    let ordered = exact || matches!(data_type, DataType::Float { .. } | DataType::Date { .. } | DataType::Timestamp { .. });
    let text = matches!(data_type, DataType::String { .. });
    let sized = text || matches!(data_type, DataType::List(_));
    let foreign = [
        (has_range(rules) && !ordered, "a range needs numbers, dates or timestamps"),
        (rules.multiple_of.is_some() && !exact, "`multipleOf` needs integers or decimals"),
        ((rules.min_length.is_some() || rules.max_length.is_some()) && !sized, "a length needs strings or arrays"),
        (rules.pattern.is_some() && !text, "`pattern` needs strings"),
        (!rules.allowed.is_empty() && data_type.is_nested(), "`enum` needs single values"),
    ];
    match foreign.iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(refused(property, *what)),
        None => Ok(()),
    }
}

/// `expected a value from 0 to 24`.
pub(crate) fn expected_range(rules: &ValueRules) -> String {
    if let (Some(minimum), Some(maximum), None, None) =
        (&rules.minimum, &rules.maximum, &rules.exclusive_minimum, &rules.exclusive_maximum)
    {
        return format!("expected a value from {minimum} to {maximum}");
    }
    let bounds = [
        ("of at least", &rules.minimum),
        ("greater than", &rules.exclusive_minimum),
        ("of at most", &rules.maximum),
        ("less than", &rules.exclusive_maximum),
    ];
    let parts: Vec<String> =
        bounds.iter().filter_map(|(word, bound)| bound.as_ref().map(|bound| format!("{word} {bound}"))).collect();
    format!("expected a value {}", parts.join(" and "))
}

/// `expected one of A, B, C`; long lists are cut and counted.
pub(crate) fn listing(allowed: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = allowed.iter().take(SHOWN).map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    match allowed.len() {
        1 => format!("expected {shown}"),
        count if count <= SHOWN => format!("expected one of {shown}"),
        count => format!("expected one of {shown}, … ({count} values)"),
    }
}

/// How many characters or items a value may have.
#[derive(Debug)]
pub(crate) struct Length {
    least: usize,
    greatest: usize,
    pub(crate) expected: String,
}

impl Length {
    /// Compiles `minLength` and `maxLength`; `None` when neither is declared.
    pub(crate) fn compile(property: &Property, noun: &str) -> Result<Option<Self>> {
        let (least, greatest) = (property.rules.min_length, property.rules.max_length);
        let expected = match (least, greatest) {
            (None, None) => return Ok(None),
            (Some(least), Some(greatest)) if least == greatest => format!("expected exactly {least} {noun}"),
            (Some(least), Some(greatest)) if least > greatest => {
                return Err(refused(property, "`minLength` is greater than `maxLength`"));
            }
            (Some(least), Some(greatest)) => format!("expected {least} to {greatest} {noun}"),
            (Some(least), None) => format!("expected at least {least} {noun}"),
            (None, Some(greatest)) => format!("expected at most {greatest} {noun}"),
        };
        let size = |length: u64| usize::try_from(length).unwrap_or(usize::MAX);
        Ok(Some(Length { least: least.map_or(0, size), greatest: greatest.map_or(usize::MAX, size), expected }))
    }

    /// Tells whether a number of items is allowed.
    pub(crate) fn holds(&self, count: usize) -> bool {
        (self.least..=self.greatest).contains(&count)
    }

    /// Tells whether a text has an allowed number of characters; counts them only where the bytes leave it open.
    pub(crate) fn holds_text(&self, text: &str) -> bool {
        let bytes = text.len();
        (bytes.div_ceil(4) >= self.least && bytes <= self.greatest) || self.holds(text.chars().count())
    }
}
