//! Parquet's hybrid of run-length encoding and bit packing, for dictionary indices.
//!
//! Source: Apache Parquet format, Encodings, "Run Length Encoding / Bit-Packing Hybrid (RLE = 3)".

/// The widest index: a dictionary page is far smaller than what 32 bits can name.
const MAX_WIDTH: u32 = 32;

/// Decodes at most `most` indices of this width into `out`. The last bit-packed group is padded to eight, so there can be more than
/// values. `None` for bytes that are no such encoding.
pub(crate) fn decode(mut bytes: &[u8], width: u32, most: usize, out: &mut Vec<u32>) -> Option<()> {
    out.clear();
    if width > MAX_WIDTH {
        return None;
    }
    while out.len() < most && !bytes.is_empty() {
        let (header, rest) = varint(bytes)?;
        bytes = rest;
        let count = usize::try_from(header >> 1).ok()?;
        if header & 1 == 1 {
            let length = count.checked_mul(usize::try_from(width).ok()?)?;
            // A writer may leave the padding of the last group away.
            let packed = bytes.get(..length.min(bytes.len()))?;
            bytes = bytes.get(packed.len()..)?;
            unpack(packed, width, count.checked_mul(8)?.min(most - out.len()), out)?;
        } else {
            let (value, rest) = bytes.split_at_checked(usize::try_from(width.div_ceil(8)).ok()?)?;
            bytes = rest;
            let mut four = [0; 4];
            four.get_mut(..value.len())?.copy_from_slice(value);
            let count = count.min(most - out.len());
            out.resize(out.len() + count, u32::from_le_bytes(four));
        }
    }
    Some(())
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

fn unpack(packed: &[u8], width: u32, count: usize, out: &mut Vec<u32>) -> Option<()> {
    if width == 0 {
        out.resize(out.len() + count, 0);
        return Some(());
    }
    let mask = (1_u64 << width) - 1;
    let width = usize::try_from(width).ok()?;
    if count.checked_mul(width)?.div_ceil(8) > packed.len() {
        return None;
    }
    // Eight bytes hold any index with the seven bits before it; the last ones are read from a padded copy.
    let fast = packed.len().saturating_sub(7).saturating_mul(8).div_euclid(width).min(count);
    let value = |bytes: &[u8], index: usize| {
        let bit = index * width;
        let eight = bytes.get(bit / 8..)?.first_chunk::<8>()?;
        u32::try_from(u64::from_le_bytes(*eight) >> (bit % 8) & mask).ok()
    };
    out.reserve(count);
    for index in 0..fast {
        out.push(value(packed, index)?);
    }
    let from = (fast * width) / 8;
    let mut tail = packed.get(from..)?.to_vec();
    tail.resize(tail.len() + 8, 0);
    for index in fast..count {
        let bit = index * width - from * 8;
        let eight = tail.get(bit / 8..)?.first_chunk::<8>()?;
        out.push(u32::try_from(u64::from_le_bytes(*eight) >> (bit % 8) & mask).ok()?);
    }
    Some(())
}

/// Appends indices in this width: runs of at least sixteen as such, all others bit-packed.
pub(crate) fn encode(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut literal, mut at) = (0, 0);
    while at < values.len() {
        let run = run_length(values, at);
        if run < 16 {
            at = (at + 8).min(values.len());
            continue;
        }
        pack(values.get(literal..at).unwrap_or_default(), width, out);
        put_varint((run as u64) << 1, out);
        let value = values.get(at).copied().unwrap_or_default().to_le_bytes();
        out.extend(value.iter().take(width.div_ceil(8) as usize));
        at += run;
        literal = at;
    }
    pack(values.get(literal..).unwrap_or_default(), width, out);
}

fn run_length(values: &[u32], at: usize) -> usize {
    let rest = values.get(at..).unwrap_or_default();
    let Some(first) = rest.first() else { return 0 };
    rest.iter().take_while(|value| *value == first).count()
}

/// Groups of eight; the last one is padded with zeros.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    if values.is_empty() {
        return;
    }
    put_varint((values.len().div_ceil(8) as u64) << 1 | 1, out);
    for eight in values.chunks(8) {
        let (mut bits, mut filled) = (0_u64, 0);
        for value in eight.iter().copied().chain(std::iter::repeat_n(0, 8 - eight.len())) {
            bits |= u64::from(value) << filled;
            filled += width;
            if filled >= 32 {
                out.extend_from_slice(&(bits as u32).to_le_bytes());
                bits >>= 32;
                filled -= 32;
            }
        }
        // Eight indices of any width end on a whole byte.
        out.extend(bits.to_le_bytes().iter().take((filled / 8) as usize));
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(values: &[u32], width: u32) -> Vec<u32> {
        let (mut bytes, mut back) = (Vec::new(), Vec::new());
        encode(values, width, &mut bytes);
        decode(&bytes, width, values.len(), &mut back).unwrap();
        back
    }

    #[test]
    fn runs_and_groups_of_the_specification() {
        let mut out = Vec::new();
        encode(&[0, 1, 2, 3, 4, 5, 6, 7], 3, &mut out);
        assert_eq!(out, [0b0000_0011, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        out.clear();
        encode(&[4; 100], 3, &mut out);
        assert_eq!(out, [200, 1, 4]);
    }

    #[test]
    fn damaged_bytes_are_no_indices() {
        let mut out = Vec::new();
        assert!(decode(&[0x80; 20], 3, 8, &mut out).is_none());
        assert!(decode(&[0b0000_0011, 1], 3, 8, &mut out).is_none());
        assert!(decode(&[200, 1], 3, 8, &mut out).is_none());
        assert!(decode(&[2, 0, 0, 0, 0, 0], 33, 8, &mut out).is_none());
    }

    proptest! {
        #[test]
        fn any_indices_come_back(width in 1_u32..=32, runs in prop::collection::vec((any::<u32>(), 1_usize..40), 0..60)) {
            let mask = u32::MAX >> (32 - width);
            let values: Vec<u32> = runs.iter().flat_map(|(value, count)| std::iter::repeat_n(value & mask, *count)).collect();
            prop_assert_eq!(there_and_back(&values, width), values);
        }
    }
}
