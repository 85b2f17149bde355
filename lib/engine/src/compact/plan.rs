//! Which neighbouring files become one.

use std::ops::Range;

/// Splits files, given by size in row order, into runs of about the target size. A file may exceed the target by a quarter, as in
/// [`write_parts`](crate::write::write_parts).
///
/// The answer is `None` when the files are as they should be: fewer files would be made only by rewriting most of a window of a few
/// large ones, so a window is compacted when it becomes one file, or at most half as many.
pub fn plan_parts(sizes: &[u64], target_file_bytes: u64) -> Option<Vec<Range<usize>>> {
    let greatest = target_file_bytes.max(1).saturating_mul(5) / 4;
    let total: u64 = sizes.iter().fold(0, |sum, size| sum.saturating_add(*size));
    let even = total / total.div_ceil(greatest.max(1)).max(1);
    let mut parts: Vec<Range<usize>> = Vec::new();
    let (mut start, mut bytes) = (0, 0_u64);
    for (index, size) in sizes.iter().enumerate() {
        let with = bytes.saturating_add(*size);
        // A run ends where its size comes nearest to an even share, and never above what a file may have.
        let is_full = index > start && (with > greatest || with > even && with - even > even.saturating_sub(bytes));
        if is_full {
            parts.push(start..index);
            (start, bytes) = (index, 0);
        }
        bytes = bytes.saturating_add(*size);
    }
    parts.push(start..sizes.len());
    let is_worth = parts.len() < sizes.len() && (parts.len() == 1 || parts.len() <= sizes.len() / 2);
    is_worth.then_some(parts)
}

/// The bytes a part will have, for people: about what its files have.
pub fn size_after(sizes: &[u64], part: &Range<usize>) -> u64 {
    sizes.get(part.clone()).unwrap_or_default().iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(part: Range<usize>) -> Option<Vec<Range<usize>>> {
        Some(std::iter::once(part).collect())
    }

    #[test]
    fn small_files_become_even_large_ones() {
        assert_eq!(plan_parts(&[10; 200], 1_000), Some(vec![0..100, 100..200]));
        assert_eq!(plan_parts(&[10; 120], 1_000), one(0..120));
        assert_eq!(plan_parts(&[0, 0, 0], 1_000), one(0..3));
    }

    #[test]
    fn what_is_large_enough_is_left_alone() {
        assert_eq!(plan_parts(&[1_000], 1_000), None);
        assert_eq!(plan_parts(&[5], 1_000), None);
        assert_eq!(plan_parts(&[900, 900, 900], 1_000), None);
        assert_eq!(plan_parts(&[4_000, 4_000], 1_000), None);
        assert_eq!(plan_parts(&[700, 700, 700], 1_000), None, "two thirds are not worth it");
    }

    #[test]
    fn order_is_kept_around_large_files() {
        assert_eq!(plan_parts(&[10, 10, 1_300, 10, 10, 10], 1_000), Some(vec![0..2, 2..3, 3..6]));
    }

    #[test]
    fn what_was_compacted_needs_nothing() {
        for count in 2..400_u64 {
            let sizes = vec![7; usize::try_from(count).unwrap()];
            let Some(parts) = plan_parts(&sizes, 100) else { panic!("{count} tiny files are left alone") };
            let after: Vec<u64> = parts.iter().map(|part| size_after(&sizes, part)).collect();
            assert_eq!(after.iter().sum::<u64>(), 7 * count);
            assert!(after.iter().all(|size| *size <= 125), "{count}: {after:?}");
            assert_eq!(plan_parts(&after, 100), None, "{count}: {after:?}");
        }
    }
}
