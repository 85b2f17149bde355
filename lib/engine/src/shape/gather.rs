//! Rows of one column picked from many arrays in a given order.
//!
//! Every run stands in the final order within itself, so the places of a run only go up: each array is read from its
//! front to its back, and the caches hold the few lines that are being read. Places that are neighbours in long stretches, as those
//! of a result that came in order, are copied stretch by stretch; one stretch alone is not copied at all.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, UInt8Type, UInt16Type};
use arrow_array::{
    Array, ArrayRef, DictionaryArray, PrimitiveArray, StringArray, UInt8Array, UInt16Array, downcast_primitive, new_empty_array,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType};
use arrow_select::concat::concat;
use arrow_select::interleave::interleave;
use windrow_core::{Error, Result};

/// A row: the run it is in, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) run: u32,
    pub(crate) row: u32,
}

/// A run's part of a column: the rows from `base` on.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) array: ArrayRef,
    pub(crate) base: usize,
}

/// One set of values for the dictionaries of all runs of a column.
#[derive(Clone, Debug)]
pub(crate) struct Dictionary {
    values: Arc<StringArray>,
    /// For each run the number in `values` of each of its own values.
    codes: Vec<Vec<u16>>,
}

/// More values than this are no dictionary any more.
const MAX_VALUES: usize = 1 << 16;

impl Dictionary {
    /// Joins the dictionaries of all runs; `None` when a run has none, or they have too many values together.
    pub(crate) fn join(runs: &[Option<&StringArray>]) -> Option<Self> {
        let mut known: std::collections::HashMap<&str, u16> = std::collections::HashMap::new();
        let mut values: Vec<&str> = Vec::new();
        let mut codes = Vec::with_capacity(runs.len());
        for run in runs {
            let own = (*run)?.iter().map(|value| {
                let value = value.unwrap_or_default();
                if let Some(code) = known.get(value) {
                    return Some(*code);
                }
                let code = u16::try_from(values.len()).ok().filter(|_| values.len() < MAX_VALUES)?;
                values.push(value);
                known.insert(value, code);
                Some(code)
            });
            codes.push(own.collect::<Option<Vec<u16>>>()?);
        }
        Some(Dictionary { values: Arc::new(StringArray::from(values)), codes })
    }
}

/// Gathers the places of a column into one array; texts are split where they would exceed two gibibytes.
///
/// # Errors
/// `Internal` when a type cannot be gathered, and what `see` answers.
pub(crate) fn gather(
    sources: &[Source],
    dictionary: Option<&Dictionary>,
    places: &[Place],
    see: &mut dyn FnMut(ArrayRef) -> Result<()>,
) -> Result<()> {
    macro_rules! primitive {
        ($type:ty, $sources:expr, $places:expr) => {
            see(primitives::<$type>($sources, $places))
        };
    }
    let Some(data_type) = sources.iter().map(|source| source.array.data_type()).next() else { return Ok(()) };
    if let Some(dictionary) = dictionary {
        return see(coded(sources, dictionary, places)?);
    }
    if let Some(array) = stretches(places).and_then(|stretches| joined(sources, &stretches)) {
        return see(array);
    }
    downcast_primitive! {
        data_type => (primitive, sources, places),
        DataType::Utf8 | DataType::Dictionary(_, _) => texts(sources, places, see),
        _ => see(others(sources, places)?),
    }
}

/// The first of neighbouring rows of a run, and how many they are.
type Stretch = (Place, usize);

/// How many rows a stretch must have on average to be worth more than so many single rows.
const LONG_STRETCH: usize = 32;

/// The places as stretches of neighbouring rows; `None` when these are short.
fn stretches(places: &[Place]) -> Option<Vec<Stretch>> {
    let most = places.len() / LONG_STRETCH;
    let mut stretches: Vec<Stretch> = Vec::new();
    for neighbours in places.chunk_by(|a, b| a.run == b.run && b.row.wrapping_sub(a.row) == 1) {
        if stretches.len() == most {
            return None;
        }
        stretches.push((*neighbours.first()?, neighbours.len()));
    }
    Some(stretches)
}

