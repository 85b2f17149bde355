//! Nulls, least and greatest value of each column of a file, as text, for the ledger.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowDictionaryKeyType, Float32Type, Float64Type, UInt8Type, UInt16Type};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use windrow_core::contract::Property;

use crate::form::plain_type;
use crate::numbers::number_bounds;
use crate::text::number_text;

/// What is known about a column of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnStats {
    /// The column.
    pub name: String,
    /// How many values are null.
    pub nulls: u64,
    /// The exact least value in ISO or decimal form; `None` when there is no value, the column is nested or classified, or the text is
    /// too long to stand in the ledger (it is never cut).
    pub min: Option<String>,
    /// The exact greatest value, likewise.
    pub max: Option<String>,
}

/// The longest text that stands in the ledger.
const MAX_TEXT_BYTES: usize = 256;

/// What one column's arrays were seen to hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct ColumnBounds {
    nulls: u64,
    values: Values,
    data_type: Option<DataType>,
}

/// The least and the greatest value.
#[derive(Clone, Debug, Default)]
enum Values {
    #[default]
    None,
    Numbers(i128, i128),
    Floats(f64, f64),
    Singles(f32, f32),
    Booleans(bool, bool),
    Texts(String, String),
    /// NaN has no place in an order, so a column that holds one has no bounds.
    Unordered,
}

impl ColumnBounds {
    /// Takes an array into account; its values only when they may be told.
    pub(crate) fn see(&mut self, array: &ArrayRef, is_shown: bool) {
        let values = if is_shown { Values::of(array) } else { Values::None };
        self.widen(ColumnBounds { nulls: array.null_count() as u64, values, data_type: Some(plain_type(array.data_type())) });
    }

    /// Takes later rows of the same column into account.
    pub(crate) fn widen(&mut self, later: ColumnBounds) {
        self.nulls += later.nulls;
        self.values = std::mem::take(&mut self.values).widened(later.values);
        self.data_type = self.data_type.take().or(later.data_type);
    }

    /// The statistics as the ledger keeps them.
    pub(crate) fn into_stats(self, property: &Property) -> ColumnStats {
        let (min, max) = match self.values {
            Values::None | Values::Unordered => None,
            Values::Numbers(min, max) => {
                self.data_type.map(|data_type| (number_text(min, &data_type), number_text(max, &data_type)))
            }
            Values::Floats(min, max) => Some((min.to_string(), max.to_string())),
            Values::Singles(min, max) => Some((min.to_string(), max.to_string())),
            Values::Booleans(min, max) => Some((min.to_string(), max.to_string())),
            Values::Texts(min, max) => Some((min, max)),
        }
        .unzip();
        let short = |text: &String| text.len() <= MAX_TEXT_BYTES;
        ColumnStats { name: property.name.to_string(), nulls: self.nulls, min: min.filter(short), max: max.filter(short) }
    }
}

impl Values {
    fn of(array: &ArrayRef) -> Self {
        match array.data_type() {
            DataType::Utf8 => texts(array.as_string::<i32>().iter().flatten()),
            DataType::Dictionary(key, _) => match **key {
                DataType::UInt8 => used_texts::<UInt8Type>(array),
                DataType::UInt16 => used_texts::<UInt16Type>(array),
                _ => Values::None,
            },
            DataType::Boolean => {
                let values = || array.as_boolean().iter().flatten();
                values().min().zip(values().max()).map_or(Values::None, |(min, max)| Values::Booleans(min, max))
            }
            DataType::Float64 => floats(array.as_primitive::<Float64Type>().iter().flatten(), Values::Floats),
            DataType::Float32 => floats(array.as_primitive::<Float32Type>().iter().flatten(), Values::Singles),
            _ => number_bounds(array).flatten().map_or(Values::None, |(min, max)| Values::Numbers(min, max)),
        }
    }

    fn widened(self, later: Values) -> Values {
        fn pair<T: PartialOrd>(a: (T, T), b: (T, T)) -> (T, T) {
            (if b.0 < a.0 { b.0 } else { a.0 }, if b.1 > a.1 { b.1 } else { a.1 })
        }
        match (self, later) {
            (Values::Unordered, _) | (_, Values::Unordered) => Values::Unordered,
            (Values::None, other) | (other, Values::None) => other,
            (Values::Numbers(a, b), Values::Numbers(c, d)) => {
                let (min, max) = pair((a, b), (c, d));
                Values::Numbers(min, max)
            }
            (Values::Floats(a, b), Values::Floats(c, d)) => {
                let (min, max) = pair((a, b), (c, d));
                Values::Floats(min, max)
            }
            (Values::Singles(a, b), Values::Singles(c, d)) => {
                let (min, max) = pair((a, b), (c, d));
                Values::Singles(min, max)
            }
            (Values::Booleans(a, b), Values::Booleans(c, d)) => Values::Booleans(a && c, b || d),
            (Values::Texts(a, b), Values::Texts(c, d)) => {
                let (min, max) = pair((a, b), (c, d));
                Values::Texts(min, max)
            }
            _ => Values::Unordered,
        }
    }
}

fn texts<'a>(mut values: impl Iterator<Item = &'a str>) -> Values {
    // Most texts are told apart by their first bytes, which compare as one number.
    let headed = |text: &'a str| (head(text), text);
    let Some(first) = values.next().map(headed) else { return Values::None };
    let (min, max) = values.map(headed).fold((first, first), |(min, max), text| (min.min(text), max.max(text)));
    Values::Texts(min.1.to_owned(), max.1.to_owned())
}

/// The first eight bytes of a text as a number of the same order; a shorter one is filled up with zeros.
fn head(text: &str) -> u64 {
    let mut head = [0; 8];
    head.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    u64::from_be_bytes(text.as_bytes().first_chunk().copied().unwrap_or(head))
}

/// The dictionary may hold values of other rows.
fn used_texts<K: ArrowDictionaryKeyType>(array: &ArrayRef) -> Values {
    let dictionary = array.as_dictionary::<K>();
    let Some(values) = dictionary.values().as_string_opt::<i32>() else { return Values::None };
    let mut used = vec![false; values.len()];
    for key in dictionary.keys_iter().flatten() {
        used.get_mut(key).into_iter().for_each(|used| *used = true);
    }
    texts(values.iter().zip(&used).filter(|(_, used)| **used).filter_map(|(value, _)| value))
}

fn floats<T: PartialOrd + Copy>(values: impl Iterator<Item = T>, make: impl Fn(T, T) -> Values) -> Values {
    let mut bounds: Option<(T, T)> = None;
    for value in values {
        if value.partial_cmp(&value).is_none() {
            return Values::Unordered;
        }
        bounds =
            Some(bounds.map_or((value, value), |(min, max)| {
                (if value < min { value } else { min }, if value > max { value } else { max })
            }));
    }
    bounds.map_or(Values::None, |(min, max)| make(min, max))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bounds_of_texts_are_their_least_and_greatest(texts_seen in prop::collection::vec("[a\0\u{ff}]{0,3}|a{6,10}\0{0,3}|.{0,12}", 0..20)) {
            let bounds = match texts(texts_seen.iter().map(String::as_str)) {
                Values::Texts(min, max) => Some((min, max)),
                _ => None,
            };
            prop_assert_eq!(bounds, texts_seen.iter().min().cloned().zip(texts_seen.iter().max().cloned()));
        }
    }
}
