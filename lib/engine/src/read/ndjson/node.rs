//! A column of JSON values: a leaf, an object or a list, filled value by value.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use windrow_core::contract::{ColumnCase, DataType, ExtraColumns, Property, Reader};
use windrow_core::suggest::nearest;
use windrow_core::{Code, Error, Place, Result};

use super::object::{self, Entries, Kind, kind, offset_in, string};
use crate::read::column::{Leaf, compact_leaf, leaf};
use crate::read::outcome::expected;
use crate::schema::arrow_field;

/// One refused value of a line.
#[derive(Clone, Debug)]
pub(super) struct JsonFault {
    pub(super) code: Code,
    /// `address.city`, `items[2].sku`.
    pub(super) path: String,
    /// The value in its line, in bytes.
    pub(super) span: (usize, usize),
    pub(super) expected: String,
    pub(super) demanded: Place,
}

/// The way from the line to a value.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(super) fn text(&self) -> String {
        match self {
            Path::Root => String::new(),
            Path::Key(Path::Root, key) => (*key).to_owned(),
            Path::Key(parent, key) => format!("{}.{key}", parent.text()),
            Path::Item(parent, index) => format!("{}[{index}]", parent.text()),
        }
    }
}

/// The line being read, and what is wrong with it.
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    pub(super) reader: &'a Reader,
    pub(super) faults: Vec<JsonFault>,
}

impl Line<'_> {
    pub(super) fn refuse(&mut self, code: Code, path: &Path<'_>, raw: &str, expected: String, demanded: &Place) {
        let start = offset_in(self.text, raw);
        self.faults.push(JsonFault {
            code,
            path: path.text(),
            span: (start, start + raw.len()),
            expected,
            demanded: demanded.clone(),
        });
    }
}

/// One column and what is below it.
pub(super) struct Node<'a> {
    property: &'a Property,
    shape: Shape<'a>,
}

enum Shape<'a> {
    Leaf(Box<dyn Leaf>),
    Object { fields: Fields<'a>, valid: Vec<bool> },
    List { item: Box<Node<'a>>, offsets: Vec<i32>, length: i32, valid: Vec<bool> },
}

/// The declared keys of an object.
pub(crate) struct Fields<'a> {
    pub(super) nodes: Vec<Node<'a>>,
}

impl<'a> Fields<'a> {
    /// The keys of an object inside another, their columns in plain forms.
    fn new(properties: &'a [Property]) -> Result<Self> {
        Ok(Fields { nodes: properties.iter().map(|property| Node::new(property, leaf)).collect::<Result<_>>()? })
    }

    /// The keys of a line, their columns in compact forms where they have one.
    ///
    /// # Errors
    /// `Misconfigured` for an impossible declaration.
    pub(crate) fn of_line(properties: &'a [Property]) -> Result<Self> {
        Ok(Fields { nodes: properties.iter().map(|property| Node::new(property, compact_leaf)).collect::<Result<_>>()? })
    }

    fn find(&self, key: &str, guess: usize, case: ColumnCase) -> Option<usize> {
        if self.nodes.get(guess).is_some_and(|node| *node.property.name == *key) {
            return Some(guess);
        }
        let exact = self.nodes.iter().position(|node| *node.property.name == *key);
        let any_case = || self.nodes.iter().position(|node| node.property.name.to_lowercase() == key.to_lowercase());
        exact.or_else(|| if case == ColumnCase::Ignore { any_case() } else { None })
    }

    /// Takes the values of one object; every declared key gets exactly one value.
    pub(super) fn push(&mut self, object: &str, entries: &Entries<'_>, path: &Path<'_>, line: &mut Line<'_>) {
        let mut values: Vec<Option<&str>> = vec![None; self.nodes.len()];
        let mut unknown: Vec<&str> = Vec::new();
        for (guess, (key, value)) in entries.0.iter().enumerate() {
            let key = &*key.0;
            let place = Path::Key(path, key);
            let slot = self.find(key, guess, line.reader.column_case).and_then(|found| values.get_mut(found));
            match slot {
                Some(Some(_)) => line.refuse(
                    Code::DuplicateObjectKey,
                    &place,
                    value,
                    format!("expected `{key}` only once"),
                    &line.reader.place.clone(),
                ),
                Some(slot) => *slot = Some(value),
                None if line.reader.extra_columns == ExtraColumns::Fail => {
                    unknown.push(key);
                    let known = self.nodes.iter().map(|node| &*node.property.name);
                    let hint =
                        nearest(key, known).map_or("expected no such key".to_owned(), |name| format!("did you mean `{name}`?"));
                    line.refuse(Code::UnknownKey, &place, value, hint, &line.reader.place.clone());
                }
                None => {}
            }
        }
        for (node, value) in self.nodes.iter_mut().zip(values) {
            let name = &*node.property.name;
            let is_misspelt = || unknown.iter().any(|key| nearest(key, [name]).is_some());
            match value {
                Some(raw) => node.push(raw, &Path::Key(path, name), line),
                // The misspelt key is the root cause; a missing one is no second fault.
                None if node.property.required && is_misspelt() => node.push_default(),
                None => node.push_missing(object, &Path::Key(path, name), line),
            }
        }
    }

    pub(super) fn push_default(&mut self) {
        self.nodes.iter_mut().for_each(Node::push_default);
    }
}

