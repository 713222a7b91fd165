//! The pages that people open in a browser: server-rendered, without scripts.
//!
//! | Module | What it shows |
//! |---|---|
//! | `consent`, `decided` | a request for consent, and what became of the decision |
//! | `dashboard`, `revoke` | a principal's grants, and the question before one is revoked |
//! | `access_tree` | a principal's grants as rows of the dashboard |
//! | `home` | what the service is, at `/` |
//! | `layout` | what all pages share |

mod access_tree;
mod consent;
mod dashboard;
mod decided;
mod home;
mod layout;
mod revoke;

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use axum::routing::{get, post};
use http::header;

use self::layout::{error_page, wants_html};
use crate::app::App;
use crate::http::error::ApiError;
use crate::http::request_id::RequestId;

const HOME: &str = "/";
const CONSENT: &str = "/consent";
const DASHBOARD: &str = "/dashboard";
const REVOKE: &str = "/dashboard/revoke";
const SIGN_OUT: &str = "/dashboard/sign-out";

pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route(HOME, get(home::show))
        .route(CONSENT, get(consent::show).post(consent::decide))
        .route(DASHBOARD, get(dashboard::show))
        .route(REVOKE, get(dashboard::ask).post(dashboard::revoke))
        .route(SIGN_OUT, post(dashboard::sign_out))
}

/// Answers with a page what fails in a browser: on the paths of the pages, and on paths that do not
/// exist if HTML is asked for.
pub(super) async fn show_errors(request: Request, next: Next) -> Response {
    let is_for_people = match request.extensions().get::<MatchedPath>() {
        Some(path) => [CONSENT, DASHBOARD, REVOKE, SIGN_OUT].contains(&path.as_str()),
        None => wants_html(request.headers()),
    };
    let id = request.extensions().get::<RequestId>().map(ToString::to_string);
    let mut response = next.run(request).await;
    if !is_for_people {
        return response;
    }
    let Some(error) = response.extensions_mut().remove::<ApiError>() else { return response };
    let mut shown = error_page(&error, id.as_deref());
    // Those that other layers and the router added, such as the methods that a path has.
    let mut others = std::mem::take(response.headers_mut());
    others.remove(header::CONTENT_LENGTH);
    shown.headers_mut().extend(others);
    shown
}
