//! Instants (RFC 3339, UTC, milliseconds) and lifetimes (`15m`, `24h`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970-01-01T00:00:00Z; never negative, never beyond the year 9999.
///
/// ```
/// use grantex_types::Timestamp;
/// let at: Timestamp = "2026-03-01T13:00:00+01:00".parse().unwrap();
/// assert_eq!(at.to_string(), "2026-03-01T12:00:00.000Z");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

/// 9999-12-30T22:00:00.000Z: RFC 3339 has four digits for the year, in every time zone.
const LAST_MILLIS: u64 = 253_402_207_200_000;

impl Timestamp {
    /// The first instant.
    pub const EPOCH: Self = Self(0);

    /// The instant this many milliseconds after 1970, at most the last one there is.
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > LAST_MILLIS { LAST_MILLIS } else { millis })
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, as JWTs count.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The instant `millis` later, at most the last one there is.
    #[must_use]
    pub const fn plus_millis(self, millis: u64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The instant `lifetime` later, at most the last one there is.
    #[must_use]
    pub const fn plus(self, lifetime: Lifetime) -> Self {
        self.plus_millis(lifetime.0)
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is later.
    pub const fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).map_err(|_| fmt::Error)?;
        let at = jiff::Timestamp::from_millisecond(millis).map_err(|_| fmt::Error)?;
        write!(f, "{at:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an RFC 3339 instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an RFC 3339 time such as 2026-03-01T12:00:00Z")]
pub struct ParseTimestampError;

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Reads any RFC 3339 instant; one that lies outside is taken as the nearest there is.
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        // jiff reads more than RFC 3339 has (`[Europe/Paris]`, a bare hour, a comma, week dates),
        // so the shape is checked first.
        if !is_rfc3339_shape(text.as_bytes()) {
            return Err(ParseTimestampError);
        }
        match text.parse::<jiff::Timestamp>() {
            Ok(at) => Ok(Self::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0))),
            // The last two days of the year 9999 are beyond what jiff holds.
            Err(_) if text.starts_with("9999-12-3") && text.get(..19).is_some_and(is_civil) => {
                Ok(Self(LAST_MILLIS))
            }
            Err(_) => Err(ParseTimestampError),
        }
    }
}

fn is_civil(text: &str) -> bool {
    text.parse::<jiff::civil::DateTime>().is_ok()
}

/// `YYYY-MM-DD(T|t| )hh:mm:ss[.fraction](Z|z|±hh:mm)`.
fn is_rfc3339_shape(text: &[u8]) -> bool {
    let Some((head, tail)) = text.split_at_checked(19) else { return false };
    let head_ok = head.iter().zip(b"dddd-dd-ddTdd:dd:dd").all(|(byte, shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        b'T' => matches!(byte, b'T' | b't' | b' '),
        other => byte == other,
    });
    let offset = match tail.strip_prefix(b".") {
        None => tail,
        Some(rest) => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 || digits > 9 {
                return false;
            }
            rest.get(digits..).unwrap_or_default()
        }
    };
    let offset_ok = match offset {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    head_ok && offset_ok
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// How long something lasts, as the API writes it: digits and one of `s`, `m`, `h`, `d`.
///
/// ```
/// use grantex_types::Lifetime;
/// assert_eq!("15m".parse::<Lifetime>().unwrap().millis(), 900_000);
/// assert!("0s".parse::<Lifetime>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(u64);

impl Lifetime {
    /// A lifetime of whole seconds.
    pub const fn from_seconds(seconds: u32) -> Self {
        Self((seconds as u64).saturating_mul(1000))
    }

    /// The lifetime in milliseconds.
    pub const fn millis(self) -> u64 {
        self.0
    }
}

/// A text that is not a [`Lifetime`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration above zero such as 30s, 15m, 24h or 7d, and at most 36500d")]
pub struct ParseLifetimeError;

/// A hundred years: more is a mistake, and every instant stays within what RFC 3339 can write.
const LONGEST_MILLIS: u64 = 36_500 * 86_400_000;

impl FromStr for Lifetime {
    type Err = ParseLifetimeError;

    fn from_str(text: &str) -> Result<Self, ParseLifetimeError> {
        let unit_millis = match text.as_bytes().last() {
            Some(b's') => 1_000,
            Some(b'm') => 60_000,
            Some(b'h') => 3_600_000,
            Some(b'd') => 86_400_000,
            _ => return Err(ParseLifetimeError),
        };
        let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseLifetimeError);
        }
        let count: u64 = digits.parse().map_err(|_| ParseLifetimeError)?;
        match count.checked_mul(unit_millis) {
            Some(millis) if millis > 0 && millis <= LONGEST_MILLIS => Ok(Self(millis)),
            _ => Err(ParseLifetimeError),
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, count) = match self.0 / 1000 {
            seconds if seconds.is_multiple_of(86_400) => ("d", seconds / 86_400),
            seconds if seconds.is_multiple_of(3_600) => ("h", seconds / 3_600),
            seconds if seconds.is_multiple_of(60) => ("m", seconds / 60),
            seconds => ("s", seconds),
        };
        write!(f, "{count}{unit}")
    }
}

