use proptest::prelude::*;

use super::*;

/// Collects the masks of every word, and the parities of its quotes.
struct Collect<'a> {
    words: &'a [[u8; 64]],
    found: &'a mut Vec<(Masks, u64)>,
}

impl Words for Collect<'_> {
    fn run(self, masks: impl Fn(&[u8; 64]) -> Masks) {
        self.found.extend(self.words.iter().map(|word| {
            let found = masks(word);
            (found, prefix_xor(found.quotes))
        }));
    }
}

fn collect(level: Level, bytes: &[u8], needles: Needles) -> Vec<(Masks, u64)> {
    let mut found = Vec::new();
    level.run(needles, Collect { words: bytes.as_chunks::<64>().0, found: &mut found });
    found
}

/// The same, a byte at a time.
fn slow(bytes: &[u8], needles: Needles) -> Vec<(Masks, u64)> {
    let bits = |word: &[u8; 64], needle: Option<u8>| -> u64 {
        word.iter().enumerate().map(|(place, byte)| u64::from(Some(*byte) == needle) << place).sum()
    };
    let parity = |quotes: u64| (0..64).map(|place| u64::from((quotes << (63 - place)).count_ones() % 2) << place).sum();
    let word = |word: &[u8; 64]| {
        let quotes = bits(word, needles.quote);
        let (newlines, returns) = (bits(word, Some(b'\n')), bits(word, Some(b'\r')));
        (Masks { delimiters: bits(word, needles.delimiter), newlines, quotes, returns }, parity(quotes))
    };
    bytes.as_chunks::<64>().0.iter().map(word).collect()
}

fn needle() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![Just(None), Just(Some(b',')), Just(Some(b'"')), Just(Some(0)), Just(Some(0x80)), any::<u8>().prop_map(Some)]
}

fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), Just(b'-'), Just(0x8a), any::<u8>()]
}

/// The levels this machine can run.
pub(crate) fn levels() -> Vec<Level> {
    let mut levels = vec![Level::Portable, Level::detect()];
    levels.dedup();
    levels
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn every_level_finds_the_same_bits_at_every_alignment(
        bytes in prop::collection::vec(byte(), 0..400), delimiter in needle(), quote in needle(), shift in 0usize..64,
    ) {
        let needles = Needles { delimiter, quote };
        let shifted = bytes.get(shift..).unwrap_or_default();
        let expected = slow(shifted, needles);
        for level in levels() {
            prop_assert_eq!(&collect(level, shifted, needles), &expected, "{:?}", level);
        }
    }

    #[test]
    fn places_are_those_of_the_bits(words in prop::collection::vec(prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), (0u32..64).prop_map(|bit| 1 << bit)], 0..200), forgotten in 0usize..300) {
        let mut places = Places::default();
        (0..forgotten).for_each(|_| places.push(7));
        places.clear();
        let mut expected = Vec::new();
        for (word, bits) in words.iter().enumerate() {
            let base = u32::try_from(word * 64).unwrap();
            places.push_bits(base, *bits);
            expected.extend((0..64).filter(|bit| (bits >> bit) & 1 == 1).map(|bit| base + bit));
        }
        prop_assert_eq!(&*places, expected.as_slice());
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_machine_that_runs_the_tests_compares_two_paths() {
    let has_all = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") && is_x86_feature_detected!("fma");
    assert_eq!(levels().len(), if has_all { 2 } else { 1 });
}
