//! One comparable key per row of a window: columns packed into 64 bits where they fit, else arrow's row format.

use std::cmp::Ordering;

use arrow_array::ArrayRef;
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::SortOptions;
use rayon::prelude::*;
use windrow_core::{Error, Result};

use super::key_part::KeyPart;
use crate::numbers::each_number;

/// A column of all chunks, and which way it sorts; nulls always come first.
#[derive(Debug)]
pub(crate) struct KeyColumn {
    pub(crate) chunks: Vec<KeyPart>,
    pub(crate) descending: bool,
}

impl KeyColumn {
    /// Takes arrays that are in memory.
    pub(crate) fn of(arrays: impl IntoIterator<Item = ArrayRef>, descending: bool) -> Self {
        KeyColumn { chunks: arrays.into_iter().map(KeyPart::new).collect(), descending }
    }
}

/// Keys of all rows, addressed by the row's number in chunk order.
pub(crate) enum Keys {
    /// The ranges of all columns fit into 64 bits together; plain integer comparison is column order.
    Packed(Vec<u64>),
    /// Arrow's row format, with the first eight bytes beside it to spare most look-ups.
    Rows(Vec<u64>, Rows),
}

impl Keys {
    /// Makes the keys of `rows` rows.
    ///
    /// # Errors
    /// `Misconfigured` for a type that has no order, and what the disk of a spilled column says.
    pub(crate) fn new(columns: &[KeyColumn], rows: usize) -> Result<Self> {
        if let Some(ranges) = ranges(columns).filter(|ranges| bits(ranges) <= u64::BITS) {
            return Ok(Keys::Packed(packed(columns, &ranges, rows)?));
        }
        let options = |column: &KeyColumn| SortOptions { descending: column.descending, nulls_first: true };
        let field = |column: &KeyColumn| {
            column.chunks.first().map(|part| SortField::new_with_options(part.data_type.clone(), options(column)))
        };
        let no_order = |error| Error::misconfigured("a column of the key or the sort has no order").caused_by(error);
        let converter = RowConverter::new(columns.iter().filter_map(field).collect()).map_err(no_order)?;
        let mut keys = converter.empty_rows(rows, rows.saturating_mul(16));
        let chunks = columns.first().map_or(0, |column| column.chunks.len());
        for chunk in 0..chunks {
            let parts = columns.iter().filter_map(|column| column.chunks.get(chunk));
            let arrays: Vec<ArrayRef> = parts.map(KeyPart::load).collect::<Result<_>>()?;
            converter.append(&mut keys, &arrays).map_err(no_order)?;
        }
        let prefixes = keys.iter().map(|row| prefix(row.data())).collect();
        Ok(Keys::Rows(prefixes, keys))
    }

    /// Compares two rows by their keys alone.
    pub(crate) fn compare(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (a as usize, b as usize);
        match self {
            Keys::Packed(keys) => keys.get(a).cmp(&keys.get(b)),
            Keys::Rows(prefixes, rows) => prefixes.get(a).cmp(&prefixes.get(b)).then_with(|| rows.row(a).cmp(&rows.row(b))),
        }
    }

    /// Sorts all rows by key, in the room the keys take where that is possible; see [`Keys::sort`].
    pub(crate) fn sort_all(self, is_tight: bool) -> Sorted {
        match self {
            Keys::Packed(keys) => match room_for_rows(&keys) {
                Some(row_bits) => sort_words(keys, row_bits, is_tight),
                None => Keys::Packed(keys).sort_numbered(),
            },
            Keys::Rows(..) => self.sort_numbered(),
        }
    }

    fn sort_numbered(&self) -> Sorted {
        let rows = match self {
            Keys::Packed(keys) => keys.len(),
            Keys::Rows(prefixes, _) => prefixes.len(),
        };
        self.sort((0..u32::try_from(rows).unwrap_or(u32::MAX)).collect())
    }

    /// Sorts row numbers by key; equal keys stay in row order, whatever the number of threads.
    pub(crate) fn sort(&self, rows: Vec<u32>) -> Sorted {
        match self {
            Keys::Packed(keys) => sort_packed(keys, rows),
            Keys::Rows(prefixes, keys) => {
                let prefix = |row: u32| prefixes.get(row as usize).copied().unwrap_or(0);
                let mut keyed: Vec<(u64, u32)> = rows.into_par_iter().map(|row| (prefix(row), row)).collect();
                let whole = |row: u32| keys.row(row as usize);
                keyed.par_sort_by(|a, b| a.0.cmp(&b.0).then_with(|| whole(a.1).cmp(&whole(b.1))).then(a.1.cmp(&b.1)));
                let is_tie = |pair: &[(u64, u32)]| matches!(pair, [a, b] if a.0 == b.0 && whole(a.1) == whole(b.1));
                let has_ties = keyed.par_windows(2).any(is_tie);
                Sorted { rows: keyed.into_par_iter().map(|(_, row)| row).collect(), has_ties }
            }
        }
    }
}

