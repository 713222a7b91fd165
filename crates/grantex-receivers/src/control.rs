use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use parking_lot::Mutex;
use std::sync::Arc;

use crate::{Fault, Faults, Kept};

/// For tests in another process: `GET /received` returns the ids, `POST /faults` takes a list of
/// [`Fault`]s, `DELETE /faults` forgets them, `POST /credential` sets the credential that is
/// accepted.
pub fn control(kept: Kept, faults: Faults, credential: Arc<Mutex<String>>) -> Router {
    let taken = faults.clone();
    Router::new()
        .route("/received", get(|State(kept): State<Kept>| async move { axum::Json(kept.ids()) }))
        .route("/credential", post(|body: String| async move { *credential.lock() = body }))
        .route(
            "/faults",
            post(move |axum::Json(new): axum::Json<Vec<Fault>>| async move { taken.add(new) })
                .delete(move || async move { faults.clear() }),
        )
        .with_state(kept)
}