impl Serialize for Lifetime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};

    impl utoipa::PartialSchema for super::Timestamp {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
                .examples(["2026-03-01T12:00:00.000Z"])
                .into()
        }
    }
    impl utoipa::ToSchema for super::Timestamp {}

    impl utoipa::PartialSchema for super::Lifetime {
        fn schema() -> RefOr<Schema> {
            // At most four digits, so that every text of the pattern is a lifetime.
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[1-9][0-9]{0,3}[smhd]$"))
                .examples(["24h"])
                .into()
        }
    }
    impl utoipa::ToSchema for super::Lifetime {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_utc_with_milliseconds() {
        assert_eq!(
            Timestamp::from_millis(1_772_366_400_000).to_string(),
            "2026-03-01T12:00:00.000Z"
        );
        assert_eq!(
            Timestamp::from_millis(1_772_366_400_007).to_string(),
            "2026-03-01T12:00:00.007Z"
        );
        assert_eq!(Timestamp::from_millis(u64::MAX).to_string(), "9999-12-30T22:00:00.000Z");
    }

    #[test]
    fn reads_rfc3339_and_nothing_else() {
        for good in
            ["2026-03-01T12:00:00Z", "2026-03-01t12:00:00.123456789z", "2026-03-01 12:00:00+00:00"]
        {
            assert!(good.parse::<Timestamp>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "yesterday",
            "2026-03-01",
            "2026-03-01T12:00:00",
            "2026-03-01T12:00Z",
            "2026-13-01T12:00:00Z",
            "2026-03-01T12:00:00[UTC]",
            "2026-03-01T12:00:00.Z",
            "20260301T120000Z",
            "2026-03-01T12:00:00+1",
            "2026-03-01T12:00:00 00:00",
            "+002026-03-01T12:00:00Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_outside_are_taken_as_the_nearest() {
        assert_eq!("1605-07-01T15:56:52Z".parse(), Ok(Timestamp::EPOCH));
        assert_eq!("9999-12-31T23:59:59Z".parse(), Ok(Timestamp::from_millis(u64::MAX)));
        assert!("9999-12-39T23:59:59Z".parse::<Timestamp>().is_err());
    }

    #[test]
    fn lifetimes_are_bounded() {
        assert_eq!("90s".parse::<Lifetime>().unwrap().to_string(), "90s");
        assert_eq!("1440m".parse::<Lifetime>().unwrap().to_string(), "1d");
        for bad in [
            "",
            "h",
            "24",
            "1.5h",
            "-1h",
            "+1h",
            "1H",
            "24 h",
            "0d",
            "36501d",
            "99999999999999999999s",
            "١h",
        ] {
            assert!(bad.parse::<Lifetime>().is_err(), "{bad}");
        }
    }
}
