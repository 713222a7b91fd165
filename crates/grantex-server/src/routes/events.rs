//! The event log: streams and tickets.

use std::sync::Arc;
use std::time::Instant;

use axum::Json as Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{FromRequestParts, State};
use axum::response::Response;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use grantex_core::usecase::developers;
use grantex_core::usecase::events::{self, Start};
use grantex_core::validate;
use grantex_types::api::events::{TicketRequest, TicketResponse};
use grantex_types::{DeveloperId, EventId, KeyId, Timestamp};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::filter_query::FilterQuery;
use crate::app::App;
use crate::http::error::{ApiError, ApiResult};
use crate::http::query::{Known, Params};
use crate::net::connections::Admitted;
use crate::request::extract::{Auth, OptionalJson, Public, bearer};
use crate::stream::registration::Registration;
use crate::stream::subscriber::Subscriber;
use crate::stream::takeover;
use crate::stream::ticket::{self, Ticket, TicketRef};
use crate::stream::transport::Transport;
use crate::stream::ws;
use grantex_core::usecase::filter::EventFilter;

/// Bits after the key's last byte are nothing to insist on.
const WEBSOCKET_KEY: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(stream))
        .routes(routes!(websocket))
        .routes(routes!(create_ticket))
}

/// Where a stream starts, and the ticket that opens it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct StreamQuery {
    /// Replay from this time on (RFC 3339, inclusive), then continue live.
    #[param(value_type = Option<Timestamp>)]
    since: Option<String>,
    /// Resume after this event; takes precedence over `since`. The `Last-Event-ID` header takes
    /// precedence over this parameter.
    #[param(value_type = Option<EventId>)]
    last_event_id: Option<String>,
    /// A stream ticket, as an alternative to an API key in the header.
    ticket: Option<String>,
}

impl Known for StreamQuery {
    const NAMES: &'static [&'static str] = &["since", "lastEventId", "ticket"];
}

impl StreamQuery {
    fn start(&self, headers: &HeaderMap) -> ApiResult<Start> {
        let header = match headers.get("last-event-id") {
            Some(value) => Some(value.to_str().map_err(|_| bad_event_id())?),
            None => None,
        };
        // A client that has no id yet may send an empty one.
        let id =
            [header, self.last_event_id.as_deref()].into_iter().flatten().find(|id| !id.is_empty());
        match (id, self.since.as_deref()) {
            (Some(id), _) => id.parse().map(Start::After).map_err(|_| bad_event_id()),
            (None, Some(since)) => Ok(Start::Since(parse_time("since", since)?)),
            (None, None) => Ok(Start::Now),
        }
    }
}

fn bad_event_id() -> ApiError {
    ApiError::bad_request(
        "Last-Event-ID must be an event's id such as evt_01JNXJ5QH2M8Z4T6V7W9X0Y1ZA",
    )
}

/// The time that a parameter says.
pub(super) fn parse_time(parameter: &str, text: &str) -> ApiResult<Timestamp> {
    // A `+` that was not percent-encoded arrives as a space.
    let parsed = text.parse().or_else(|error| {
        let (head, tail) = text.split_at_checked(19).ok_or(error)?;
        format!("{head}{}", tail.replace(' ', "+")).parse()
    });
    parsed.map_err(|error| ApiError::bad_request(format!("{parameter}: {error}")))
}

/// Who opens a stream: an API key in the header, or a ticket.
struct Opener {
    developer_id: DeveloperId,
    key_id: KeyId,
    /// The ticket, and what it covers.
    ticket: Option<(TicketRef, EventFilter)>,
}

