//! The pieces of a plain object: texts without escapes, numbers without exponents, nothing nested. This is what nearly every
//! line holds, and they are found in half the time a parser takes that can do more.
//!
//! Invariant: what is not plain, or not JSON, is `None` and left to the parser; what is some is what the parser would say.

use std::borrow::Cow;

use super::object::{ENTRIES, Entries, Key};

/// The keys and raw values of a plain object.
pub(super) fn entries(text: &str) -> Option<Entries<'_>> {
    let bytes = text.as_bytes();
    let mut entries = Vec::with_capacity(ENTRIES);
    let mut at = after(bytes, after_space(bytes, 0), b'{')?;
    loop {
        let key = after_space(bytes, at);
        let key_end = string_end(bytes, key)?;
        let value = after_space(bytes, after(bytes, after_space(bytes, key_end), b':')?);
        let value_end = value_end(bytes, value)?;
        entries.push((Key(Cow::Borrowed(text.get(key + 1..key_end - 1)?)), text.get(value..value_end)?));
        at = after_space(bytes, value_end);
        match bytes.get(at)? {
            b',' => at += 1,
            b'}' => break,
            _ => return None,
        }
    }
    (after_space(bytes, at + 1) == bytes.len()).then_some(Entries(entries))
}

fn after(bytes: &[u8], at: usize, wanted: u8) -> Option<usize> {
    (*bytes.get(at)? == wanted).then_some(at + 1)
}

fn after_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\t' | b'\r' | b'\n') = bytes.get(at) {
        at += 1;
    }
    at
}

fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let word = |word: &[u8]| bytes.get(at..)?.starts_with(word).then_some(at + word.len());
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'-' | b'0'..=b'9' => number_end(bytes, at),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        b'n' => word(b"null"),
        _ => None,
    }
}

/// After the closing quote of a text that holds neither an escape nor a control character.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = after(bytes, at, b'"')?;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let found = special(u64::from_le_bytes(*chunk));
        if found != 0 {
            return after(bytes, at + found.trailing_zeros() as usize / 8, b'"');
        }
        at += 8;
    }
    while !matches!(bytes.get(at)?, b'"' | b'\\' | 0..0x20) {
        at += 1;
    }
    after(bytes, at, b'"')
}

/// The lowest bit of the result is in the first of eight bytes that is a quote, a backslash or a control character; there is none
/// if it is 0. Bytes above that one may be marked wrongly, because what is subtracted from it is borrowed from them.
fn special(word: u64) -> u64 {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    let below = |word: u64, bound: u8| word.wrapping_sub(EACH * u64::from(bound)) & !word;
    let is = |byte: u8| below(word ^ (EACH * u64::from(byte)), 1);
    (is(b'"') | is(b'\\') | below(word, 0x20)) & (EACH * 0x80)
}

fn number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let at = after(bytes, at, b'-').unwrap_or(at);
    let end = match bytes.get(at)? {
        b'0' => at + 1,
        _ => digits_end(bytes, at)?,
    };
    match bytes.get(end)? {
        b'.' => digits_end(bytes, end + 1).filter(|end| !matches!(bytes.get(*end), Some(b'e' | b'E'))),
        b'0'..=b'9' | b'e' | b'E' => None,
        _ => Some(end),
    }
}

