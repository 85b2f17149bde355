//! Partition windows: half-open stretches of time on a calendar grid, and the canonical text that names them in keys.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::error::{Error, ErrorKind, Result};

mod choice;

pub use choice::WindowChoice;

/// The length of a partition window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grain {
    /// One clock hour: `2024-09-08T07`.
    Hour,
    /// One calendar day: `2024-09-08`.
    Day,
    /// One calendar month: `2024-09`.
    Month,
}

impl Grain {
    /// The name in contracts.
    pub fn as_str(self) -> &'static str {
        match self {
            Grain::Hour => "hour",
            Grain::Day => "day",
            Grain::Month => "month",
        }
    }
}

impl fmt::Display for Grain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One window: from its start (inclusive) to the next one's start (exclusive), by the clock of the contract's zone.
///
/// ```
/// use windrow_core::PartitionWindow;
/// let window: PartitionWindow = "2024-02-28".parse().unwrap();
/// assert_eq!(window.next().unwrap().to_string(), "2024-02-29");
/// assert!("2023-02-29".parse::<PartitionWindow>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionWindow {
    start: DateTime,
    grain: Grain,
}

impl PartitionWindow {
    /// The window of this grain that holds a local date and time.
    pub fn containing(grain: Grain, local: DateTime) -> Self {
        let date = match grain {
            Grain::Month => local.date().first_of_month(),
            Grain::Day | Grain::Hour => local.date(),
        };
        let hour = if grain == Grain::Hour { local.hour() } else { 0 };
        PartitionWindow { start: date.at(hour, 0, 0, 0), grain }
    }

    /// The length of the window.
    pub fn grain(&self) -> Grain {
        self.grain
    }

    /// The local date on which the window starts.
    pub fn start_date(&self) -> Date {
        self.start.date()
    }

    /// The local start, inclusive.
    pub fn start(&self) -> DateTime {
        self.start
    }

    /// The local end, exclusive.
    ///
    /// # Errors
    /// `Usage` past the end of the year 9999.
    pub fn end(&self) -> Result<DateTime> {
        Ok(self.next()?.start)
    }

    /// The following window.
    ///
    /// # Errors
    /// `Usage` past the end of the year 9999.
    pub fn next(&self) -> Result<Self> {
        let span = match self.grain {
            Grain::Hour => 1.hour(),
            Grain::Day => 1.day(),
            Grain::Month => 1.month(),
        };
        let start = self.start.checked_add(span).map_err(|error| {
            Error::new(ErrorKind::Usage, "no window after the year 9999").with("window", self).caused_by(error)
        })?;
        Ok(PartitionWindow { start, grain: self.grain })
    }

    /// The window before this one, `None` before the year 1.
    pub fn previous(&self) -> Option<Self> {
        let span = match self.grain {
            Grain::Hour => 1.hour(),
            Grain::Day => 1.day(),
            Grain::Month => 1.month(),
        };
        self.start.checked_sub(span).ok().map(|start| PartitionWindow { start, grain: self.grain })
    }

    /// The last window of this grain that has ended at an instant, by the clock of the zone. Windows that a clock change
    /// leaves out are no windows.
    ///
    /// # Errors
    /// `Usage` when there is none in the years a window can name.
    pub fn last_complete(grain: Grain, zone: &TimeZone, instant: Timestamp) -> Result<Self> {
        let here = PartitionWindow::containing(grain, zone.to_datetime(instant));
        // A clock that was put back over a boundary shows a window that has ended.
        let has_ended = here.instants(zone).is_ok_and(|(_, end)| end <= instant);
        let mut found = if has_ended { Some(here) } else { here.previous_in(zone) };
        while let Some(window) = found.filter(|window| window.instants(zone).is_ok_and(|(_, end)| end > instant)) {
            found = window.previous_in(zone);
        }
        found.ok_or_else(|| Error::new(ErrorKind::Usage, format!("no {grain} is complete at {instant}")))
    }

    /// The window before this one that takes any time by the zone's clock, `None` before the year 1.
    pub fn previous_in(&self, zone: &TimeZone) -> Option<Self> {
        let mut window = self.previous()?;
        while window.instants(zone).is_ok_and(|(start, end)| start == end) {
            window = window.previous()?;
        }
        Some(window)
    }

    /// All windows from `from` to `to`, end exclusive.
    ///
    /// # Errors
    /// `Usage` when the grains differ, when the range is empty or backward, or when it holds more than 100,000 windows.
    pub fn range(from: PartitionWindow, to: PartitionWindow) -> Result<Vec<PartitionWindow>> {
        const MAX_WINDOWS: usize = 100_000;
        if from.grain != to.grain {
            return Err(Error::new(ErrorKind::Usage, format!("--from {from} and --to {to} name windows of different length")));
        }
        if from >= to {
            let message = format!("--from {from} --to {to} is an empty range");
            return Err(Error::new(ErrorKind::Usage, message).help("--to is exclusive: the last window is the one before it"));
        }
        let mut windows = Vec::new();
        let mut window = from;
        while window < to {
            if windows.len() == MAX_WINDOWS {
                return Err(Error::new(ErrorKind::Usage, format!("more than {MAX_WINDOWS} windows from {from} to {to}")));
            }
            windows.push(window);
            window = window.next()?;
        }
        Ok(windows)
    }

