//! What people see of an offending line: shortened, printable, one line, nothing classified.

use windrow_core::Excerpt;
use windrow_core::violation::MAX_VALUE_BYTES;

/// About how many characters an excerpt has.
const WIDTH: usize = 120;

/// How many characters stand before the caret at most.
const BEFORE: usize = 60;

/// What stands in place of a classified value.
pub(crate) const MASK: &str = "***";

/// Builds the line around a field, shortened on both sides.
pub(crate) fn around(before: &str, field: &str, after: &str) -> Excerpt {
    let skipped = before.chars().count().saturating_sub(BEFORE);
    let mut text = String::new();
    if skipped > 0 {
        text.push('…');
    }
    text.extend(before.chars().skip(skipped).map(printable));
    let start = text.chars().count();
    let length = push_short(&mut text, field, WIDTH - BEFORE);
    let room = WIDTH.saturating_sub(start + length);
    push_short(&mut text, after, room);
    Excerpt { text, start, length: length.max(1) }
}

/// Appends at most `room` characters and an ellipsis; answers how many were added.
fn push_short(text: &mut String, more: &str, room: usize) -> usize {
    let mut added = 0;
    for letter in more.chars() {
        if added == room {
            text.push('…');
            return added + 1;
        }
        text.push(printable(letter));
        added += 1;
    }
    added
}

/// Control characters become their pictures (U+2400 and on); a direction override must not turn the line around.
fn printable(letter: char) -> char {
    match letter {
        '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('·'),
        '\x7f' => '␡',
        '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => '·',
        _ => letter,
    }
}

/// The value as evidence: lossy UTF-8, bounded.
pub(crate) fn value(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes.get(..MAX_VALUE_BYTES + 4).unwrap_or(bytes)).into_owned();
    let mut end = text.len().min(MAX_VALUE_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// How many characters these bytes show as.
pub(crate) fn characters(bytes: &[u8]) -> u64 {
    String::from_utf8_lossy(bytes).chars().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_points_at_the_field() {
        let excerpt = around("a,é,", "12,5", ",z");
        assert_eq!((excerpt.text.as_str(), excerpt.start, excerpt.length), ("a,é,12,5,z", 4, 4));
        assert_eq!(around("a", "", "").length, 1);
    }

    #[test]
    fn long_lines_are_shortened_on_both_sides() {
        let excerpt = around(&"a".repeat(500), &"b".repeat(500), &"c".repeat(500));
        assert_eq!(excerpt.text.chars().nth(excerpt.start), Some('b'));
        assert!(excerpt.text.chars().count() <= WIDTH + 4, "{}", excerpt.text);
    }

    #[test]
    fn control_characters_are_pictures() {
        assert_eq!(around("\t", "\n", "\0\u{202e}").text, "␉␊␀·");
    }

    #[test]
    fn values_are_bounded_at_a_character() {
        assert_eq!(value("é".repeat(300).as_bytes()).len(), 200);
        assert_eq!(value(b"a\xffb"), "a\u{fffd}b");
    }
}
