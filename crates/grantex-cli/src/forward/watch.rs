//! How a running forwarder is observed: health, metrics, a line on the terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use grantex::Timestamp;
use grantex_destinations::{EventSource, Phase};
use grantex_server::SystemClock;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use crate::listen::{Listen, Listening};
use crate::{CommandError, print};

/// How often old samples are dropped.
const UPKEEP: Duration = Duration::from_secs(5);

/// The interval between two checks of the progress.
const BLINK: Duration = Duration::from_millis(500);

/// A destination that is less behind is live, not catching up.
const BEHIND: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Watched {
    source: EventSource,
    prometheus: PrometheusHandle,
}

/// Serves `/healthz`, `/readyz` and `/metrics`.
pub(super) async fn serve(
    listen: &Listen,
    source: EventSource,
    prometheus: PrometheusHandle,
) -> Result<(), CommandError> {
    let Listening { listeners, address, .. } = listen.bind("listen").await?;
    tracing::info!(%address, "serving health and metrics");
    let upkeep = prometheus.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    let router = Router::new()
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(|State(watched): State<Watched>| async move { watched.prometheus.render() }),
        )
        .with_state(Watched { source, prometheus });
    for listener in listeners {
        let router = router.clone();
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the server of health and metrics has ended");
            }
        });
    }
    Ok(())
}

/// Healthy while its state is where it was: without it nothing is delivered, and only a person or a
/// new start helps.
async fn healthy(State(watched): State<Watched>) -> (StatusCode, String) {
    match watched.source.state().is_in_place() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    }
}

/// Ready while it is healthy and no destination has failed for good. A destination that is down and
/// retried is no reason to restart the forwarder.
async fn ready(State(watched): State<Watched>) -> (StatusCode, Json<Value>) {
    let stats = watched.source.stats();
    let lost = watched.source.state().is_in_place().err().map(|error| error.to_string());
    let is_ready = lost.is_none() && stats.iter().all(|stats| stats.phase != Phase::Failed);
    let destinations: Vec<Value> = stats
        .iter()
        .map(|stats| {
            json!({
                "name": stats.name,
                "failed": stats.phase == Phase::Failed,
                "retrying": stats.is_retrying,
                "failing": stats.is_failing,
                "lastError": stats.last_error,
                "recoveredAt": stats.recovered_at_ms.map(|ms| Timestamp::from_millis(ms).to_string()),
            })
        })
        .collect();
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({"ready": is_ready, "error": lost, "destinations": destinations})))
}

/// Shows the progress of destinations that catch up, on a terminal.
pub(super) async fn progress(source: EventSource) {
    if !std::io::stderr().is_terminal() {
        return;
    }
    let mut is_shown = false;
    loop {
        tokio::time::sleep(BLINK).await;
        let now = now_ms();
        let behind: Vec<String> = source
            .stats()
            .iter()
            .filter_map(|stats| {
                let lag = Duration::from_millis(now.saturating_sub(stats.cursor?.millis()));
                let is_busy = stats.rate > 0.0 && stats.phase == Phase::Running && lag > BEHIND;
                let seconds = lag.as_secs();
                is_busy.then(|| {
                    format!(
                        "{}: {} events, {:.0}/s, {seconds} s behind",
                        stats.name, stats.delivered, stats.rate
                    )
                })
            })
            .collect();
        // Over itself; nothing where nothing is to be said.
        if is_shown || !behind.is_empty() {
            print::over(behind.join(" · "));
        }
        is_shown = !behind.is_empty();
    }
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    grantex_core::env::Clock::now(&SystemClock).millis()
}
