package grantex

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	// patience is longer than any case takes that works.
	patience = time.Minute
	// atOnce: most cases wait.
	atOnce = 32
)

var kinds = []struct {
	err  error
	name string
}{
	{ErrBadRequest, "bad_request"},
	{ErrUnauthorized, "unauthorized"},
	{ErrInsufficientBudget, "insufficient_budget"},
	{ErrForbidden, "forbidden"},
	{ErrNotFound, "not_found"},
	{ErrConflict, "conflict"},
	{ErrGone, "gone"},
	{ErrRateLimited, "rate_limited"},
	{ErrServer, "server"},
	{ErrAPI, "api"},
	{ErrConnection, "connection"},
	{ErrTimeout, "timeout"},
	{ErrProtocol, "protocol"},
	{ErrStreamEnded, "ended"},
	{ErrInvalidToken, "invalid_token"},
	{ErrConfiguration, "configuration"},
}

type conformanceCase struct {
	Name     string
	Client   map[string]any
	Call     string
	Args     map[string]any
	Consumer map[string]float64
	Outcome  map[string]any
	Variants int
}

// mock is the mock as a process of its own; it ends with its standard input.
type mock struct{ base string }

func startMock(t *testing.T) *mock {
	t.Helper()
	binary := os.Getenv("GRANTEX_MOCK")
	if binary == "" {
		binary = filepath.Join("..", "..", "target", "debug", "grantex-mock")
	}
	command := exec.Command(binary, filepath.Join("..", "..", "vectors"))
	command.Stderr = os.Stderr
	input, _ := command.StdinPipe()
	output, _ := command.StdoutPipe()
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return &mock{strings.TrimSpace(line)}
}

func (m *mock) json(path string, body, into any) {
	var response *http.Response
	var err error
	if body == nil {
		response, err = http.Get(m.base + path)
	} else {
		text, _ := json.Marshal(body)
		response, err = http.Post(m.base+path, "application/json", bytes.NewReader(text))
	}
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		panic(err)
	}
}

func TestEveryCaseHolds(t *testing.T) {
	mock := startMock(t)
	var list struct{ Cases []conformanceCase }
	mock.json("/cases", nil, &list)
	var leftOut map[string]string
	text, err := os.ReadFile("testdata/unsupported.json")
	if err != nil || json.Unmarshal(text, &leftOut) != nil {
		t.Fatal("testdata/unsupported.json", err)
	}
	type play struct {
		conformanceCase
		variant int
	}
	plays := make(chan play)
	var workers sync.WaitGroup
	for i := 0; i < atOnce; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for play := range plays {
				for _, problem := range playCase(mock, play.conformanceCase, play.variant) {
					t.Errorf("%s #%d: %s", play.Name, play.variant, problem)
				}
			}
		}()
	}
	for _, one := range list.Cases {
		if _, isLeftOut := leftOut[one.Name]; isLeftOut {
			delete(leftOut, one.Name)
			continue
		}
		for variant := 0; variant < one.Variants; variant++ {
			// Each has arguments of its own.
			own := one
			own.Args = map[string]any{}
			for name, value := range one.Args {
				own.Args[name] = value
			}
			plays <- play{own, variant}
		}
	}
	close(plays)
	workers.Wait()
	if len(leftOut) > 0 {
		t.Errorf("declared unsupported, and no case: %v", leftOut)
	}
}

func playCase(mock *mock, c conformanceCase, variant int) []string {
	var opened struct {
		Session int
		Base    string
	}
	mock.json("/sessions", map[string]any{"case": c.Name, "variant": variant}, &opened)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	opts := optionsOf(opened.Base, c.Client)
	client := NewClient("gx_test_vector", opts...)
	got := map[string]any{}
	if c.Call == "events.stream" {
		got = stream(ctx, client, c)
	} else {
		var result any
		var err error
		if c.Call == "verifier.verify" {
			result, err = verifyAll(ctx, NewVerifier("", "", opts...).Verify, c.Args)
		} else {
			result, err = operate(ctx, client, c.Call, c.Args)
		}
		if got["result"] = plain(result); err != nil {
			got = map[string]any{"error": reported(err)}
		}
		if found, ok := result.(*PlacedEvent); ok && found != nil {
			got["raws"] = []any{string(found.Event.JSON)}
		}
		if history, ok := result.(historyPage); ok {
			raws := []any{}
			for _, event := range history.page.Items {
				raws = append(raws, string(event.JSON))
			}
			got["raws"] = raws
		}
	}
	problems := differences(c.Outcome, got)
	var verdict struct{ Problems []string }
	mock.json(fmt.Sprintf("/sessions/%d", opened.Session), nil, &verdict)
	return append(problems, verdict.Problems...)
}

func millis(value any) time.Duration {
	number, _ := value.(float64)
	return time.Duration(number) * time.Millisecond
}

