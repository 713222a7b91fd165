//! The event envelope, the five types and their payloads.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::amount::AmountNumber;
use crate::{AgentId, EventId, GrantId, Scopes, Timestamp, TokenId};

/// One event as it is stored and sent: `{"id","type","createdAt","data"}`, in this order.
///
/// ```
/// # use grantex_types::*;
/// let event = Event {
///     id: EventId::ZERO,
///     created_at: Timestamp::from_millis(1_772_366_400_000),
///     data: EventData::GrantRevoked { grant_id: GrantId::from_parts(0, 0), revoked_by: event::RevokedBy::Principal },
/// };
/// assert_eq!(
///     serde_json::to_string(&event).unwrap(),
///     r#"{"id":"evt_00000000000000000000000000","type":"grant.revoked","createdAt":"2026-03-01T12:00:00.000Z","data":{"grantId":"grnt_00000000000000000000000000","revokedBy":"principal"}}"#
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Envelope<Box<serde_json::value::RawValue>>")]
pub struct Event {
    /// Unique; increases strictly within one developer's log. The key to de-duplicate by.
    pub id: EventId,
    /// When it was committed; never goes backwards within one log.
    pub created_at: Timestamp,
    /// The payload, which also fixes the type.
    pub data: EventData,
}

/// The envelope's wire form around any payload.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<D> {
    id: EventId,
    r#type: EventType,
    created_at: Timestamp,
    data: D,
}

impl Serialize for Event {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Envelope {
            id: self.id,
            r#type: self.data.event_type(),
            created_at: self.created_at,
            data: &self.data,
        }
        .serialize(serializer)
    }
}

impl TryFrom<Envelope<Box<serde_json::value::RawValue>>> for Event {
    type Error = serde_json::Error;

    fn try_from(envelope: Envelope<Box<serde_json::value::RawValue>>) -> Result<Self, Self::Error> {
        let data = EventData::from_json(envelope.r#type, envelope.data.get())?;
        Ok(Self { id: envelope.id, created_at: envelope.created_at, data })
    }
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum EventType {
    /// A grant came to be: a consent was completed, or a grant delegated.
    #[serde(rename = "grant.created")]
    GrantCreated,
    /// A grant was revoked, by itself or in a cascade.
    #[serde(rename = "grant.revoked")]
    GrantRevoked,
    /// A grant token was issued.
    #[serde(rename = "token.issued")]
    TokenIssued,
    /// A budget's use crossed 50 % or 80 %.
    #[serde(rename = "budget.threshold")]
    BudgetThreshold,
    /// A budget is used up.
    #[serde(rename = "budget.exhausted")]
    BudgetExhausted,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 5] = [
        Self::GrantCreated,
        Self::GrantRevoked,
        Self::TokenIssued,
        Self::BudgetThreshold,
        Self::BudgetExhausted,
    ];

    /// The type's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GrantCreated => "grant.created",
            Self::GrantRevoked => "grant.revoked",
            Self::TokenIssued => "token.issued",
            Self::BudgetThreshold => "budget.threshold",
            Self::BudgetExhausted => "budget.exhausted",
        }
    }

    /// A small number that stands for the type in storage; it never changes.
    pub const fn code(self) -> u8 {
        match self {
            Self::GrantCreated => 0,
            Self::GrantRevoked => 1,
            Self::TokenIssued => 2,
            Self::BudgetThreshold => 3,
            Self::BudgetExhausted => 4,
        }
    }

    /// The type whose [`code`](Self::code) this is.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A name that no event type has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown event type {0:?}; the types are grant.created, grant.revoked, token.issued, budget.threshold, budget.exhausted"
)]
pub struct UnknownEventType(pub String);

impl FromStr for EventType {
    type Err = UnknownEventType;

    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownEventType(text.chars().take(40).collect()))
    }
}

/// A set of event types.
///
/// ```
/// use grantex_types::{EventType, TypeSet};
/// let set: TypeSet = "grant.created,token.issued".parse().unwrap();
/// assert!(set.contains(EventType::TokenIssued) && !set.contains(EventType::GrantRevoked));
/// assert_eq!("".parse(), Ok(TypeSet::ALL));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeSet(u8);

impl TypeSet {
    /// All five types.
    pub const ALL: Self = Self(0b1_1111);

