//! The event log as it was: pages of it, and single events.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::StoreError;
use grantex_core::store::Order;
use grantex_core::usecase::events::{self, Start, Stop};
use grantex_core::usecase::history::{self, HistoryPage, Section};
use grantex_types::api::events::{EventList, PlacedEvent};
use grantex_types::{EventId, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::events::parse_time;
use super::filter_query::FilterQuery;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::query::{Known, ListParams};
use crate::request::extract::{Auth, Id};

const DEFAULT_EVENTS: u32 = 100;
const MOST_EVENTS: u32 = 1000;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// Which events come first.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ListOrder {
    /// The oldest.
    #[default]
    Asc,
    /// The newest.
    Desc,
}

/// Where to read the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// `asc` (default) for the oldest first, `desc` for the newest first.
    #[param(inline)]
    order: Option<ListOrder>,
    /// Only events from this time on (RFC 3339, inclusive).
    #[param(value_type = Option<Timestamp>)]
    since: Option<String>,
    /// Only events before this time (RFC 3339, exclusive).
    #[param(value_type = Option<Timestamp>)]
    until: Option<String>,
    /// Only events that were committed after this one; takes precedence over `since`.
    #[param(value_type = Option<EventId>)]
    after: Option<String>,
    /// Only events that were committed before this one; takes precedence over `until`.
    #[param(value_type = Option<EventId>)]
    before: Option<String>,
    /// Maximum number of events to return.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

impl Known for HistoryQuery {
    const NAMES: &'static [&'static str] = &["order", "since", "until", "after", "before", "limit"];
}

impl HistoryQuery {
    fn section(&self) -> ApiResult<Section> {
        let limit = self.limit.unwrap_or(DEFAULT_EVENTS);
        if !(1..=MOST_EVENTS).contains(&limit) {
            return Err(ApiError::bad_request(format!("limit must be 1 to {MOST_EVENTS}")));
        }
        let start = match (self.after.as_deref(), self.since.as_deref()) {
            (Some(id), _) => Start::After(parse_id("after", id)?),
            (None, Some(since)) => Start::Since(parse_time("since", since)?),
            (None, None) => Start::Oldest,
        };
        let stop = match (self.before.as_deref(), self.until.as_deref()) {
            (Some(id), _) => Stop::Before(parse_id("before", id)?),
            (None, Some(until)) => Stop::Until(parse_time("until", until)?),
            (None, None) => Stop::Newest,
        };
        let order = match self.order.unwrap_or_default() {
            ListOrder::Asc => Order::OldestFirst,
            ListOrder::Desc => Order::NewestFirst,
        };
        Ok(Section { order, start, stop, limit })
    }
}

fn parse_id(parameter: &str, text: &str) -> ApiResult<EventId> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{parameter}: {error}")))
}

/// A page as the API has it.
fn to_api(page: HistoryPage) -> grantex_core::Result<EventList> {
    let positions = page.events.iter().map(|(position, _)| *position).collect();
    let events = page.events.into_iter().map(|(_, envelope)| raw(envelope));
    Ok(EventList {
        events: events.collect::<grantex_core::Result<_>>()?,
        positions,
        next_cursor: page.next_cursor,
        oldest: page.oldest,
        head: page.head,
    })
}

fn raw(envelope: Vec<u8>) -> grantex_core::Result<Box<RawValue>> {
    let damaged = |error: String| StoreError::Internal(format!("stored event: {error}"));
    let text = String::from_utf8(envelope).map_err(|error| damaged(error.to_string()))?;
    Ok(RawValue::from_string(text).map_err(|error| damaged(error.to_string()))?)
}

/// Read the history
///
/// Pages through the developer's log: the same events as on the streams, oldest first, or newest
/// first with `order=desc`. `after`, `before`, `since` and `until` mean the same in both orders.
/// For the next page, send the `nextCursor` as `after`, or as `before` with `order=desc`. A page
/// ends before an event that is damaged in the store. The page that would begin with it is a 500
/// `EVENT_DAMAGED`: it has the event's position, and the cursor that leads past it (`resumeAfter`,
/// or `resumeBefore` with `order=desc`).
#[utoipa::path(get, path = "/v1/events", tag = "Events", params(FilterQuery, HistoryQuery),
    responses((status = 200, description = "The events", body = EventList)))]
async fn list(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams((filter, query)): ListParams<(FilterQuery, HistoryQuery)>,
) -> ApiResult<Body<EventList>> {
    let (filter, section) = (filter.parse()?, query.section()?);
    let read = app.read_long(caller.developer_id, move |store| {
        to_api(history::read(store, caller.developer_id, &section, &filter)?)
    });
    Ok(Body(read.await?))
}

/// Get an event
///
/// 404 if the log does not have the event. 410 `EVENTS_EXPIRED` if events as old as the id are no
/// longer retained. 500 `EVENT_DAMAGED` if the event is damaged in the store.
#[utoipa::path(get, path = "/v1/events/{id}", tag = "Events",
    params(("id" = EventId, Path, description = "The event")),
    responses((status = 200, description = "The event and its position", body = PlacedEvent)))]
async fn get(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    Id(id): Id<EventId>,
) -> ApiResult<Body<PlacedEvent>> {
    let found = app.read(caller.developer_id, move |store| {
        let event = events::find(store, caller.developer_id, id)?;
        Ok(PlacedEvent { position: event.position, event: raw(event.envelope)? })
    });
    Ok(Body(found.await?))
}