/// Rows in order, and whether any two of them have equal keys.
#[derive(Debug)]
pub(crate) struct Sorted {
    pub(crate) rows: Vec<u32>,
    pub(crate) has_ties: bool,
}

/// Sorts some rows by packed keys.
fn sort_packed(keys: &[u64], rows: Vec<u32>) -> Sorted {
    let key = |row: u32| keys.get(row as usize).copied().unwrap_or(0);
    if let Some(row_bits) = room_for_rows(keys) {
        let words = rows.into_par_iter().map(|row| (key(row) << row_bits) | u64::from(row)).collect();
        return sorted_words(words, row_bits, false);
    }
    let mut keyed: Vec<(u64, u32)> = rows.into_par_iter().map(|row| (key(row), row)).collect();
    keyed.par_sort();
    let has_ties = keyed.par_windows(2).any(|pair| matches!(pair, [a, b] if a.0 == b.0));
    Sorted { rows: keyed.into_par_iter().map(|(_, row)| row).collect(), has_ties }
}

/// How many bits a row number needs, when key and row number fit into one word together: then that word is all that moves.
fn room_for_rows(keys: &[u64]) -> Option<u32> {
    let row_bits = usize::BITS - keys.len().leading_zeros();
    let key_bits = u64::BITS - keys.par_iter().copied().reduce(|| 0, |a, b| a | b).leading_zeros();
    Some(row_bits).filter(|row_bits| key_bits + row_bits <= u64::BITS)
}

/// Sorts all rows by packed keys, which become words in place.
fn sort_words(mut keys: Vec<u64>, row_bits: u32, is_tight: bool) -> Sorted {
    keys.par_iter_mut().enumerate().for_each(|(row, key)| *key = (*key << row_bits) | row as u64);
    sorted_words(keys, row_bits, is_tight)
}

/// Words are all different, so any sort gives the same. A stable one merges the runs that are in order already, but takes
/// as much room again.
fn sorted_words(mut words: Vec<u64>, row_bits: u32, is_tight: bool) -> Sorted {
    if is_tight {
        words.par_sort_unstable()
    } else {
        words.par_sort()
    }
    let has_ties = words.par_windows(2).any(|pair| matches!(pair, [a, b] if a >> row_bits == b >> row_bits));
    let row = |word: u64| u32::try_from(word & ((1 << row_bits) - 1)).unwrap_or(0);
    Sorted { rows: words.into_par_iter().map(row).collect(), has_ties }
}

/// How many bytes making the keys of these columns and sorting all rows by them take, at most: at the least, and with room
/// to merge what is in order already.
pub(crate) fn estimate(columns: &[KeyColumn], rows: usize) -> (u64, u64) {
    const NUMBER: usize = size_of::<u32>();
    const WORD: usize = size_of::<u64>();
    const PAIR: usize = size_of::<(u64, u32)>();
    let row_bits = usize::BITS - rows.leading_zeros();
    let (least, best) = match ranges(columns).map(|ranges| bits(&ranges)) {
        Some(bits) if bits + row_bits <= u64::BITS => (NUMBER + WORD, NUMBER + 2 * WORD),
        Some(bits) if bits <= u64::BITS => (NUMBER + WORD + 2 * PAIR, NUMBER + WORD + 2 * PAIR),
        _ => {
            let text: usize = columns.iter().flat_map(|column| &column.chunks).map(|part| part.bytes).sum();
            let whole = text / rows.max(1) + NUMBER + 3 * WORD + 2 * PAIR;
            (whole, whole)
        }
    };
    ((least * rows) as u64, (best * rows) as u64)
}

/// The first eight bytes, big-endian, filled up with zeros: it orders like the whole where it differs.
fn prefix(bytes: &[u8]) -> u64 {
    let mut head = [0_u8; 8];
    head.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    u64::from_be_bytes(head)
}

/// The numbers of a column.
#[derive(Clone, Copy, Debug)]
struct Range {
    /// The least and the greatest, when there is any.
    bounds: Option<(i128, i128)>,
    /// The bits that hold their distance plus one code for null.
    bits: u32,
}

/// The ranges of all columns; `None` when one has no exact numbers, or needs more than 64 bits.
fn ranges(columns: &[KeyColumn]) -> Option<Vec<Range>> {
    columns.iter().map(range).collect()
}

fn bits(ranges: &[Range]) -> u32 {
    ranges.iter().map(|range| range.bits).sum()
}

