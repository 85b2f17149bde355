//! Which fields are null, and how fields are quoted.

use std::borrow::Cow;

use windrow_core::contract::Reader;

/// What the reader's declaration says about nulls and quotes.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    nulls: Vec<Box<str>>,
    /// One bit for each length below 64 that a null token has.
    lengths: u64,
    is_null_when_quoted: bool,
    quote: Option<u8>,
}

/// A field with its quotes off.
pub(crate) enum FieldValue<'a> {
    Null,
    Text(Cow<'a, str>),
}

impl Tokens {
    pub(crate) fn new(reader: &Reader) -> Self {
        let nulls: Vec<Box<str>> = reader.null_values.iter().map(|token| token.as_str().into()).collect();
        let lengths = nulls.iter().fold(0, |lengths, token| lengths | length_bit(token.len()));
        Tokens { nulls, lengths, is_null_when_quoted: reader.quoted_null, quote: reader.quote }
    }

    /// Tells whether a text is null. Most are told from every token by their length.
    #[inline]
    pub(super) fn is_null(&self, text: &[u8]) -> bool {
        self.lengths & length_bit(text.len()) != 0 && self.nulls.iter().any(|token| token.as_bytes() == text)
    }

    /// Tells whether this holds for any null token.
    pub(super) fn any_null(&self, holds: impl Fn(&[u8]) -> bool) -> bool {
        self.nulls.iter().any(|token| holds(token.as_bytes()))
    }

    #[inline]
    pub(super) fn is_quoted(&self, field: &[u8]) -> bool {
        self.quote.is_some() && field.first().copied() == self.quote
    }

    pub(super) fn is_null_when_quoted(&self) -> bool {
        self.is_null_when_quoted
    }

    /// Takes quotes off and recognises nulls.
    #[inline]
    pub(crate) fn value<'a>(&self, field: &'a str) -> FieldValue<'a> {
        if !self.is_quoted(field.as_bytes()) {
            return if self.is_null(field.as_bytes()) { FieldValue::Null } else { FieldValue::Text(Cow::Borrowed(field)) };
        }
        let inner = unquote(field, self.quote.unwrap_or(b'"'));
        if self.is_null_when_quoted && self.is_null(inner.as_bytes()) { FieldValue::Null } else { FieldValue::Text(inner) }
    }
}

/// The bit of a length; all lengths from 63 on share one.
#[inline]
fn length_bit(length: usize) -> u64 {
    1 << length.min(63)
}

/// Takes the quotes off a quoted field; doubled quotes inside become single ones.
pub(crate) fn unquote(field: &str, quote: u8) -> Cow<'_, str> {
    let inner = field.get(1..field.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(quote, inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let quote = char::from(quote);
    let mut text = String::with_capacity(inner.len());
    let mut is_second = false;
    for letter in inner.chars() {
        is_second = letter == quote && !is_second;
        if !is_second {
            text.push(letter);
        }
    }
    Cow::Owned(text)
}
