//! When a table is promised to be there.

use std::fmt;

use jiff::civil::Time;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::error::{Error, Result};
use crate::window::PartitionWindow;

/// The time of day by which a window is promised to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sla {
    /// The local time of day, `HH:MM`.
    pub available_by: String,
    /// The zone of that time: an IANA name, `Z`, or an offset such as `+01:00`.
    pub zone: String,
}

impl Sla {
    /// The zone's clock.
    ///
    /// # Errors
    /// `Misconfigured` for a zone that is none.
    pub fn time_zone(&self) -> Result<TimeZone> {
        if self.zone == "Z" {
            return Ok(TimeZone::UTC);
        }
        let found = DateTimeParser::new().parse_time_zone(&self.zone);
        found.map_err(|error| Error::misconfigured(format!("`{}` is no time zone", self.zone)).caused_by(error))
    }

    /// The instant by which a window is promised: the first time the promised time of day comes once the window, by the
    /// clock of `window_zone`, has ended. A time that a clock change leaves out counts as the one after the change.
    ///
    /// ```
    /// use windrow_core::contract::Sla;
    /// let sla = Sla { available_by: "07:30".into(), zone: "UTC".into() };
    /// let window = "2024-09-08".parse().unwrap();
    /// let promised = sla.promised_at(&window, &jiff::tz::TimeZone::UTC).unwrap();
    /// assert_eq!(promised.to_string(), "2024-09-09T07:30:00Z");
    /// ```
    ///
    /// # Errors
    /// `Misconfigured` for a time or zone that is none, `Usage` outside the years an instant can name.
    pub fn promised_at(&self, window: &PartitionWindow, window_zone: &TimeZone) -> Result<Timestamp> {
        let wrong =
            |error: jiff::Error| Error::misconfigured(format!("`{self}` names no instant after {window}")).caused_by(error);
        let (_, end) = window.instants(window_zone)?;
        let zone = self.time_zone()?;
        let time = Time::strptime("%H:%M", &self.available_by).map_err(wrong)?;
        let day = zone.to_datetime(end).date();
        let same_day = zone.to_timestamp(day.to_datetime(time)).map_err(wrong)?;
        if same_day >= end {
            return Ok(same_day);
        }
        let next_day = day.checked_add(1.day()).map_err(wrong)?;
        zone.to_timestamp(next_day.to_datetime(time)).map_err(wrong)
    }
}

impl fmt::Display for Sla {
    /// `07:30 UTC`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.available_by, self.zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promised(time: &str, zone: &str, window: &str, window_zone: &str) -> String {
        let sla = Sla { available_by: time.to_owned(), zone: zone.to_owned() };
        let window = window.parse().unwrap();
        sla.promised_at(&window, &TimeZone::get(window_zone).unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_promise_is_the_first_such_time_after_the_window() {
        for (time, zone, window, window_zone, expected) in [
            ("07:30", "UTC", "2024-09-08", "UTC", "2024-09-09T07:30:00Z"),
            ("00:00", "UTC", "2024-09-08", "UTC", "2024-09-09T00:00:00Z"),
            ("07:30", "America/New_York", "2024-09-08", "America/New_York", "2024-09-09T11:30:00Z"),
            // The window ends at 20:00 in New York, so the next morning there is meant.
            ("07:30", "America/New_York", "2024-09-08", "UTC", "2024-09-09T11:30:00Z"),
            ("21:00", "America/New_York", "2024-09-08", "UTC", "2024-09-09T01:00:00Z"),
            ("07:30", "+01:00", "2024-09-08", "UTC", "2024-09-09T06:30:00Z"),
            ("07:30", "Z", "2024-09-08", "UTC", "2024-09-09T07:30:00Z"),
            ("07:30", "UTC", "2024-09-08T07", "UTC", "2024-09-09T07:30:00Z"),
            ("07:30", "UTC", "2024-09-08T06", "UTC", "2024-09-08T07:30:00Z"),
            ("07:30", "UTC", "2024-08", "UTC", "2024-09-01T07:30:00Z"),
            // 02:30 does not exist on this day.
            ("02:30", "America/New_York", "2013-03-09", "America/New_York", "2013-03-10T07:30:00Z"),
        ] {
            assert_eq!(promised(time, zone, window, window_zone), expected, "{time} {zone} {window}");
        }
    }
}
