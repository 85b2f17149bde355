//! Which window is meant: by its name, or as the last one that is complete at an instant.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Grain, PartitionWindow};
use crate::error::{Error, ErrorKind, Result};

/// What stands before the instant.
const LAST_AT: &str = "last@";

/// A window as a person or a scheduler names it.
///
/// ```
/// use windrow_core::{Grain, WindowChoice};
/// let choice: WindowChoice = "last@2024-09-09T02:00:00Z".parse().unwrap();
/// let zone = jiff::tz::TimeZone::UTC;
/// assert_eq!(choice.resolve(Grain::Day, &zone).unwrap().to_string(), "2024-09-08");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowChoice {
    /// `2024-09-08`: this window.
    Named(PartitionWindow),
    /// `last@2024-09-09T02:00:00Z`: the last window that is complete at this instant. A scheduler passes its own time.
    LastAt(Timestamp),
}

impl WindowChoice {
    /// The window that is meant, for windows of this length by the clock of this zone.
    ///
    /// # Errors
    /// `Usage` when no window is complete at the instant.
    pub fn resolve(self, grain: Grain, zone: &TimeZone) -> Result<PartitionWindow> {
        match self {
            WindowChoice::Named(window) => Ok(window),
            WindowChoice::LastAt(instant) => PartitionWindow::last_complete(grain, zone, instant),
        }
    }
}

impl fmt::Display for WindowChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WindowChoice::Named(window) => window.fmt(f),
            WindowChoice::LastAt(instant) => write!(f, "{LAST_AT}{instant}"),
        }
    }
}

impl FromStr for WindowChoice {
    type Err = Error;

