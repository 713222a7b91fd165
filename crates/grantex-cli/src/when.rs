//! Times as people type them.

use grantex_types::{Lifetime, Timestamp};
use jiff::civil::{Date, DateTime, Time};
use jiff::{ToSpan as _, Zoned};

/// How `--help` describes a time.
pub(crate) const FORMS: &str = "5m (ago; s, m, h or d), 14:00 (the most recent), \
     today, yesterday (from midnight), 2026-03-01, \"2026-03-01 14:00\" or RFC 3339. Clock times and \
     days are those of the local time zone";

/// Reads a time.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    parse_at(text, &Zoned::now())
}

fn parse_at(text: &str, now: &Zoned) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(ago) = text.parse::<Lifetime>() {
        return Ok(Timestamp::from_millis(millis(now).saturating_sub(ago.millis())));
    }
    if text.strip_suffix(['s', 'm', 'h', 'd']).is_some_and(is_zero) {
        return Err("a duration must be above zero, such as 5m for five minutes ago".to_owned());
    }
    let found = civil(text, now).and_then(|at| at.to_zoned(now.time_zone().clone()).ok());
    found.map(|at| Timestamp::from_millis(millis(&at))).ok_or_else(|| {
        "expected a time such as 5m, 14:00, yesterday, 2026-03-01 or 2026-03-01T12:00:00Z"
            .to_owned()
    })
}

fn is_zero(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|digit| digit == b'0')
}

/// A time on the clock of the local time zone.
fn civil(text: &str, now: &Zoned) -> Option<DateTime> {
    let yesterday = now.date().checked_sub(1.day()).ok()?;
    match text {
        "today" => return Some(now.date().into()),
        "yesterday" => return Some(yesterday.into()),
        _ => {}
    }
    if let Some(time) = time(text) {
        let today = now.date().to_datetime(time);
        return Some(if today > now.datetime() { yesterday.to_datetime(time) } else { today });
    }
    let (day, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    let is_day = day.len() == "2026-03-01".len();
    let day: Date = day.parse().ok().filter(|_| is_day)?;
    Some(day.to_datetime(time(clock)?))
}

/// `14:00` or `14:00:05`.
fn time(text: &str) -> Option<Time> {
    let is_clock =
        matches!(text.len(), 5 | 8) && text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    text.parse().ok().filter(|_| is_clock)
}

fn millis(at: &Zoned) -> u64 {
    u64::try_from(at.timestamp().as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_the_local_time_zone() {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
        let now: Zoned = "2026-03-01T13:30:00Z".parse::<jiff::Timestamp>().unwrap().to_zoned(zone);
        for (text, expected) in [
            ("5m", "2026-03-01T13:25:00.000Z"),
            ("7d", "2026-02-22T13:30:00.000Z"),
            ("36500d", "1970-01-01T00:00:00.000Z"),
            ("today", "2026-02-28T22:00:00.000Z"),
            ("yesterday", "2026-02-27T22:00:00.000Z"),
            ("14:00", "2026-03-01T12:00:00.000Z"),
            ("15:30:00", "2026-03-01T13:30:00.000Z"),
            ("15:31", "2026-02-28T13:31:00.000Z"),
            ("2026-03-01", "2026-02-28T22:00:00.000Z"),
            ("2026-03-01 14:00", "2026-03-01T12:00:00.000Z"),
            ("2026-03-01T14:00:05", "2026-03-01T12:00:05.000Z"),
            ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00.000Z"),
            ("2026-03-01T12:00:00+01:00", "2026-03-01T11:00:00.000Z"),
        ] {
            assert_eq!(
                parse_at(text, &now).map(|at| at.to_string()),
                Ok(expected.to_owned()),
                "{text}"
            );
        }
        for bad in [
            "",
            "5",
            "m",
            "0m",
            "-5m",
            "tomorrow",
            "14",
            "25:00",
            "14:0",
            "2026-13-01",
            "20260301",
            "now",
        ] {
            let error = parse_at(bad, &now).unwrap_err();
            assert_eq!(error.starts_with("a duration must be above zero"), bad == "0m", "{error}");
        }
    }
}
