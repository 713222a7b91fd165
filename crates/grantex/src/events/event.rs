use std::borrow::Cow;

use grantex_types::{EventData, EventId, EventType, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Error;

/// One event of a developer's log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GrantexEvent {
    /// Unique; increases strictly within the log. The key to de-duplicate by, and the cursor to
    /// resume from ([`StreamOptions::last_event_id`](crate::StreamOptions::last_event_id)).
    pub id: EventId,
    /// What happened, such as `grant.created`.
    pub r#type: Cow<'static, str>,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// The payload.
    pub data: Payload,
    json: Box<str>,
}

/// An event with its position; from [`Events::get`](super::Events::get).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlacedEvent {
    /// Its position in the log: 1, 2, 3, … without gaps.
    pub position: u64,
    /// The event.
    pub event: GrantexEvent,
}

/// An event's payload.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Payload {
    /// The payload of a type that this version knows.
    Known(EventData),
    /// The JSON of a payload whose type or shape this version does not know.
    Unknown(Box<RawValue>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    id: EventId,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    created_at: Timestamp,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl GrantexEvent {
    /// The event whose envelope this is, as [`json`](Self::json) gave it.
    ///
    /// ```
    /// let json = r#"{"id":"evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA","type":"grant.revoked","createdAt":"2026-03-01T12:00:00.000Z","data":{"grantId":"grnt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA","revokedBy":"principal"}}"#;
    /// let event = grantex::GrantexEvent::from_json(json)?;
    /// assert_eq!((event.r#type.as_ref(), event.json()), ("grant.revoked", json));
    /// # Ok::<(), grantex::Error>(())
    /// ```
    pub fn from_json(json: impl Into<String>) -> Result<Self, Error> {
        let json = json.into();
        let envelope: Envelope<'_> = serde_json::from_str(&json)
            .map_err(|error| Error::Protocol(format!("an event: {error}")))?;
        let known = envelope.r#type.parse::<EventType>().ok();
        let data = known.and_then(|kind| EventData::from_json(kind, envelope.data.get()).ok());
        Ok(Self {
            id: envelope.id,
            r#type: match known {
                Some(kind) => Cow::Borrowed(kind.as_str()),
                None => Cow::Owned(envelope.r#type.into_owned()),
            },
            timestamp: envelope.created_at,
            data: data.map_or_else(|| Payload::Unknown(envelope.data.to_owned()), Payload::Known),
            json: json.into_boxed_str(),
        })
    }

    /// The event's envelope as the service sent it, on one line:
    /// `{"id","type","createdAt","data"}`.
    pub fn json(&self) -> &str {
        &self.json
    }
}