    /// The instants of start (inclusive) and end (exclusive) in a zone.
    ///
    /// # Errors
    /// `Usage` outside the years an instant can name.
    pub fn instants(&self, zone: &TimeZone) -> Result<(Timestamp, Timestamp)> {
        let instant = |local: DateTime| {
            zone.to_timestamp(local).map_err(|error| Error::new(ErrorKind::Usage, "window outside the calendar").caused_by(error))
        };
        Ok((instant(self.start)?, instant(self.end()?)?))
    }

    /// Fills the placeholders `{yyyy} {MM} {dd} {HH} {window}` of a path pattern.
    pub fn fill(&self, pattern: &str) -> String {
        pattern
            .replace("{window}", &self.to_string())
            .replace("{yyyy}", &format!("{:04}", self.start.year()))
            .replace("{MM}", &format!("{:02}", self.start.month()))
            .replace("{dd}", &format!("{:02}", self.start.day()))
            .replace("{HH}", &format!("{:02}", self.start.hour()))
    }
}

impl fmt::Display for PartitionWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = (self.start.year(), self.start.month(), self.start.day());
        match self.grain {
            Grain::Month => write!(f, "{year:04}-{month:02}"),
            Grain::Day => write!(f, "{year:04}-{month:02}-{day:02}"),
            Grain::Hour => write!(f, "{year:04}-{month:02}-{day:02}T{:02}", self.start.hour()),
        }
    }
}

impl FromStr for PartitionWindow {
    type Err = Error;

    /// Reads `YYYY-MM`, `YYYY-MM-DD` or `YYYY-MM-DDTHH`, canonical and a real calendar value.
    fn from_str(text: &str) -> Result<Self> {
        let refused = || {
            let shown: String = text.chars().take(40).collect();
            let forms = "write YYYY-MM-DD for a day, YYYY-MM-DDTHH for an hour, YYYY-MM for a month";
            Error::new(ErrorKind::Usage, format!("`{}` is not a window: {forms}", shown.escape_debug()))
        };
        let (grain, template) = match text.len() {
            7 => (Grain::Month, "0000-00"),
            10 => (Grain::Day, "0000-00-00"),
            13 => (Grain::Hour, "0000-00-00T00"),
            _ => return Err(refused()),
        };
        let same_shape = text.bytes().zip(template.bytes()).all(|(b, t)| if t == b'0' { b.is_ascii_digit() } else { b == t });
        if !same_shape {
            return Err(refused());
        }
        let part = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<i16>().ok());
        let small = |range, default: i8| part(range).map_or(Some(default), |value| i8::try_from(value).ok());
        let (Some(year @ 1..), Some(month), Some(day), Some(hour)) =
            (part(0..4), small(5..7, 1), small(8..10, 1), small(11..13, 0))
        else {
            return Err(refused());
        };
        let start = DateTime::new(year, month, day, hour, 0, 0, 0).map_err(|_| refused())?;
        Ok(PartitionWindow { start, grain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(text: &str) -> PartitionWindow {
        text.parse().unwrap()
    }

    #[test]
    fn canonical_text_round_trips() {
        for text in ["2024-09-08", "2024-09-08T07", "2024-09", "0001-01-01"] {
            assert_eq!(window(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_calendar_value_is_refused() {
        for text in [
            "",
            "2024",
            "2024-13",
            "2023-02-29",
            "2024-9-8",
            "2024-09-08T24",
            "2024-09-08 07",
            "+024-09-08",
            "0000-01-01",
            "２０２４-09-08",
        ] {
            assert!(text.parse::<PartitionWindow>().is_err(), "{text}");
        }
    }

    #[test]
    fn ranges_exclude_their_end() {
        let days = PartitionWindow::range(window("2013-01-01"), window("2013-01-08")).unwrap();
        assert_eq!((days.len(), days[6].to_string().as_str()), (7, "2013-01-07"));
        assert!(PartitionWindow::range(window("2013-01-01"), window("2013-01-01")).is_err());
        assert!(PartitionWindow::range(window("2013-01-01"), window("2013-02")).is_err());
    }

    #[test]
    fn a_day_in_a_zone_with_a_clock_change_has_23_hours() {
        let zone = TimeZone::get("America/New_York").unwrap();
        let (start, end) = window("2013-03-10").instants(&zone).unwrap();
        assert_eq!((end - start).get_seconds(), 23 * 3600);
    }

    #[test]
    fn patterns_are_filled() {
        assert_eq!(window("2013-01-02").fill("flights/{yyyy}/{MM}/{dd}/{window}"), "flights/2013/01/02/2013-01-02");
    }
}
