//! The checksum of an event's row, which detects damage.
//!
//! A row's checksum is two CRC-32Cs in one number: below, what every reader needs (position, id,
//! time, type and envelope); above, the subject, which only filters ask for and which costs as much
//! to read as all the rest. A CRC detects every change within 32 consecutive bits, so each flipped
//! byte. Rows of releases without checksums have none until maintenance has added them; until then
//! they are checked by their structure.

use crc32c::{crc32c, crc32c_append};
use grantex_core::log::{EventRef, SubjectRef};
use grantex_types::{
    AgentId, DeveloperId, Event, EventData, EventId, EventType, GrantId, Timestamp,
};
use rusqlite::Row;

/// The rows of a log after a position. A column that is not used costs its share of a row's time,
/// too.
pub(super) const AFTER: &str =
    "SELECT position, id, created_at, kind, envelope, checksum FROM events
    WHERE developer_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3";
/// The same with subjects.
pub(super) const AFTER_WITH_SUBJECTS: &str =
    "SELECT position, id, created_at, kind, envelope, checksum, grant_id, agent_id, principal_id FROM events
    WHERE developer_id = ?1 AND position > ?2 ORDER BY position LIMIT ?3";
/// Those before a position, newest first.
pub(super) const BEFORE: &str =
    "SELECT position, id, created_at, kind, envelope, checksum FROM events
    WHERE developer_id = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3";
/// The same with subjects.
pub(super) const BEFORE_WITH_SUBJECTS: &str =
    "SELECT position, id, created_at, kind, envelope, checksum, grant_id, agent_id, principal_id FROM events
    WHERE developer_id = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3";
/// One row.
pub(super) const AT: &str = "SELECT position, id, created_at, kind, envelope, checksum FROM events
    WHERE developer_id = ?1 AND position = ?2";

/// The checksums of one developer's events: a row that was moved to another's log has a wrong one.
pub(super) struct Sums {
    developer: u32,
}

impl Sums {
    pub(super) fn of(developer: DeveloperId) -> Self {
        Self { developer: crc32c(&developer.to_bytes()) }
    }

    /// The checksum of an event.
    pub(super) fn sum(&self, event: &EventRef<'_>, subject: SubjectRef<'_>) -> i64 {
        let (content, subject) = (self.content(event), self.subject(event, subject));
        i64::from(subject).wrapping_shl(32) | i64::from(content)
    }

    fn content(&self, event: &EventRef<'_>) -> u32 {
        let mut head = [0; 33];
        let (position, rest) = head.split_at_mut(8);
        position.copy_from_slice(&event.position.to_le_bytes());
        let (created_at, rest) = rest.split_at_mut(8);
        created_at.copy_from_slice(&event.created_at.millis().to_le_bytes());
        let (id, kind) = rest.split_at_mut(16);
        id.copy_from_slice(&event.id.to_bytes());
        kind.copy_from_slice(&[event.kind.code()]);
        crc32c_append(crc32c_append(self.developer, &head), event.envelope)
    }

    fn subject(&self, event: &EventRef<'_>, subject: SubjectRef<'_>) -> u32 {
        let mut sum = crc32c_append(self.developer, &event.position.to_le_bytes());
        sum = crc32c_append(sum, &subject.grant_id.to_bytes());
        sum = crc32c_append(sum, &subject.agent_id.to_bytes());
        crc32c_append(sum, subject.principal_id.as_bytes())
    }

    /// The event of a row of these queries, if the row is as it was written. By number: replay
    /// reads millions, and finding a column by its name takes as long as reading it.
    pub(super) fn read<'r>(&self, row: &'r Row<'_>, with_subject: bool) -> Option<EventRef<'r>> {
        let number = |column: usize| {
            row.get::<_, i64>(column).ok().and_then(|value| u64::try_from(value).ok())
        };
        let subject = || {
            Some(SubjectRef {
                grant_id: GrantId::from_bytes(row.get(6).ok()?),
                agent_id: AgentId::from_bytes(row.get(7).ok()?),
                principal_id: row.get_ref(8).ok()?.as_str().ok()?,
            })
        };
        let event = EventRef {
            position: number(0)?,
            id: EventId::from_bytes(row.get(1).ok()?),
            created_at: Timestamp::from_millis(number(2)?),
            kind: EventType::from_code(row.get(3).ok()?)?,
            subject: if with_subject { Some(subject()?) } else { None },
            envelope: row.get_ref(4).ok()?.as_blob().ok()?,
        };
        let is_whole = match row.get::<_, Option<i64>>(5).ok()? {
            Some(sum) => {
                halves(sum).0 == self.content(&event)
                    && event
                        .subject
                        .is_none_or(|subject| halves(sum).1 == self.subject(&event, subject))
            }
            None => agrees(&event),
        };
        is_whole.then_some(event)
    }
}

/// The sum of the content, and that of the subject.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the two halves of one number"
)]
fn halves(sum: i64) -> (u32, u32) {
    (sum as u32, sum.wrapping_shr(32) as u32)
}

/// Whether an event's envelope agrees with its columns.
pub(super) fn agrees(event: &EventRef<'_>) -> bool {
    let Ok(told) = serde_json::from_slice::<Event>(event.envelope) else { return false };
    let agrees_on = |subject: SubjectRef<'_>| {
        told.data.grant_id() == subject.grant_id
            && match &told.data {
                EventData::GrantCreated { agent_id, principal_id, .. } => {
                    *agent_id == subject.agent_id && principal_id == subject.principal_id
                }
                _ => true,
            }
    };
    (told.id, told.created_at, told.data.event_type()) == (event.id, event.created_at, event.kind)
        && event.subject.is_none_or(agrees_on)
}
