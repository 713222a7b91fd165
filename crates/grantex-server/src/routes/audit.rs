//! The audit trail.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::usecase::audit;
use grantex_types::AuditId;
use grantex_types::api::audit::AuditEntryList;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::http::error::ApiResult;
use crate::http::page::{ListQuery, next_cursor};
use crate::http::query::ListParams;
use crate::request::extract::Auth;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Read the audit trail
///
/// Changes that the event log does not have, newest first: to API keys, principals' sessions and
/// names of scopes, and by the operator of the service.
#[utoipa::path(get, path = "/v1/audit/entries", tag = "Developers", params(ListQuery, ("after" = Option<AuditId>, Query, description = "Only items after this one: the `nextCursor` of the previous page")),
    responses((status = 200, description = "The entries", body = AuditEntryList)))]
async fn list(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams(list): ListParams<ListQuery>,
) -> ApiResult<Body<AuditEntryList>> {
    let page = list.page()?;
    let mut entries =
        app.read_long(caller.developer_id, move |store| audit::list(store, &caller, page)).await?;
    let next_cursor = next_cursor(&mut entries, page.limit, |entry| entry.id);
    Ok(Body(AuditEntryList { entries, next_cursor }))
}
