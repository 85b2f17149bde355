//! Discovery: which raw files make up a window, pinned by size and entity tag.

use std::collections::BTreeMap;

use object_store::ObjectMeta;
use windrow_core::layout::RAW_PREFIX;
use windrow_core::ledger::InputEntry;
use windrow_core::{Error, Result};

use crate::store::{Lake, blocking};

/// One raw file as it was when it was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawInput {
    /// The key, relative to the lake: `raw/flights/2013-01-01/flights.csv`.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    /// The store's entity tag.
    pub etag: Option<String>,
    /// When the store says it was written, RFC 3339.
    pub last_modified: String,
}

impl RawInput {
    /// The input as a staged document records it.
    pub fn entry(&self) -> InputEntry {
        InputEntry {
            key: self.key.clone(),
            size: self.size,
            etag: self.etag.clone(),
            last_modified: Some(self.last_modified.clone()),
        }
    }
}

/// What a pattern found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The raw files, sorted by key.
    pub inputs: Vec<RawInput>,
    /// Keys that would match but are hidden: a segment starts with `.` or `_` where the pattern's does not.
    pub hidden: Vec<String>,
}

impl Lake {
    /// Lists the raw files that match a pattern below `raw/`, such as `flights/2013-01-01/*.csv*`.
    ///
    /// `*` stands for any characters within one path segment; everything else is literal. Only the folder before the
    /// first `*` is listed. Directory markers are no files; hidden files are skipped and named in the result. Names may
    /// hold spaces, percent signs and any Unicode.
    ///
    /// # Errors
    /// `Misconfigured` for a pattern with `**`, `.`, `..`, an empty segment or an unfilled placeholder, and for a
    /// matching local file that the store cannot list; else what the store says. No match is an empty list: how many
    /// files must be there is for the caller to say.
    pub async fn list_inputs(&self, pattern: &str) -> Result<Discovery> {
        let pattern = Pattern::parse(pattern)?;
        let folder = pattern.folder();
        if let Some(local) = self.local().cloned() {
            let (folder, pattern) = (folder.clone(), pattern.clone());
            blocking(move || local.refuse_unlistable(&folder, |key| pattern.matches(key) == Match::Yes)).await?;
        }
        let mut matching: BTreeMap<String, (Match, ObjectMeta)> = BTreeMap::new();
        for object in self.list(&folder).await? {
            let key = object.location.to_string();
            let matched = pattern.matches(&key);
            // A marker that is listed under the name of a file beside it gives way to the file.
            if matched != Match::No && (object.size > 0 || !matching.contains_key(&key)) {
                matching.insert(key, (matched, object));
            }
        }
        let mut found = Discovery::default();
        for (key, (matched, object)) in matching {
            if object.size == 0 && self.is_folder_marker(&key).await? {
                continue;
            }
            if matched == Match::Hidden {
                found.hidden.push(key);
                continue;
            }
            let last_modified = object.last_modified.to_rfc3339();
            found.inputs.push(RawInput { key, size: object.size, etag: object.e_tag, last_modified });
        }
        Ok(found)
    }

    /// Tells whether an empty object stands for a folder. S3 consoles and tools name it `folder/`, which loses its slash
    /// when it is listed, so that there is no object under the rest of the name; those of Hadoop name it `folder_$folder$`.
    async fn is_folder_marker(&self, key: &str) -> Result<bool> {
        Ok(key.ends_with("_$folder$") || self.local().is_none() && self.size(key).await?.is_none())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    Hidden,
    No,
}

#[derive(Clone, Debug)]
struct Pattern {
    segments: Vec<String>,
}

impl Pattern {
    fn parse(text: &str) -> Result<Self> {
        let refused = |why: &str| {
            let message = format!("path pattern `{}` {why}", text.escape_debug());
            Err(Error::misconfigured(message).help("write it relative to raw/, such as flights/{window}/*.csv"))
        };
        let segments: Vec<String> = text.split('/').map(str::to_owned).collect();
        if segments.iter().any(|segment| segment.is_empty() || segment == "." || segment == "..") {
            return refused("has an empty, `.` or `..` segment");
        }
        if text.contains("**") {
            return refused("has `**`; `*` matches within one segment only");
        }
        if text.contains(['{', '}']) {
            return refused("has a placeholder that is not filled");
        }
        Ok(Pattern { segments })
    }

    /// The folder before the first segment with a `*`; never the last segment, which names files.
    fn folder(&self) -> String {
        let (_, folders) = self.segments.split_last().unwrap_or((const { &String::new() }, &[]));
        let literal = folders.iter().take_while(|segment| !segment.contains('*'));
        literal.fold(RAW_PREFIX.to_owned(), |folder, segment| format!("{folder}{segment}/"))
    }

    fn matches(&self, key: &str) -> Match {
        let Some(rest) = key.strip_prefix(RAW_PREFIX) else { return Match::No };
        let segments: Vec<&str> = rest.split('/').collect();
        if segments.len() != self.segments.len() {
            return Match::No;
        }
        let mut found = Match::Yes;
        for (pattern, segment) in self.segments.iter().zip(segments) {
            if !matches_segment(pattern, segment) {
                return Match::No;
            }
            let hides = |mark: char| segment.starts_with(mark) && !pattern.starts_with(mark);
            if hides('.') || hides('_') {
                found = Match::Hidden;
            }
        }
        found
    }
}

/// Matches with `*` for any run of characters; each literal piece is taken at its first place, the last one at the end.
fn matches_segment(pattern: &str, segment: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == segment };
    let Some(mut left) = segment.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or("");
    for piece in pieces {
        match left.find(piece) {
            Some(at) => left = left.get(at + piece.len()..).unwrap_or(""),
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_matches_within_one_segment() {
        for (pattern, segment, expected) in [
            ("*.csv", "a.csv", true),
            ("*.csv*", "a.csv.gz", true),
            ("a*b*c", "a1b2b3c", true),
            ("a*b", "ab", true),
            ("a*ba", "aba", true),
            ("ab*ba", "aba", false),
            ("*", "é %20", true),
            ("a", "b", false),
        ] {
            assert_eq!(matches_segment(pattern, segment), expected, "{pattern} {segment}");
        }
    }

    #[test]
    fn the_listed_folder_is_the_longest_literal_one() {
        for (pattern, folder) in [
            ("flights/2013-01-01/*.csv", "raw/flights/2013-01-01/"),
            ("flights/*/a.csv", "raw/flights/"),
            ("flights/a.csv", "raw/flights/"),
            ("a.csv", "raw/"),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().folder(), folder);
        }
    }

    #[test]
    fn hidden_files_are_told_from_asked_for_ones() {
        let matches = |pattern: &str, key: &str| Pattern::parse(pattern).unwrap().matches(key);
        assert_eq!(matches("f/*.csv", "raw/f/_tmp.csv"), Match::Hidden);
        assert_eq!(matches("f/*/a.csv", "raw/f/.x/a.csv"), Match::Hidden);
        assert_eq!(matches("f/_*.csv", "raw/f/_tmp.csv"), Match::Yes);
        assert_eq!(matches("f/*.csv", "raw/f/g/a.csv"), Match::No);
    }

    #[test]
    fn patterns_that_cannot_be_meant_are_refused() {
        for pattern in ["", "/a", "a//b", "a/../b", "./a", "a/**/b", "a/{day}/b", "a/"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
