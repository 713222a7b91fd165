//! What the service does by itself, beside requests.

use std::sync::Arc;
use std::time::Duration;

use grantex_core::store::Scope;
use grantex_core::usecase::{cascade, maintenance};
use grantex_types::DeveloperId;

use crate::App;
use crate::http::error::ApiResult;

/// How often logs are trimmed and ended rows removed.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);
/// Rows that one transaction of maintenance removes: a few milliseconds, so that no request
/// notices.
const MAINTENANCE_ROWS: u32 = 1000;
/// Events of a former release that get their checksums in one transaction: some milliseconds too.
const SUMMED_ROWS: u32 = 500;
/// How long to wait when the store cannot be written.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often the metrics recorder tidies up its histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
const DEVELOPERS_PAGE: u32 = 256;

/// The background work of a service. Ends when the service shuts down.
pub struct Jobs;

impl Jobs {
    /// Starts it on the current runtime.
    pub fn start(app: &Arc<App>) {
        for job in [Job::Cascades, Job::Maintenance, Job::Upkeep, Job::CutRevoked] {
            let app = Arc::clone(app);
            tokio::spawn(async move {
                let shutdown = app.shutdown.clone();
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = job.run(&app) => {}
                }
            });
        }
    }
}

#[derive(Clone, Copy)]
enum Job {
    Cascades,
    Maintenance,
    Upkeep,
    CutRevoked,
}

impl Job {
    async fn run(self, app: &App) {
        match self {
            Self::Cascades => advance_cascades(app).await,
            Self::Maintenance => maintain(app).await,
            Self::Upkeep => upkeep(app).await,
            Self::CutRevoked => app.memory.streams.cut_revoked().await,
        }
    }
}

/// Works off large cascades, also those that a crash interrupted.
async fn advance_cascades(app: &App) {
    loop {
        match app.write(Scope::Global, "advance_cascade", cascade::advance).await {
            Ok(true) => {}
            Ok(false) => app.memory.cascade_started.notified().await,
            Err(_) => tokio::time::sleep(STORE_PAUSE).await,
        }
    }
}

async fn maintain(app: &App) {
    loop {
        if let Err(error) = maintain_once(app).await {
            tracing::warn!(error = %error.message, "maintenance did not finish; it is tried again");
        }
        tokio::time::sleep(MAINTENANCE_INTERVAL).await;
    }
}

async fn maintain_once(app: &App) -> ApiResult<()> {
    app.refresh_jwks().await?;
    while app.write(Scope::Global, "sum events", |tx| Ok(tx.sum_events(SUMMED_ROWS)?)).await? > 0 {}
    while app.write(Scope::Global, "purge", |tx| maintenance::purge(tx, MAINTENANCE_ROWS)).await? > 0 {}
    let retention = app.settings.retention;
    let mut after: Option<DeveloperId> = None;
    loop {
        let (due, last) = app
            .read(Scope::Global, move |store| {
                let page = store.developers_with_events(after, DEVELOPERS_PAGE)?;
                let mut due = Vec::new();
                for developer in &page {
                    if maintenance::trim_due(store, *developer, retention)?.is_some() {
                        due.push(*developer);
                    }
                }
                Ok((due, page.last().copied()))
            })
            .await?;
        for developer in due {
            trim(app, developer, retention).await?;
        }
        if last.is_none() {
            return Ok(());
        }
        after = last;
    }
}

async fn trim(app: &App, developer: DeveloperId, retention: maintenance::Retention) -> ApiResult<()> {
    loop {
        let trimmed = app
            .write(developer, "trim_log", move |tx| {
                maintenance::trim(tx, developer, retention, MAINTENANCE_ROWS)
            })
            .await?;
        metrics::counter!("grantex_events_trimmed_total").increment(trimmed);
        if trimmed == 0 {
            return Ok(());
        }
    }
}

async fn upkeep(app: &App) {
    loop {
        if let Some(prometheus) = &app.prometheus {
            prometheus.run_upkeep();
        }
        tokio::time::sleep(UPKEEP_INTERVAL).await;
    }
}
