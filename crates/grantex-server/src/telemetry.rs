//! The Prometheus recorder, and the descriptions of the metrics.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Buckets in seconds, from a fast commit to a slow disk.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Buckets in commands, up to the largest batch.
const COMMANDS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The recorder cannot be built.
    #[error("the metrics recorder cannot be built: {0}")]
    Build(#[from] BuildError),
    /// The process has another recorder.
    #[error("this process has a metrics recorder already")]
    Taken,
}

/// Installs the metrics recorder of this process. To be called once, before the service starts.
pub fn install_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_commands".into()), COMMANDS)?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::Taken)?;
    describe();
    register();
    Ok(handle)
}

/// Shows every metric from the start, except those whose label values are not known in advance: an
/// alert needs a 0 before the first count.
fn register() {
    use metrics::{counter, gauge, histogram};
    for name in [
        "grantex_events_appended_total",
        "grantex_events_trimmed_total",
        "grantex_damaged_events_total",
        "grantex_commit_failures_total",
        "grantex_tickets_issued_total",
        "grantex_ticket_streams_expired_total",
    ] {
        counter!(name).increment(0);
    }
    for at in ["socket", "websocket"] {
        counter!("grantex_readers_cut_total", "at" => at).increment(0);
    }
    for limit in ["connections", "connections_of_address", "streams", "body_bytes", "descriptors"] {
        counter!("grantex_limits_reached_total", "limit" => limit).increment(0);
    }
    for transport in ["sse", "ws"] {
        counter!("grantex_events_delivered_total", "transport" => transport).increment(0);
        gauge!("grantex_streams_open", "transport" => transport).increment(0.0);
    }
    gauge!("grantex_connections_open").increment(0.0);
    gauge!("grantex_ticket_streams_open").increment(0.0);
    for name in
        ["grantex_delivery_lag_seconds", "grantex_commit_seconds", "grantex_commit_batch_commands"]
    {
        drop(histogram!(name));
    }
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!("grantex_events_appended_total", "Events committed to the logs");
    describe_counter!("grantex_events_delivered_total", "Events handed to streams, by transport");
    describe_counter!("grantex_events_trimmed_total", "Events removed by retention");
    describe_counter!(
        "grantex_readers_cut_total",
        "Clients that were disconnected because they accepted no bytes: at the WebSocket, with a \
         close frame; at the socket, without one (a WebSocket may count at both)"
    );
    describe_counter!(
        "grantex_damaged_events_total",
        "Events that were found damaged when they were read, each counted once"
    );
    describe_counter!(
        "grantex_commit_failures_total",
        "Commits that failed, with all commands in them"
    );
    describe_counter!(
        "grantex_slow_commands_total",
        "Committed commands that held the writer for more than 50 ms, by use case"
    );
    describe_counter!(
        "grantex_limits_reached_total",
        "Limits of the whole service that were reached: connections, connections_of_address, \
         streams, body_bytes, descriptors"
    );
    describe_gauge!("grantex_connections_open", "Open connections, streams among them");
    describe_gauge!("grantex_body_bytes", "Memory that is reserved for request bodies");
    describe_gauge!("grantex_streams_open", "Open streams, by transport");
    describe_gauge!("grantex_ticket_streams_open", "Open streams that tickets opened");
    describe_counter!("grantex_tickets_issued_total", "Stream tickets that were issued");
    describe_counter!(
        "grantex_ticket_streams_expired_total",
        "Streams that ended because their ticket expired"
    );
    describe_gauge!("grantex_commands_queued", "Commands that wait for the writer");
    describe_gauge!("grantex_wal_bytes", "Size of the database's write-ahead log");
    describe_gauge!("grantex_write_failing", "1 while the store cannot write, otherwise 0");
    describe_gauge!("grantex_clock_behind_seconds", "How far the clock is behind the newest event");
    describe_histogram!(
        "grantex_delivery_lag_seconds",
        "Time from an event's creation until it is handed to a stream"
    );
    describe_histogram!(
        "grantex_commit_seconds",
        "Time from the first command of a batch until its commit"
    );
    describe_histogram!("grantex_commit_batch_commands", "Commands that shared a commit");
    describe_histogram!(
        "grantex_http_request_seconds",
        "Time from a request's head until its answer's head"
    );
}