    /// Whether `kind` is in the set.
    pub const fn contains(self, kind: EventType) -> bool {
        self.0 & (1 << kind.code()) != 0
    }

    /// Whether every type of this set is in `other`.
    pub const fn is_subset_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether all types are in the set.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// The types in the set.
    pub fn iter(self) -> impl Iterator<Item = EventType> {
        EventType::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<EventType> for TypeSet {
    /// The set of these types; no type at all means all of them, as in a request.
    fn from_iter<I: IntoIterator<Item = EventType>>(kinds: I) -> Self {
        match kinds.into_iter().fold(0, |set, kind| set | (1 << kind.code())) {
            0 => Self::ALL,
            set => Self(set),
        }
    }
}

impl FromStr for TypeSet {
    type Err = UnknownEventType;

    /// A comma-separated list; an empty text means all types.
    fn from_str(text: &str) -> Result<Self, UnknownEventType> {
        if text.is_empty() {
            return Ok(Self::ALL);
        }
        text.split(',').map(EventType::from_str).collect()
    }
}

/// Who revoked a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum RevokedBy {
    /// The developer, through the API.
    Developer,
    /// The principal who had given it.
    Principal,
    /// The service: a grant above it was revoked, or its agent deleted.
    System,
}

/// How a grant token came to be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum IssueMethod {
    /// The first token of a grant.
    Exchange,
    /// A later one, for a refresh token.
    Refresh,
}

/// The payload of an event; each variant is one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are the wire format's own names")]
pub enum EventData {
    /// `grant.created`
    GrantCreated { grant_id: GrantId, agent_id: AgentId, principal_id: String, scopes: Scopes },
    /// `grant.revoked`
    GrantRevoked { grant_id: GrantId, revoked_by: RevokedBy },
    /// `token.issued`
    TokenIssued { grant_id: GrantId, token_id: TokenId, method: IssueMethod },
    /// `budget.threshold`
    BudgetThreshold {
        grant_id: GrantId,
        percentage: u8,
        remaining: AmountNumber,
        initial: AmountNumber,
    },
    /// `budget.exhausted`
    BudgetExhausted { grant_id: GrantId, initial: AmountNumber },
}

impl EventData {
    /// The type that this payload belongs to.
    pub const fn event_type(&self) -> EventType {
        match self {
            Self::GrantCreated { .. } => EventType::GrantCreated,
            Self::GrantRevoked { .. } => EventType::GrantRevoked,
            Self::TokenIssued { .. } => EventType::TokenIssued,
            Self::BudgetThreshold { .. } => EventType::BudgetThreshold,
            Self::BudgetExhausted { .. } => EventType::BudgetExhausted,
        }
    }

    /// The grant it is about.
    pub const fn grant_id(&self) -> GrantId {
        match self {
            Self::GrantCreated { grant_id, .. }
            | Self::GrantRevoked { grant_id, .. }
            | Self::TokenIssued { grant_id, .. }
            | Self::BudgetThreshold { grant_id, .. }
            | Self::BudgetExhausted { grant_id, .. } => *grant_id,
        }
    }

