//! The pieces of a JSON text without their values: every value stays the text it was, so that numbers stay exact.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::plain;

/// Keys of an object: enough for most without growing.
pub(super) const ENTRIES: usize = 24;

/// The keys and raw values of an object in order; the same key twice is kept twice.
#[derive(Debug)]
pub(super) struct Entries<'a>(pub(super) Vec<(Key<'a>, &'a str)>);

/// A key with its escapes resolved.
#[derive(Debug, Deserialize)]
pub(super) struct Key<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EntriesVisitor).map(|entries| Entries(entries.0))
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::with_capacity(ENTRIES);
        while let Some(key) = map.next_key()? {
            entries.push((key, map.next_value::<&RawValue>()?.get()));
        }
        Ok(Entries(entries))
    }
}

/// The keys and raw values of an object.
///
/// # Errors
/// What the parser says of a text that is not an object.
pub(super) fn entries(text: &str) -> serde_json::Result<Entries<'_>> {
    plain::entries(text).map_or_else(|| serde_json::from_str(text), Ok)
}

/// What a raw value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Object,
    Array,
}

pub(super) fn kind(raw: &str) -> Kind {
    match raw.as_bytes().first() {
        Some(b'n') => Kind::Null,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'"') => Kind::String,
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        _ => Kind::Number,
    }
}

/// The text of a raw string; `None` when its escapes name no character.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.get(1..raw.len().saturating_sub(1))?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// Where a part of a text starts in it, in bytes.
pub(super) fn offset_in(whole: &str, part: &str) -> usize {
    (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len())
}
