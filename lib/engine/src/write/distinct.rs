//! Whether most values of a column are different ones. It is asked for every column of every window, so it has to cost little.

use arrow_array::cast::AsArray;
use arrow_array::{AnyDictionaryArray, Array, ArrayRef};
use arrow_row::{RowConverter, SortField};

use crate::hash::{mix, of_bytes};
use crate::numbers::each_number;

/// Below this many values a dictionary costs nothing worth deciding about.
const FEW_VALUES: usize = 1 << 10;

/// How many places there are for each value, so that two different values rarely share one.
const PLACES_PER_VALUE: usize = 16;

/// Whether more than about half of the values, nulls left out, are different ones: of many different values a few in a hundred are
/// taken for others. The answer depends on the values only, not on the form of the arrays.
pub(super) fn is_mostly_distinct(arrays: &[ArrayRef]) -> bool {
    let values: usize = arrays.iter().map(|array| array.len() - array.null_count()).sum();
    if values < FEW_VALUES {
        return false;
    }
    let mut seen = Seen::of(values);
    arrays.iter().all(|array| seen.add(array).is_some()) && seen.count > values / 2
}

/// A place for every hash, taken or not.
struct Seen {
    places: Vec<u64>,
    /// How far down a hash goes to be the number of a place.
    shift: u32,
    count: usize,
}

impl Seen {
    fn of(values: usize) -> Self {
        let places = (values * PLACES_PER_VALUE).next_power_of_two();
        Seen { places: vec![0; places / 64], shift: u64::BITS - places.trailing_zeros(), count: 0 }
    }

    fn see(&mut self, hash: u64) {
        let place = hash >> self.shift;
        let word = usize::try_from(place / 64).ok().and_then(|word| self.places.get_mut(word));
        if let Some(word) = word {
            let bit = 1 << (place % 64);
            self.count += usize::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// `None` for an array of a type that has no order.
    fn add(&mut self, array: &ArrayRef) -> Option<()> {
        if let Some(dictionary) = array.as_any_dictionary_opt() {
            self.add_dictionary(dictionary);
        } else if let Some(texts) = array.as_string_opt::<i32>() {
            texts.iter().flatten().for_each(|text| self.see(of_bytes(text.as_bytes())));
        } else if !each_number(array, |_, value| self.see(mix(value as u64, (value >> 64) as u64))) {
            self.add_rows(array)?;
        }
        Some(())
    }

    /// The texts that rows use, each once.
    fn add_dictionary(&mut self, array: &dyn AnyDictionaryArray) {
        let Some(texts) = array.values().as_string_opt::<i32>() else { return };
        let mut is_used = vec![false; texts.len()];
        for (row, key) in array.normalized_keys().into_iter().enumerate() {
            if let Some(is_used) = is_used.get_mut(key).filter(|_| array.is_valid(row)) {
                *is_used = true;
            }
        }
        let used = texts.iter().zip(is_used).filter(|(_, is_used)| *is_used).filter_map(|(text, _)| text);
        used.for_each(|text| self.see(of_bytes(text.as_bytes())));
    }

    fn add_rows(&mut self, array: &ArrayRef) -> Option<()> {
        let converter = RowConverter::new(vec![SortField::new(array.data_type().clone())]).ok()?;
        let rows = converter.convert_columns(std::slice::from_ref(array)).ok()?;
        let valid = rows.iter().enumerate().filter(|(row, _)| array.is_valid(*row));
        valid.for_each(|(_, row)| self.see(of_bytes(row.as_ref())));
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::{UInt8Type, UInt16Type};
    use arrow_array::{Decimal64Array, Decimal128Array, DictionaryArray, Float64Array, Int16Array, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;

    const VALUES: usize = 1 << 16;

    /// What is answered for this many different values, in every form there is.
    fn answers(different: usize, step: i64) -> Vec<bool> {
        let numbers = || (0..VALUES).map(|row| (row % different) as i64 * step);
        let texts = || numbers().map(|number| Some(number.to_string()));
        let with_nulls = texts().flat_map(|text| [text, None]);
        let halves = [numbers().take(VALUES / 3).collect::<Int64Array>(), numbers().skip(VALUES / 3).collect()];
        let columns: Vec<Vec<ArrayRef>> = vec![
            vec![Arc::new(numbers().collect::<Int64Array>())],
            halves.map(|half| Arc::new(half) as ArrayRef).to_vec(),
            vec![Arc::new(Decimal64Array::from_iter_values(numbers()))],
            vec![Arc::new(Decimal128Array::from_iter_values(numbers().map(i128::from)))],
            vec![Arc::new(texts().collect::<StringArray>())],
            vec![Arc::new(with_nulls.collect::<StringArray>())],
            vec![Arc::new(numbers().map(|number| number as f64 / 7.0).collect::<Float64Array>())],
        ];
        columns.iter().map(|arrays| is_mostly_distinct(arrays)).collect()
    }

    #[test]
    fn more_than_half_are_most_of_them() {
        for step in [1, 1000, 1 << 32, 0x0101_0101_0101, -9973] {
            assert_eq!(answers(VALUES * 48 / 100, step), [false; 7], "step {step}");
            assert_eq!(answers(VALUES * 53 / 100, step), [true; 7], "step {step}");
            assert_eq!(answers(VALUES, step), [true; 7], "step {step}");
            assert_eq!(answers(1, step), [false; 7], "step {step}");
        }
    }

    #[test]
    fn a_few_values_are_never_most() {
        let array: ArrayRef = Arc::new((0..1023).collect::<Int16Array>());
        assert!(!is_mostly_distinct(&[array]));
        let array: ArrayRef = Arc::new((0..1024).collect::<Int16Array>());
        assert!(is_mostly_distinct(&[array]));
    }

    proptest! {
        #[test]
        fn texts_count_the_same_in_a_dictionary(rows in prop::collection::vec(prop::option::of(0..600u16), 1024..1400), spread in 1..600u16) {
            let texts: Vec<Option<String>> = rows.iter().map(|row| row.map(|row| format!("text {}", row % spread))).collect();
            let texts = || texts.iter().map(|text| text.as_deref());
            let plain: ArrayRef = Arc::new(texts().collect::<StringArray>());
            let wide: ArrayRef = Arc::new(texts().collect::<DictionaryArray<UInt16Type>>());
            let expected = is_mostly_distinct(std::slice::from_ref(&plain));
            prop_assert_eq!(is_mostly_distinct(&[wide]), expected);
            if spread <= 256 {
                let narrow: ArrayRef = Arc::new(texts().collect::<DictionaryArray<UInt8Type>>());
                prop_assert_eq!(is_mostly_distinct(&[narrow]), expected);
            }
        }
    }
}
