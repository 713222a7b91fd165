//! Identifiers: a prefix that names the kind, and an upper-case ULID.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use ulid::Ulid;

/// Length of a ULID's text form.
const ULID_CHARS: usize = 26;

/// A text that is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an id such as {prefix}01JNXJ5QH2M8Z4T6V7W9X0Y1ZA: {prefix} and 26 upper-case letters \
     and digits"
)]
pub struct ParseIdError {
    prefix: &'static str,
}

fn parse_ulid(text: &str, prefix: &'static str) -> Result<Ulid, ParseIdError> {
    let error = ParseIdError { prefix };
    let Some(body) = text.strip_prefix(prefix) else { return Err(error) };
    // Only the canonical form is an id: no lower case, no look-alike letters, no overflow. Two
    // texts that name one object would break every comparison of ids as text.
    let canonical = body.len() == ULID_CHARS
        && body.bytes().all(|b| matches!(b, b'0'..=b'9' | b'A'..=b'H' | b'J' | b'K' | b'M' | b'N' | b'P'..=b'T' | b'V'..=b'Z'))
        && body.as_bytes().first().is_some_and(|b| *b <= b'7');
    if !canonical {
        return Err(error);
    }
    Ulid::from_string(body).map_err(|_| error)
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\nText form: `", $prefix, "` and 26 characters of Crockford base 32.")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Ulid);

        impl $name {
            /// What every id of this kind starts with.
            pub const PREFIX: &'static str = $prefix;
            /// How long the text form is.
            pub const CHARS: usize = $prefix.len() + ULID_CHARS;

            /// The id whose ULID part has this time (milliseconds since 1970, 48 bits are kept)
            /// and these random bits (80 bits are kept).
            pub fn from_parts(millis: u64, random: u128) -> Self {
                Self(Ulid::from_parts(millis, random))
            }

            /// The id as 16 big-endian bytes; their order is the order of the ids.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }

            /// The inverse of [`Self::to_bytes`].
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }

            /// The milliseconds since 1970 in the id's time part.
            pub fn millis(self) -> u64 {
                self.0.timestamp_ms()
            }

            /// Appends the text form: as `Display`, without its machinery.
            pub fn put(self, out: &mut bytes::BytesMut) {
                let mut buffer = [0; ULID_CHARS];
                out.extend_from_slice($prefix.as_bytes());
                out.extend_from_slice(self.0.array_to_str(&mut buffer).as_bytes());
            }

            /// The next id of the same millisecond, or `None` when its random part is used up.
            pub fn increment(self) -> Option<Self> {
                self.0.increment().ok().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut buffer = [0; ULID_CHARS];
                f.write_str($prefix)?;
                f.write_str(self.0.array_to_str(&mut buffer))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_ulid(text, $prefix).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .pattern(Some(concat!("^", $prefix, "[0-7][0-9A-HJKMNP-TV-Z]{25}$")))
                    .examples([concat!($prefix, "01JNXJ5QH2M8Z4T6V7W9X0Y1ZA")])
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

id_type!(
    /// A developer: the tenant that everything belongs to.
    DeveloperId, "dev_");
id_type!(
    /// An API key (its public name, never its secret).
    KeyId, "key_");
id_type!(
    /// An agent.
    AgentId, "ag_");
id_type!(
    /// An authorization request: what a principal is asked to consent to.
    AuthRequestId, "areq_");
id_type!(
    /// A grant.
    GrantId, "grnt_");
id_type!(
    /// A grant token; the JWT's `jti`.
    TokenId, "tok_");
id_type!(
    /// A refresh token (its public name, never its secret).
    RefreshId, "ref_");
id_type!(
    /// A budget allocation.
    BudgetId, "bdg_");
id_type!(
    /// A debit.
    TransactionId, "btx_");
id_type!(
    /// An entry of the audit trail.
    AuditId, "aud_");
id_type!(
    /// A principal's session (its public name, never its token).
    SessionId, "ses_");
id_type!(
    /// An event. Ids of one developer's log increase strictly in log order.
    EventId, "evt_");

impl EventId {
    /// The cursor before the first event of any log.
    pub const ZERO: Self = Self(Ulid::nil());

    /// The largest id below this one: reading after it starts with this one.
    #[must_use]
    pub fn predecessor(self) -> Self {
        Self(Ulid(self.0.0.saturating_sub(1)))
    }

    /// The smallest id above this one: reading backwards before it starts with this one.
    #[must_use]
    pub fn successor(self) -> Self {
        Self(Ulid(self.0.0.saturating_add(1)))
    }
}

impl AgentId {
    /// The agent's decentralised identifier.
    ///
    /// ```
    /// let agent: grantex_types::AgentId = "ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA".parse().unwrap();
    /// assert_eq!(agent.did(), "did:grantex:ag_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA");
    /// ```
    pub fn did(self) -> String {
        format!("did:grantex:{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_round_trip() {
        let id = GrantId::from_parts(1_772_366_400_000, 42);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(GrantId::from_bytes(id.to_bytes()), id);
        assert_eq!(id.to_string().len(), "grnt_".len() + 26);
    }

    #[test]
    fn only_the_canonical_form_is_an_id() {
        let good = "evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA";
        assert!(good.parse::<EventId>().is_ok());
        for bad in [
            "",
            "evt_",
            "01JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
            "grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
            "evt_01jnxj5qh2m8z4t6v7w9x0y1za",
            "evt_01JNXJ5QH2M8Z4T6V7W9X0Y1Z",
            "evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZAA",
            "evt_81JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
            "evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZI",
            "evt_01JNXJ5QH2M8Z4T6V7W9X0Y1Zé",
        ] {
            assert!(bad.parse::<EventId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn zero_sorts_before_everything() {
        assert_eq!(EventId::ZERO.to_string(), "evt_00000000000000000000000000");
        assert!(EventId::ZERO < EventId::from_parts(0, 1));
    }
}
