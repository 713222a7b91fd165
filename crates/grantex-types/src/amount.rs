//! Exact decimal amounts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

/// A non-negative decimal with at most four places, at most 99,999,999,999.9999.
///
/// Arithmetic is exact. The largest amount has 15 significant digits, so that every amount is
/// also exact to a reader who parses JSON numbers as doubles. It reads JSON numbers and decimal
/// strings, both exactly as written, and serialises as a string with four decimals; events and
/// tokens write it as a number, see [`Amount::as_number`].
///
/// ```
/// use grantex_types::Amount;
/// let amount: Amount = serde_json::from_str("0.1").unwrap();
/// assert_eq!(amount.to_string(), "0.1000");
/// assert!(serde_json::from_str::<Amount>("0.00001").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u64);

const PLACES: i64 = 4;
const UNITS_PER_ONE: u64 = 10_000;
/// Texts longer than this cannot be an amount worth reading: it bounds the work on one.
const LONGEST_TEXT: usize = 64;

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount.
    pub const MAX: Self = Self(999_999_999_999_999);

    /// The amount of this many ten-thousandths, or `None` beyond the largest amount.
    pub const fn from_units(units: u64) -> Option<Self> {
        if units > Self::MAX.0 { None } else { Some(Self(units)) }
    }

    /// The amount in ten-thousandths.
    pub const fn units(self) -> u64 {
        self.0
    }

    /// Whether this is nothing.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// What is left after `other` is taken, or `None` if it is more than there is.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The amount as a JSON number with no needless digit: `200`, `12.5`.
    ///
    /// ```
    /// # use grantex_types::Amount;
    /// let amount: Amount = "12.50".parse().unwrap();
    /// assert_eq!(serde_json::to_string(&amount.as_number()).unwrap(), "12.5");
    /// ```
    pub fn as_number(self) -> AmountNumber {
        AmountNumber(self)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / UNITS_PER_ONE, self.0 % UNITS_PER_ONE)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an [`Amount`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    /// Not a decimal number.
    #[error("expected a decimal amount such as 12.5 or \"12.50\"")]
    Malformed,
    /// Below zero.
    #[error("an amount must not be negative")]
    Negative,
    /// More than four decimal places.
    #[error("an amount must have at most four decimal places")]
    TooPrecise,
    /// Above [`Amount::MAX`].
    #[error("an amount must be at most 99999999999.9999")]
    TooLarge,
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    /// Reads `digits[.digits][(e|E)[+|-]digits]`: what JSON calls a number, and leading zeros.
    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        use ParseAmountError::{Malformed, Negative, TooLarge, TooPrecise};
        if text.len() > LONGEST_TEXT {
            return Err(Malformed);
        }
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            None => (rest, 0),
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            None => (mantissa, ""),
            Some((_, "")) => return Err(Malformed),
            Some(parts) => parts,
        };
        let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(Malformed);
        }
        let digits: String = [whole, fraction].concat();
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        if negative {
            return Err(Negative);
        }
        // value = significant × 10^power, with power counted from the last significant digit.
        let dropped = digits.trim_start_matches('0').len().saturating_sub(significant.len());
        let power = exponent
            .saturating_sub(i64::try_from(fraction.len()).map_err(|_| Malformed)?)
            .saturating_add(i64::try_from(dropped).map_err(|_| Malformed)?);
        let shift = power.saturating_add(PLACES);
        if shift < 0 {
            return Err(TooPrecise);
        }
        let scale = u32::try_from(shift)
            .ok()
            .and_then(|shift| 10_u64.checked_pow(shift))
            .ok_or(TooLarge)?;
        let units =
            significant.parse::<u64>().ok().and_then(|n| n.checked_mul(scale)).ok_or(TooLarge)?;
        Self::from_units(units).ok_or(TooLarge)
    }
}

