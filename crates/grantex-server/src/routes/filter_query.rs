//! The filter parameters of streams and of the history.

use grantex_types::event::UnknownEventType;
use grantex_types::{AgentId, GrantId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::http::error::{ApiError, ApiResult};
use crate::http::query::Known;
use grantex_core::usecase::filter::EventFilter;

/// The filter parameters of a request.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(crate) struct FilterQuery {
    /// Only these event types, separated by commas; all types when left out or empty.
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

impl FilterQuery {
    pub(crate) fn parse(&self) -> ApiResult<EventFilter> {
        let types = self.types.as_deref().unwrap_or_default().parse();
        let types = types
            .map_err(|error: UnknownEventType| ApiError::bad_request(format!("types: {error}")))?;
        Ok(EventFilter::parse(
            types,
            self.agent_id.as_deref(),
            self.principal_id.as_deref(),
            self.grant_id.as_deref(),
        )?)
    }
}