impl FromRequestParts<Arc<App>> for Opener {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Params(query) = Params::<StreamQuery>::from_request_parts(parts, app).await?;
        // Any other `Authorization` is not ours: a proxy's, or what a browser adds for the
        // page's site.
        let has_key = bearer(&parts.headers).is_some_and(|token| token.starts_with("gx_"));
        let Some(ticket) = query.ticket.filter(|_| !has_key) else {
            let Auth(caller) = Auth::from_request_parts(parts, app).await?;
            return Ok(Self {
                developer_id: caller.developer_id,
                key_id: caller.key_id,
                ticket: None,
            });
        };
        Public::from_request_parts(parts, app).await?;
        let (ticket, opened) = Ticket::read(&app.secrets, &ticket, app.clock.now()).ok_or_else(|| {
            ApiError::unauthorized(
                "the ticket is invalid or has expired; get a new one and resume with lastEventId",
            )
        })?;
        // Its own bucket and not the developer's: a ticket takes nothing from the
        // developer's requests.
        app.memory
            .rates
            .ticket
            .take(opened.hash, Instant::now())
            .transpose()
            .map_err(|(_, error)| error)?;
        let Ticket { developer_id, key_id, filter } = ticket;
        Ok(Self { developer_id, key_id, ticket: Some((opened, filter)) })
    }
}

/// Stream events (SSE)
///
/// A Server-Sent Events stream of the developer's log. It starts with the next event, or in the
/// past with `since` or `Last-Event-ID`, and continues from history to live events without a gap.
/// Each event is one block with its `id:` and its envelope on one `data:` line. An idle stream
/// sends a comment every few seconds. A stream that reaches an event that is damaged in the store
/// ends before it, with a comment that has its position. Opening the stream there again is a 500
/// `EVENT_DAMAGED`, whose `resumeAfter` is the `lastEventId` that leads past it.
#[utoipa::path(get, path = "/v1/events/stream", tag = "Events", params(FilterQuery, StreamQuery,
        ("Last-Event-ID" = Option<EventId>, Header, description = "Resume after this event")),
    security(("apiKey" = []), ("ticket" = [])),
    responses((status = 200, description = "The stream", content_type = "text/event-stream", body = String)))]
async fn stream(
    opener: Opener,
    State(app): State<Arc<App>>,
    Params(filter): Params<FilterQuery>,
    Params(query): Params<StreamQuery>,
    parts: Parts,
) -> ApiResult<Response> {
    let transport = Transport::sse(parts.version);
    let subscriber = open(&app, &opener, &filter, &query, &parts, transport).await?;
    Ok(takeover::sse(subscriber))
}

/// Stream events (WebSocket)
///
/// The same stream with one envelope per text message. The client may send `{"types":[…]}` to
/// change its filter. Close codes: 1001 the service restarts, 1008 the API key was revoked, 1013
/// the client was too slow, 4401 the ticket has expired, 4403 the developer is suspended, 4410
/// retention removed the next event, 4500 the next event is damaged. To resume, reconnect with
/// `lastEventId`.
#[utoipa::path(get, path = "/v1/events/ws", tag = "Events", params(FilterQuery, StreamQuery,
        ("Last-Event-ID" = Option<EventId>, Header, description = "Resume after this event")),
    security(("apiKey" = []), ("ticket" = [])),
    responses((status = 101, description = "The stream")))]
async fn websocket(
    opener: Opener,
    State(app): State<Arc<App>>,
    Params(filter): Params<FilterQuery>,
    Params(query): Params<StreamQuery>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    parts: Parts,
) -> ApiResult<Response> {
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::bad_request(format!(
            "this endpoint accepts only WebSocket requests: {}",
            rejection.body_text()
        ))
    })?;
    check_websocket_key(&parts.headers)?;
    let subscriber = open(&app, &opener, &filter, &query, &parts, Transport::WebSocket).await?;
    let widest = opener.ticket.map_or(grantex_types::TypeSet::ALL, |(_, widest)| widest.types);
    let terms = ws::Terms::new(widest, app.settings.streams.stall_timeout);
    Ok(takeover::websocket(subscriber, terms, upgrade))
}

