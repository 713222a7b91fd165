"""The event log: streams, subscriptions, the history."""

from __future__ import annotations

from typing import Callable, Optional

from .._event import GrantexEvent, PlacedEvent, Reconnect, StreamOptions, placed, texts_of, to_event
from .._models import Page, Strings, Ticket, Time, page_of
from .._request import Call, check_types, segment, time_text, types_text
from ._runtime import AsyncEventStream, AsyncList, Cancel, Handler, as_stream, subscribe
from ._stream import AsyncReader
from ._transport import AsyncTransport


class AsyncEvents:
    """The event log; `client.events`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._unsubscribe: set[Callable[[], None]] = set()

    def stream(
        self,
        event_types: Optional[Strings] = None,
        since: Optional[Time] = None,
        *,
        last_event_id: Optional[str] = None,
        agent_id: Optional[str] = None,
        principal_id: Optional[str] = None,
        grant_id: Optional[str] = None,
        reconnect: bool = True,
        reconnect_delay: float = 1.0,
        max_reconnect_delay: float = 30.0,
        silence_timeout: float = 15.0,
        max_event_bytes: int = 4 << 20,
        on_open: Optional[Callable[[], None]] = None,
        on_reconnect: Optional[Callable[[Reconnect], None]] = None,
    ) -> AsyncEventStream:
        """Events as they happen, after those since a point in the past if one is given.

        It reconnects by itself, resumes after the last event, and reads from the socket only as
        fast as it is iterated. Leaving the loop closes the connection. A wait for the next event
        can be given up (by a time limit, by cancelling the task) without a loss: the stream goes
        on. `next(timeout)` is such a wait.

        It raises where a reconnection cannot help: an `ApiError` for 400, 401 (with a key function:
        only for a fresh key), 403, 410 and other 4xx except 408, 409 and 429; `StreamEndedError`
        for 204; `ProtocolError` for anything that is not an event stream of this service.

        >>> async for event in client.events.stream(event_types=["budget.exhausted"]):
        ...     await client.grants.revoke(event.data["grantId"])

        Args:
            event_types: only these types; all of them when left out or empty.
            since: from this time on (ISO 8601, or a datetime with a time zone; inclusive): first
                the history, then live.
            last_event_id: start right after this event; takes precedence over `since`.
            agent_id: only events of this agent's grants.
            principal_id: only events of this principal's grants.
            grant_id: only events of this grant.
            reconnect: whether to reconnect. Without it the stream ends with its connection.
            reconnect_delay: the first reconnection waits a random part of this (in seconds); the
                limit doubles with each further one in a row. The service's own `retry:` field
                replaces it.
            max_reconnect_delay: the longest wait, unless the service asks for a longer one.
            silence_timeout: a connection that delivers nothing for this long is replaced. The
                service sends something at least every 5 s. Time in which the stream is not read
                does not count.
            max_event_bytes: the longest event that is accepted.
            on_open: called whenever a connection has been opened.
            on_reconnect: called before each reconnection.
        """
        check_types(event_types)
        options = StreamOptions(
            event_types=event_types,
            since=time_text(since),
            last_event_id=last_event_id,
            agent_id=agent_id,
            principal_id=principal_id,
            grant_id=grant_id,
            reconnect=reconnect,
            reconnect_delay=reconnect_delay,
            max_reconnect_delay=max_reconnect_delay,
            silence_timeout=silence_timeout,
            max_event_bytes=max_event_bytes,
            on_open=on_open,
            on_reconnect=on_reconnect,
        )
        cancel = Cancel()
        return as_stream(AsyncReader(self._transport, options, cancel), cancel)

    def subscribe(
        self,
        handler: Handler,
        event_types: Optional[Strings] = None,
        since: Optional[Time] = None,
        *,
        on_error: Optional[Callable[[Exception], None]] = None,
        last_event_id: Optional[str] = None,
        agent_id: Optional[str] = None,
        principal_id: Optional[str] = None,
        grant_id: Optional[str] = None,
        reconnect: bool = True,
        reconnect_delay: float = 1.0,
        max_reconnect_delay: float = 30.0,
        silence_timeout: float = 15.0,
        max_event_bytes: int = 4 << 20,
        on_open: Optional[Callable[[], None]] = None,
        on_reconnect: Optional[Callable[[Reconnect], None]] = None,
    ) -> Callable[[], None]:
        """Calls `handler` for each event, one at a time, in the background.

        Returns the function that ends the subscription and closes its connection at once.
        `on_error` is called with what the handler raises, after which the subscription goes on, and
        with the error that ends the subscription. Without it they are logged. The other options
        are those of `stream`.

        >>> unsubscribe = client.events.subscribe(lambda event: print(event.type, event.data))
        >>> unsubscribe()
        """
        events = self.stream(
            event_types,
            since,
            last_event_id=last_event_id,
            agent_id=agent_id,
            principal_id=principal_id,
            grant_id=grant_id,
            reconnect=reconnect,
            reconnect_delay=reconnect_delay,
            max_reconnect_delay=max_reconnect_delay,
            silence_timeout=silence_timeout,
            max_event_bytes=max_event_bytes,
            on_open=on_open,
            on_reconnect=on_reconnect,
        )
        end = subscribe(events, handler, on_error)

        def unsubscribe() -> None:
            self._unsubscribe.discard(unsubscribe)
            end()

        self._unsubscribe.add(unsubscribe)
        return unsubscribe

    def unsubscribe_all(self) -> None:
        """Ends all subscriptions; closing the client does it too."""
        for unsubscribe in [*self._unsubscribe]:
            unsubscribe()

    def list(
        self,
        event_types: Optional[Strings] = None,
        since: Optional[Time] = None,
        *,
        agent_id: Optional[str] = None,
        principal_id: Optional[str] = None,
        grant_id: Optional[str] = None,
        limit: Optional[int] = None,
        after: Optional[str] = None,
        until: Optional[Time] = None,
        before: Optional[str] = None,
        newest_first: bool = False,
    ) -> AsyncList[GrantexEvent]:
        """The history up to now, oldest first unless `newest_first` is set.

        Args:
            event_types: only these types; all of them when left out or empty.
            since: from this time on (ISO 8601, or a datetime with a time zone; inclusive).
            agent_id: only events of this agent's grants.
            principal_id: only events of this principal's grants.
            grant_id: only events of this grant.
            limit: the most events of a page.
            after: only what was committed after this event; takes precedence over `since`.
            until: before this time (ISO 8601, or a datetime with a time zone; exclusive).
            before: only what was committed before this event; takes precedence over `until`.
            newest_first: reverses the order. The `next_cursor` of a page is then the `before` of
                the next one.
        """

        types, start, end = types_text(event_types), time_text(since), time_text(until)

        async def fetch(place: Optional[str]) -> Page[GrantexEvent]:
            first, last = (after, place) if newest_first else (place, before)
            query = {
                "types": types,
                "order": "desc" if newest_first else None,
                # A cursor takes precedence over a time.
                "since": None if first else start,
                "until": None if last else end,
                "agentId": agent_id,
                "principalId": principal_id,
                "grantId": grant_id,
                "limit": limit,
                "after": first,
                "before": last,
            }
            body, text = await self._transport.json_and_text(Call("GET", "/v1/events", query))
            page = page_of(body, "events", to_event)
            for event, its_text in zip(page.items, texts_of(text, "events")):
                event.json = its_text
            return page

        return AsyncList(before if newest_first else after, fetch)

    async def get(self, event_id: str) -> PlacedEvent:
        """One event with its position in the log.

        Raises `NotFoundError` if it does not exist, and `GoneError` if the log no longer reaches
        back that far.
        """
        call = Call("GET", f"/v1/events/{segment(event_id)}")
        return placed(*await self._transport.json_and_text(call))

    async def create_ticket(
        self,
        *,
        expires_in: Optional[str] = None,
        event_types: Optional[Strings] = None,
        agent_id: Optional[str] = None,
        principal_id: Optional[str] = None,
        grant_id: Optional[str] = None,
    ) -> Ticket:
        """A ticket that opens streams in a browser, which cannot send an `Authorization` header.

        A filter that is `None` does not restrict the ticket: without a filter it reads all of your
        events. So check a value that may be missing, such as a session's, before you give it.

        Args:
            expires_in: how long it lasts, such as `15m` (the default); at most `24h`.
            event_types: only these types; all of them when left out or empty.
            agent_id: only events of this agent's grants.
            principal_id: only events of this principal's grants.
            grant_id: only events of this grant.
        """
        check_types(event_types)
        body = {
            "expiresIn": expires_in,
            "types": event_types or None,
            "agentId": agent_id,
            "principalId": principal_id,
            "grantId": grant_id,
        }
        return Ticket.from_json(
            await self._transport.json(Call("POST", "/v1/events/tickets", body=body))
        )
