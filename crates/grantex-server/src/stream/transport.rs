//! How a stream's events are sent, and what its deliveries count.

use http::Version;

/// How a stream's events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// As Server-Sent Events.
    Sse {
        /// In chunks of HTTP; otherwise the end of the connection ends the answer.
        is_chunked: bool,
    },
    /// As WebSocket messages.
    WebSocket,
}

impl Transport {
    /// Server-Sent Events in an answer of this HTTP version.
    pub(crate) fn sse(version: Version) -> Self {
        Self::Sse { is_chunked: version >= Version::HTTP_11 }
    }

    /// Its name in metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Sse { .. } => "sse",
            Self::WebSocket => "ws",
        }
    }
}

/// The metrics of deliveries. Each is found by its name once, not at each delivery.
pub(super) struct DeliveryMetrics {
    sse: metrics::Counter,
    ws: metrics::Counter,
    lag: metrics::Histogram,
}

impl DeliveryMetrics {
    pub(super) fn find() -> Self {
        const DELIVERED: &str = "grantex_events_delivered_total";
        Self {
            sse: metrics::counter!(DELIVERED, "transport" => "sse"),
            ws: metrics::counter!(DELIVERED, "transport" => "ws"),
            lag: metrics::histogram!("grantex_delivery_lag_seconds"),
        }
    }

    /// Counts events that were delivered.
    pub(super) fn delivered(&self, transport: Transport, events: u64) {
        match transport {
            Transport::Sse { .. } => self.sse.increment(events),
            Transport::WebSocket => self.ws.increment(events),
        }
    }

    /// Records how long ago, in seconds, an event was created that was delivered live.
    pub(super) fn lagged(&self, seconds: f64) {
        self.lag.record(seconds);
    }
}
