//! A quick hash that is the same on every machine. Not cryptographic: who chooses the bytes can make two hashes equal.

const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
const OTHER: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// Any bit of either side changes about half of the bits; sides that equal the constants lose the other side, which is as good as never.
pub(crate) fn mix(left: u64, right: u64) -> u64 {
    let product = u128::from(left ^ PRIME) * u128::from(right ^ OTHER);
    (product as u64) ^ (product >> 64) as u64
}

/// The hash of bytes and of how many they are.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    let mut lanes = [1, 2, 3, bytes.len() as u64];
    let (blocks, rest) = bytes.as_chunks::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = mix(*lane, u64::from_le_bytes(*word));
        }
    }
    let mut last = [0; 32];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let (words, _) = last.as_chunks::<8>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane = mix(*lane, u64::from_le_bytes(*word));
    }
    lanes.into_iter().fold(bytes.len() as u64, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        for length in 0..100 {
            let bytes = vec![7; length];
            let whole = of_bytes(&bytes);
            assert_ne!(whole, of_bytes(&[&bytes[..], &[0]].concat()));
            for at in 0..length {
                let mut other = bytes.clone();
                other[at] ^= 1;
                assert_ne!(whole, of_bytes(&other), "byte {at} of {length}");
            }
        }
    }
}