    /// Reads a window's name, or `last@` and an RFC 3339 instant with `Z` or an offset.
    fn from_str(text: &str) -> Result<Self> {
        let Some(instant) = text.strip_prefix(LAST_AT) else {
            return text.parse().map(WindowChoice::Named).map_err(|error: Error| {
                Error::new(error.kind(), format!("{}; or {LAST_AT}2024-09-09T02:00:00Z", error.message()))
            });
        };
        instant.parse().map(WindowChoice::LastAt).map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            let forms = "write last@ and an RFC 3339 instant with Z or an offset, such as last@2024-09-09T02:00:00Z";
            Error::new(ErrorKind::Usage, format!("`{}` is not a window: {forms}", shown.escape_debug()))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn last(zone: &str, grain: Grain, instant: &str) -> String {
        let choice: WindowChoice = format!("last@{instant}").parse().unwrap();
        choice.resolve(grain, &TimeZone::get(zone).unwrap()).unwrap().to_string()
    }

    #[test]
    fn the_last_complete_window_follows_grain_zone_and_boundary() {
        for (zone, grain, instant, expected) in [
            ("UTC", Grain::Day, "2024-09-09T02:00:00Z", "2024-09-08"),
            ("UTC", Grain::Day, "2024-09-09T00:00:00Z", "2024-09-08"),
            ("UTC", Grain::Day, "2024-09-08T23:59:59.999999999Z", "2024-09-07"),
            ("UTC", Grain::Day, "2024-09-09T01:00:00+02:00", "2024-09-07"),
            ("UTC", Grain::Day, "2024-09-08T22:30:00-05:00", "2024-09-08"),
            ("America/New_York", Grain::Day, "2024-09-09T02:00:00Z", "2024-09-07"),
            ("America/New_York", Grain::Day, "2024-09-09T04:00:00Z", "2024-09-08"),
            ("Asia/Kolkata", Grain::Day, "2024-09-08T18:30:00Z", "2024-09-08"),
            ("UTC", Grain::Hour, "2024-09-09T00:00:00Z", "2024-09-08T23"),
            ("UTC", Grain::Hour, "2024-09-09T00:59:59Z", "2024-09-08T23"),
            ("UTC", Grain::Month, "2024-03-01T00:00:00Z", "2024-02"),
            ("UTC", Grain::Month, "2024-02-29T23:59:59Z", "2024-01"),
            ("UTC", Grain::Month, "2024-01-15T00:00:00Z", "2023-12"),
        ] {
            assert_eq!(last(zone, grain, instant), expected, "{zone} {grain} {instant}");
        }
    }

    #[test]
    fn clock_changes_neither_skip_nor_invent_windows() {
        for (zone, grain, instant, expected) in [
            // 02:00 does not exist on this day: after 01 comes 03.
            ("America/New_York", Grain::Hour, "2013-03-10T06:59:59Z", "2013-03-10T00"),
            ("America/New_York", Grain::Hour, "2013-03-10T07:00:00Z", "2013-03-10T01"),
            ("America/New_York", Grain::Hour, "2013-03-10T08:00:00Z", "2013-03-10T03"),
            // 01 is two hours long on this day.
            ("America/New_York", Grain::Hour, "2013-11-03T06:00:00Z", "2013-11-03T00"),
            ("America/New_York", Grain::Hour, "2013-11-03T06:59:59Z", "2013-11-03T00"),
            ("America/New_York", Grain::Hour, "2013-11-03T07:00:00Z", "2013-11-03T01"),
            // The day of 23 hours, and the one of 25.
            ("America/New_York", Grain::Day, "2013-03-11T03:59:59Z", "2013-03-09"),
            ("America/New_York", Grain::Day, "2013-03-11T04:00:00Z", "2013-03-10"),
            ("America/New_York", Grain::Day, "2013-11-04T04:59:59Z", "2013-11-02"),
            ("America/New_York", Grain::Day, "2013-11-04T05:00:00Z", "2013-11-03"),
            // A day that begins at 01:00, a day that never was, and a clock put back over midnight.
            ("America/Sao_Paulo", Grain::Day, "2018-11-04T03:00:00Z", "2018-11-03"),
            ("Pacific/Apia", Grain::Day, "2011-12-30T10:00:00Z", "2011-12-29"),
            ("America/St_Johns", Grain::Day, "2010-11-07T02:30:30Z", "2010-11-06"),
            ("America/St_Johns", Grain::Day, "2010-11-07T02:45:00Z", "2010-11-06"),
        ] {
            assert_eq!(last(zone, grain, instant), expected, "{zone} {grain} {instant}");
        }
    }

    #[test]
    fn both_forms_are_named_when_it_is_neither() {
        for text in ["yesterday", "last", "2024-9-8", ""] {
            let message = text.parse::<WindowChoice>().unwrap_err().to_string();
            assert!(message.contains("YYYY-MM-DD") && message.contains("last@2024"), "{message}");
        }
        for text in ["last@", "last@2024-09-09", "last@2024-09-09T02:00:00", "last@2024-09-09T25:00:00Z", "last@now"] {
            let error = text.parse::<WindowChoice>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.to_string().contains("last@2024-09-09T02:00:00Z"), "{error}");
        }
    }

    #[test]
    fn text_round_trips() {
        for text in ["2024-09-08", "2024-09", "last@2024-09-09T02:00:00Z"] {
            assert_eq!(text.parse::<WindowChoice>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_last_is_complete_and_the_next_one_is_not(
            seconds in -2_000_000_000_i64..4_000_000_000,
            zone in prop::sample::select(vec!["UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]),
            grain in prop::sample::select(vec![Grain::Hour, Grain::Day, Grain::Month]),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let instant = Timestamp::from_second(seconds).unwrap();
            let last = WindowChoice::LastAt(instant).resolve(grain, &zone).unwrap();
            let (start, end) = last.instants(&zone).unwrap();
            prop_assert!(start < end && end <= instant);
            let mut next = last.next().unwrap();
            while next.instants(&zone).unwrap().0 == next.instants(&zone).unwrap().1 {
                next = next.next().unwrap();
            }
            prop_assert!(next.instants(&zone).unwrap().1 > instant);
        }
    }
}
