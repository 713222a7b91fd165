//! What a subscriber wants to see: the same for live, replay and history.

use grantex_core::log::SubjectRef;
use grantex_types::{AgentId, EventType, GrantId, TypeSet};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use crate::http::error::{ApiError, ApiResult};
use crate::http::query::Known;

/// The filter parameters of a request.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct FilterQuery {
    /// Only these event types, separated by commas; all of them when left out or empty.
    #[param(
        pattern = r"^((grant\.created|grant\.revoked|token\.issued|budget\.threshold|budget\.exhausted)(,(grant\.created|grant\.revoked|token\.issued|budget\.threshold|budget\.exhausted)){0,4})?$"
    )]
    pub(crate) types: Option<String>,
    /// Only events of this agent's grants.
    #[param(value_type = Option<AgentId>)]
    pub(crate) agent_id: Option<String>,
    /// Only events of grants that this principal gave.
    #[param(
        min_length = 1,
        max_length = 256,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    pub(crate) principal_id: Option<String>,
    /// Only events of this grant.
    #[param(value_type = Option<GrantId>)]
    pub(crate) grant_id: Option<String>,
}

impl Known for FilterQuery {
    const NAMES: &'static [&'static str] = &["types", "agentId", "principalId", "grantId"];
}

/// A parsed filter. Agent and principal are those of the event's grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) types: TypeSet,
    pub(crate) agent_id: Option<AgentId>,
    pub(crate) principal_id: Option<String>,
    pub(crate) grant_id: Option<GrantId>,
}

/// A filter as a ticket carries it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct StoredFilter {
    #[serde(rename = "t", default, skip_serializing_if = "Vec::is_empty")]
    types: Vec<EventType>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    agent_id: Option<AgentId>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    principal_id: Option<String>,
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    grant_id: Option<GrantId>,
}

impl FilterQuery {
    pub(crate) fn parse(&self) -> ApiResult<Filter> {
        let types = self.types.as_deref().unwrap_or_default().parse();
        let types = types.map_err(|error: grantex_types::event::UnknownEventType| {
            ApiError::bad_request(format!("types: {error}"))
        })?;
        Filter::new(
            types,
            self.agent_id.as_deref(),
            self.principal_id.as_deref(),
            self.grant_id.as_deref(),
        )
    }
}

impl Filter {
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

    /// Whether it hides nothing.
    pub(crate) fn is_open(&self) -> bool {
        self.types.is_all() && !self.asks_for_subject()
    }

    /// Whether it asks about more than the type.
    pub(crate) fn asks_for_subject(&self) -> bool {
        self.agent_id.is_some() || self.principal_id.is_some() || self.grant_id.is_some()
    }

    /// Whether it shows an event. The subject has to be there if it is [asked
    /// for](Self::asks_for_subject).
    pub(crate) fn shows(&self, kind: EventType, subject: Option<SubjectRef<'_>>) -> bool {
        let shows_subject = |subject: SubjectRef<'_>| {
            self.agent_id.is_none_or(|id| id == subject.agent_id)
                && self.principal_id.as_ref().is_none_or(|id| id == subject.principal_id)
                && self.grant_id.is_none_or(|id| id == subject.grant_id)
        };
        self.types.contains(kind)
            && (!self.asks_for_subject() || subject.is_some_and(shows_subject))
    }

    /// This filter within `outer`: whatever it leaves open is as `outer` has it, and it may ask
    /// for nothing that `outer` hides.
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

    pub(crate) fn store(&self) -> StoredFilter {
        StoredFilter {
            types: if self.types.is_all() { Vec::new() } else { self.types.iter().collect() },
            agent_id: self.agent_id,
            principal_id: self.principal_id.clone(),
            grant_id: self.grant_id,
        }
    }
}

impl From<StoredFilter> for Filter {
    fn from(stored: StoredFilter) -> Self {
        Self {
            types: stored.types.into_iter().collect(),
            agent_id: stored.agent_id,
            principal_id: stored.principal_id,
            grant_id: stored.grant_id,
        }
    }
}

fn beyond(name: &str) -> ApiError {
    ApiError::new(
        grantex_types::ErrorCode::Forbidden,
        format!("the ticket does not cover this {name}; a ticket's filters can only be narrowed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(types: &str, grant: Option<&str>) -> Filter {
        Filter::new(types.parse().unwrap(), None, None, grant).unwrap()
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
            filter("budget.exhausted", Some(&GrantId::from_parts(1, 1).to_string())),
        ] {
            assert_eq!(Filter::from(filter.store()), filter);
        }
    }
}
