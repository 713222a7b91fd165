package grantex

import (
	"context"
	"encoding/json"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"
)

// EventsService handles the event log: streams, subscriptions, the history.
type EventsService struct {
	transport *transport
	running   subscriptions
}

// StreamOptions selects events, and says how to stream them. The zero value streams all events from
// now on.
type StreamOptions struct {
	// EventTypes: only these types; all of them when empty.
	EventTypes []string
	// Since: from this time on (ISO 8601, inclusive): first the history, then live.
	Since *string
	// LastEventID: start right after this event; takes precedence over Since.
	LastEventID string
	// AgentID: only events of this agent's grants.
	AgentID string
	// PrincipalID: only events of this principal's grants.
	PrincipalID string
	// GrantID: only events of this grant.
	GrantID string

	// NoReconnect ends the stream with its connection: with io.EOF where the service ends it in order.
	NoReconnect bool
	// ReconnectDelay: the first reconnection waits a random part of this; the limit doubles with each
	// further one in a row. 1 s unless given. The service's own retry field replaces it.
	ReconnectDelay time.Duration
	// MaxReconnectDelay is the longest wait, unless the service asks for a longer one; 30 s unless
	// given.
	MaxReconnectDelay time.Duration
	// SilenceTimeout: a connection that delivers nothing for this long is replaced; 15 s unless given.
	// The service sends something at least every 5 s. Time in which the consumer does not take events
	// does not count.
	SilenceTimeout time.Duration
	// MaxEventBytes is the longest event that is accepted; 4 MiB unless given. It bounds memory.
	MaxEventBytes int
	// OnOpen is called whenever a connection has been opened.
	OnOpen func()
	// OnReconnect is called before each reconnection.
	OnReconnect func(Reconnect)
	// OnError is called with the error that ends a subscription; the standard logger unless given.
	// Streams have their error channel instead.
	OnError func(error)
}

// Reconnect says that a stream has lost its connection and will reconnect.
type Reconnect struct {
	// Attempt is the number of this attempt since the last working connection, from 1.
	Attempt int
	// Delay is the wait before it.
	Delay time.Duration
	// Reason is what ended the connection; nil when the service ended it in order.
	Reason error
	// LastEventID is the event after which it resumes.
	LastEventID string
}

// Stream gives events as they happen, after those since a point in the past if one is given. It
// reconnects by itself, resumes after the last event, and reads from the socket only as fast as
// events are taken.
//
// It returns when the first connection is open, or with an error where a reconnection cannot help:
// an APIError for 400, 401 (with WithKeyFunc: only for a fresh key), 403, 410 and other 4xx except
// 408, 409 and 429; ErrStreamEnded for 204; ErrProtocol for anything that is not an event stream of
// this service. If the service does not answer, it retries in the background. Later the stream ends
// with one such error on the error channel, or with that of ctx. The event channel is never closed.
// No goroutine outlives ctx.
func (s *EventsService) Stream(ctx context.Context, opts *StreamOptions) (<-chan GrantexEvent, <-chan error, error) {
	if s.transport.broken != nil {
		return nil, nil, s.transport.broken
	}
	reader := newStreamReader(s.transport, orZero(opts))
	first, err := reader.first(ctx)
	if err != nil {
		return nil, nil, err
	}
	events, errs := make(chan GrantexEvent), make(chan error, 1)
	go func() { errs <- reader.run(ctx, first, events) }()
	return events, errs, nil
}

// Subscribe calls handler for each event, one at a time, on its own goroutine. It ends with ctx,
// with the function that it returns, which closes the connection at once, or with the stream's
// error, with which OnError is called.
//
// A handler that runs at that moment continues to its end, and handler is not called again. A
// program that must not exit before it has returned calls Wait:
//
//	cancel, err := client.Events.Subscribe(ctx, handler, nil)
//	if err != nil {
//		log.Fatal(err)
//	}
//	<-ctx.Done()
//	cancel()
//	client.Events.Wait()
func (s *EventsService) Subscribe(ctx context.Context, handler func(GrantexEvent), opts *StreamOptions) (func(), error) {
	ctx, cancel := context.WithCancel(ctx)
	events, errs, err := s.Stream(ctx, opts)
	if err != nil {
		cancel()
		return nil, err
	}
	onError := orZero(opts).OnError
	if onError == nil {
		onError = func(err error) { log.Printf("grantex: a subscription ended: %v", err) }
	}
	s.running.begin()
	go func() {
		defer s.running.end()
		defer cancel()
		for {
			select {
			case event := <-events:
				if ctx.Err() != nil {
					return
				}
				handler(event)
			case err := <-errs:
				if ctx.Err() == nil {
					onError(err)
				}
				return
			}
		}
	}()
	return cancel, nil
}