func optionsOf(base string, given map[string]any) []Option {
	if other, ok := given["baseUrl"].(string); ok {
		base = other
	}
	opts := []Option{WithBaseURL(base), WithRetryDelay(time.Millisecond)}
	if keys, ok := given["keys"].([]any); ok {
		var next atomic.Int32
		opts = append(opts, WithKeyFunc(func(context.Context) (string, error) {
			if i := int(next.Add(1)) - 1; i < len(keys) {
				return keys[i].(string), nil
			}
			return "", errors.New("the callback was asked too often")
		}))
	}
	if timeout := millis(given["timeoutMs"]); timeout > 0 {
		opts = append(opts, WithTimeout(timeout))
	}
	if retries, ok := given["maxRetries"].(float64); ok {
		opts = append(opts, WithMaxRetries(int(retries)))
	}
	if id, ok := given["developerId"].(string); ok {
		opts = append(opts, WithDeveloperID(id))
	}
	if issuer, ok := given["issuer"].(string); ok {
		opts = append(opts, WithIssuer(issuer))
	}
	return opts
}

func streamOptions(c conformanceCase, reconnects *atomic.Int32) *StreamOptions {
	opts := read[StreamOptions](c.Args)
	opts.ReconnectDelay = max(millis(c.Client["reconnectDelayMs"]), time.Millisecond)
	opts.MaxReconnectDelay = millis(c.Client["reconnectDelayMaxMs"])
	opts.SilenceTimeout = millis(c.Client["silenceMs"])
	if limit, ok := c.Client["maxEventBytes"].(float64); ok {
		opts.MaxEventBytes = int(limit)
	}
	opts.NoReconnect = c.Client["reconnect"] == false
	opts.OnReconnect = func(Reconnect) { reconnects.Add(1) }
	return opts
}

func stream(ctx context.Context, client *Client, c conformanceCase) map[string]any {
	var reconnects atomic.Int32
	seen, raws := []any{}, []any{}
	got := map[string]any{}
	defer func() {
		got["events"], got["raws"] = seen, raws
		got["reconnects"] = float64(reconnects.Load())
	}()
	// Both are what a context does.
	end := c.Consumer["abortAfterMs"] + c.Consumer["closeAfterMs"]
	if wait := end; wait > 0 {
		limited, cancel := context.WithTimeout(ctx, millis(wait))
		defer cancel()
		ctx = limited
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, errs, err := client.Events.Stream(ctx, streamOptions(c, &reconnects))
	if err != nil {
		got["error"] = reported(err)
		return got
	}
	for {
		var timeUp <-chan time.Time
		if wait := c.Consumer["waitMs"]; wait > 0 {
			timeUp = time.After(millis(wait))
		}
		select {
		case <-timeUp:
		case event := <-events:
			raws = append(raws, string(event.JSON))
			seen = append(seen, plain(toWire(event)))
			if len(seen) == 1 {
				pause(ctx, millis(c.Consumer["holdAfterFirstMs"]))
			}
			if float64(len(seen)) == c.Consumer["take"] {
				return got
			}
		case err := <-errs:
			switch {
			case errors.Is(err, io.EOF) && !errors.Is(err, ErrConnection):
				got["closed"] = true
			case end > 0 && errors.Is(err, context.DeadlineExceeded):
			default:
				got["error"] = reported(err)
			}
			return got
		}
	}
}

// plain is a value as its JSON reads.
func plain(value any) any {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	var read any
	if err := json.Unmarshal(text, &read); err != nil {
		panic(err)
	}
	return read
}

func reported(err error) map[string]any {
	reported := map[string]any{"shown": err.Error(), "code": nil}
	for _, kind := range kinds {
		if errors.Is(err, kind.err) {
			reported["kind"] = kind.name
			break
		}
	}
	if errors.Is(err, ErrStreamEnded) {
		reported["status"] = float64(204)
	}
	var refused *APIError
	if errors.As(err, &refused) {
		reported["status"] = float64(refused.Status)
		reported["message"] = refused.Message
		reported["requestId"] = refused.RequestID
		reported["retryAfterMs"] = float64(refused.RetryAfter.Milliseconds())
		reported["oldestEventId"] = refused.OldestEventID
		if refused.Code != "" {
			reported["code"] = refused.Code
		}
	}
	return reported
}

// differences are where the outcome is not what the case says. An error may tell more than the case
// asks for.
func differences(wanted, got map[string]any) (problems []string) {
	compare := func(name string, want, have any) {
		if !reflect.DeepEqual(want, have) {
			problems = append(problems, fmt.Sprintf("%s is %v, not %v", name, have, want))
		}
	}
	for name, want := range wanted {
		within := map[string]string{"error": "error", "resultIncludes": "result"}[name]
		if within == "" {
			compare(name, want, got[name])
			continue
		}
		have, _ := got[within].(map[string]any)
		shown, _ := have["shown"].(string)
		for field, value := range want.(map[string]any) {
			switch field {
			case "says", "hides":
				for _, part := range value.([]any) {
					if strings.Contains(shown, part.(string)) != (field == "says") {
						problems = append(problems, fmt.Sprintf("the error %s not %v: %s", field, part, shown))
					}
				}
			default:
				compare(within+"'s "+field, value, have[field])
			}
		}
	}
	if failed, ok := got["error"].(map[string]any); ok && wanted["error"] == nil {
		problems = append(problems, fmt.Sprint("it failed: ", failed["shown"]))
	}
	return problems
}
