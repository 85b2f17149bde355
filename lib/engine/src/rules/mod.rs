//! Rules on single values (`required`, ranges, allowed values, patterns, lengths, formats), checked a column at a time.
//!
//! ```text
//! contract property ─▶ compile (literals become values of the type) ─▶ broken(array) ─▶ rows, code, what was expected
//! ```
//!
//! A rule that means nothing for the type is refused, never ignored. Null breaks `required` and nothing else.

mod compile;
mod format;
mod literal;
mod number;
mod quick;
mod text;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, UInt8Type};
use arrow_array::{Array, DictionaryArray};
use arrow_schema::DataType as Arrow;
use windrow_core::contract::{DataType, Property};
use windrow_core::{Code, Result};

use crate::numbers::each_number;
use compile::{Length, listing, literals, refuse_foreign_rules};
use number::{FloatRules, NumberRules};
use text::TextRules;

/// The compiled rules of one property.
#[derive(Debug)]
pub struct Rules {
    required: bool,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Any,
    Number(NumberRules),
    Float(FloatRules),
    Boolean { allowed: bool, expected: String },
    Text(TextRules),
    Struct(Vec<(Arc<str>, Rules)>),
    List { length: Option<Length>, item: Option<Box<Rules>> },
}

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
    /// Compiles the rules of a property, `required` included, and those of its fields or items.
    ///
    /// # Errors
    /// `Misconfigured` when a bound or pattern is not a value of the property's type, or a rule means nothing for the type.
    pub fn compile(property: &Property) -> Result<Self> {
        refuse_foreign_rules(property)?;
        let values = match &property.data_type {
            DataType::Integer { .. } | DataType::Decimal { .. } | DataType::Date { .. } | DataType::Timestamp { .. } => {
                NumberRules::compile(property)?.map_or(Values::Any, Values::Number)
            }
            DataType::Float { bits } => Values::Float(FloatRules::compile(property, *bits)?),
            DataType::Boolean { true_tokens, false_tokens } => compile_boolean(property, true_tokens, false_tokens)?,
            DataType::String { format } => TextRules::compile(property, *format)?.map_or(Values::Any, Values::Text),
            DataType::Struct(fields) => compile_fields(fields)?,
            DataType::List(item) => {
                let length = Length::compile(property, "items")?;
                let item = Some(Rules::compile(item)?).filter(Rules::demand_something).map(Box::new);
                if length.is_none() && item.is_none() { Values::Any } else { Values::List { length, item } }
            }
        };
        Ok(Rules { required: property.required, values })
    }

    /// Tells whether any value could break these rules.
    pub fn demand_something(&self) -> bool {
        self.required || !matches!(self.values, Values::Any)
    }

    /// Lists the values of an array (of the property's Arrow type, in its plain or its compact form) that break a rule, in row order, at most one per row.
    ///
    /// An array of another type breaks with [`Code::WrongType`] in every row that is not null, so that nothing slips through.
    pub fn broken(&self, array: &dyn Array) -> Vec<Broken> {
        let mut found = Vec::new();
        if self.required && array.null_count() > 0 {
            let nulls = (0..array.len()).filter(|row| array.is_null(*row));
            found.extend(nulls.map(|row| broken(row, (Code::NullInRequired, "expected a value, not null"))));
        }
        let known = match &self.values {
            Values::Any => true,
            Values::Number(rules) if quick::numbers_hold(rules, array) => true,
            Values::Float(rules) if quick::floats_hold(rules, array) => true,
            Values::Number(rules) => {
                each_number(array, |row, value| found.extend(rules.broken(value).map(|what| broken(row, what))))
            }
            Values::Float(rules) => broken_floats(rules, array, &mut found),
            Values::Boolean { allowed, expected } => broken_booleans(*allowed, expected, array, &mut found),
            Values::Text(rules) => broken_texts(rules, array, &mut found),
            Values::Struct(fields) => broken_fields(fields, array, &mut found),
            Values::List { length, item } => broken_items(length.as_ref(), item.as_deref(), array, &mut found),
        };
        if !known {
            let what = format!("expected another type than {}", array.data_type());
            let rows = (0..array.len()).filter(|row| array.is_valid(*row));
            found.extend(rows.map(|row| broken(row, (Code::WrongType, &what))));
        }
        found.sort_by_key(|broken| broken.row);
        found.dedup_by_key(|broken| broken.row);
        found
    }
}

fn broken(row: usize, (code, expected): (Code, &str)) -> Broken {
    Broken { row, code, expected: expected.to_owned() }
}