// Wait waits until every subscription of this client has ended and its handler has returned. End
// them first, by their contexts or by the functions that Subscribe returned. Do not call it in a
// handler, which would wait for itself.
func (s *EventsService) Wait() { s.running.wait() }

// subscriptions counts the running ones. Unlike with a sync.WaitGroup, a new one may begin during a
// wait.
type subscriptions struct {
	mutex sync.Mutex
	count int
	// none is closed when count returns to 0; nil while it is 0.
	none chan struct{}
}

func (s *subscriptions) begin() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.count == 0 {
		s.none = make(chan struct{})
	}
	s.count++
}

func (s *subscriptions) end() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.count--
	if s.count == 0 {
		close(s.none)
		s.none = nil
	}
}

func (s *subscriptions) wait() {
	s.mutex.Lock()
	none := s.none
	s.mutex.Unlock()
	if none != nil {
		<-none
	}
}

// HistoryParams selects a part of the history.
type HistoryParams struct {
	ListParams
	// EventTypes: only these types; all of them when empty.
	EventTypes []string
	// Since: from this time on (ISO 8601, inclusive).
	Since string
	// Until: before this time (ISO 8601, exclusive).
	Until string
	// Before: only what was committed before this event; takes precedence over Until.
	Before string
	// NewestFirst reverses the order. The NextCursor of a page is then the Before of the next one.
	NewestFirst bool
	// AgentID: only events of this agent's grants.
	AgentID string
	// PrincipalID: only events of this principal's grants.
	PrincipalID string
	// GrantID: only events of this grant.
	GrantID string
}

// List is one page of the history, oldest first unless NewestFirst is set. Its NextCursor is nil
// when the log had no more events at the time of the answer.
func (s *EventsService) List(ctx context.Context, params *HistoryParams) (*Page[GrantexEvent], error) {
	params = orZero(params)
	since, until, order := params.Since, params.Until, ""
	// A cursor takes precedence over a time.
	if params.After != "" {
		since = ""
	}
	if params.Before != "" {
		until = ""
	}
	if params.NewestFirst {
		order = "desc"
	}
	var answer struct {
		Events     []json.RawMessage
		NextCursor *string
	}
	err := s.transport.do(ctx, call{
		method: http.MethodGet, path: "/v1/events",
		query: query("types", strings.Join(params.EventTypes, ","), "order", order, "since", since, "until", until,
			"agentId", params.AgentID, "principalId", params.PrincipalID, "grantId", params.GrantID,
			"limit", number(params.Limit), "after", params.After, "before", params.Before),
	}, &answer)
	var events []GrantexEvent
	if answer.Events != nil {
		events = make([]GrantexEvent, 0, len(answer.Events))
	}
	for _, one := range answer.Events {
		event, parseErr := parseEvent(one)
		if parseErr != nil {
			return nil, parseErr
		}
		events = append(events, event)
	}
	return pageOf(events, answer.NextCursor, err)
}

// All is the history up to now, page by page as it is taken; with NewestFirst backwards.
func (s *EventsService) All(ctx context.Context, params *HistoryParams) func(yield func(GrantexEvent, error) bool) {
	params = orZero(params)
	start := params.After
	if params.NewestFirst {
		start = params.Before
	}
	return walk(ctx, start, func(ctx context.Context, place string) (*Page[GrantexEvent], error) {
		page := *params
		if page.NewestFirst {
			page.Before = place
		} else {
			page.After = place
		}
		return s.List(ctx, &page)
	})
}

// PlacedEvent is an event with its position.
type PlacedEvent struct {
	// Position is its position in the log: 1, 2, 3, … without gaps.
	Position uint64       `json:"position"`
	Event    GrantexEvent `json:"event"`
}

// Get is one event with its position in the log. The error is ErrNotFound if it does not exist, and
// ErrGone if the log no longer reaches back that far.
func (s *EventsService) Get(ctx context.Context, eventID string) (*PlacedEvent, error) {
	return get[PlacedEvent](ctx, s.transport, "/v1/events/"+segment(eventID), nil)
}

// CreateTicket creates a ticket that opens streams in a browser, which cannot send an Authorization
// header.
func (s *EventsService) CreateTicket(ctx context.Context, params *TicketParams) (*Ticket, error) {
	return post[Ticket](ctx, s.transport, "/v1/events/tickets", orZero(params))
}
