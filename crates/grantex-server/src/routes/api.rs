//! The routes that the OpenAPI document describes.

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::{
    agents, audit, authorization, budgets, developers, events, grants, history, operations,
    principals, scopes, tokens,
};
use crate::app::App;

/// The routes of all resources.
pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(developers::router())
        .merge(agents::router())
        .merge(audit::router())
        .merge(authorization::router())
        .merge(tokens::router())
        .merge(grants::router())
        .merge(principals::router())
        .merge(scopes::router())
        .merge(budgets::router())
        .merge(events::router())
        .merge(history::router())
        .merge(operations::router())
}
