use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream;
use grantex_types::EventId;
use grantex_types::sse::{Decoder, Item};
use reqwest::{Response, StatusCode};
use tokio::time::timeout;

use super::{GrantexEvent, Reconnect, StreamOptions};
use crate::backoff::{delay, random};
use crate::transport::{Transport, refusal};
use crate::{ApiError, Error};

/// The longest `Retry-After` that is waited for: after it the next attempt shows whether it still
/// applies.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);

/// The events of a log, in order, each once, across reconnections; see
/// [`Events::stream`](super::Events::stream). Dropping it closes the connection.
///
/// It ends with an error where a reconnection cannot help:
///
/// | Error | Why |
/// |---|---|
/// | [`Error::Api`] with 400, 401, 403, 410 or another 4xx except 408, 409 and 429 | the service would answer the same again; with a key callback, 401 only for a fresh key |
/// | [`Error::Ended`] | 204: the server asked clients not to reconnect |
/// | [`Error::Protocol`] | the answer is not an event stream of this service |
///
/// Without reconnection it ends with its connection: in order, or with the error that broke it.
pub struct EventStream {
    state: State,
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").finish_non_exhaustive()
    }
}

type Filling = Pin<Box<dyn Future<Output = (Box<Reader>, Filled)> + Send>>;

enum State {
    Ready(Box<Reader>),
    Filling(Filling),
    Done,
}

/// The result of reading more: there may be items, or the stream has ended.
type Filled = Result<(), End>;

enum End {
    Closed,
    Failed(Error),
}

impl EventStream {
    pub(crate) fn new(transport: Arc<Transport>, options: StreamOptions) -> Self {
        Self { state: State::Ready(Box::new(Reader::new(transport, options))) }
    }
}

/// A step of a stream; from [`EventStream::progress`].
#[derive(Debug, Clone)]
pub enum Progress {
    /// An event.
    Event(GrantexEvent),
    /// All events up to this one are delivered or hidden by the filter, and a later stream can
    /// resume after it: where the stream begins, and where the log moves past hidden events.
    Cursor(EventId),
}

/// An [`EventStream`] that also gives its position; from [`EventStream::progress`].
#[derive(Debug)]
pub struct ProgressStream {
    stream: EventStream,
}

impl EventStream {
    /// The same stream, which also gives its position where there are no events: for a reader that
    /// stores its cursor, so that the cursor advances while a filter hides events.
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client) -> Result<(), grantex::Error> { use
    /// futures_util::StreamExt as _; use grantex::{Progress, StreamOptions}; let mut steps =
    /// client.events().stream(StreamOptions::new().event_types(["grant.revoked"])).progress();
    /// while let Some(step) = steps.next().await {
    ///     match step? {
    ///         Progress::Event(event) => println!("handle {event:?}, then keep {}", event.id),
    ///         Progress::Cursor(id) => println!("keep {id}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn progress(self) -> ProgressStream {
        ProgressStream { stream: self }
    }
}

impl Stream for ProgressStream {
    type Item = Result<Progress, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_step(context)
    }
}

impl Stream for EventStream {
    type Item = Result<GrantexEvent, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match std::task::ready!(self.poll_step(context)) {
                Some(Ok(Progress::Event(event))) => return Poll::Ready(Some(Ok(event))),
                Some(Ok(Progress::Cursor(_))) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl EventStream {
    fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Progress, Error>>> {
        loop {
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Ready(mut reader) => match reader.next() {
                    Some(Ok(step)) => {
                        self.state = State::Ready(reader);
                        return Poll::Ready(Some(Ok(step)));
                    }
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => self.state = State::Filling(Box::pin(reader.filled())),
                },
                State::Filling(mut filling) => {
                    let Poll::Ready((reader, filled)) = filling.as_mut().poll(context) else {
                        self.state = State::Filling(filling);
                        return Poll::Pending;
                    };
                    match filled {
                        Ok(()) => self.state = State::Ready(reader),
                        Err(End::Closed) => return Poll::Ready(None),
                        Err(End::Failed(error)) => return Poll::Ready(Some(Err(error))),
                    }
                }
            }
        }
    }
}

/// Reads a stream: keeps its cursor, and replaces broken connections.
struct Reader {
    transport: Arc<Transport>,
    options: StreamOptions,
    connection: Option<Connection>,
    /// What was read and not delivered yet: never more than one read from the socket.
    items: VecDeque<Item>,
    /// The cursor for `Last-Event-ID`.
    cursor: Option<String>,
    /// The last event that was delivered: nothing up to it is delivered again.
    last: Option<EventId>,
    base_delay: Duration,
    failures: u32,
    /// The key was renewed, and has not been accepted since.
    renewed: bool,
}

struct Connection {
    response: Response,
    decoder: Decoder,
    /// Set when the decoder met its limit; reported after the items before it.
    broken: Option<Error>,
}

/// Why a connection ended, and how long the service asks to wait.
enum Broken {
    InOrder,
    Passing(Error, Option<Duration>),
    Final(Error),
}

impl Reader {
    fn new(transport: Arc<Transport>, options: StreamOptions) -> Self {
        Self {
            transport,
            connection: None,
            items: VecDeque::new(),
            cursor: options.last_event_id.clone(),
            last: options.last_event_id.as_deref().and_then(|id| id.parse().ok()),
            base_delay: options.reconnect_delay,
            options,
            failures: 0,
            renewed: false,
        }
    }