impl<'a> Node<'a> {
    fn new(property: &'a Property, leaf_of: impl Fn(&Property) -> Result<Box<dyn Leaf>>) -> Result<Self> {
        let shape = match &property.data_type {
            DataType::Struct(properties) => Shape::Object { fields: Fields::new(properties)?, valid: Vec::new() },
            DataType::List(item) => {
                Shape::List { item: Box::new(Node::new(item, leaf)?), offsets: vec![0], length: 0, valid: Vec::new() }
            }
            DataType::Boolean { true_tokens, false_tokens } => {
                let with = |tokens: &[String], word: &str| tokens.iter().cloned().chain([word.to_owned()]).collect();
                let data_type =
                    DataType::Boolean { true_tokens: with(true_tokens, "true"), false_tokens: with(false_tokens, "false") };
                Shape::Leaf(leaf(&Property { data_type, ..property.clone() })?)
            }
            _ => Shape::Leaf(leaf_of(property)?),
        };
        Ok(Node { property, shape })
    }

    /// Takes one value; a refused one leaves a stand-in and a fault.
    fn push(&mut self, raw: &str, path: &Path<'_>, line: &mut Line<'_>) {
        let kind = kind(raw);
        if kind == Kind::Null {
            return self.push_missing(raw, path, line);
        }
        let result = match &mut self.shape {
            Shape::Leaf(leaf) => push_leaf(leaf.as_mut(), &self.property.data_type, kind, raw),
            Shape::Object { fields, valid } => match object::entries(raw) {
                Ok(entries) => {
                    valid.push(true);
                    fields.push(raw, &entries, path, line);
                    Ok(())
                }
                Err(_) => Err(if kind == Kind::Object { Code::BadJson } else { Code::WrongType }),
            },
            Shape::List { item, offsets, length, valid } => {
                match serde_json::from_str::<Vec<&serde_json::value::RawValue>>(raw) {
                    Ok(values) => {
                        for (index, value) in values.iter().enumerate() {
                            item.push(value.get(), &Path::Item(path, index), line);
                        }
                        *length = length.saturating_add(i32::try_from(values.len()).unwrap_or(i32::MAX));
                        offsets.push(*length);
                        valid.push(true);
                        Ok(())
                    }
                    Err(_) => Err(if kind == Kind::Array { Code::BadJson } else { Code::WrongType }),
                }
            }
        };
        if let Err(code) = result {
            self.push_default();
            line.refuse(code, path, raw, expected(code, self.property), &self.property.type_place);
        }
    }

    fn push_missing(&mut self, raw: &str, path: &Path<'_>, line: &mut Line<'_>) {
        if self.property.required {
            self.push_default();
            line.refuse(
                Code::NullInRequired,
                path,
                raw,
                expected(Code::NullInRequired, self.property),
                &self.property.type_place,
            );
        } else {
            self.push_null();
        }
    }

    fn push_null(&mut self) {
        match &mut self.shape {
            Shape::Leaf(leaf) => leaf.push_null(),
            Shape::Object { fields, valid } => {
                valid.push(false);
                fields.push_default();
            }
            Shape::List { offsets, length, valid, .. } => {
                valid.push(false);
                offsets.push(*length);
            }
        }
    }

    fn push_default(&mut self) {
        match &mut self.shape {
            Shape::Leaf(leaf) => leaf.push_default(),
            Shape::Object { fields, valid } => {
                valid.push(true);
                fields.push_default();
            }
            Shape::List { offsets, length, valid, .. } => {
                valid.push(true);
                offsets.push(*length);
            }
        }
    }

    /// Gives the values since the last call.
    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let defect = |error: arrow_schema::ArrowError| Error::internal("nested columns do not fit the contract").caused_by(error);
        match &mut self.shape {
            Shape::Leaf(leaf) => Ok(leaf.finish()),
            Shape::Object { fields, valid } => {
                let valid = std::mem::take(valid);
                let arrays = fields.nodes.iter_mut().map(Node::finish).collect::<Result<Vec<_>>>()?;
                let declared = fields.nodes.iter().map(|node| arrow_field(node.property)).collect();
                let array = StructArray::try_new_with_length(declared, arrays, nulls_of(&valid), valid.len()).map_err(defect)?;
                Ok(Arc::new(array))
            }
            Shape::List { item, offsets, length, valid } => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, vec![0])));
                *length = 0;
                let field = Arc::new(arrow_field(item.property));
                let array =
                    ListArray::try_new(field, offsets, item.finish()?, nulls_of(&std::mem::take(valid))).map_err(defect)?;
                Ok(Arc::new(array))
            }
        }
    }
}

fn nulls_of(valid: &[bool]) -> Option<NullBuffer> {
    valid.contains(&false).then(|| NullBuffer::from(valid))
}

/// Numbers are taken by their text; dates, times and texts are JSON strings, decimals may be either.
///
/// A boolean is `true` or `false`, or a string that is one of the declared texts other than these words.
fn push_leaf(leaf: &mut dyn Leaf, data_type: &DataType, kind: Kind, raw: &str) -> Result<(), Code> {
    let takes_strings = !matches!(data_type, DataType::Integer { .. } | DataType::Float { .. });
    let takes_numbers = matches!(data_type, DataType::Integer { .. } | DataType::Float { .. } | DataType::Decimal { .. });
    let is_boolean = matches!(data_type, DataType::Boolean { .. });
    match kind {
        Kind::Number if takes_numbers => leaf.push(raw),
        Kind::Boolean if is_boolean => leaf.push(raw),
        Kind::String if takes_strings => {
            let text = string(raw).ok_or(Code::BadJson)?;
            if is_boolean && matches!(&*text, "true" | "false") {
                return Err(Code::WrongType);
            }
            leaf.push(&text)
        }
        _ => Err(Code::WrongType),
    }
}