/// RFC 6455, section 4.2.1: the key is 16 bytes in Base64.
fn check_websocket_key(headers: &HeaderMap) -> ApiResult<()> {
    let mut keys = headers.get_all(http::header::SEC_WEBSOCKET_KEY).iter();
    let decoded = keys.next().and_then(|key| WEBSOCKET_KEY.decode(key.as_bytes()).ok());
    if decoded.is_some_and(|key| key.len() == 16) && keys.next().is_none() {
        return Ok(());
    }
    Err(ApiError::bad_request("send exactly one Sec-WebSocket-Key header: 16 bytes in Base64"))
}

async fn open(
    app: &Arc<App>,
    opener: &Opener,
    filter: &FilterQuery,
    query: &StreamQuery,
    parts: &Parts,
    transport: Transport,
) -> ApiResult<Subscriber> {
    let filter = filter.parse()?;
    let filter = match &opener.ticket {
        Some((_, widest)) => filter.within(widest)?,
        None => filter,
    };
    let start = query.start(&parts.headers)?;
    let (developer, key_id) = (opener.developer_id, opener.key_id);
    let ticket = opener.ticket.as_ref().map(|(ticket, _)| *ticket);
    let admitted = parts.extensions.get::<Admitted>();
    let connection = admitted.map(|admitted| Arc::clone(admitted.connection()));
    let streams = &app.memory.streams;
    let registered =
        Registration::open(streams, developer, key_id, ticket, transport, connection.clone());
    let registration = match (registered, connection) {
        (Err(_), Some(connection)) if app.shutdown.is_cancelled() => {
            return connection.reset().await;
        }
        (registered, _) => registered?,
    };
    // After registering: a revocation before it is seen here, a later one ends the stream.
    let cursor = app
        .read(developer, move |store| {
            developers::require_working_key(store, developer, key_id)?;
            events::open(store, developer, start)
        })
        .await?;
    Ok(Subscriber::new(
        registration,
        Arc::clone(&app.store),
        Arc::clone(&app.clock),
        filter,
        cursor,
        match transport {
            Transport::Sse { .. } => app.settings.streams.keep_alive,
            Transport::WebSocket => app.settings.streams.ping,
        },
    ))
}

/// Create a stream ticket
///
/// For browsers, whose `EventSource` cannot send a header: open a stream with `?ticket=`. A ticket
/// can only read, is bound to the filters given here, and ends with the API key that created it. It
/// is checked each time a stream is opened, and its streams end when it expires. Then get a new one
/// and resume with `lastEventId`. A ticket has its own limits of open streams and of streams opened
/// per second.
#[utoipa::path(post, path = "/v1/events/tickets", tag = "Events", request_body(content = TicketRequest, description = "Lifetime and filters, all optional"),
    responses((status = 201, description = "The ticket", body = TicketResponse)))]
async fn create_ticket(
    Auth(caller): Auth,
    State(app): State<Arc<App>>,
    OptionalJson(request): OptionalJson<TicketRequest>,
) -> ApiResult<(StatusCode, Body<TicketResponse>)> {
    let lifetime = validate::expires_in(request.expires_in.as_deref(), ticket::DEFAULT_LIFETIME)?;
    if lifetime > ticket::LONGEST_LIFETIME {
        return Err(ApiError::bad_request("expiresIn must be at most 24h"));
    }
    let filter = EventFilter::parse(
        request.types.unwrap_or_default().into_iter().collect(),
        request.agent_id.as_deref(),
        request.principal_id.as_deref(),
        request.grant_id.as_deref(),
    )?;
    let expires_at = app.clock.now().plus(lifetime);
    let ticket = Ticket { developer_id: caller.developer_id, key_id: caller.key_id, filter };
    let ticket = ticket.sign(&app.secrets, expires_at);
    metrics::counter!("grantex_tickets_issued_total").increment(1);
    Ok((StatusCode::CREATED, Body(TicketResponse { ticket, expires_at })))
}
