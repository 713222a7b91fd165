//! Creating a developer without HTTP: for services whose signup is closed.

use grantex_core::Result;
use grantex_core::model::Actor;
use grantex_core::store::{self, Needs, Scope, Store};
use grantex_core::usecase::developers;
use grantex_types::api::developers::{SignupRequest, SignupResponse};

use crate::crypto::new_api_key;

/// Creates a developer with its first key, as `POST /v1/signup` does. The audit trail names `by`.
pub async fn bootstrap(
    store: &dyn Store,
    request: SignupRequest,
    by: Actor,
) -> Result<SignupResponse> {
    let (api_key, secret) = new_api_key(request.mode.unwrap_or_default());
    let (developer, _) = store::write(store, Scope::Global, Needs::NONE, "sign_up", move |tx| {
        developers::sign_up(tx, &request, secret.clone(), by.clone())
    })
    .await?;
    Ok(SignupResponse {
        developer_id: developer.developer_id,
        api_key,
        name: developer.name,
        email: developer.email,
        mode: developer.mode,
        created_at: developer.created_at,
    })
}
