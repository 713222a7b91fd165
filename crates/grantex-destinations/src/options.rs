//! Options that every destination has.

use std::time::Duration;

use grantex::{EventType, Timestamp};
use serde::Deserialize;

use crate::destination::{BatchLimits, EventDestination};
use crate::error::ConfigError;
use crate::format::FormatKind;
use crate::log::Filter;
use crate::retry::RetryPolicy;

/// What to deliver to one destination, and how. What is left out is the destination's default, or
/// the source's.
///
/// ```
/// use grantex_destinations::DeliveryOptions;
/// let options = DeliveryOptions {
///     types: Some(vec!["grant.revoked".into()]),
///     batch_size: Some(500),
///     flush_interval_ms: Some(2000),
///     ..DeliveryOptions::default()
/// };
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryOptions {
    /// Only these types of events.
    pub types: Option<Vec<String>>,
    /// Only events of this agent's grants.
    pub agent_id: Option<String>,
    /// Only events of grants that this principal gave.
    pub principal_id: Option<String>,
    /// Only events of this grant.
    pub grant_id: Option<String>,
    /// Where to start without a checkpoint: a time (RFC 3339).
    pub since: Option<String>,
    /// Events in a batch, at most.
    pub batch_size: Option<usize>,
    /// Bytes in a batch, at most.
    pub batch_bytes: Option<usize>,
    /// How long an event waits for others before the batch is sent, in milliseconds.
    pub flush_interval_ms: Option<u64>,
    /// Batches in flight at once. Above 1 events may arrive out of order. 1 unless given.
    pub concurrency: Option<usize>,
    /// How events are written.
    pub format: Option<FormatKind>,
    /// The first wait after a failure, doubled with each further one and random; 500 unless given.
    pub retry_base_ms: Option<u64>,
    /// The longest wait between tries; 60,000 unless given.
    pub retry_cap_ms: Option<u64>,
    /// What to do when the log does not reach back to the checkpoint.
    pub on_lost_position: Option<OnLostPosition>,
}

/// What to do when the log does not have the position: events were deleted before they could be
/// delivered, or the log was restored from an older copy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLostPosition {
    /// Stop this destination with an error, so that an operator decides.
    #[default]
    Stop,
    /// Continue from the oldest event in the log, with the gap recorded. After a restore, events
    /// delivered before arrive again.
    Continue,
}

/// The most bytes in a batch: it is held in memory, once for each batch in flight.
const MOST_BATCH_BYTES: usize = 512 << 20;

/// The most events in a batch: above it the bytes bound even a batch of the smallest events.
const MOST_BATCH_EVENTS: usize = 1_000_000;

impl DeliveryOptions {
    pub(crate) fn limits(
        &self,
        destination: &impl EventDestination,
    ) -> Result<BatchLimits, ConfigError> {
        let defaults = destination.defaults();
        let within =
            |key: &'static str, value: Option<usize>, default: usize, most: usize| match value {
                None => Ok(default),
                Some(value) if (1..=most).contains(&value) => Ok(value),
                Some(value) => {
                    Err(ConfigError::value(key, format!("{value} is not between 1 and {most}")))
                }
            };
        let age = match self.flush_interval_ms {
            None => defaults.age,
            Some(0) => return Err(ConfigError::value("flush_interval_ms", "must be above 0")),
            Some(millis) => Duration::from_millis(millis),
        };
        Ok(BatchLimits {
            events: within("batch_size", self.batch_size, defaults.events, MOST_BATCH_EVENTS)?,
            bytes: within("batch_bytes", self.batch_bytes, defaults.bytes, MOST_BATCH_BYTES)?,
            age,
        })
    }

    pub(crate) fn concurrency(
        &self,
        destination: &impl EventDestination,
    ) -> Result<usize, ConfigError> {
        let most = destination.max_concurrency();
        match self.concurrency {
            None => Ok(1),
            Some(value) if (1..=most).contains(&value) => Ok(value),
            Some(_) if most == 1 => Err(ConfigError::value(
                "concurrency",
                "this destination takes one batch after the other; remove the option",
            )),
            Some(value) => Err(ConfigError::value(
                "concurrency",
                format!("{value} is not between 1 and {most}"),
            )),
        }
    }

    pub(crate) fn retry(&self) -> Result<RetryPolicy, ConfigError> {
        let defaults = RetryPolicy::default();
        let base = self.retry_base_ms.map_or(defaults.base, Duration::from_millis);
        let cap = self.retry_cap_ms.map_or(defaults.cap, Duration::from_millis);
        if base.is_zero() || cap < base {
            return Err(ConfigError::value(
                "retry_base_ms",
                "must be above 0 and not above retry_cap_ms",
            ));
        }
        Ok(RetryPolicy { base, cap })
    }

    /// These filters over the source's. Fails on a type that is none.
    pub fn filter(&self, source: &Filter) -> Result<Filter, ConfigError> {
        let filter = Filter {
            types: self.types.clone().unwrap_or_else(|| source.types.clone()),
            agent_id: self.agent_id.clone().or_else(|| source.agent_id.clone()),
            principal_id: self.principal_id.clone().or_else(|| source.principal_id.clone()),
            grant_id: self.grant_id.clone().or_else(|| source.grant_id.clone()),
        };
        check_types(&filter.types)?;
        Ok(filter)
    }
}

pub(crate) fn check_types(types: &[String]) -> Result<(), ConfigError> {
    for kind in types {
        let known = kind.parse::<EventType>();
        known.map_err(|error| ConfigError::value("types", error.to_string()))?;
    }
    Ok(())
}

pub(crate) fn check_since(since: &str) -> Result<(), ConfigError> {
    let known = since.parse::<Timestamp>();
    known.map(|_| ()).map_err(|error| ConfigError::value("since", format!("{since:?}: {error}")))
}
