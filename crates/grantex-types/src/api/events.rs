//! The event history and stream tickets.

use serde_json::value::RawValue;

use super::bodies;
use crate::{EventId, EventType, Timestamp};

bodies! {
    /// `GET /v1/events`
    pub struct EventList {
        /// The events in the order asked for, each exactly as it was streamed.
        #[cfg_attr(feature = "openapi", schema(value_type = Vec<EventEnvelope>))]
        pub events: Vec<Box<RawValue>>,
        /// The position of each of `events` in the log: 1, 2, 3, … without a gap.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(required = true))]
        pub positions: Vec<u64>,
        /// Where to read on (`after`; `before` with `order=desc`), also past events that the filter
        /// hid; `null` when the log held nothing more at the time of the answer.
        pub next_cursor: Option<EventId>,
        /// The position of the oldest event that is retained; `head` + 1 if there is none.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(required = true))]
        pub oldest: u64,
        /// The position of the newest event; 0 if there has never been one.
        #[serde(default)]
        #[cfg_attr(feature = "openapi", schema(required = true))]
        pub head: u64,
    }

    /// `GET /v1/events/{id}`
    pub struct PlacedEvent {
        /// Its position in the log: 1, 2, 3, … without a gap.
        pub position: u64,
        /// The event, exactly as it was streamed.
        #[cfg_attr(feature = "openapi", schema(value_type = EventEnvelope))]
        pub event: Box<RawValue>,
    }

    /// An event as it is stored and sent.
    pub struct EventEnvelope {
        /// The event's id: the key to de-duplicate by, and the cursor to resume from.
        pub id: EventId,
        /// What happened.
        pub r#type: EventType,
        /// When it was committed.
        pub created_at: Timestamp,
        /// The payload; its fields depend on the type.
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        pub data: Box<RawValue>,
    }

    /// `POST /v1/events/tickets`. Every field is optional; filters bind the ticket's streams.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct TicketRequest {
        /// How long the ticket is valid; default `15m`, at most `24h`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, pattern = "^(([1-9][0-9]{0,3}|[1-7][0-9]{4}|8[0-5][0-9]{3}|86[0-3][0-9]{2}|86400)s|([1-9][0-9]{0,2}|1[0-3][0-9]{2}|14[0-3][0-9]|1440)m|([1-9]|1[0-9]|2[0-4])h|1d)$", example = "15m"))]
        pub expires_in: Option<String>,
        /// Only these types; all types when left out or empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub types: Option<Vec<EventType>>,
        /// Only grants of this agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::AgentId>))]
        pub agent_id: Option<String>,
        /// Only grants of this principal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"))]
        pub principal_id: Option<String>,
        /// Only this grant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::GrantId>))]
        pub grant_id: Option<String>,
    }

    /// The answer to `POST /v1/events/tickets`.
    pub struct TicketResponse {
        /// The value of the `ticket` parameter of both streams.
        pub ticket: String,
        /// When the ticket expires. Its open streams end then.
        pub expires_at: Timestamp,
    }
}
