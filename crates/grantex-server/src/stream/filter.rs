//! Which events are shown: one filter for live events, replay and history.

use grantex_core::log::SubjectRef;
use grantex_types::{AgentId, EventType, GrantId, TypeSet};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::http::error::{ApiError, ApiResult};

/// Which events are shown. Agent and principal are those of the event's grant. A ticket carries it
/// in this form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventFilter {
    #[serde(
        rename = "t",
        default = "all_types",
        skip_serializing_if = "is_all",
        serialize_with = "write_types",
        deserialize_with = "read_types"
    )]
    pub(crate) types: TypeSet,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent_id: Option<AgentId>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) principal_id: Option<String>,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant_id: Option<GrantId>,
}

const fn all_types() -> TypeSet {
    TypeSet::ALL
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_all(types: &TypeSet) -> bool {
    types.is_all()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn write_types<S: Serializer>(types: &TypeSet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(types.iter())
}

fn read_types<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TypeSet, D::Error> {
    Ok(Vec::<EventType>::deserialize(deserializer)?.into_iter().collect())
}

impl EventFilter {
    pub(crate) fn new(
        types: TypeSet,
        agent_id: Option<&str>,
        principal_id: Option<&str>,
        grant_id: Option<&str>,
    ) -> ApiResult<Self> {
        let agent_id = agent_id.map(str::parse).transpose();
        let grant_id = grant_id.map(str::parse).transpose();
        Ok(Self {
            types,
            agent_id: agent_id
                .map_err(|error| ApiError::bad_request(format!("agentId: {error}")))?,
            principal_id: principal_id
                .map(grantex_core::validate::known_principal_id)
                .transpose()?,
            grant_id: grant_id
                .map_err(|error| ApiError::bad_request(format!("grantId: {error}")))?,
        })
    }

    /// Whether it shows every event.
    pub(crate) fn is_open(&self) -> bool {
        self.types.is_all() && !self.asks_for_subject()
    }

    /// Whether it asks about more than the type.
    pub(crate) fn asks_for_subject(&self) -> bool {
        self.agent_id.is_some() || self.principal_id.is_some() || self.grant_id.is_some()
    }

    /// Whether it shows an event. `subject` is needed if the filter [asks for
    /// it](Self::asks_for_subject).
    pub(crate) fn shows(&self, kind: EventType, subject: Option<SubjectRef<'_>>) -> bool {
        let shows_subject = |subject: SubjectRef<'_>| {
            self.agent_id.is_none_or(|id| id == subject.agent_id)
                && self.principal_id.as_ref().is_none_or(|id| id == subject.principal_id)
                && self.grant_id.is_none_or(|id| id == subject.grant_id)
        };
        self.types.contains(kind)
            && (!self.asks_for_subject() || subject.is_some_and(shows_subject))
    }

    /// This filter within `outer`: what it leaves open is taken from `outer`. Fails if it asks for
    /// something that `outer` hides.
    pub(crate) fn within(self, outer: &Self) -> ApiResult<Self> {
        fn narrow<T: PartialEq + Clone>(
            name: &str,
            own: Option<T>,
            outer: Option<&T>,
        ) -> ApiResult<Option<T>> {
            match (own, outer) {
                (Some(own), Some(outer)) if own != *outer => Err(beyond(name)),
                (own, outer) => Ok(own.or_else(|| outer.cloned())),
            }
        }
        let types = if self.types.is_all() { outer.types } else { self.types };
        if !types.is_subset_of(outer.types) {
            return Err(beyond("types"));
        }
        Ok(Self {
            types,
            agent_id: narrow("agentId", self.agent_id, outer.agent_id.as_ref())?,
            principal_id: narrow("principalId", self.principal_id, outer.principal_id.as_ref())?,
            grant_id: narrow("grantId", self.grant_id, outer.grant_id.as_ref())?,
        })
    }
}

fn beyond(name: &str) -> ApiError {
    ApiError::new(
        grantex_types::ErrorCode::Forbidden,
        format!("the ticket does not cover this {name}; a stream can only narrow its filter"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(types: &str, grant: Option<&str>) -> EventFilter {
        EventFilter::new(types.parse().unwrap(), None, None, grant).unwrap()
    }

    #[test]
    fn a_tickets_filter_can_only_be_narrowed() {
        let grant = GrantId::from_parts(1, 1).to_string();
        let other = GrantId::from_parts(1, 2).to_string();
        let outer = filter("grant.created,grant.revoked", Some(&grant));
        assert_eq!(filter("", None).within(&outer).unwrap(), outer);
        let narrow = filter("grant.created", None).within(&outer).unwrap();
        assert_eq!(narrow, filter("grant.created", Some(&grant)));
        assert!(filter("token.issued", None).within(&outer).is_err());
        assert!(filter("", Some(&other)).within(&outer).is_err());
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
