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

// StreamOptions says what to stream, and how. The zero value streams all events from now on.
type StreamOptions struct {
	// EventTypes: only these types; all of them when empty.
	EventTypes []string
	// Since: from this time on (ISO 8601, inclusive), first what happened since, then live.
	Since *string
	// LastEventID: right after this event; wins over Since.
	LastEventID string
	// AgentID: only events of this agent's grants.
	AgentID string
	// PrincipalID: only events of grants that this principal gave.
	PrincipalID string
	// GrantID: only events of this grant.
	GrantID string

	// NoReconnect ends the stream with its connection: with io.EOF where the service ends it in order.
	NoReconnect bool
	// ReconnectDelay: the first reconnection waits a random part of this, each further one in a row of
	// twice as much; 1 s unless given. The service's own retry field replaces it.
	ReconnectDelay time.Duration
	// MaxReconnectDelay: no reconnection waits longer, unless the service asks for it; 30 s unless
	// given.
	MaxReconnectDelay time.Duration
	// SilenceTimeout: a connection on which nothing comes for so long is dead; 15 s unless given. The
	// service is never silent for 5 s. Time in which the consumer does not take events does not count.
	SilenceTimeout time.Duration
	// MaxEventBytes is the longest event that is accepted; 4 MiB unless given. It bounds memory.
	MaxEventBytes int
	// OnOpen is called whenever a connection is open.
	OnOpen func()
	// OnReconnect is called before each reconnection.
	OnReconnect func(Reconnect)
	// OnError is told what ends a subscription for good; the standard logger unless given. Streams
	// have their error channel instead.
	OnError func(error)
}

// Reconnect tells that a stream has lost its connection and will try again.
type Reconnect struct {
	// Attempt is the number of this try since the last connection that worked, from 1.
	Attempt int
	// Delay is how long it waits first.
	Delay time.Duration
	// Reason is what ended the connection; nil when the service ended it in order.
	Reason error
	// LastEventID is where it will go on.
	LastEventID string
}

// Stream gives events as they happen, or first from a place in the past. It reconnects by itself,
// goes on exactly where it was, and reads from the socket only as fast as events are taken.
//
// It returns once the first connection stands, or an error where going on makes no sense: an
// APIError for 400, 401 (with WithKeyFunc: only for a key that is fresh), 403, 410 and other 4xx
// but 408 and 429; ErrStreamEnded for 204; ErrProtocol for what is no event stream of this service.
// A service that does not answer is tried again in the background. Later the stream ends with one
// such error on the error channel, or with that of ctx. The event channel is never closed. No
// goroutine outlives ctx.
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

// Subscribe calls handler for each event, one at a time, on a goroutine of its own. It ends with
// ctx, with the function that it returns, which closes the connection at once, or with the stream's
// error, which OnError is told.
//
// A handler that runs at that moment goes on to its end, and no further one is called. A program
// that must not exit before it has returned calls Wait:
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

// Wait waits until every subscription of this client has ended, and its handler has returned. End
// them first: by their contexts, or by the functions that Subscribe gave. A handler that calls it
// waits for itself.
func (s *EventsService) Wait() { s.running.wait() }

// subscriptions counts those that run. Unlike a sync.WaitGroup it may count a new one while
// somebody waits.
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

// HistoryParams says which part of the history.
type HistoryParams struct {
	ListParams
	// EventTypes: only these types; all of them when empty.
	EventTypes []string
	// Since: from this time on (ISO 8601, inclusive).
	Since string
	// Until: before this time (ISO 8601, exclusive).
	Until string
	// Before: only what was committed before this event; wins over Until.
	Before string
	// NewestFirst turns the order. A page's NextCursor is then the next one's Before.
	NewestFirst bool
	// AgentID: only events of this agent's grants.
	AgentID string
	// PrincipalID: only events of grants that this principal gave.
	PrincipalID string
	// GrantID: only events of this grant.
	GrantID string
}

// List is one page of the history, oldest first unless params say otherwise. Its NextCursor is nil
// when the log held nothing more at the time of the answer.
func (s *EventsService) List(ctx context.Context, params *HistoryParams) (*Page[GrantexEvent], error) {
	params = orZero(params)
	since, until, order := params.Since, params.Until, ""
	// A cursor wins over a time.
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

// All is the history from a place on, page by page as it is taken, up to what is there now; with
// NewestFirst backwards.
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

// PlacedEvent is an event, and where it stands.
type PlacedEvent struct {
	// Position is its place in the log: 1, 2, 3, … without a gap.
	Position uint64       `json:"position"`
	Event    GrantexEvent `json:"event"`
}

// Get is one event, and where it stands in the log. ErrNotFound where there is none, ErrGone where
// the log does not go back that far any more.
func (s *EventsService) Get(ctx context.Context, eventID string) (*PlacedEvent, error) {
	return get[PlacedEvent](ctx, s.transport, "/v1/events/"+segment(eventID), nil)
}

// CreateTicket makes a ticket that opens streams in a browser, where no header can be sent.
func (s *EventsService) CreateTicket(ctx context.Context, params *TicketParams) (*Ticket, error) {
	return post[Ticket](ctx, s.transport, "/v1/events/tickets", orZero(params))
}
