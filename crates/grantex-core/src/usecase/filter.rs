//! Which events a reader sees: one rule for live streams, replay and history.

use grantex_types::{AgentId, ErrorCode, EventType, GrantId, TypeSet};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::log::SubjectRef;
use crate::{Error, Result, validate};

/// Which events a reader asked for. Agent and principal are those of the event's grant. A ticket
/// carries it in this form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventFilter {
    /// The types.
    #[serde(
        rename = "t",
        default = "all_types",
        skip_serializing_if = "is_all",
        serialize_with = "write_types",
        deserialize_with = "read_types"
    )]
    pub types: TypeSet,
    /// Only events of this agent's grants.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<AgentId>,
    /// Only events of grants that this principal gave.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// Only events of this grant.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<GrantId>,
}

const fn all_types() -> TypeSet {
    TypeSet::ALL
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_all(types: &TypeSet) -> bool {
    types.is_all()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn write_types<S: Serializer>(
    types: &TypeSet,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(types.iter())
}

fn read_types<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<TypeSet, D::Error> {
    Ok(Vec::<EventType>::deserialize(deserializer)?.into_iter().collect())
}

impl EventFilter {
    /// A filter whose parameters came as text. An error names the parameter.
    pub fn parse(
        types: TypeSet,
        agent_id: Option<&str>,
        principal_id: Option<&str>,
        grant_id: Option<&str>,
    ) -> Result<Self> {
        let agent_id = agent_id.map(str::parse).transpose();
        let grant_id = grant_id.map(str::parse).transpose();
        Ok(Self {
            types,
            agent_id: agent_id.map_err(|error| Error::bad_request(format!("agentId: {error}")))?,
            principal_id: principal_id.map(validate::known_principal_id).transpose()?,
            grant_id: grant_id.map_err(|error| Error::bad_request(format!("grantId: {error}")))?,
        })
    }

    /// Whether it hides nothing.
    pub fn is_open(&self) -> bool {
        self.types.is_all() && !self.asks_for_subject()
    }

    /// Whether it asks about more than the type.
    pub fn asks_for_subject(&self) -> bool {
        self.agent_id.is_some() || self.principal_id.is_some() || self.grant_id.is_some()
    }

    /// Whether it shows an event. The subject must be given if it is [asked
    /// for](Self::asks_for_subject).
    pub fn shows(&self, kind: EventType, subject: Option<SubjectRef<'_>>) -> bool {
        let shows_subject = |subject: SubjectRef<'_>| {
            self.agent_id.is_none_or(|id| id == subject.agent_id)
                && self.principal_id.as_ref().is_none_or(|id| id == subject.principal_id)
                && self.grant_id.is_none_or(|id| id == subject.grant_id)
        };
        self.types.contains(kind)
            && (!self.asks_for_subject() || subject.is_some_and(shows_subject))
    }

    /// This filter within a ticket's: what it leaves open is as the ticket has it, and it may ask
    /// for nothing that the ticket hides.
    pub fn within(self, ticket: &Self) -> Result<Self> {
        let types = if self.types.is_all() { ticket.types } else { self.types };
        if !types.is_subset_of(ticket.types) {
            return Err(beyond("types"));
        }
        Ok(Self {
            types,
            agent_id: narrow("agentId", self.agent_id, ticket.agent_id.as_ref())?,
            principal_id: narrow("principalId", self.principal_id, ticket.principal_id.as_ref())?,
            grant_id: narrow("grantId", self.grant_id, ticket.grant_id.as_ref())?,
        })
    }
}

fn narrow<T: PartialEq + Clone>(
    name: &str,
    own: Option<T>,
    ticket: Option<&T>,
) -> Result<Option<T>> {
    match (own, ticket) {
        (Some(own), Some(ticket)) if own != *ticket => Err(beyond(name)),
        (own, ticket) => Ok(own.or_else(|| ticket.cloned())),
    }
}

fn beyond(name: &str) -> Error {
    Error::refused(
        ErrorCode::Forbidden,
        format!("the ticket does not cover this {name}; a ticket's filters can only be narrowed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(types: &str, grant: Option<&str>) -> EventFilter {
        EventFilter::parse(types.parse().unwrap(), None, None, grant).unwrap()
    }

    #[test]
    fn a_tickets_filter_can_only_be_narrowed() {
        let grant = GrantId::from_parts(1, 1).to_string();
        let other = GrantId::from_parts(1, 2).to_string();
        let ticket = filter("grant.created,grant.revoked", Some(&grant));
        assert_eq!(filter("", None).within(&ticket).unwrap(), ticket);
        let narrow = filter("grant.created", None).within(&ticket).unwrap();
        assert_eq!(narrow, filter("grant.created", Some(&grant)));
        assert!(filter("token.issued", None).within(&ticket).is_err());
        assert!(filter("", Some(&other)).within(&ticket).is_err());
    }

    #[test]
    fn filters_survive_a_ticket() {
        for filter in [
            filter("", None),
            filter("grant.created,grant.revoked", None),
            filter("budget.exhausted", Some(&GrantId::from_parts(1, 1).to_string())),
        ] {
            let text = serde_json::to_string(&filter).unwrap();
            assert_eq!(serde_json::from_str::<EventFilter>(&text).unwrap(), filter, "{text}");
        }
    }
}