/// The rows of stretches in one array; `None` for types and sizes that want more thought.
fn joined(sources: &[Source], stretches: &[Stretch]) -> Option<ArrayRef> {
    let parts = stretches.iter().map(|(first, rows)| {
        let source = sources.get(first.run as usize)?;
        let start = (first.row as usize).checked_sub(source.base)?;
        (start + rows <= source.array.len()).then(|| source.array.slice(start, *rows))
    });
    let parts: Vec<ArrayRef> = parts.collect::<Option<_>>()?;
    let data_type = parts.first()?.data_type();
    if parts.iter().any(|part| part.data_type() != data_type) {
        return None;
    }
    let text_bytes = |part: &ArrayRef| {
        let offsets = part.as_string_opt::<i32>().map(StringArray::value_offsets)?;
        usize::try_from(offsets.last()? - offsets.first()?).ok()
    };
    let fits = match data_type {
        DataType::Utf8 => parts.iter().map(text_bytes).sum::<Option<usize>>()? <= MAX_TEXT_BYTES,
        other => other.is_primitive(),
    };
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    let array = if fits { concat(&parts).ok()? } else { return None };
    // Row by row a column without nulls has no null buffer, and what is written must not depend on the way.
    (array.null_count() > 0 || array.nulls().is_none()).then_some(array)
}

fn primitives<T: ArrowPrimitiveType>(sources: &[Source], places: &[Place]) -> ArrayRef {
    let arrays: Vec<Option<&PrimitiveArray<T>>> = sources.iter().map(|source| source.array.as_primitive_opt::<T>()).collect();
    let slices: Vec<(&[T::Native], usize)> = arrays
        .iter()
        .zip(sources)
        .map(|(array, source)| (array.map_or(&[][..], |array| array.values().as_ref()), source.base))
        .collect();
    let value = |place: &Place| -> T::Native {
        let slice = slices.get(place.run as usize);
        slice.and_then(|(values, base)| values.get((place.row as usize).wrapping_sub(*base))).copied().unwrap_or_default()
    };
    let values: Vec<T::Native> = places.iter().map(value).collect();
    let data_type = arrays.iter().flatten().map(|array| array.data_type().clone()).next().unwrap_or(T::DATA_TYPE);
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls(sources, places)).with_data_type(data_type))
}

/// The null buffer of the places; `None` when no source has a null.
fn nulls(sources: &[Source], places: &[Place]) -> Option<NullBuffer> {
    if sources.iter().all(|source| source.array.null_count() == 0) {
        return None;
    }
    let mut valid = BooleanBufferBuilder::new(places.len());
    for place in places {
        let source = sources.get(place.run as usize);
        valid.append(source.is_some_and(|source| source.array.is_valid((place.row as usize).wrapping_sub(source.base))));
    }
    Some(NullBuffer::new(valid.finish())).filter(|nulls| nulls.null_count() > 0)
}

fn coded(sources: &[Source], dictionary: &Dictionary, places: &[Place]) -> Result<ArrayRef> {
    let keys: Vec<(&[u8], &[u16], usize)> = sources
        .iter()
        .zip(&dictionary.codes)
        .map(|(source, codes)| (keys_of(&source.array), codes.as_slice(), source.base))
        .collect();
    let code = |place: &Place| -> u16 {
        let Some((keys, codes, base)) = keys.get(place.run as usize) else { return 0 };
        let key = keys.get((place.row as usize).wrapping_sub(*base)).copied().unwrap_or_default();
        codes.get(usize::from(key)).copied().unwrap_or_default()
    };
    let nulls = nulls(sources, places);
    let values = dictionary.values.clone();
    let failed = |error: ArrowError| Error::internal("cannot gather a dictionary").caused_by(error);
    // Eight bits where they do: the keys are moved about a good deal.
    if dictionary.values.len() <= usize::from(u8::MAX) + 1 {
        let narrow = |place: &Place| u8::try_from(code(place)).unwrap_or_default();
        let keys = UInt8Array::new(places.iter().map(narrow).collect(), nulls);
        return Ok(Arc::new(DictionaryArray::<UInt8Type>::try_new(keys, values).map_err(failed)?));
    }
    let keys = UInt16Array::new(places.iter().map(code).collect(), nulls);
    Ok(Arc::new(DictionaryArray::<UInt16Type>::try_new(keys, values).map_err(failed)?))
}

