//! Dates and timestamps by their declared pattern; no other form is tried.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use windrow_core::contract::{PatternToken, TimePattern, TimeUnit};
use windrow_core::{Code, Error, Result};

use super::digits::{pairs, up_to_8};

/// Reads dates as days since 1970-01-01.
#[derive(Clone, Debug)]
pub struct Dates {
    pattern: TimePattern,
    is_iso: bool,
}

impl Dates {
    /// Takes the declared pattern.
    pub fn new(pattern: &TimePattern) -> Self {
        Dates { is_iso: pattern.to_string() == TimePattern::DATE, pattern: pattern.clone() }
    }

    /// Tells whether the pattern is `yyyy-MM-dd`.
    pub(crate) fn is_iso(&self) -> bool {
        self.is_iso
    }

    /// Reads a date; the years are 0001 to 9999.
    ///
    /// # Errors
    /// [`Code::DatePattern`] when the text has another form, [`Code::ImpossibleDate`] when no calendar has the day.
    #[inline]
    pub fn parse(&self, text: &[u8]) -> Result<i32, Code> {
        if self.is_iso { iso_days(text) } else { Fields::read(text, &self.pattern)?.days() }
    }
}

/// `yyyy-MM-dd` without the walk over the pattern.
#[inline]
fn iso_days(text: &[u8]) -> Result<i32, Code> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else {
        return Err(Code::DatePattern);
    };
    let digits = up_to_8(&[*y1, *y2, *y3, *y4, *m1, *m2, *d1, *d2]).and_then(|digits| i32::try_from(digits).ok());
    let digits = digits.ok_or(Code::DatePattern)?;
    days_from_civil(digits / 10_000, digits / 100 % 100, digits % 100)
}

/// The number of each day in a common year and in a leap year, from 1; 0 for a day that no calendar has.
static DAYS_OF_YEAR: [[[u16; 32]; 13]; 2] = [days_of_year(28), days_of_year(29)];