    /// The payload of an event of this type, from its JSON; fields that are new are passed over.
    pub fn from_json(kind: EventType, json: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Created {
            grant_id: GrantId,
            agent_id: AgentId,
            principal_id: String,
            scopes: Scopes,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Revoked {
            grant_id: GrantId,
            revoked_by: RevokedBy,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Issued {
            grant_id: GrantId,
            token_id: TokenId,
            method: IssueMethod,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Threshold {
            grant_id: GrantId,
            percentage: u8,
            remaining: AmountNumber,
            initial: AmountNumber,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Exhausted {
            grant_id: GrantId,
            initial: AmountNumber,
        }

        Ok(match kind {
            EventType::GrantCreated => {
                let Created { grant_id, agent_id, principal_id, scopes } =
                    serde_json::from_str(json)?;
                Self::GrantCreated { grant_id, agent_id, principal_id, scopes }
            }
            EventType::GrantRevoked => {
                let Revoked { grant_id, revoked_by } = serde_json::from_str(json)?;
                Self::GrantRevoked { grant_id, revoked_by }
            }
            EventType::TokenIssued => {
                let Issued { grant_id, token_id, method } = serde_json::from_str(json)?;
                Self::TokenIssued { grant_id, token_id, method }
            }
            EventType::BudgetThreshold => {
                let Threshold { grant_id, percentage, remaining, initial } =
                    serde_json::from_str(json)?;
                Self::BudgetThreshold { grant_id, percentage, remaining, initial }
            }
            EventType::BudgetExhausted => {
                let Exhausted { grant_id, initial } = serde_json::from_str(json)?;
                Self::BudgetExhausted { grant_id, initial }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_round_trips() {
        let grant_id = GrantId::from_parts(1, 2);
        let amount = |text: &str| text.parse::<crate::Amount>().unwrap().as_number();
        for data in [
            EventData::GrantCreated {
                grant_id,
                agent_id: AgentId::from_parts(3, 4),
                principal_id: "user \"ü\" \u{2028}\n".into(),
                scopes: Scopes::new(vec!["calendar:read".into()]).unwrap(),
            },
            EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::System },
            EventData::TokenIssued {
                grant_id,
                token_id: TokenId::from_parts(5, 6),
                method: IssueMethod::Refresh,
            },
            EventData::BudgetThreshold {
                grant_id,
                percentage: 80,
                remaining: amount("200"),
                initial: amount("1000.5"),
            },
            EventData::BudgetExhausted { grant_id, initial: amount("0.0001") },
        ] {
            let event = Event {
                id: EventId::from_parts(7, 8),
                created_at: Timestamp::from_millis(9),
                data,
            };
            let json = serde_json::to_string(&event).unwrap();
            assert!(!json.contains('\n'), "an envelope is one line: {json}");
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
        }
    }

    #[test]
    fn type_sets_refuse_unknown_and_empty_names() {
        for bad in [",", "grant.created,", "grant.*", "GRANT.CREATED", " grant.created"] {
            assert!(bad.parse::<TypeSet>().is_err(), "{bad}");
        }
        assert!("token.issued".parse::<TypeSet>().unwrap().is_subset_of(TypeSet::ALL));
        for kind in EventType::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(EventType::from_code(kind.code()), Some(kind));
        }
    }

    /// Invariant: an envelope stays below 65,535 bytes, with the largest of everything and with
    /// what JSON escapes.
    #[test]
    fn the_largest_envelope_is_below_64_kib() {
        use crate::scope::LARGEST_SCOPES;
        use crate::{AgentId, Amount, EventId, GrantId, Scopes, Timestamp, TokenId};
        let largest = |data| {
            let id = EventId::from_parts(u64::MAX, u128::MAX);
            let created_at = Timestamp::from_millis(253_402_300_799_999);
            serde_json::to_vec(&Event { id, created_at, data }).unwrap().len()
        };
        let grant_id = GrantId::from_parts(u64::MAX, u128::MAX);
        let created = |principal_id: String, scopes: Scopes| EventData::GrantCreated {
            grant_id,
            agent_id: AgentId::from_parts(u64::MAX, u128::MAX),
            principal_id,
            scopes,
        };
        // A character of a principal takes four bytes at most, and six where JSON escapes it.
        let escaped = serde_json::to_string("\u{1}").unwrap().len() - 2;
        assert_eq!((escaped, "\u{10FFFF}".len()), (6, 4));
        let principal = "\u{1}".repeat(256);
        // What older lists may hold: quotes, which JSON escapes.
        let mut older = vec!["\"".repeat(256); 63];
        older.push("x".repeat(LARGEST_SCOPES - 63 * (512 + 3) - 2 - 2));
        let older: Scopes = serde_json::from_value(older.into()).unwrap();
        assert_eq!(older.json_bytes(), LARGEST_SCOPES);
        let bytes = largest(created(principal, older));
        let fixed = largest(created(String::new(), Scopes::default()));
        assert_eq!(bytes, fixed + 256 * 6 + LARGEST_SCOPES - 2);
        assert!(bytes < 65_535 && fixed < 300, "{bytes}");

        let number = || Amount::MAX.as_number();
        for data in [
            EventData::GrantRevoked { grant_id, revoked_by: RevokedBy::Developer },
            EventData::TokenIssued {
                grant_id,
                token_id: TokenId::from_parts(u64::MAX, u128::MAX),
                method: IssueMethod::Exchange,
            },
            EventData::BudgetThreshold {
                grant_id,
                percentage: 80,
                remaining: number(),
                initial: number(),
            },
            EventData::BudgetExhausted { grant_id, initial: number() },
        ] {
            assert!(largest(data) < 300);
        }
    }
}
