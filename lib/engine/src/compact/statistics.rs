//! Least and greatest value of a column chunk that was joined from several.

use std::cmp::Ordering;

use parquet::basic::{ConvertedType, LogicalType, SortOrder, Type};
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescPtr;

/// Added up chunk by chunk; unknown as soon as one chunk does not tell.
pub(crate) struct MergedStatistics {
    descriptor: ColumnDescPtr,
    is_known: bool,
    nulls: Option<u64>,
    /// Of the chunks that count them; those of nulls alone do not.
    nans: Option<u64>,
    are_nans_counted: bool,
    bounds: Option<(Vec<u8>, Vec<u8>)>,
    is_min_exact: bool,
    is_max_exact: bool,
}

impl MergedStatistics {
    pub(crate) fn new(descriptor: ColumnDescPtr) -> Self {
        MergedStatistics {
            descriptor,
            is_known: true,
            nulls: Some(0),
            nans: None,
            are_nans_counted: true,
            bounds: None,
            is_min_exact: true,
            is_max_exact: true,
        }
    }

    pub(crate) fn add(&mut self, statistics: Option<&Statistics>) {
        // Deprecated bounds may be in another order; without bounds the flag means nothing.
        let is_usable = |statistics: &&Statistics| !statistics.is_min_max_deprecated() || statistics.min_bytes_opt().is_none();
        let Some(statistics) = statistics.filter(is_usable) else {
            self.is_known = false;
            return;
        };
        self.nulls = self.nulls.zip(statistics.null_count_opt()).map(|(sum, more)| sum + more);
        match statistics.nan_count_opt() {
            Some(more) => self.nans = Some(self.nans.unwrap_or(0) + more),
            None => self.are_nans_counted &= statistics.min_bytes_opt().is_none(),
        }
        let Some((min, max)) = statistics.min_bytes_opt().zip(statistics.max_bytes_opt()) else { return };
        self.is_min_exact &= statistics.min_is_exact();
        self.is_max_exact &= statistics.max_is_exact();
        let (least, greatest) = match self.bounds.take() {
            None => (min.to_vec(), max.to_vec()),
            Some((least, greatest)) => {
                let is_less = self.order(min, &least) == Ordering::Less;
                let is_greater = self.order(max, &greatest) == Ordering::Greater;
                (if is_less { min.to_vec() } else { least }, if is_greater { max.to_vec() } else { greatest })
            }
        };
        self.bounds = Some((least, greatest));
    }

    /// The order of two values in the form of statistics, as the column's type has it.
    fn order(&self, left: &[u8], right: &[u8]) -> Ordering {
        let is_unsigned = self.descriptor.sort_order() == SortOrder::UNSIGNED;
        match self.descriptor.physical_type() {
            Type::INT32 if is_unsigned => number(left, u32::from_le_bytes).cmp(&number(right, u32::from_le_bytes)),
            Type::INT64 if is_unsigned => number(left, u64::from_le_bytes).cmp(&number(right, u64::from_le_bytes)),
            Type::INT32 => number(left, i32::from_le_bytes).cmp(&number(right, i32::from_le_bytes)),
            Type::INT64 => number(left, i64::from_le_bytes).cmp(&number(right, i64::from_le_bytes)),
            // Not a number is never a bound; of the zeros the negative one is the less, as the format asks for.
            Type::FLOAT => f32::total_cmp(&number(left, f32::from_le_bytes), &number(right, f32::from_le_bytes)),
            Type::DOUBLE => f64::total_cmp(&number(left, f64::from_le_bytes), &number(right, f64::from_le_bytes)),
            Type::FIXED_LEN_BYTE_ARRAY | Type::BYTE_ARRAY if self.is_decimal() => {
                let sign = |bytes: &[u8]| bytes.first().is_some_and(|first| first & 0x80 != 0);
                // Two's complement, big end first, of one length: negative before positive, then byte by byte.
                sign(right).cmp(&sign(left)).then_with(|| left.cmp(right))
            }
            _ => left.cmp(right),
        }
    }

    fn is_decimal(&self) -> bool {
        let logical = matches!(self.descriptor.logical_type_ref(), Some(LogicalType::Decimal { .. }));
        logical || self.descriptor.converted_type() == ConvertedType::DECIMAL
    }