fn parse_exponent(text: &str) -> Result<i64, ParseAmountError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ParseAmountError::Malformed);
    }
    let size: i64 = digits.parse().unwrap_or(i64::from(i32::MAX));
    Ok(if text.starts_with('-') { size.saturating_neg() } else { size })
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    /// From JSON only: the number's own text is read, so that no double comes between.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let parsed = if text.starts_with('"') {
            let inner: String = serde_json::from_str(text).map_err(de::Error::custom)?;
            inner.parse::<Self>()
        } else {
            text.parse::<Self>()
        };
        parsed.map_err(de::Error::custom)
    }
}

/// An [`Amount`] that serialises as a JSON number; see [`Amount::as_number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmountNumber(Amount);

impl AmountNumber {
    /// The amount itself.
    pub fn amount(self) -> Amount {
        self.0
    }
}

impl Serialize for AmountNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Amount(units) = self.0;
        if units.is_multiple_of(UNITS_PER_ONE) {
            return serializer.serialize_u64(units / UNITS_PER_ONE);
        }
        let text = self.0.to_string();
        // 15 significant digits survive the way through a double, and serde_json writes the
        // shortest text that reads back as the same double: the digits that stand here.
        let number: f64 = text.parse().map_err(serde::ser::Error::custom)?;
        serializer.serialize_f64(number)
    }
}

impl<'de> Deserialize<'de> for AmountNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Amount::deserialize(deserializer).map(Self)
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::RefOr;
    use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

    impl utoipa::PartialSchema for super::Amount {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some(r"^[0-9]{1,11}\.[0-9]{4}$"))
                .examples(["12.5000"])
                .into()
        }
    }
    impl utoipa::ToSchema for super::Amount {}

    impl utoipa::PartialSchema for super::AmountNumber {
        fn schema() -> RefOr<Schema> {
            ObjectBuilder::new()
                .schema_type(Type::Number)
                .minimum(Some(0))
                .maximum(Some(99_999_999_999.999_9))
                .examples([12.5])
                .into()
        }
    }
    impl utoipa::ToSchema for super::AmountNumber {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_json_calls_a_number() {
        for (text, written) in [
            ("0", "0.0000"),
            ("-0", "0.0000"),
            ("1", "1.0000"),
            ("0.1", "0.1000"),
            ("1e2", "100.0000"),
            ("1.50E-1", "0.1500"),
            ("2.50000", "2.5000"),
            ("99999999999.9999", "99999999999.9999"),
            ("0e99999999999999999999", "0.0000"),
            ("100000e-5", "1.0000"),
            ("\"12.5\"", "12.5000"),
            ("\"007\"", "7.0000"),
        ] {
            let amount: Amount = serde_json::from_str(text).expect(text);
            assert_eq!(amount.to_string(), written, "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold_exactly() {
        use ParseAmountError::*;
        for (text, error) in [
            ("-1", Negative),
            ("0.00001", TooPrecise),
            ("1.00005", TooPrecise),
            ("100000000000", TooLarge),
            ("99999999999.99991", TooPrecise),
            ("1e11", TooLarge),
            ("1e999999999999", TooLarge),
            ("1e-999999999999", TooPrecise),
            ("", Malformed),
            (".5", Malformed),
            ("5.", Malformed),
            ("1,5", Malformed),
            ("NaN", Malformed),
            (" 1", Malformed),
            ("+1", Malformed),
            ("0x10", Malformed),
            ("1e", Malformed),
            ("١", Malformed),
            ("null", Malformed),
            ("1e5e5", Malformed),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_survives_every_form(units in 0..=Amount::MAX.0) {
            let amount = Amount(units);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            let number = serde_json::to_string(&amount.as_number()).unwrap();
            prop_assert_eq!(number.parse(), Ok(amount));
            let double: f64 = serde_json::from_str(&number).unwrap();
            prop_assert_eq!(format!("{double:.4}").parse(), Ok(amount));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Amount>();
        }
    }
}