    /// The next step among what was read.
    fn next(&mut self) -> Option<Result<Progress, Error>> {
        while let Some(item) = self.items.pop_front() {
            match item {
                // An empty id would reset the cursor.
                Item::Cursor(id) if id.is_empty() => {}
                Item::Cursor(id) => {
                    let place = id.parse().ok();
                    self.cursor = Some(id);
                    // An event's own id comes right before it.
                    let is_of_an_event = matches!(self.items.front(), Some(Item::Message { .. }));
                    if let Some(place) = place.filter(|_| !is_of_an_event) {
                        return Some(Ok(Progress::Cursor(place)));
                    }
                }
                Item::Retry(delay) => self.base_delay = delay,
                Item::Comment => {}
                Item::Message { data, .. } => {
                    let event = match GrantexEvent::from_json(data) {
                        Ok(event) => event,
                        Err(error) => return Some(Err(error)),
                    };
                    // Ids increase strictly within a log.
                    if self.last.is_some_and(|last| event.id <= last) {
                        continue;
                    }
                    self.last = Some(event.id);
                    return Some(Ok(Progress::Event(event)));
                }
            }
        }
        None
    }

    async fn filled(mut self: Box<Self>) -> (Box<Self>, Filled) {
        let filled = self.fill().await;
        (self, filled)
    }

    /// Reads once, or gets a connection to read from.
    async fn fill(&mut self) -> Filled {
        let broken = match &mut self.connection {
            Some(_) => self.read().await,
            None => self.open().await,
        };
        let Err(broken) = broken else { return Ok(()) };
        self.connection = None;
        let (reason, asked) = match broken {
            Broken::Final(error) => return Err(End::Failed(error)),
            Broken::InOrder if !self.options.reconnect => return Err(End::Closed),
            Broken::Passing(error, _) if !self.options.reconnect => return Err(End::Failed(error)),
            Broken::InOrder => (None, None),
            Broken::Passing(error, asked) => (Some(error), asked),
        };
        let pause =
            delay(self.failures, self.base_delay, self.options.max_reconnect_delay, random());
        let pause = pause.max(asked.unwrap_or_default().min(MAX_RETRY_AFTER));
        self.failures = self.failures.saturating_add(1);
        if let Some(hook) = &self.options.on_reconnect {
            hook(&Reconnect {
                attempt: self.failures,
                delay: pause,
                reason,
                last_event_id: self.cursor.clone(),
            });
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn open(&mut self) -> Result<(), Broken> {
        let key = self.transport.key.get().await.map_err(Broken::Final)?;
        let request = self.transport.get("/v1/events/stream");
        let types =
            (!self.options.event_types.is_empty()).then(|| self.options.event_types.join(","));
        let since = self.options.since.as_ref().filter(|_| self.cursor.is_none());
        let request = request
            .query("types", types)
            .query("since", since)
            .query("agentId", self.options.agent_id.as_ref())
            .query("principalId", self.options.principal_id.as_ref())
            .query("grantId", self.options.grant_id.as_ref());
        let request = request.stream(&key, self.cursor.as_deref());
        let silence = self.options.silence_timeout;
        let silent = |_| Broken::Passing(Error::Timeout(silence), None);
        let response = timeout(silence, request.send()).await.map_err(silent)?;
        let response =
            response.map_err(|error| match Error::connection(&self.transport.base, error) {
                error @ Error::Configuration(_) => Broken::Final(error),
                error => Broken::Passing(error, None),
            })?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return Err(Broken::Final(Error::Ended)),
            status => {
                let error = timeout(silence, refusal(response)).await.map_err(silent)?;
                if status == StatusCode::UNAUTHORIZED
                    && !self.renewed
                    && self.transport.key.renew(&key).await
                {
                    self.renewed = true;
                    return Box::pin(self.open()).await;
                }
                return Err(refused(error));
            }
        }
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default();
        if !kind.to_ascii_lowercase().starts_with("text/event-stream") {
            return Err(Broken::Final(Error::Protocol(format!(
                "{} answers with {kind:?}, which is not an event stream",
                self.transport.base
            ))));
        }
        self.renewed = false;
        let decoder = Decoder::new(self.options.max_event_bytes);
        self.connection = Some(Connection { response, decoder, broken: None });
        if let Some(hook) = &self.options.on_open {
            hook();
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Broken> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        if let Some(error) = connection.broken.take() {
            return Err(Broken::Final(error));
        }
        let silence = self.options.silence_timeout;
        let chunk = match timeout(silence, connection.response.chunk()).await {
            Err(_) => return Err(Broken::Passing(Error::Timeout(silence), None)),
            Ok(Err(error)) => {
                return Err(Broken::Passing(Error::connection(&self.transport.base, error), None));
            }
            Ok(Ok(None)) => return Err(Broken::InOrder),
            Ok(Ok(Some(chunk))) => chunk,
        };
        let mut items = Vec::new();
        if let Err(error) = connection.decoder.feed(&chunk, &mut items) {
            connection.broken = Some(Error::Protocol(error.to_string()));
        }
        if !items.is_empty() {
            self.failures = 0;
        }
        self.items.extend(items);
        Ok(())
    }
}

fn refused(error: ApiError) -> Broken {
    let asked = error.retry_after;
    // The service sends no 409 on a stream; a proxy's may be temporary.
    if error.may_pass() {
        Broken::Passing(error.into(), asked)
    } else {
        Broken::Final(error.of_a_stream().into())
    }
}
