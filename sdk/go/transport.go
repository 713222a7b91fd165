package grantex

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxRetryDelay is the longest delay between two tries of a call.
	maxRetryDelay = 8 * time.Second
	// maxRetryAfter: a longer Retry-After is reported to the caller, not waited for.
	maxRetryAfter = 60 * time.Second
	// maxAnswerBytes bounds the memory of one answer.
	maxAnswerBytes = 64 << 20
	// readBufferBytes: a stream that is behind is read in few system calls.
	readBufferBytes = 64 << 10
	userAgent       = "grantex-go/" + Version
)

// transport sends calls: API key, retries, time limits, errors.
type transport struct {
	http       *http.Client
	baseURL    string
	timeout    time.Duration
	maxRetries int
	retryDelay time.Duration
	// broken is the error of invalid settings; every call fails with it.
	broken error
	key    keySource
}

// keySource gives the API key. The key is kept in a function, so that printing a client does not
// show it.
type keySource struct {
	ask     func(context.Context) (string, error)
	isFixed bool
	mutex   sync.Mutex
	kept    func() string
}

func (k *keySource) get(ctx context.Context) (string, error) {
	if k.ask == nil {
		return "", fmt.Errorf("%w: no API key: set GRANTEX_API_KEY, or give NewClient one", ErrConfiguration)
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if k.kept != nil {
		return k.kept(), nil
	}
	key, err := k.ask(ctx)
	if err != nil {
		return "", fmt.Errorf("the key function failed: %w", err)
	}
	if strings.IndexFunc(key, func(c rune) bool { return c < '!' || c > '~' }) >= 0 || key == "" {
		return "", fmt.Errorf("%w: the API key is empty or contains a character that no API key has: copy it again", ErrConfiguration)
	}
	k.kept = func() string { return key }
	return key, nil
}

// renew forgets refused, so that the function is called again; false where the key is fixed.
func (k *keySource) renew(refused string) bool {
	if k.isFixed {
		return false
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	// Another call may have renewed it already.
	if k.kept != nil && k.kept() == refused {
		k.kept = nil
	}
	return true
}

// call is one call.
type call struct {
	method, path string
	query        url.Values
	body         any
	// isPublic: it needs no API key and sends none.
	isPublic bool
	// unsafe: it is not safe to repeat, and is retried only where the service says that it had no
	// effect.
	unsafe bool
	// idempotencyKey makes a call that creates or spends safe to repeat.
	idempotencyKey string
}

// creating is a call that creates or spends, with the caller's idempotency key or a random one.
func creating(path string, body any, opts []CallOption) call {
	made := call{method: http.MethodPost, path: path, body: body}
	for _, opt := range opts {
		opt(&made)
	}
	if made.idempotencyKey == "" {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			made.unsafe = true
			return made
		}
		made.idempotencyKey = hex.EncodeToString(random)
	}
	return made
}

// CallOption is an option of one call that creates or spends.
type CallOption func(*call)

// WithIdempotencyKey identifies what is created: the same key with the same request gives the first
// answer again, for 24 hours. Without it each call has a random one, the same for all its tries.
func WithIdempotencyKey(key string) CallOption {
	return func(c *call) { c.idempotencyKey = key }
}

// segment is text as one segment of a path, whatever characters it has.
func segment(text string) string {
	return strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
}

// query collects the parameters that have a value, from pairs of name and value.
func query(pairs ...string) url.Values {
	values := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	return values
}

// number is a parameter's text; zero is none.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func (t *transport) url(path string, query url.Values) string {
	if len(query) > 0 {
		return t.baseURL + path + "?" + query.Encode()
	}
	return t.baseURL + path
}

// do sends a call, with retries where that is safe, and reads the answer's JSON into answer unless
// that is nil.
func (t *transport) do(ctx context.Context, c call, answer any) error {
	if t.broken != nil {
		return t.broken
	}
	var body []byte
	if c.body != nil {
		var err error
		if body, err = json.Marshal(c.body); err != nil {
			return fmt.Errorf("%w: the request cannot be encoded as JSON: %v", ErrConfiguration, err)
		}
	}
	// Whether an earlier try may have taken effect although its answer was lost.
	inDoubt, renewed := false, false
	for attempt := 0; ; {
		key := ""
		if !c.isPublic {
			var err error
			if key, err = t.key.get(ctx); err != nil {
				return err
			}
		}
		text, err := t.once(ctx, c, body, key)
		if err == nil {
			if answer == nil {
				return nil
			}
			if err := json.Unmarshal(text, answer); err != nil {
				return fmt.Errorf("%w: the answer of %s%s: %v: is the base URL right?", ErrProtocol, t.baseURL, c.path, err)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var refused *APIError
		isAnswer := errors.As(err, &refused)
		if isAnswer && refused.Status == 401 && key != "" && !renewed && t.key.renew(key) {
			renewed = true
			continue
		}
		if isAnswer && refused.Status == 404 && inDoubt && c.method == http.MethodDelete {
			return nil
		}
		isPassing, nothing, asked := !isAnswer, false, time.Duration(0)
		if isAnswer {
			isPassing, nothing, asked = refused.mayPass(), refused.didNothing(), refused.RetryAfter
		}
		if !isPassing || c.unsafe && !nothing || asked > maxRetryAfter || attempt >= t.maxRetries {
			return err
		}
		inDoubt = inDoubt || !nothing
		pause(ctx, max(asked, backoff(attempt, t.retryDelay, maxRetryDelay, mathrand.Float64())))
		attempt++
	}
}

func (t *transport) once(ctx context.Context, c call, body []byte, key string) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, c.method, t.url(c.path, c.query), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrConfiguration, err)
	}
	request.Header.Set("User-Agent", userAgent)
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", c.idempotencyKey)
	}
	response, err := t.http.Do(request)
	if err != nil {
		return nil, t.failure(limited, err, t.timeout)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return nil, t.failure(limited, err, t.timeout)
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, refusal(response, text)
	}
	return text, nil
}

// failure is a failure below HTTP, in one sentence.
func (t *transport) failure(ctx context.Context, err error, limit time.Duration) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: the service did not answer within %v", ErrTimeout, limit)
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	return &connectionError{t.baseURL, err}
}

// connectionError is a failure below HTTP. It unwraps to its cause, but its text has no secrets: a
// cause may name a proxy with its password.
type connectionError struct {
	baseURL string
	cause   error
}

func (e *connectionError) Error() string {
	return fmt.Sprintf("%v: %s: %s; is the service running, and is the base URL right?",
		ErrConnection, e.baseURL, redacted(e.cause.Error()))
}

func (e *connectionError) Unwrap() []error { return []error{ErrConnection, e.cause} }

// refusal is the error of an answer that is not a success.
func refusal(response *http.Response, text []byte) *APIError {
	var body struct{ Message, Code, RequestID, OldestEventID string }
	if json.Unmarshal(text, &body) != nil {
		body.Message, body.Code = "", ""
	}
	status := response.StatusCode
	if body.Message == "" && status < 400 {
		body.Message = fmt.Sprintf("the service answered with the redirect %d, which is not followed: is the base URL right?", status)
	}
	if body.Message == "" {
		body.Message = fmt.Sprintf("the service answered %d without a message", status)
		if status < 500 {
			body.Message += ": is the base URL right?"
		}
	}
	if body.RequestID == "" {
		body.RequestID = response.Header.Get("X-Request-Id")
	}
	return &APIError{
		Status: status, Code: body.Code, Message: body.Message, RequestID: body.RequestID,
		RetryAfter: retryAfter(response.Header), OldestEventID: body.OldestEventID,
	}
}