const fn days_of_year(february: u16) -> [[u16; 32]; 13] {
    let lengths = [0, 31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut days = [[0; 32]; 13];
    let (mut month, mut number) = (1, 1);
    while month < 13 {
        let mut day = 1;
        while day <= lengths[month] {
            days[month][day as usize] = number;
            number += 1;
            day += 1;
        }
        month += 1;
    }
    days
}

/// Days since 1970-01-01 of the eight digits `yyyyMMdd` in a word; `None` when they are no date.
#[inline]
pub(super) fn days_of_pairs(digits: u64) -> Option<i32> {
    let [century, year, month, day] = pairs(digits)?;
    let is_leap = if year == 0 { century % 4 == 0 } else { year % 4 == 0 };
    let days = DAYS_OF_YEAR.get(usize::from(is_leap))?.get(usize::from(month))?.get(usize::from(day))?;
    let (century, year) = (i32::from(century), i32::from(year));
    // Leap years before this one, the year 0 among them: every fourth, but of the centuries every fourth.
    let (years, centuries) = (100 * century + year, century + i32::from(year != 0));
    let leaps = ((years + 3) >> 2) - centuries + ((centuries + 3) >> 2);
    (*days != 0 && years != 0).then(|| 365 * years + leaps + i32::from(*days) - 1 - 719_528)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, `days_from_civil`).
#[inline]
fn days_from_civil(year: i32, month: i32, day: i32) -> Result<i32, Code> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return Err(Code::ImpossibleDate),
    };
    if day < 1 || day > last || year < 1 {
        return Err(Code::ImpossibleDate);
    }
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Ok(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// Reads timestamps as a count of the declared unit since 1970-01-01T00:00:00 (UTC for instants).
#[derive(Clone, Debug)]
pub struct Timestamps {
    pattern: TimePattern,
    unit: TimeUnit,
    zone: Option<TimeZone>,
}

impl Timestamps {
    /// Takes the declared unit and pattern; `zone` is the IANA name for texts of instants that carry no offset.
    ///
    /// # Errors
    /// `Misconfigured` when the zone does not exist, when an instant has neither offset nor zone, or when the pattern
    /// of a local time has an offset, which would have to be dropped.
    pub fn new(unit: TimeUnit, is_instant: bool, zone: Option<&str>, pattern: &TimePattern) -> Result<Self> {
        if !is_instant && pattern.has_offset() {
            return Err(Error::misconfigured("a local timestamp cannot have an offset in its pattern").with("pattern", pattern));
        }
        let zone = match zone.filter(|_| is_instant && !pattern.has_offset()) {
            Some(name) => {
                let zone = TimeZone::get(name);
                Some(zone.map_err(|error| Error::misconfigured("unknown time zone").with("zone", name).caused_by(error))?)
            }
            None if is_instant && !pattern.has_offset() => {
                return Err(
                    Error::misconfigured("an instant needs an offset in its pattern or a default zone").with("pattern", pattern)
                );
            }
            None => None,
        };
        Ok(Timestamps { pattern: pattern.clone(), unit, zone })
    }

    /// Reads a timestamp. Fractional digits beyond the unit are taken only when they are zeros.
    ///
    /// # Errors
    /// [`Code::DatePattern`] for another form, [`Code::ImpossibleDate`] for what no calendar or clock shows or the type
    /// cannot hold, [`Code::SubUnitDigits`] for too fine a time, [`Code::UnknownZoneTime`] for a local time that the
    /// zone skips or repeats.
    pub fn parse(&self, text: &[u8]) -> Result<i64, Code> {
        let fields = Fields::read(text, &self.pattern)?;
        let local = i64::from(fields.days()?) * 86_400 + fields.seconds()?;
        let offset = match &self.zone {
            Some(zone) => fields.offset_in(zone)?,
            None => i64::from(fields.offset),
        };
        let (per_second, nanos) = match self.unit {
            TimeUnit::Milli => (1_000, 1_000_000),
            TimeUnit::Micro => (1_000_000, 1_000),
            TimeUnit::Nano => (1_000_000_000, 1),
        };
        if i64::from(fields.nanos) % nanos != 0 {
            return Err(Code::SubUnitDigits);
        }
        let whole = i128::from(local - offset) * per_second;
        i64::try_from(whole + i128::from(i64::from(fields.nanos) / nanos)).map_err(|_| Code::ImpossibleDate)
    }
}

/// The numbers found at the pattern's places.
#[derive(Debug, Default)]
struct Fields {
    year: i32,
    month: i32,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
    nanos: i32,
    offset: i32,
}

impl Fields {
    /// Walks the text along the pattern. The form is checked here, the calendar later, so that a wrong form is said first.
    fn read(text: &[u8], pattern: &TimePattern) -> Result<Self, Code> {
        let mut fields = Fields::default();
        let mut rest = text;
        for token in pattern.tokens() {
            match token {
                PatternToken::Year => fields.year = number(&mut rest, 4)?,
                PatternToken::Month => fields.month = number(&mut rest, 2)?,
                PatternToken::Day => fields.day = number(&mut rest, 2)?,
                PatternToken::Hour => fields.hour = number(&mut rest, 2)?,
                PatternToken::Minute => fields.minute = number(&mut rest, 2)?,
                PatternToken::Second => fields.second = number(&mut rest, 2)?,
                PatternToken::Fraction(digits) => fields.nanos = fraction(&mut rest, usize::from(*digits))?,
                PatternToken::OptionalFraction(most) => fields.nanos = optional_fraction(&mut rest, usize::from(*most))?,
                PatternToken::Offset => fields.offset = offset(&mut rest)?,
                PatternToken::Literal(byte) => rest = rest.strip_prefix(&[*byte]).ok_or(Code::DatePattern)?,
            }
        }
        if rest.is_empty() { Ok(fields) } else { Err(Code::DatePattern) }
    }

    fn days(&self) -> Result<i32, Code> {
        days_from_civil(self.year, self.month, self.day)
    }

    fn seconds(&self) -> Result<i64, Code> {
        let is_possible = self.hour < 24 && self.minute < 60 && self.second < 60 && self.offset.abs() <= MAX_OFFSET;
        let seconds = i64::from(self.hour * 3600 + self.minute * 60 + self.second);
        if is_possible { Ok(seconds) } else { Err(Code::ImpossibleDate) }
    }

    /// The zone's offset in seconds at this local time.
    fn offset_in(&self, zone: &TimeZone) -> Result<i64, Code> {
        let small = |value: i32| i8::try_from(value).map_err(|_| Code::ImpossibleDate);
        let year = i16::try_from(self.year).map_err(|_| Code::ImpossibleDate)?;
        let local = DateTime::new(
            year,
            small(self.month)?,
            small(self.day)?,
            small(self.hour)?,
            small(self.minute)?,
            small(self.second)?,
            0,
        );
        let ambiguous = zone.to_ambiguous_timestamp(local.map_err(|_| Code::ImpossibleDate)?);
        let instant = ambiguous.unambiguous().map_err(|_| Code::UnknownZoneTime)?;
        Ok(i64::from(zone.to_offset(instant).seconds()))
    }
}

/// The greatest offset from UTC, as in `java.time.ZoneOffset`.
const MAX_OFFSET: i32 = 18 * 3600;

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Code> {
    let (taken, left) = rest.split_at_checked(length).ok_or(Code::DatePattern)?;
    *rest = left;
    Ok(taken)
}

fn number(rest: &mut &[u8], digits: usize) -> Result<i32, Code> {
    let value = up_to_8(take(rest, digits)?).ok_or(Code::DatePattern)?;
    i32::try_from(value).map_err(|_| Code::DatePattern)
}

/// Digits after the second, as nanoseconds.
fn fraction(rest: &mut &[u8], digits: usize) -> Result<i32, Code> {
    let text = take(rest, digits)?;
    if !text.iter().all(u8::is_ascii_digit) {
        return Err(Code::DatePattern);
    }
    let padded = text.iter().map(|digit| i32::from(digit - b'0')).chain(std::iter::repeat(0));
    Ok(padded.take(9).fold(0, |value, digit| value * 10 + digit))
}

fn optional_fraction(rest: &mut &[u8], most: usize) -> Result<i32, Code> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Ok(0);
    };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 || count > most {
        return Err(Code::DatePattern);
    }
    *rest = digits;
    fraction(rest, count)
}