fn keys_of(array: &ArrayRef) -> &[u8] {
    match array.as_dictionary_opt::<UInt8Type>() {
        Some(dictionary) => dictionary.keys().values(),
        None => array.as_primitive_opt::<UInt8Type>().map_or(&[], |keys| keys.values()),
    }
}

/// A text column of a run in either form.
enum Texts<'a> {
    Plain(&'a [i32], &'a [u8]),
    Coded(&'a [u8], &'a [i32], &'a [u8]),
    None,
}

impl<'a> Texts<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        if let Some(texts) = array.as_string_opt::<i32>() {
            return Texts::Plain(texts.value_offsets(), texts.value_data());
        }
        let Some(dictionary) = array.as_dictionary_opt::<UInt8Type>() else { return Texts::None };
        let values = dictionary.values().as_string_opt::<i32>();
        values.map_or(Texts::None, |values| Texts::Coded(dictionary.keys().values(), values.value_offsets(), values.value_data()))
    }

    #[inline]
    fn get(&self, row: usize) -> &'a [u8] {
        let between = |offsets: &[i32], bytes: &'a [u8], index: usize| {
            let offset = |index: usize| offsets.get(index).and_then(|offset| usize::try_from(*offset).ok());
            offset(index).zip(offset(index + 1)).and_then(|(start, end)| bytes.get(start..end)).unwrap_or_default()
        };
        match self {
            Texts::Plain(offsets, bytes) => between(offsets, bytes, row),
            Texts::Coded(keys, offsets, bytes) => between(offsets, bytes, usize::from(keys.get(row).copied().unwrap_or(0))),
            Texts::None => &[],
        }
    }
}

/// The most bytes of text in one array; offsets have 31 bits.
const MAX_TEXT_BYTES: usize = 1 << 30;

