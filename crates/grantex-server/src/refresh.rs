//! A bounded age for everything that is kept in memory beside the store.
//!
//! Commit notices keep the memory up to date ([`Memory`](crate::memory::Memory)). If a notice is
//! lost, the memory learns of the change here: late, but at most after two periods.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use grantex_core::log::Position;
use grantex_core::store::{Read, Scope, StoreResult};
use grantex_core::usecase::quotas;
use grantex_types::{DeveloperId, KeyId};

use crate::app::App;
use crate::http::error::ApiResult;

/// Developers whose streams one query checks: some milliseconds.
const STREAMS_PAGE: usize = 256;
/// How often quotas of bytes are compared with the store. Each comparison goes over all developers,
/// and a quota is overdrawn by what one can write in this time.
const QUOTAS_PERIOD: Duration = Duration::from_secs(60);
/// Developers whose quotas one query compares: some milliseconds.
const DEVELOPERS_PAGE: u32 = 256;

/// Runs as long as the service.
pub(crate) async fn run(app: &App) {
    loop {
        app.memory.age();
        if let Err(error) = refresh(app).await {
            tracing::warn!(
                error = %error.message,
                "the memory could not be compared with the store; it is tried again soon"
            );
        }
        tokio::time::sleep(app.settings.memory_period).await;
    }
}

/// Looks for developers whose quota of bytes is used up. Runs as long as the service, in every
/// process: each refuses by itself.
pub(crate) async fn quotas(app: &App) {
    loop {
        if let Err(error) = find_full(app).await {
            tracing::warn!(
                error = %error.message,
                "the developers' quotas could not be compared with the store; it is tried again"
            );
        }
        tokio::time::sleep(QUOTAS_PERIOD).await;
    }
}

async fn find_full(app: &App) -> ApiResult<()> {
    let (quotas, mut full) = (app.settings.quotas, HashSet::new());
    let mut after: Option<DeveloperId> = None;
    loop {
        let (filled, last) = app
            .read_long(Scope::Global, move |store| {
                let page = store.developers_with_events(after, DEVELOPERS_PAGE)?;
                let mut filled = Vec::new();
                for developer in &page {
                    if quotas::is_full(store, *developer, &quotas)? {
                        filled.push(*developer);
                    }
                }
                Ok((filled, page.last().copied()))
            })
            .await?;
        full.extend(filled);
        if last.is_none() {
            *app.memory.full.write() = full;
            return Ok(());
        }
        after = last;
    }
}

async fn refresh(app: &App) -> ApiResult<()> {
    app.refresh_jwks().await?;
    let streams = Arc::clone(&app.memory.streams);
    for page in streams.developers().chunks(STREAMS_PAGE) {
        let asked: Vec<_> = page.iter().map(|id| (*id, streams.keys_of(*id))).collect();
        let read = app.read_long(Scope::Global, move |store| {
            let facts = |(id, keys)| Ok(StreamFacts::read(store, id, keys)?);
            asked.into_iter().map(facts).collect::<grantex_core::Result<Vec<_>>>()
        });
        for StreamFacts { developer, head, is_suspended, ended } in read.await? {
            streams.reaches(developer, head);
            if is_suspended {
                streams.suspend(developer);
            }
            for key in ended {
                streams.revoke_key(developer, key);
            }
        }
    }
    Ok(())
}

/// What a developer's streams have to know.
struct StreamFacts {
    developer: DeveloperId,
    /// How far its log reaches.
    head: Position,
    is_suspended: bool,
    /// Those of its keys that no longer work.
    ended: Vec<KeyId>,
}

impl StreamFacts {
    fn read(
        store: &dyn Read,
        developer: DeveloperId,
        keys: impl IntoIterator<Item = KeyId>,
    ) -> StoreResult<Self> {
        let mut ended = Vec::new();
        for id in keys {
            if store.key(developer, id)?.is_none_or(|key| key.revoked_at.is_some()) {
                ended.push(id);
            }
        }
        let tenant = store.tenant(developer)?;
        Ok(Self {
            developer,
            head: store.log_bounds(developer)?.head,
            is_suspended: tenant.is_some_and(|tenant| tenant.suspended_at.is_some()),
            ended,
        })
    }
}
