//! The background work of the service.

use std::sync::Arc;
use std::time::{Duration, Instant};

use grantex_core::lease::Lease;
use grantex_core::store::{Needs, Scope, Tx};
use grantex_core::usecase::{cascade, maintenance};
use grantex_types::{DeveloperId, ErrorCode};

use crate::app::App;
use crate::http::error::ApiResult;
use crate::refresh;

/// How often logs are trimmed and ended rows removed.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);
/// Rows that one transaction of maintenance removes or changes: a few milliseconds, which no
/// request notices.
const MAINTENANCE_ROWS: u32 = 250;
/// Events of an earlier release that get their checksums in one transaction: some milliseconds too.
const SUMMED_ROWS: u32 = 200;
/// The time after which a slice of a cascade takes no further grant: other writes wait no longer.
const SLICE_TIME: Duration = Duration::from_millis(5);
/// How often the job of cascades looks for one that it was not notified of, and renews its lease.
const CASCADE_INTERVAL: Duration = Duration::from_secs(5);
/// How long to wait when the store cannot be written.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often the lease of a job is asked for while another process has it: what it did not finish
/// is late by so much.
const LEASE_PAUSE: Duration = Duration::from_secs(1);
/// How often the metrics recorder compacts its histograms.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
const DEVELOPERS_PAGE: u32 = 256;

/// The background work of a service. Ends when the service shuts down.
pub struct Jobs;

impl Jobs {
    /// Starts the jobs on the current runtime.
    pub fn start(app: &Arc<App>) {
        let jobs = [
            Job::Cascades,
            Job::Maintenance,
            Job::Refresh,
            Job::Quotas,
            Job::Upkeep,
            Job::CutEnded,
            Job::EndWithTickets,
        ];
        for job in jobs {
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
    Refresh,
    Quotas,
    Upkeep,
    CutEnded,
    EndWithTickets,
}

impl Job {
    async fn run(self, app: &App) {
        match self {
            Self::Cascades => loop {
                advance_cascades(app, lease(app, "cascades").await.as_mut()).await;
            },
            Self::Maintenance => loop {
                maintain(app, lease(app, "maintenance").await.as_mut()).await;
            },
            Self::Refresh => refresh::run(app).await,
            Self::Quotas => refresh::quotas(app).await,
            Self::Upkeep => upkeep(app).await,
            Self::CutEnded => app.memory.streams.cut_ended().await,
            Self::EndWithTickets => app.memory.streams.end_with_tickets(app.clock.as_ref()).await,
        }
    }
}

/// Waits until this process has the lease of a job.
async fn lease(app: &App, job: &'static str) -> Box<dyn Lease> {
    loop {
        if let Some(lease) = app.leases.acquire(job) {
            return lease;
        }
        tokio::time::sleep(LEASE_PAUSE).await;
    }
}

/// Advances large cascades, also those that a crash interrupted.
async fn advance_cascades(app: &App, lease: &mut dyn Lease) {
    let mut last: Option<DeveloperId> = None;
    while lease.renew() {
        let slice = move |tx: &mut dyn Tx| {
            let started = Instant::now();
            cascade::advance(tx, last, &|| started.elapsed() < SLICE_TIME)
        };
        match app.write(Scope::Global, Needs::NONE, "advance_cascade", slice).await {
            Ok(Some(developer)) => last = Some(developer),
            Ok(None) => {
                let started = app.memory.cascade_started.notified();
                let _ = tokio::time::timeout(CASCADE_INTERVAL, started).await;
            }
            Err(_) => tokio::time::sleep(STORE_PAUSE).await,
        }
    }
}

async fn maintain(app: &App, lease: &mut dyn Lease) {
    while lease.renew() {
        if let Err(error) = maintain_once(app, lease).await {
            tracing::warn!(error = %error.message, "maintenance failed; it is retried in 60 s");
        }
        tokio::time::sleep(MAINTENANCE_INTERVAL).await;
    }
}

async fn maintain_once(app: &App, lease: &mut dyn Lease) -> ApiResult<()> {
    let (retention, history_age) = (app.settings.retention, app.settings.history_age);
    work_off(app, lease, Scope::Global, "sum_events", |tx| Ok(tx.sum_events(SUMMED_ROWS)?)).await?;
    work_off(app, lease, Scope::Global, "tidy_tree", |tx| Ok(tx.tidy_tree(MAINTENANCE_ROWS)?))
        .await?;
    work_off(app, lease, Scope::Global, "purge", move |tx| {
        maintenance::purge(tx, history_age, MAINTENANCE_ROWS)
    })
    .await?;
    let mut after: Option<DeveloperId> = None;
    loop {
        let (trims, grants, last) = app
            .read_long(Scope::Global, move |store| {
                let page = store.developers_with_events(after, DEVELOPERS_PAGE)?;
                let (mut trims, mut grants) = (Vec::new(), Vec::new());
                for developer in &page {
                    if maintenance::trim_due(store, *developer, retention)?.is_some() {
                        trims.push(*developer);
                    }
                    if maintenance::grants_due(store, *developer, history_age)?.is_some() {
                        grants.push(*developer);
                    }
                }
                Ok((trims, grants, page.last().copied()))
            })
            .await?;
        for developer in trims {
            let trim = move |tx: &mut dyn Tx| {
                maintenance::trim(tx, developer, retention, MAINTENANCE_ROWS)
            };
            let trimmed = work_off(app, lease, developer.into(), "trim_log", trim).await?;
            metrics::counter!("grantex_events_trimmed_total").increment(trimmed);
        }
        for developer in grants {
            let tend = move |tx: &mut dyn Tx| {
                maintenance::tend_grants(tx, developer, history_age, MAINTENANCE_ROWS)
            };
            work_off(app, lease, developer.into(), "tend_grants", tend).await?;
        }
        if last.is_none() {
            return Ok(());
        }
        after = last;
    }
}

/// Runs slices until one finds nothing to do, or the lease is lost. Returns how many rows they
/// changed. A slice that fails because of a defect – a damaged row, for example – is left for the
/// next time, so that the rest of the maintenance is done.
async fn work_off<F>(
    app: &App,
    lease: &mut dyn Lease,
    scope: Scope,
    name: &'static str,
    slice: F,
) -> ApiResult<u64>
where
    F: Fn(&mut dyn Tx) -> grantex_core::Result<u64> + Copy + Send + 'static,
{
    let mut rows: u64 = 0;
    while lease.renew() {
        match app.write(scope, Needs::NONE, name, slice).await {
            Ok(0) => return Ok(rows),
            Ok(done) => rows = rows.saturating_add(done),
            Err(error) if error.code == ErrorCode::InternalError => {
                tracing::warn!(name, "a step of maintenance failed; it is retried in 60 s");
                return Ok(rows);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(rows)
}

async fn upkeep(app: &App) {
    loop {
        if let Some(prometheus) = &app.prometheus {
            prometheus.run_upkeep();
        }
        tokio::time::sleep(UPKEEP_INTERVAL).await;
    }
}