/// After at least one digit.
fn digits_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    (end > at).then_some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Pieces = Vec<(String, String)>;

    fn pieces(entries: &Entries<'_>) -> Pieces {
        entries.0.iter().map(|(key, raw)| (key.0.to_string(), (*raw).to_owned())).collect()
    }

    fn parsed(text: &str) -> Option<Pieces> {
        serde_json::from_str::<Entries<'_>>(text).ok().map(|entries| pieces(&entries))
    }

    fn plain(text: &str) -> Option<Pieces> {
        entries(text).map(|entries| pieces(&entries))
    }

    #[test]
    fn plain_objects_are_taken() {
        for text in [
            r#"{"a":1}"#,
            " {\t\"a\" : -0.50 ,\r\"b\":\"x\" , \"\":null}\n ",
            r#"{"l_orderkey":1,"l_comment":"carefully, {final} deposits: détectés […] — 'twice'","ok":true,"not":false,"a":0}"#,
            r#"{"a":"1234567","b":"12345678","c":"123456789","d":"1234567890123456"}"#,
            r#"{"a":"1","a":"2"}"#,
        ] {
            assert_eq!(plain(text), parsed(text));
            assert!(plain(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_or_not_json_is_left_to_the_parser() {
        let long = |text: &str| format!("{{\"a\":\"12345678{text}12345678\"}}");
        for text in [
            "",
            "{",
            "{}",
            "null",
            "[1]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\":1}}",
            "{\"a\":1}x",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":-}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":+1}",
            "{\"a\":1e3}",
            "{\"a\":1.5E3}",
            "{\"a\":-01}",
            "{\"a\":NaN}",
            "{\"a\":nul}",
            "{\"a\":nullx}",
            "{\"a\":tru",
            "{\"a\":{}}",
            "{\"a\":[]}",
            "{\"a\":\"x}",
            "{\"a\":1 2}",
            "{\"a\":\"\\n\"}",
            "{\"\\u0061\":1}",
            "{\"a\":\"\t\"}",
            "\u{a0}{\"a\":1}",
            "{\"a\":1}\u{b}",
            &long("\\\\"),
            &long("\u{1f}"),
            &long("\n"),
            &long("\\\""),
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn eight_bytes_are_searched_as_one_by_one(mut bytes: [u8; 8], chosen in prop::collection::vec((0..8_usize, prop::sample::select(&b"\"\\\x1f\x20\x00\x80\x22\x5d"[..])), 0..4)) {
            for (place, byte) in chosen {
                bytes[place] = byte;
            }
            let first = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let found = special(u64::from_le_bytes(bytes));
            prop_assert_eq!((found != 0).then(|| found.trailing_zeros() as usize / 8), first);
        }

        /// Texts of the pieces of JSON, most of them broken, and of whole objects with one byte changed.
        #[test]
        fn what_is_taken_is_what_the_parser_says(
            tokens in prop::collection::vec(prop::sample::select(
                &["{", "}", "[", "]", ":", ",", "\"", "\\", " ", "\"a\"", "\"a\":", "\"b\":1,", "1", "0", "-", ".", "e", "true", "null", "é", "\t", "\u{1}", "12345678"][..],
            ), 0..12),
            object in prop::collection::vec(("[a-zé]{0,12}", prop_oneof![
                "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?", "\"[ -!#-\\[\\]-~éß]{0,24}\"", "true|false|null", "[0-9.eE+-]{1,6}", "\"[ -~]{0,9}\"",
            ]), 1..6),
            space in "[ \t]{0,2}",
            place: prop::sample::Index,
            byte in prop::sample::select(&b"\"\\{}:, \x1f0-.e"[..]),
        ) {
            let broken: String = std::iter::once("{").chain(tokens.iter().copied()).chain(["}"]).collect();
            let whole: Vec<_> = object.iter().map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
            let whole = format!("{space}{{{}}}{space}", whole.join(","));
            let mut changed = whole.clone().into_bytes();
            let place = place.index(changed.len());
            changed[place] = byte;
            for text in [Some(broken), Some(whole), String::from_utf8(changed).ok()].into_iter().flatten() {
                if let Some(found) = plain(&text) {
                    prop_assert_eq!(Some(found), parsed(&text), "{}", text);
                }
            }
        }

        #[test]
        fn every_plain_object_is_taken(object in prop::collection::vec(("[a-zé_]{0,12}", prop_oneof![
            "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?", "\"[ -!#-\\[\\]-~éß]{0,24}\"", "true|false|null",
        ]), 1..6), space in "[ \t]{0,2}") {
            let whole: Vec<_> = object.iter().map(|(key, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}")).collect();
            let whole = format!("{space}{{{}}}{space}", whole.join(","));
            prop_assert_eq!(plain(&whole), parsed(&whole));
            prop_assert!(plain(&whole).is_some());
        }
    }
}