/// Packs columns of at most 64 bits by the range their values span.
fn packed(columns: &[KeyColumn], ranges: &[Range], rows: usize) -> Result<Vec<u64>> {
    let short = || Error::internal("a key has not as many rows as its table");
    let mut keys = vec![0_u64; rows];
    let mut parts: Vec<&mut [u64]> = Vec::new();
    let mut rest = keys.as_mut_slice();
    for chunk in columns.first().map_or(&[][..], |column| &column.chunks) {
        let (part, after) = rest.split_at_mut_checked(chunk.rows).ok_or_else(short)?;
        parts.push(part);
        rest = after;
    }
    parts.into_par_iter().enumerate().try_for_each(|(chunk, part)| -> Result<()> {
        // Written before it is read: a fresh page that is read first costs two faults.
        part.fill(0);
        for (column, Range { bounds, bits }) in columns.iter().zip(ranges) {
            // One column of 64 bits leaves nothing to shift.
            part.iter_mut().for_each(|key| *key = key.checked_shl(*bits).unwrap_or(0));
            let (Some((least, greatest)), Some(values)) = (*bounds, column.chunks.get(chunk)) else { continue };
            each_number(&values.load()?, |row, value| {
                let code = if column.descending { greatest - value } else { value - least };
                if let (Some(key), Ok(code)) = (part.get_mut(row), u64::try_from(code + 1)) {
                    *key |= code;
                }
            });
        }
        Ok(())
    })?;
    Ok(keys)
}

fn range(column: &KeyColumn) -> Option<Range> {
    let of_chunks = column.chunks.iter().map(|part| part.bounds).collect::<Option<Vec<_>>>()?;
    let bounds = of_chunks.into_iter().fold(None, wider);
    let Some((least, greatest)) = bounds else { return Some(Range { bounds, bits: 0 }) };
    let codes = u64::try_from(greatest.checked_sub(least)?.checked_add(1)?).ok()?;
    Some(Range { bounds, bits: u64::BITS - codes.leading_zeros() })
}

fn wider(a: Option<(i128, i128)>, b: Option<(i128, i128)>) -> Option<(i128, i128)> {
    match (a, b) {
        (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow_array::{Int64Array, StringArray};
    use proptest::prelude::*;

    fn numbers(values: Vec<Option<i64>>, descending: bool) -> KeyColumn {
        KeyColumn::of([Arc::new(Int64Array::from(values)) as ArrayRef], descending)
    }

    #[test]
    fn narrow_numbers_are_packed_and_wide_ones_are_not() {
        let narrow = numbers(vec![Some(-5), None, Some(i64::from(i32::MAX))], false);
        assert!(matches!(Keys::new(&[narrow], 3).unwrap(), Keys::Packed(_)));
        let wide = numbers(vec![Some(i64::MIN), Some(i64::MAX)], false);
        assert!(matches!(Keys::new(&[wide], 2).unwrap(), Keys::Rows(..)));
        let text = KeyColumn::of([Arc::new(StringArray::from(vec!["a"])) as ArrayRef], false);
        assert!(matches!(Keys::new(&[text], 1).unwrap(), Keys::Rows(..)));
        assert_eq!(Keys::new(&[], 3).unwrap().sort(vec![0, 1, 2]).rows, [0, 1, 2], "no column: all equal");
    }

    proptest! {
        #[test]
        fn packed_and_row_keys_agree(values in prop::collection::vec((prop::option::of(-9_i64..9), prop::option::of(-3_i64..3)), 0..60), down: bool) {
            let (first, second): (Vec<_>, Vec<_>) = values.iter().copied().unzip();
            let packed = Keys::new(&[numbers(first.clone(), down), numbers(second.clone(), false)], values.len()).unwrap();
            prop_assert!(matches!(packed, Keys::Packed(_)));
            let count = u32::try_from(values.len()).unwrap();
            let mut expected: Vec<u32> = (0..count).collect();
            let rank = |row: u32| {
                let (a, b) = values[row as usize];
                (a.is_some(), a.map(|a| if down { -a } else { a }), b)
            };
            expected.sort_by_key(|row| rank(*row));
            prop_assert_eq!(packed.sort((0..count).collect()).rows, expected.clone());
            for is_tight in [false, true] {
                let again = Keys::new(&[numbers(first.clone(), down), numbers(second.clone(), false)], values.len()).unwrap();
                prop_assert_eq!(again.sort_all(is_tight).rows, expected.clone());
            }
            // A column nobody can pack, equal in every row, forces the row format.
            let constant: ArrayRef = Arc::new(StringArray::from(vec!["x"; values.len()]));
            let text = KeyColumn::of([constant], false);
            let rows = Keys::new(&[numbers(first, down), numbers(second, false), text], values.len()).unwrap();
            prop_assert_eq!(rows.sort((0..count).collect()).rows, expected);
        }
    }
}