fn texts(sources: &[Source], places: &[Place], see: &mut dyn FnMut(ArrayRef) -> Result<()>) -> Result<()> {
    let runs: Vec<(Texts<'_>, usize)> = sources.iter().map(|source| (Texts::of(&source.array), source.base)).collect();
    let mut rest = places;
    loop {
        let (mut bytes, mut offsets): (Vec<u8>, Vec<i32>) = (Vec::with_capacity(rest.len() * 24), vec![0]);
        offsets.reserve(rest.len());
        for place in rest {
            let text =
                runs.get(place.run as usize).map_or(&[][..], |(texts, base)| texts.get((place.row as usize).wrapping_sub(*base)));
            if bytes.len() + text.len() > MAX_TEXT_BYTES && !bytes.is_empty() {
                break;
            }
            bytes.extend_from_slice(text);
            offsets.push(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
        }
        let (done, left) = rest.split_at(offsets.len() - 1);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let array = StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls(sources, done));
        see(Arc::new(array.map_err(|error| Error::internal("cannot gather texts").caused_by(error))?))?;
        if left.is_empty() {
            return Ok(());
        }
        rest = left;
    }
}

/// Booleans, objects and lists: by arrow's own way.
fn others(sources: &[Source], places: &[Place]) -> Result<ArrayRef> {
    let arrays: Vec<&dyn Array> = sources.iter().map(|source| source.array.as_ref()).collect();
    let base = |run: u32| sources.get(run as usize).map_or(0, |source| source.base);
    let indices: Vec<(usize, usize)> =
        places.iter().map(|place| (place.run as usize, (place.row as usize).wrapping_sub(base(place.run)))).collect();
    if indices.is_empty() {
        return Ok(arrays.first().map_or_else(|| new_empty_array(&DataType::Null), |array| new_empty_array(array.data_type())));
    }
    interleave(&arrays, &indices).map_err(|error| Error::internal("cannot gather rows").caused_by(error))
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use proptest::prelude::*;

    use super::*;

    fn places(stretches: &[(u32, u32, u32)]) -> Vec<Place> {
        stretches.iter().flat_map(|(run, start, rows)| (*start..start + rows).map(|row| Place { run: *run, row })).collect()
    }

    fn gathered(sources: &[Source], places: &[Place]) -> Vec<ArrayRef> {
        let mut arrays = Vec::new();
        let see = &mut |array: ArrayRef| {
            arrays.push(array);
            Ok(())
        };
        gather(sources, None, places, see).unwrap();
        arrays
    }

    fn numbers(has_null: bool) -> ArrayRef {
        Arc::new((0..400).map(|n| (!has_null || n % 7 > 0).then_some(n)).collect::<Int64Array>())
    }

    fn words(has_null: bool) -> ArrayRef {
        let word = |n: usize| (!has_null || !n.is_multiple_of(5)).then(|| "zoë".repeat(n % 9));
        Arc::new((0..400).map(word).collect::<StringArray>())
    }

    proptest! {
        #[test]
        fn rows_are_the_same_by_stretches_and_one_by_one(
            stretches in prop::collection::vec((0_u32..3, 10_u32..200, 1_u32..200), 1..9),
            are_long in any::<bool>(),
            of_texts in any::<bool>(),
        ) {
            let cut = |rows: u32| if are_long { rows.max(40) } else { rows % 4 + 1 };
            let stretches: Vec<_> = stretches.into_iter().map(|(run, start, rows)| (run, start, cut(rows))).collect();
            let places = places(&stretches);
            let column = if of_texts { words } else { numbers };
            let arrays = [column(false), column(true), column(false)];
            // The second run starts at its tenth row, as one that was read from disk.
            let source = |(array, base): (&ArrayRef, usize)| Source { array: array.slice(base, array.len() - base), base };
            let sources: Vec<Source> = arrays.iter().zip([0, 10, 0]).map(source).collect();
            let indices: Vec<(usize, usize)> = places.iter().map(|place| (place.run as usize, place.row as usize)).collect();
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            let found = gathered(&sources, &places);
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&found[0], &interleave(&arrays, &indices).unwrap());
            prop_assert_eq!(found[0].nulls().is_some(), found[0].null_count() > 0);
            prop_assert_eq!(super::stretches(&places).is_some(), are_long);
        }
    }

    #[test]
    fn one_stretch_is_not_copied() {
        let source = Source { array: numbers(false), base: 0 };
        let values = |array: &ArrayRef| array.as_primitive::<arrow_array::types::Int64Type>().values().as_ptr();
        let found = gathered(std::slice::from_ref(&source), &places(&[(0, 0, 400)]));
        assert_eq!(values(&found[0]), values(&source.array));
    }

    #[test]
    #[ignore = "allocates 2.5 GiB; a step of its own in tests/run.sh"]
    fn texts_beyond_the_bound_are_split_over_arrays() {
        let text = "x".repeat(64 << 20);
        let array: ArrayRef = Arc::new(StringArray::from(vec![text.as_str()]));
        let mut lengths = Vec::new();
        let places = [Place { run: 0, row: 0 }; 40];
        let see = &mut |array: ArrayRef| {
            lengths.push(array.len());
            Ok(())
        };
        gather(&[Source { array, base: 0 }], None, &places, see).unwrap();
        assert_eq!(lengths, [16, 16, 8]);
    }
}
