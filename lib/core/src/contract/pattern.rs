//! Date and time patterns, the part of the ODCS (JDK `DateTimeFormatter`) language that names one text form and guesses nothing.

use std::fmt;

/// One piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternToken {
    /// `yyyy`: four digits.
    Year,
    /// `MM`: two digits.
    Month,
    /// `dd`: two digits.
    Day,
    /// `HH`: two digits, 00-23.
    Hour,
    /// `mm`: two digits.
    Minute,
    /// `ss`: two digits, 00-59.
    Second,
    /// `SSS`: exactly this many digits, 1-9.
    Fraction(u8),
    /// `[.SSSSSS]`: nothing, or a point and one to this many digits.
    OptionalFraction(u8),
    /// `XXX`: `Z` or an offset `±hh:mm`.
    Offset,
    /// This very byte.
    Literal(u8),
}

/// A pattern, as text and as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimePattern {
    text: String,
    tokens: Vec<PatternToken>,
}

impl TimePattern {
    /// ISO 8601 calendar date.
    pub const DATE: &'static str = "yyyy-MM-dd";
    /// ISO 8601 local date and time, fraction optional.
    pub const LOCAL: &'static str = "yyyy-MM-dd'T'HH:mm:ss[.SSSSSSSSS]";
    /// ISO 8601 date and time with offset, fraction optional.
    pub const INSTANT: &'static str = "yyyy-MM-dd'T'HH:mm:ss[.SSSSSSSSS]XXX";

    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence saying which letters are not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let (token, used) = Self::next_token(rest, first)?;
            tokens.extend(token);
            rest = rest.get(used..).unwrap_or_default();
        }
        Self::no_repeats(&tokens)?;
        Ok(TimePattern { text: text.to_owned(), tokens })
    }

    fn next_token(rest: &str, first: char) -> Result<(Vec<PatternToken>, usize), String> {
        const FIELDS: [(&str, PatternToken); 7] = [
            ("yyyy", PatternToken::Year),
            ("MM", PatternToken::Month),
            ("dd", PatternToken::Day),
            ("HH", PatternToken::Hour),
            ("mm", PatternToken::Minute),
            ("ss", PatternToken::Second),
            ("XXX", PatternToken::Offset),
        ];
        if first == '\'' {
            let quoted = rest.get(1..).unwrap_or_default();
            let end = quoted.find('\'').ok_or("a ' is not closed")?;
            let literal = quoted.get(..end).unwrap_or_default();
            let bytes = if literal.is_empty() { b"'" } else { literal.as_bytes() };
            return Ok((bytes.iter().map(|byte| PatternToken::Literal(*byte)).collect(), end + 2));
        }
        if first == '[' {
            let end = rest.find(']').ok_or("a [ is not closed")?;
            let inner = rest.get(1..end).unwrap_or_default();
            let digits = inner.strip_prefix('.').filter(|s| !s.is_empty() && s.bytes().all(|b| b == b'S')).map_or(0, str::len);
            if !(1..=9).contains(&digits) {
                return Err(format!("`[{inner}]` is not understood; only an optional fraction such as [.SSSSSS] is"));
            }
            return Ok((vec![PatternToken::OptionalFraction(u8::try_from(digits).unwrap_or(9))], end + 1));
        }
        if !first.is_ascii_alphabetic() {
            return Ok((
                rest.as_bytes().iter().take(first.len_utf8()).map(|b| PatternToken::Literal(*b)).collect(),
                first.len_utf8(),
            ));
        }
        let run = rest.len() - rest.trim_start_matches(first).len();
        let letters = rest.get(..run).unwrap_or_default();
        if first == 'S' && run <= 9 {
            return Ok((vec![PatternToken::Fraction(u8::try_from(run).unwrap_or(9))], run));
        }
        let field = FIELDS.iter().find(|(name, _)| *name == letters);
        field.map(|(_, token)| (vec![token.clone()], run)).ok_or_else(|| {
            format!("`{letters}` is not understood; known are yyyy MM dd HH mm ss S…S [.S…S] XXX and 'text' in quotes")
        })
    }

    fn no_repeats(tokens: &[PatternToken]) -> Result<(), String> {
        let fields = |token: &PatternToken| !matches!(token, PatternToken::Literal(_));
        for (index, token) in tokens.iter().enumerate() {
            if fields(token)
                && tokens.iter().skip(index + 1).any(|other| std::mem::discriminant(other) == std::mem::discriminant(token))
            {
                return Err("a field appears twice".to_owned());
            }
        }
        Ok(())
    }

    /// The pieces in order.
    pub fn tokens(&self) -> &[PatternToken] {
        &self.tokens
    }

    /// Tells whether the pattern has year, month and day.
    pub fn has_date(&self) -> bool {
        [PatternToken::Year, PatternToken::Month, PatternToken::Day].iter().all(|token| self.tokens.contains(token))
    }

    /// Tells whether the pattern has any part of the time of day.
    pub fn has_time(&self) -> bool {
        self.tokens.iter().any(|token| {
            matches!(
                token,
                PatternToken::Hour
                    | PatternToken::Minute
                    | PatternToken::Second
                    | PatternToken::Fraction(_)
                    | PatternToken::OptionalFraction(_)
            )
        })
    }

    /// Tells whether the text carries an offset from UTC.
    pub fn has_offset(&self) -> bool {
        self.tokens.contains(&PatternToken::Offset)
    }
}

impl fmt::Display for TimePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_patterns_are_understood() {
        let pattern = TimePattern::parse(TimePattern::INSTANT).unwrap();
        assert!(pattern.has_date() && pattern.has_time() && pattern.has_offset());
        assert_eq!(TimePattern::parse("dd/MM/yyyy").unwrap().tokens().len(), 5);
    }

    #[test]
    fn unknown_letters_are_refused() {
        for text in ["yyyy-M-dd", "YYYY-MM-dd", "yyyy-MM-ddT", "[HH]", "'T", "MM MM", "hh a"] {
            assert!(TimePattern::parse(text).is_err(), "{text}");
        }
    }
}