/// `Z` or `±hh:mm`, in seconds.
fn offset(rest: &mut &[u8]) -> Result<i32, Code> {
    let sign = match take(rest, 1)? {
        b"Z" => return Ok(0),
        b"+" => 1,
        b"-" => -1,
        _ => return Err(Code::DatePattern),
    };
    let hours = number(rest, 2)?;
    if take(rest, 1)? != b":" {
        return Err(Code::DatePattern);
    }
    let minutes = number(rest, 2)?;
    // An impossible minute must not become a possible offset: 99 minutes are made too large to be any.
    Ok(sign * (hours * 3600 + if minutes < 60 { minutes * 60 } else { MAX_OFFSET + 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn dates(pattern: &str) -> Dates {
        Dates::new(&TimePattern::parse(pattern).unwrap())
    }

    fn instants(unit: TimeUnit, pattern: &str, zone: Option<&str>) -> Timestamps {
        Timestamps::new(unit, true, zone, &TimePattern::parse(pattern).unwrap()).unwrap()
    }

    #[test]
    fn dates_count_from_the_epoch() {
        for (text, days) in
            [("1970-01-01", 0), ("1969-12-31", -1), ("2000-02-29", 11_016), ("0001-01-01", -719_162), ("9999-12-31", 2_932_896)]
        {
            assert_eq!(dates("yyyy-MM-dd").parse(text.as_bytes()), Ok(days), "{text}");
        }
        assert_eq!(dates("dd/MM/yyyy").parse(b"02/01/1970"), Ok(1));
        assert_eq!(dates("yyyyMMdd").parse(b"19700201"), Ok(31));
    }

    #[test]
    fn impossible_days_and_wrong_forms_are_told_apart() {
        for pattern in ["yyyy-MM-dd", "yyyy'-'MM'-'dd"] {
            for text in
                ["2023-02-29", "1900-02-29", "2024-02-30", "2024-13-01", "2024-00-10", "2024-04-31", "2024-01-00", "0000-01-01"]
            {
                assert_eq!(dates(pattern).parse(text.as_bytes()), Err(Code::ImpossibleDate), "{text}");
            }
            for text in [
                "",
                "2024-1-1",
                "01/02/2024",
                "2024-01-01 ",
                "20240101",
                "2024-01-01T00:00:00",
                "+024-01-01",
                "2024-0a-01",
                "２024-01-1",
            ] {
                assert_eq!(dates(pattern).parse(text.as_bytes()), Err(Code::DatePattern), "{text}");
            }
        }
    }

    #[test]
    fn offsets_lead_to_utc() {
        let micros = instants(TimeUnit::Micro, TimePattern::INSTANT, None);
        for (text, value) in
            [("1970-01-01T00:00:00Z", 0), ("1970-01-01T02:00:00.5+02:00", 500_000), ("1969-12-31T23:59:59.999999-00:00", -1)]
        {
            assert_eq!(micros.parse(text.as_bytes()), Ok(value), "{text}");
        }
        for text in [
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00+18:01",
            "1970-01-01T00:00:00+01:60",
        ] {
            assert_eq!(micros.parse(text.as_bytes()), Err(Code::ImpossibleDate), "{text}");
        }
        for text in [
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+0100",
            "1970-01-01T00:00Z",
            "1970-01-01T00:00:00z",
        ] {
            assert_eq!(micros.parse(text.as_bytes()), Err(Code::DatePattern), "{text}");
        }
    }

    #[test]
    fn a_time_finer_than_the_unit_is_refused() {
        let millis = instants(TimeUnit::Milli, TimePattern::INSTANT, None);
        assert_eq!(millis.parse(b"1970-01-01T00:00:00.001000Z"), Ok(1));
        assert_eq!(millis.parse(b"1970-01-01T00:00:00.0011Z"), Err(Code::SubUnitDigits));
    }

    #[test]
    fn a_time_beyond_the_type_is_refused() {
        let nanos = instants(TimeUnit::Nano, TimePattern::INSTANT, None);
        assert_eq!(nanos.parse(b"2263-01-01T00:00:00Z"), Err(Code::ImpossibleDate));
        assert_eq!(nanos.parse(b"1970-01-01T00:00:00.000000001Z"), Ok(1));
    }

    #[test]
    fn skipped_and_repeated_local_times_name_no_instant() {
        let new_york = instants(TimeUnit::Milli, "yyyy-MM-dd HH:mm:ss", Some("America/New_York"));
        assert_eq!(new_york.parse(b"1970-01-01 00:00:00"), Ok(5 * 3_600_000));
        assert_eq!(new_york.parse(b"2013-03-10 02:30:00"), Err(Code::UnknownZoneTime));
        assert_eq!(new_york.parse(b"2013-11-03 01:30:00"), Err(Code::UnknownZoneTime));
        assert_eq!(new_york.parse(b"2013-07-01 00:00:00"), Ok(1_372_651_200_000));
    }

    #[test]
    fn contradictions_are_misconfigured() {
        let pattern = |text| TimePattern::parse(text).unwrap();
        assert!(Timestamps::new(TimeUnit::Milli, true, None, &pattern(TimePattern::LOCAL)).is_err());
        assert!(Timestamps::new(TimeUnit::Milli, true, Some("Mars/Base"), &pattern(TimePattern::LOCAL)).is_err());
        assert!(Timestamps::new(TimeUnit::Milli, false, None, &pattern(TimePattern::INSTANT)).is_err());
        assert!(Timestamps::new(TimeUnit::Milli, false, None, &pattern(TimePattern::LOCAL)).is_ok());
    }

    proptest! {
        #[test]
        fn dates_agree_with_the_calendar(days in -719_162i32..=2_932_896) {
            let date = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days)).unwrap();
            prop_assert_eq!(dates("yyyy-MM-dd").parse(date.to_string().as_bytes()), Ok(days));
            prop_assert_eq!(dates("dd.MM.yyyy").parse(date.strftime("%d.%m.%Y").to_string().as_bytes()), Ok(days));
        }

        #[test]
        fn instants_round_trip(millis in -62_135_596_800_000i64..253_402_207_200_000) {
            let text = jiff::Timestamp::from_millisecond(millis).unwrap().to_string();
            prop_assert_eq!(instants(TimeUnit::Milli, TimePattern::INSTANT, None).parse(text.as_bytes()), Ok(millis));
        }
    }
}
