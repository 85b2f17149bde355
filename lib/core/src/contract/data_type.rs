//! The types a property may have.

use super::model::Property;
use super::pattern::TimePattern;

/// An exact type. There is no inference: every value is one of these or a violation.
#[derive(Clone, Debug, PartialEq)]
pub enum DataType {
    /// A signed or unsigned integer of 8, 16, 32 or 64 bits.
    Integer {
        /// Width in bits.
        bits: u8,
        /// Signed or not.
        signed: bool,
    },
    /// A decimal with at most `precision` digits (1-38), `scale` of them after the point.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// A binary floating-point number of 32 or 64 bits.
    Float {
        /// Width in bits.
        bits: u8,
    },
    /// A boolean with the texts that mean true and false.
    Boolean {
        /// Texts that mean true.
        true_tokens: Vec<String>,
        /// Texts that mean false.
        false_tokens: Vec<String>,
    },
    /// A calendar date.
    Date {
        /// The text form.
        pattern: TimePattern,
    },
    /// A date and time; with a zone it is an instant stored in UTC, without one it is what the wall clock showed.
    Timestamp {
        /// The resolution.
        unit: TimeUnit,
        /// Tells whether it is an instant (stored in UTC).
        instant: bool,
        /// The zone of texts that carry no offset; only for instants.
        default_zone: Option<String>,
        /// The text form.
        pattern: TimePattern,
    },
    /// Text.
    String {
        /// A named format of the whole value.
        format: Option<StringFormat>,
    },
    /// A nested object; NDJSON and Parquet only.
    Struct(Vec<Property>),
    /// A nested list; NDJSON and Parquet only.
    List(Box<Property>),
}

impl DataType {
    /// The type as messages and SQL name it: `integer (i64)`, `decimal(15,2)`.
    pub fn describe(&self) -> String {
        match self {
            DataType::Integer { bits, signed } => format!("integer ({}{bits})", if *signed { 'i' } else { 'u' }),
            DataType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            DataType::Float { bits } => format!("float ({bits} bits)"),
            DataType::Boolean { true_tokens, false_tokens } => {
                format!("boolean ({} or {})", true_tokens.join("|"), false_tokens.join("|"))
            }
            DataType::Date { pattern } => format!("date ({pattern})"),
            DataType::Timestamp { unit, instant, pattern, .. } => {
                format!("timestamp ({pattern}, {}{})", unit.as_str(), if *instant { ", UTC" } else { "" })
            }
            DataType::String { format: None } => "string".to_owned(),
            DataType::String { format: Some(format) } => format!("string ({})", format.as_str()),
            DataType::Struct(_) => "object".to_owned(),
            DataType::List(item) => format!("array of {}", item.data_type.describe()),
        }
    }

    /// Tells whether it is an object or a list.
    pub fn is_nested(&self) -> bool {
        matches!(self, DataType::Struct(_) | DataType::List(_))
    }
}

/// The resolution of timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// 10^-3 s.
    Milli,
    /// 10^-6 s.
    Micro,
    /// 10^-9 s.
    Nano,
}

impl TimeUnit {
    /// The usual abbreviation.
    pub fn as_str(self) -> &'static str {
        match self {
            TimeUnit::Milli => "ms",
            TimeUnit::Micro => "us",
            TimeUnit::Nano => "ns",
        }
    }

    /// How many digits after the second it holds.
    pub fn digits(self) -> u8 {
        match self {
            TimeUnit::Milli => 3,
            TimeUnit::Micro => 6,
            TimeUnit::Nano => 9,
        }
    }
}

/// A named format of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringFormat {
    /// RFC 9562, 8-4-4-4-12 hex digits.
    Uuid,
    /// One `@` between non-empty parts without white space.
    Email,
    /// A scheme, a colon and something after it.
    Uri,
    /// Four decimal numbers from 0 to 255.
    Ipv4,
    /// RFC 4291 text form.
    Ipv6,
    /// RFC 1123 host name.
    Hostname,
}

impl StringFormat {
    /// The name in contracts.
    pub fn as_str(self) -> &'static str {
        match self {
            StringFormat::Uuid => "uuid",
            StringFormat::Email => "email",
            StringFormat::Uri => "uri",
            StringFormat::Ipv4 => "ipv4",
            StringFormat::Ipv6 => "ipv6",
            StringFormat::Hostname => "hostname",
        }
    }
}
