package grantex

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// maxStreamRetryAfter is the longest Retry-After that a stream waits for: after it the next attempt
// shows whether it still applies.
const maxStreamRetryAfter = 10 * time.Minute

var eventID = regexp.MustCompile(`^evt_[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// broken says that a connection has ended and that the stream may reconnect. The reason is nil if
// the service ended it in order.
type broken struct {
	reason error
	asked  time.Duration
}

func (b *broken) Error() string { return fmt.Sprint("broken: ", b.reason) }

// streamReader reads a stream: it keeps the cursor, and replaces broken connections.
type streamReader struct {
	transport *transport
	opts      StreamOptions
	// cursor is for Last-Event-ID.
	cursor string
	// last is the last event that was delivered: nothing up to it is delivered again.
	last      string
	baseDelay time.Duration
	failures  int
	// renewed: the key was renewed, and has not been accepted since.
	renewed bool
}

// connection is an open stream. Its timer runs only during a wait.
type connection struct {
	body    io.ReadCloser
	cancel  context.CancelFunc
	silence *silence
}

func (c *connection) close() {
	c.silence.timer.Stop()
	c.cancel()
	c.body.Close()
}

// silence ends a connection that delivers nothing.
type silence struct {
	limit time.Duration
	timer *time.Timer
	over  atomic.Bool
}

func newSilence(limit time.Duration, cancel context.CancelFunc) *silence {
	s := &silence{limit: limit}
	s.timer = time.AfterFunc(limit, func() {
		s.over.Store(true)
		cancel()
	})
	return s
}

// why is the error of a wait that failed: a timeout if the silence ended it.
func (s *silence) why(err error) error {
	if s.over.Load() {
		return fmt.Errorf("%w: the service sent nothing for %v", ErrTimeout, s.limit)
	}
	return err
}

func newStreamReader(t *transport, opts *StreamOptions) *streamReader {
	own := *opts
	// It may come from a file, with the end of its line.
	own.LastEventID = strings.TrimSpace(own.LastEventID)
	setDefault(&own.ReconnectDelay, time.Second)
	setDefault(&own.MaxReconnectDelay, 30*time.Second)
	setDefault(&own.SilenceTimeout, 15*time.Second)
	setDefault(&own.MaxEventBytes, 4<<20)
	return &streamReader{
		transport: t, opts: own, cursor: own.LastEventID, last: own.LastEventID, baseDelay: own.ReconnectDelay,
	}
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// attempt is the result of the first try to connect: a connection, or what broke it.
type attempt struct {
	connection *connection
	broken     *broken
}

// first tries to connect once; it fails where a reconnection cannot help.
func (r *streamReader) first(ctx context.Context) (attempt, error) {
	opened, err := r.open(ctx)
	var b *broken
	switch {
	case err == nil:
		return attempt{connection: opened}, nil
	case ctx.Err() != nil:
		return attempt{}, ctx.Err()
	case !errors.As(err, &b):
		return attempt{}, err
	case r.opts.NoReconnect:
		return attempt{}, b.reason
	}
	return attempt{broken: b}, nil
}

// run delivers events until the stream ends, and returns the reason.
func (r *streamReader) run(ctx context.Context, first attempt, events chan<- GrantexEvent) error {
	opened, b := first.connection, first.broken
	for {
		if b == nil {
			err := r.read(ctx, opened, events)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !errors.As(err, &b) {
				return err
			}
			if r.opts.NoReconnect {
				if b.reason == nil {
					return io.EOF
				}
				return b.reason
			}
		}
		wait := backoff(r.failures, r.baseDelay, r.opts.MaxReconnectDelay, rand.Float64())
		wait = max(wait, min(b.asked, maxStreamRetryAfter))
		r.failures++
		if r.opts.OnReconnect != nil {
			r.opts.OnReconnect(Reconnect{Attempt: r.failures, Delay: wait, Reason: b.reason, LastEventID: r.cursor})
		}
		pause(ctx, wait)
		var err error
		b = nil
		if opened, err = r.open(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if !errors.As(err, &b) {
				return err
			}
		}
	}
}

// read delivers one connection's events until it ends.
func (r *streamReader) read(ctx context.Context, c *connection, events chan<- GrantexEvent) error {
	defer c.close()
	decoder := &sseDecoder{limit: r.opts.MaxEventBytes}
	buffer := make([]byte, readBufferBytes)
	var items []sseItem
	for {
		c.silence.timer.Reset(c.silence.limit)
		n, readErr := c.body.Read(buffer)
		c.silence.timer.Stop()
		var tooLong error
		items, tooLong = decoder.feed(buffer[:n], items[:0])
		if len(items) > 0 {
			r.failures = 0
		}
		for i := range items {
			event, err := r.take(&items[i])
			if err != nil {
				return err
			}
			if event == nil {
				continue
			}
			select {
			case events <- *event:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		switch {
		case tooLong != nil:
			return fmt.Errorf("%w: %w of %d bytes", ErrProtocol, tooLong, decoder.limit)
		case readErr == io.EOF:
			return &broken{}
		case readErr != nil:
			return &broken{reason: c.silence.why(r.transport.failure(ctx, readErr, 0))}
		}
	}
}

// take applies an item, and returns the event to deliver if it is one.
func (r *streamReader) take(item *sseItem) (*GrantexEvent, error) {
	switch {
	case item.cursor != nil:
		// An empty id would reset the cursor.
		if *item.cursor != "" {
			r.cursor = *item.cursor
		}
	case item.retry != nil:
		r.baseDelay = time.Duration(*item.retry) * time.Millisecond
	case item.comment:
	default:
		event, err := parseEvent(item.data)
		if err != nil {
			return nil, err
		}
		if isNotAfter(event.ID, r.last) {
			return nil, nil
		}
		r.last = event.ID
		return &event, nil
	}
	return nil, nil
}

// isNotAfter: ids of this form increase strictly within a log; others can only be compared for
// equality.
func isNotAfter(id, last string) bool {
	return id == last || id < last && eventID.MatchString(id) && eventID.MatchString(last)
}

// open connects. A failure that may be temporary is a *broken.
func (r *streamReader) open(parent context.Context) (*connection, error) {
	key, err := r.transport.key.get(parent)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(parent)
	since := ""
	if r.opts.Since != nil && r.cursor == "" {
		since = *r.opts.Since
	}
	parameters := query("types", strings.Join(r.opts.EventTypes, ","), "since", since, "agentId", r.opts.AgentID,
		"principalId", r.opts.PrincipalID, "grantId", r.opts.GrantID)
	target := r.transport.url("/v1/events/stream", parameters)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: %v", ErrConfiguration, err)
	}
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Accept", "text/event-stream")
	// A compressed stream would be delayed.
	request.Header.Set("Accept-Encoding", "identity")
	if r.cursor != "" {
		request.Header.Set("Last-Event-ID", r.cursor)
	}
	watch := newSilence(r.opts.SilenceTimeout, cancel)
	response, err := r.transport.http.Do(request)
	if err != nil {
		err = watch.why(r.transport.failure(parent, err, 0))
		watch.timer.Stop()
		cancel()
		return nil, &broken{reason: err}
	}
	opened := &connection{body: response.Body, cancel: cancel, silence: watch}
	isStream := strings.HasPrefix(strings.ToLower(response.Header.Get("Content-Type")), "text/event-stream")
	if response.StatusCode == http.StatusOK && isStream {
		watch.timer.Stop()
		r.renewed = false
		if r.opts.OnOpen != nil {
			r.opts.OnOpen()
		}
		return opened, nil
	}
	defer opened.close()
	if err := r.refused(parent, opened, response, key); err != nil {
		return nil, err
	}
	return r.open(parent)
}

// refused is the error of an answer that is not a stream; nil where a fresh key may help.
func (r *streamReader) refused(ctx context.Context, c *connection, response *http.Response, key string) error {
	switch response.StatusCode {
	case http.StatusNoContent:
		return ErrStreamEnded
	case http.StatusOK:
		return fmt.Errorf("%w: %s answers with %q, which is not an event stream: is the base URL right?",
			ErrProtocol, r.transport.baseURL, response.Header.Get("Content-Type"))
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return &broken{reason: c.silence.why(r.transport.failure(ctx, err, 0))}
	}
	refusal := refusal(response, text)
	if refusal.Status == 401 && !r.renewed && r.transport.key.renew(key) {
		r.renewed = true
		return nil
	}
	if refusal.mayPass() {
		return &broken{reason: refusal, asked: refusal.RetryAfter}
	}
	return refusal.ofStream()
}
