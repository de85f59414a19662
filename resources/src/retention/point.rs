//! A moment with the offset it was written in: what calendars of recovery points are made of.

use std::fmt;

use jiff::{Timestamp, civil::DateTime, tz::Offset};

/// A moment and the offset of the clock that it was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The moment.
    pub timestamp: Timestamp,
    /// How far that clock was from UTC.
    pub offset: Offset,
}

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// A time of day somewhere in the world.
    #[error("{text:?} has no zone, so it can mean any of 27 hours: add Z for UTC, or an offset such as +02:00")]
    NoZone {
        /// The text.
        text: String,
    },
    /// Something else.
    #[error("{text:?} is not a time: write it as 2026-07-15T02:00:00Z or 2026-07-15T02:00:00+02:00 (RFC 3339)")]
    NotATime {
        /// The text.
        text: String,
    },
}

impl Point {
    /// Reads an RFC 3339 time, which has a zone.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let not_a_time = || TimeError::NotATime { text: text.to_owned() };
        let (local, zone) = split(text).ok_or_else(not_a_time)?;
        let local: DateTime = local.parse().map_err(|_| not_a_time())?;
        if zone.is_empty() {
            return Err(TimeError::NoZone { text: text.to_owned() });
        }
        let offset = offset(zone).ok_or_else(not_a_time)?;
        Ok(Self { timestamp: offset.to_timestamp(local).map_err(|_| not_a_time())?, offset })
    }

    /// What the clock showed.
    pub fn local(&self) -> DateTime {
        self.offset.to_datetime(self.timestamp)
    }
}

/// RFC 3339, with `Z` for UTC as Go (and so Terraform) writes it.
impl fmt::Display for Point {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offset == Offset::UTC {
            write!(formatter, "{}", self.timestamp)
        } else {
            write!(formatter, "{}", self.timestamp.display_with_offset(self.offset))
        }
    }
}

/// Takes `2026-07-15T02:00:00.5+02:00` apart into the clock's part and the zone, which may be missing.
fn split(text: &str) -> Option<(&str, &str)> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00";
    let bytes = text.as_bytes();
    let fits = bytes.len() >= SHAPE.len()
        && SHAPE
            .iter()
            .zip(bytes)
            .all(|(shape, byte)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape });
    // A leap second has no place on a Unix clock, and neither Go nor restic reads one.
    if !fits || &bytes[17..19] == b"60" {
        return None;
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let end = match bytes.get(SHAPE.len()) {
        Some(b'.') => SHAPE.len() + 1 + digits(SHAPE.len() + 1),
        _ => SHAPE.len(),
    };
    text.split_at_checked(end)
}

/// Reads `Z` or `+02:00`.
fn offset(zone: &str) -> Option<Offset> {
    if zone == "Z" {
        return Some(Offset::UTC);
    }
    let &[sign @ (b'+' | b'-'), ten_hours, hours, b':', ten_minutes, minutes] = zone.as_bytes() else {
        return None;
    };
    let number = |tens: u8, ones: u8| {
        (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| i32::from(tens - b'0') * 10 + i32::from(ones - b'0'))
    };
    let (hours, minutes) = (number(ten_hours, hours)?, number(ten_minutes, minutes)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds((hours * 60 + minutes) * if sign == b'-' { -60 } else { 60 }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_and_written_with_its_own_offset() {
        for text in [
            "2026-07-15T02:00:00Z",
            "2026-07-15T02:00:00+02:00",
            "2026-07-15T02:00:00.123456789-03:30",
            "1999-12-31T23:59:59+14:00",
        ] {
            assert_eq!(Point::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Point::parse("2026-07-15T02:00:00+00:00").unwrap().to_string(), "2026-07-15T02:00:00Z");
    }

    #[test]
    fn a_time_without_a_zone_is_refused_and_says_so() {
        insta::assert_snapshot!(Point::parse("2026-07-15T02:00:00").unwrap_err(), @r#""2026-07-15T02:00:00" has no zone, so it can mean any of 27 hours: add Z for UTC, or an offset such as +02:00"#);
        assert!(matches!(Point::parse("2026-07-15T02:00:00.5"), Err(TimeError::NoZone { .. })));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        insta::assert_snapshot!(Point::parse("yesterday").unwrap_err(), @r#""yesterday" is not a time: write it as 2026-07-15T02:00:00Z or 2026-07-15T02:00:00+02:00 (RFC 3339)"#);
        for text in [
            "",
            "2026-07-15",
            "2026-02-30T00:00:00Z",
            "2026-07-15T24:00:00Z",
            "2026-07-15T23:59:60Z",
            "2026-07-15 02:00:00Z",
            "2026-07-15T02:00:00.Z",
            "2026-07-15T02:00:00+2:00",
            "2026-07-15T02:00:00+99:00",
            "2026-07-15T02:00:00Zé",
            "2026-07-15T02:00:00é",
            "2026-07-15T02:00:00[Europe/Berlin]",
        ] {
            assert!(matches!(Point::parse(text), Err(TimeError::NotATime { .. })), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_time_or_refused(text in "([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})?\\PC{0,9}") {
            if let Ok(point) = Point::parse(&text) {
                proptest::prop_assert_eq!(Point::parse(&point.to_string()), Ok(point));
            }
        }
    }
}