    /// `None` when nothing is known.
    pub(crate) fn finish(self) -> Option<Statistics> {
        if !self.is_known {
            return None;
        }
        let (min, max) = self.bounds.clone().unzip();
        macro_rules! typed {
            ($read:expr) => {{
                let (min, max) = (min.as_deref().map($read), max.as_deref().map($read));
                let made = ValueStatistics::new(min, max, None, self.nulls, false);
                let made = made
                    .with_nan_count(self.nans.filter(|_| self.are_nans_counted))
                    .with_backwards_compatible_min_max(self.is_signed());
                let exact = self.bounds.is_some();
                made.with_min_is_exact(exact && self.is_min_exact).with_max_is_exact(exact && self.is_max_exact)
            }};
        }
        Some(match self.descriptor.physical_type() {
            Type::BOOLEAN => Statistics::Boolean(typed!(|bytes: &[u8]| bytes.first().is_some_and(|byte| *byte != 0))),
            Type::INT32 => Statistics::Int32(typed!(|bytes: &[u8]| number(bytes, i32::from_le_bytes))),
            Type::INT64 => Statistics::Int64(typed!(|bytes: &[u8]| number(bytes, i64::from_le_bytes))),
            Type::FLOAT => Statistics::Float(typed!(|bytes: &[u8]| number(bytes, f32::from_le_bytes))),
            Type::DOUBLE => Statistics::Double(typed!(|bytes: &[u8]| number(bytes, f64::from_le_bytes))),
            Type::BYTE_ARRAY => Statistics::ByteArray(typed!(|bytes: &[u8]| ByteArray::from(bytes.to_vec()))),
            Type::FIXED_LEN_BYTE_ARRAY => {
                Statistics::FixedLenByteArray(typed!(|bytes: &[u8]| { FixedLenByteArray::from(ByteArray::from(bytes.to_vec())) }))
            }
            Type::INT96 => return None,
        })
    }

    fn is_signed(&self) -> bool {
        self.descriptor.sort_order() == SortOrder::SIGNED
    }
}

fn number<const N: usize, T>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> T {
    let mut all = [0; N];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    read(all)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type as SchemaType};

    fn column(physical: Type, logical: Option<LogicalType>, length: i32) -> MergedStatistics {
        let mut builder =
            SchemaType::primitive_type_builder("x", physical).with_logical_type(logical.clone()).with_length(length);
        if let Some(LogicalType::Decimal { .. }) = logical {
            builder = builder.with_precision(4).with_scale(0);
        }
        let primitive = Arc::new(builder.build().unwrap());
        MergedStatistics::new(Arc::new(ColumnDescriptor::new(primitive, 1, 0, ColumnPath::from("x"))))
    }

    #[test]
    fn bounds_follow_the_columns_order() {
        let mut unsigned = column(Type::INT32, Some(LogicalType::integer(32, false)), -1);
        unsigned.add(Some(&Statistics::int32(Some(1), Some(-1), None, Some(1), false)));
        unsigned.add(Some(&Statistics::int32(Some(0), Some(5), None, Some(2), false)));
        let Some(Statistics::Int32(made)) = unsigned.finish() else { panic!() };
        assert_eq!((made.min_opt(), made.max_opt(), made.null_count_opt()), (Some(&0), Some(&-1), Some(3)));
        let mut zeros = column(Type::DOUBLE, None, -1);
        zeros.add(Some(&Statistics::double(Some(0.0), Some(0.0), None, Some(0), false)));
        zeros.add(Some(&Statistics::double(Some(-0.0), Some(-0.0), None, Some(0), false)));
        let Some(Statistics::Double(made)) = zeros.finish() else { panic!() };
        assert!(made.min_opt().unwrap().is_sign_negative() && made.max_opt().unwrap().is_sign_positive());
        let mut decimals = column(Type::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::decimal(0, 4)), 2);
        let fixed = |bytes: [u8; 2]| Some(FixedLenByteArray::from(ByteArray::from(bytes.to_vec())));
        decimals.add(Some(&Statistics::fixed_len_byte_array(fixed([0, 1]), fixed([0, 9]), None, Some(0), false)));
        decimals.add(Some(&Statistics::fixed_len_byte_array(fixed([255, 1]), fixed([255, 9]), None, Some(0), false)));
        let made = decimals.finish().unwrap();
        assert_eq!((made.min_bytes_opt(), made.max_bytes_opt()), (Some(&[255, 1][..]), Some(&[0, 9][..])));
    }

    #[test]
    fn one_chunk_that_does_not_tell_leaves_nothing_known() {
        let mut texts = column(Type::BYTE_ARRAY, Some(LogicalType::String), -1);
        texts.add(Some(&Statistics::byte_array(None, None, None, Some(4), false)));
        texts.add(None);
        assert!(texts.finish().is_none());
    }
}