fn compile_boolean(property: &Property, true_tokens: &[String], false_tokens: &[String]) -> Result<Values> {
    let read = |text: &str| match text {
        "true" => Some(true),
        "false" => Some(false),
        _ if true_tokens.iter().any(|token| token == text) => Some(true),
        _ => false_tokens.iter().any(|token| token == text).then_some(false),
    };
    let declared = &property.rules.allowed;
    let mut allowed = declared.iter().map(|text| literals(property, text, read)).collect::<Result<Vec<bool>>>()?;
    allowed.sort_unstable();
    allowed.dedup();
    Ok(match allowed.as_slice() {
        [only] => Values::Boolean { allowed: *only, expected: listing(declared) },
        _ => Values::Any,
    })
}

fn compile_fields(fields: &[Property]) -> Result<Values> {
    let compiled = fields.iter().map(|field| Ok((field.name.clone(), Rules::compile(field)?))).collect::<Result<Vec<_>>>()?;
    let any = compiled.iter().any(|(_, rules)| rules.demand_something());
    Ok(if any { Values::Struct(compiled) } else { Values::Any })
}

fn broken_floats(rules: &FloatRules, array: &dyn Array, found: &mut Vec<Broken>) -> bool {
    let mut see = |row: usize, value: Option<f64>| {
        found.extend(value.and_then(|value| rules.broken(value)).map(|what| broken(row, what)));
    };
    match array.data_type() {
        Arrow::Float32 => {
            array.as_primitive::<Float32Type>().iter().enumerate().for_each(|(row, value)| see(row, value.map(f64::from)))
        }
        Arrow::Float64 => array.as_primitive::<Float64Type>().iter().enumerate().for_each(|(row, value)| see(row, value)),
        _ => return false,
    }
    true
}

fn broken_booleans(allowed: bool, expected: &str, array: &dyn Array, found: &mut Vec<Broken>) -> bool {
    let Some(values) = array.as_boolean_opt() else { return false };
    let refused = if allowed { values.false_count() } else { values.true_count() };
    if refused == 0 {
        return true;
    }
    let refused = values.iter().enumerate().filter(|(_, value)| value.is_some_and(|value| value != allowed));
    found.extend(refused.map(|(row, _)| broken(row, (Code::NotAllowed, expected))));
    true
}

fn broken_texts(rules: &TextRules, array: &dyn Array, found: &mut Vec<Broken>) -> bool {
    if let Some(keyed) = array.as_dictionary_opt::<UInt8Type>() {
        return broken_keys(rules, keyed, found);
    }
    let Some(texts) = array.as_string_opt::<i32>() else { return false };
    let checked = texts.iter().enumerate().filter_map(|(row, text)| Some(broken(row, rules.broken(text?)?)));
    found.extend(checked);
    true
}

/// Each different text is judged once; the rows are looked at only when one of them breaks a rule.
fn broken_keys(rules: &TextRules, keyed: &DictionaryArray<UInt8Type>, found: &mut Vec<Broken>) -> bool {
    let Some(texts) = keyed.values().as_string_opt::<i32>() else { return false };
    let judged: Vec<_> = texts.iter().map(|text| rules.broken(text?)).collect();
    if judged.iter().any(Option::is_some) {
        let what = |key: Option<u8>| judged.get(usize::from(key?)).copied().flatten();
        let rows = keyed.keys().iter().enumerate();
        found.extend(rows.filter_map(|(row, key)| Some(broken(row, what(key)?))));
    }
    true
}

/// A field of a null object is absent, not null.
fn broken_fields(fields: &[(Arc<str>, Rules)], array: &dyn Array, found: &mut Vec<Broken>) -> bool {
    let Some(structs) = array.as_struct_opt() else { return false };
    for (name, rules) in fields {
        let Some(values) = structs.column_by_name(name) else { return false };
        let inside = rules.broken(values).into_iter().filter(|broken| structs.is_valid(broken.row));
        found.extend(inside.map(|broken| within(broken, name)));
    }
    true
}

fn broken_items(length: Option<&Length>, item: Option<&Rules>, array: &dyn Array, found: &mut Vec<Broken>) -> bool {
    let Some(lists) = array.as_list_opt::<i32>() else { return false };
    let bounds = |row: usize| lists.value_offsets().get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    let is_long =
        |row: &usize| lists.is_valid(*row) && length.is_some_and(|length| !length.holds(bounds(row + 1) - bounds(*row)));
    let expected = length.map_or("", |length| length.expected.as_str());
    found.extend((0..lists.len()).filter(is_long).map(|row| broken(row, (Code::LengthOutOfRange, expected))));
    let Some(item) = item else { return true };
    let mut row = 0;
    for mut broken in item.broken(lists.values()) {
        while row < lists.len() && bounds(row + 1) <= broken.row {
            row += 1;
        }
        if row < lists.len() && bounds(row) <= broken.row && lists.is_valid(row) {
            broken.row = row;
            found.push(within(broken, "[]"));
        }
    }
    true
}

fn within(mut broken: Broken, name: &str) -> Broken {
    broken.expected = format!("{} in `{name}`", broken.expected);
    broken
}

#[cfg(test)]
mod tests;
