//! Did-you-mean: the nearest known word, when it is near enough to be meant.

/// Finds the candidate closest to `word` by Damerau-Levenshtein distance, ignoring case.
///
/// A candidate counts when it differs by at most a third of the word's length (at least 1, at most 3 edits).
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Renders "did you mean `x`?" or, without a near candidate, the list of what is allowed.
pub fn hint(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if candidates.is_empty() => "nothing is allowed here".to_owned(),
        None => format!("allowed: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_word() {
        assert_eq!(nearest("delimeter", ["delimiter", "quote"]), Some("delimiter"));
        assert_eq!(nearest("Primarykey", ["primaryKey"]), Some("primaryKey"));
    }

    #[test]
    fn a_different_word_finds_nothing() {
        assert_eq!(nearest("colour", ["delimiter", "quote"]), None);
    }
}
