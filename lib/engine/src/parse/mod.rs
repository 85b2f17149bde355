//! Text to exactly one declared value, or the code of what is wrong with the text. Pure: no files, no columns.
//!
//! Nothing is trimmed, rounded, guessed or repaired here. What is taken as equal is written down in each parser.

mod decimal;
mod digits;
mod number;
mod tail;
mod time;

pub use decimal::decimal;
pub use number::{Booleans, float32, float64, integer};
pub(crate) use tail::{Tail, short_decimal, short_integer, short_iso_date};
pub use time::{Dates, Timestamps};
