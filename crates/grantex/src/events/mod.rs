//! The event log: streams, subscriptions, the history.

mod event;
mod options;
mod stream;

use std::fmt::Display;
use std::future::Future;

use futures_util::{Stream, StreamExt as _};
use grantex_types::api::events::{EventList, TicketRequest, TicketResponse};
use tokio::task::JoinHandle;

pub use event::{GrantexEvent, Payload, PlacedEvent};
pub use options::{HistoryParams, Reconnect, StreamOptions, TicketParams};
pub use stream::{EventStream, Progress, ProgressStream};

use crate::page::{Page, walk};
use crate::transport::segment;
use crate::{Client, Error};

/// The event log; from [`Client::events`].
#[derive(Debug, Clone)]
pub struct Events<'a> {
    client: &'a Client,
}

impl<'a> Events<'a> {
    pub(crate) fn of(client: &'a Client) -> Self {
        Self { client }
    }

    /// Events as they happen, after those since a point in the past if one is given. It connects
    /// when it is first polled, reconnects by itself, resumes after the last event, and reads from
    /// the socket only as fast as it is polled. It ends with an error where a reconnection cannot
    /// help (see [`EventStream`]).
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client) -> Result<(), grantex::Error> {
    /// use futures_util::StreamExt as _;
    /// use grantex::StreamOptions;
    /// let mut events = client.events().stream(StreamOptions::new().since("2026-03-01T12:00:00Z"));
    /// while let Some(event) = events.next().await {
    ///     let event = event?;
    ///     println!("{} {} {}", event.id, event.r#type, event.timestamp);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(&self, options: StreamOptions) -> EventStream {
        EventStream::new(self.client.transport.clone(), options)
    }

    /// Calls `handler` for each event, one at a time, on its own task. It ends when the
    /// [`Subscription`] is dropped or cancelled, or with the stream's error.
    ///
    /// ```no_run
    /// # async fn example(client: grantex::Client) {
    /// use grantex::StreamOptions;
    /// let subscription = client.events().subscribe(StreamOptions::new(), |event| async move {
    ///     println!("{event:?}");
    /// });
    /// subscription.cancel();
    /// # }
    /// ```
    pub fn subscribe<F, Fut>(&self, options: StreamOptions, mut handler: F) -> Subscription
    where
        F: FnMut(GrantexEvent) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let mut events = self.stream(options);
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                handler(event?).await;
            }
            Ok(())
        });
        Subscription { task }
    }

    /// One page of the history, oldest first unless
    /// [`newest_first`](HistoryParams::newest_first) is set. Its `next_cursor` is `None` when the
    /// log had no more events at the time of the answer.
    pub async fn list(&self, params: &HistoryParams) -> Result<Page<GrantexEvent>, Error> {
        page(self.client, params).await
    }

    /// The history up to now, page by page as it is taken; with
    /// [`newest_first`](HistoryParams::newest_first) backwards.
    pub fn all(
        &self,
        params: HistoryParams,
    ) -> impl Stream<Item = Result<GrantexEvent, Error>> + Send + use<> {
        let client = self.client.clone();
        let start = if params.newest_first { &params.before } else { &params.after };
        walk(start.clone(), move |place| {
            let (client, mut params) = (client.clone(), params.clone());
            if params.newest_first {
                params.before = place;
            } else {
                params.after = place;
            }
            async move { page(&client, &params).await }
        })
    }

    /// One event with its position in the log.
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) if it does not exist,
    /// [`ErrorKind::Gone`](crate::ErrorKind::Gone) if the log no longer reaches back that far.
    pub async fn get(&self, id: impl Display) -> Result<PlacedEvent, Error> {
        let call = self.client.transport.get(format!("/v1/events/{}", segment(id)));
        let found: grantex_types::api::events::PlacedEvent = call.json().await?;
        Ok(PlacedEvent {
            position: found.position,
            event: GrantexEvent::from_json(found.event.get())?,
        })
    }

    /// A ticket that opens streams in a browser, which cannot send an `Authorization` header.
    pub async fn create_ticket(&self, params: &TicketParams) -> Result<TicketResponse, Error> {
        let request: TicketRequest = params.clone().into();
        self.client.transport.post("/v1/events/tickets").body(&request)?.json().await
    }
}

async fn page(client: &Client, params: &HistoryParams) -> Result<Page<GrantexEvent>, Error> {
    let types = (!params.event_types.is_empty()).then(|| params.event_types.join(","));
    // A cursor takes precedence over a time.
    let since = params.since.as_ref().filter(|_| params.after.is_none());
    let until = params.until.as_ref().filter(|_| params.before.is_none());
    let order = params.newest_first.then_some("desc");
    let call = client.transport.get("/v1/events").query("types", types).query("order", order);
    let call = call
        .query("agentId", params.agent_id.as_ref())
        .query("principalId", params.principal_id.as_ref());
    let call = call.query("grantId", params.grant_id.as_ref()).query("since", since);
    let call = call.query("until", until).query("before", params.before.as_ref());
    let call = call.query("after", params.after.as_ref()).query("limit", params.limit);
    let list: EventList = call.json().await?;
    let events: Result<Vec<_>, Error> =
        list.events.iter().map(|event| GrantexEvent::from_json(event.get())).collect();
    Ok(Page::new(events?, list.next_cursor))
}

/// A running subscription; dropping it ends it and closes its connection.
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    task: JoinHandle<Result<(), Error>>,
}

impl Subscription {
    /// Ends it.
    pub fn cancel(self) {
        drop(self);
    }

    /// Waits for its end: the stream's error, or `Ok` when the service closed a stream that does
    /// not reconnect.
    pub async fn join(mut self) -> Result<(), Error> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}
