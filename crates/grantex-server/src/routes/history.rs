//! The event log as it was: pages of it, and single events.

use std::sync::Arc;

use axum::Json as Body;
use axum::extract::State;
use grantex_core::StoreError;
use grantex_core::log::Position;
use grantex_core::store::{MOST_LOOKED_AT, Order, Read, Scan};
use grantex_core::usecase::events::{self, Cursor, Start, Stop};
use grantex_types::api::events::{EventList, PlacedEvent};
use grantex_types::{DeveloperId, EventId, Timestamp};
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
use crate::stream::filter::EventFilter;

const DEFAULT_EVENTS: u32 = 100;
const MOST_EVENTS: u32 = 1000;
/// Bytes of the envelopes that one call looks at, and of those that it shows: a page of large
/// events ends early.
const MOST_BYTES_LOOKED_AT: usize = 4 << 20;
const MOST_BYTES_SHOWN: usize = 1 << 20;

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
    /// `asc` for the oldest first, as unless given; `desc` for the newest first.
    #[param(inline)]
    order: Option<ListOrder>,
    /// Only events from this time on (RFC 3339, inclusive).
    #[param(value_type = Option<Timestamp>)]
    since: Option<String>,
    /// Only events before this time (RFC 3339, exclusive).
    #[param(value_type = Option<Timestamp>)]
    until: Option<String>,
    /// Only events that were committed after this one; wins over `since`.
    #[param(value_type = Option<EventId>)]
    after: Option<String>,
    /// Only events that were committed before this one; wins over `until`.
    #[param(value_type = Option<EventId>)]
    before: Option<String>,
    /// Most events to return.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

impl Known for HistoryQuery {
    const NAMES: &'static [&'static str] = &["order", "since", "until", "after", "before", "limit"];
}

impl HistoryQuery {
    fn page(&self) -> ApiResult<Page> {
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
        Ok(Page { order, start, stop, limit })
    }
}

fn parse_id(parameter: &str, text: &str) -> ApiResult<EventId> {
    text.parse().map_err(|error| ApiError::bad_request(format!("{parameter}: {error}")))
}

/// Which part of the log a call asks for.
struct Page {
    order: Order,
    start: Start,
    stop: Stop,
    limit: u32,
}

impl Page {
    fn read(
        &self,
        store: &dyn Read,
        developer: DeveloperId,
        filter: &EventFilter,
    ) -> grantex_core::Result<EventList> {
        let start = events::locate(store, developer, self.start)?;
        let stop = events::locate_stop(store, developer, self.stop)?;
        let bounds = store.log_bounds(developer)?;
        // Where the page is: on its way up to `stop`, or down to what follows `start`.
        let mut cursor = match self.order {
            Order::OldestFirst => start,
            Order::NewestFirst => Cursor { position: stop.saturating_add(1), id: bounds.head_id },
        };
        let more = |position: Position| match self.order {
            Order::OldestFirst => stop.saturating_sub(position),
            Order::NewestFirst => position.saturating_sub(start.position).saturating_sub(1),
        };
        let mut list = EventList {
            events: Vec::new(),
            positions: Vec::new(),
            next_cursor: None,
            oldest: bounds.trimmed.saturating_add(1),
            head: bounds.head,
        };
        let (mut looked_at, mut bytes, mut bytes_shown) = (0_u32, 0_usize, 0_usize);
        while more(cursor.position) > 0
            && looked_at < MOST_LOOKED_AT
            && bytes < MOST_BYTES_LOOKED_AT
            && bytes_shown < MOST_BYTES_SHOWN
            && list.events.len() < self.limit as usize
        {
            let mut shown = Ok(());
            let scan = Scan {
                order: self.order,
                after: cursor.position,
                limit: self.limit.min(u32::try_from(more(cursor.position)).unwrap_or(u32::MAX)),
                max_bytes: MOST_BYTES_SHOWN.saturating_sub(bytes_shown),
                with_subjects: filter.asks_for_subject(),
            };
            let seen = looked_at;
            let scanned = store.scan_events(developer, scan, &mut |event| {
                if list.events.len() >= self.limit as usize || shown.is_err() {
                    return;
                }
                looked_at = looked_at.saturating_add(1);
                bytes = bytes.saturating_add(event.envelope.len());
                cursor = Cursor { position: event.position, id: event.id };
                if filter.shows(event.kind, event.subject) {
                    bytes_shown = bytes_shown.saturating_add(event.envelope.len());
                    shown = raw(event.envelope).map(|envelope| {
                        list.events.push(envelope);
                        list.positions.push(event.position);
                    });
                }
            });
            match scanned {
                // The page ends before what is damaged; the next one says so.
                Err(StoreError::Damaged(_)) if seen > 0 => break,
                scanned => scanned?,
            }
            shown?;
        }
        list.next_cursor = (more(cursor.position) > 0).then_some(cursor.id);
        Ok(list)
    }
}

fn raw(envelope: &[u8]) -> grantex_core::Result<Box<RawValue>> {
    let damaged = |error: String| StoreError::Internal(format!("stored event: {error}"));
    let text = String::from_utf8(envelope.to_vec()).map_err(|error| damaged(error.to_string()))?;
    Ok(RawValue::from_string(text).map_err(|error| damaged(error.to_string()))?)
}

/// Read the history
///
/// Pages through the developer's log: the same events as on the streams, oldest first unless
/// `order=desc` asks for the newest first. `after`, `before`, `since` and `until` mean the same in
/// both orders; read on with the `nextCursor` as `after`, or as `before` with `order=desc`. A page
/// ends before an event that is damaged in the store; the page that would begin with it is a 500
/// `EVENT_DAMAGED` that names its position, and whose `resumeAfter` (`resumeBefore` with
/// `order=desc`) leads past it.
#[utoipa::path(get, path = "/v1/events", tag = "Events", params(FilterQuery, HistoryQuery),
    responses((status = 200, description = "The events", body = EventList)))]
async fn list(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    ListParams((filter, query)): ListParams<(FilterQuery, HistoryQuery)>,
) -> ApiResult<Body<EventList>> {
    let (filter, page) = (filter.parse()?, query.page()?);
    let read = app.read_long(caller.developer_id, move |store| {
        page.read(store, caller.developer_id, &filter)
    });
    Ok(Body(read.await?))
}

/// Get an event
///
/// 404 for an event that this log does not have. 410 `EVENTS_EXPIRED` for an id so old that its
/// event, if there was one, is no longer retained. 500 `EVENT_DAMAGED` for one that is damaged in
/// the store.
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
        Ok(PlacedEvent { position: event.position, event: raw(&event.envelope)? })
    });
    Ok(Body(found.await?))
}
