package grantex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestWhatIsWrongWithTheSettingsIsTheErrorOfEveryCall(t *testing.T) {
	t.Setenv("GRANTEX_API_KEY", "")
	t.Setenv("GRANTEX_BASE_URL", "")
	ctx := context.Background()
	for _, client := range []*Client{
		NewClient(""),
		NewClient("gx_test_a\nb"),
		NewClient("k", WithBaseURL("127.0.0.1:8080")),
	} {
		if _, err := client.Me(ctx); !errors.Is(err, ErrConfiguration) {
			t.Errorf("%v", err)
		}
		if _, _, err := client.Events.Stream(ctx, nil); !errors.Is(err, ErrConfiguration) {
			t.Errorf("%v", err)
		}
	}
	if _, err := NewClient("").Me(ctx); !strings.Contains(err.Error(), "GRANTEX_API_KEY") {
		t.Errorf("%v does not say what to do", err)
	}
}

func TestNothingThatIsPrintedOfAClientHoldsItsKey(t *testing.T) {
	client := NewClient("gx_test_secret", WithBaseURL("http://127.0.0.1:1"), WithMaxRetries(0))
	_, err := client.Me(context.Background())
	printed := fmt.Sprintf("%+v %#v %+v %+v %v", client, client, client.transport, &client.transport.key, err)
	if strings.Contains(printed, "secret") {
		t.Error(printed)
	}
	if !strings.Contains(err.Error(), "is the service running") {
		t.Error(err)
	}
}

// endless serves a stream that is idle after its first events.
func endless(t *testing.T) (string, chan struct{}) {
	closed := make(chan struct{}, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 1; i <= 3; i++ {
			id := fmt.Sprintf("evt_%026d", i)
			fmt.Fprintf(w, "id: %s\ndata: {\"id\":%q,\"type\":\"t\",\"createdAt\":\"c\",\"data\":{}}\n\n", id, id)
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		closed <- struct{}{}
	}))
	t.Cleanup(server.Close)
	return server.URL, closed
}

func TestASubscriptionEndsWithItsConnection(t *testing.T) {
	url, closed := endless(t)
	client := NewClient("k", WithBaseURL(url))
	seen := make(chan string, 16)
	cancel, err := client.Events.Subscribe(context.Background(), func(event GrantexEvent) { seen <- event.ID }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 3; i++ {
		<-seen
	}
	cancel()
	<-closed
	cancel()
}

func TestWaitReturnsWhenTheHandlerOfAnEndedSubscriptionHas(t *testing.T) {
	url, closed := endless(t)
	client := NewClient("k", WithBaseURL(url))
	client.Events.Wait()
	begun, mayEnd := make(chan struct{}), make(chan struct{})
	var handled []string
	cancel, err := client.Events.Subscribe(context.Background(), func(event GrantexEvent) {
		begun <- struct{}{}
		<-mayEnd
		handled = append(handled, event.ID)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	cancel()
	<-closed
	waited := make(chan struct{})
	go func() {
		client.Events.Wait()
		close(waited)
	}()
	select {
	case <-waited:
		t.Fatal("it did not wait for the handler")
	case mayEnd <- struct{}{}:
	}
	<-waited
	// The race detector sees whether it was still written to; no further event was handed on.
	if len(handled) != 1 {
		t.Errorf("handled %v", handled)
	}
}

func TestASubscriptionTellsWhatEndedIt(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-ID") == "" {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "retry: 1\nid: evt_00000000000000000000000001\n\n")
			return
		}
		w.WriteHeader(http.StatusGone)
	}))
	defer server.Close()
	ended := make(chan error)
	opts := &StreamOptions{OnError: func(err error) { ended <- err }, ReconnectDelay: time.Millisecond}
	_, err := NewClient("k", WithBaseURL(server.URL)).Events.Subscribe(context.Background(), func(GrantexEvent) {}, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrGone) || !strings.Contains(err.Error(), "start again") {
		t.Error(err)
	}
}

func TestNoGoroutineOutlivesItsContext(t *testing.T) {
	url, closed := endless(t)
	client := NewClient("k", WithBaseURL(url))
	before := runtime.NumGoroutine()
	for i := 0; i < 20; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		// Neither the event nor the error is taken.
		if _, _, err := client.Events.Stream(ctx, nil); err != nil {
			t.Fatal(err)
		}
		cancel()
		<-closed
	}
	client.transport.http.CloseIdleConnections()
	deadline := time.Now().Add(10 * time.Second)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

func TestPayloadsHaveTypes(t *testing.T) {
	event := GrantexEvent{Type: EventBudgetThreshold, Data: map[string]any{"grantId": "g", "percentage": 80.0, "remaining": 0.5, "initial": 2.0}}
	if got := event.Payload(); got != (BudgetThreshold{"g", 80, 0.5, 2}) {
		t.Error(got)
	}
	if got := (GrantexEvent{Type: "new", Data: map[string]any{}}).Payload(); got != nil {
		t.Error(got)
	}
	if got := (GrantexEvent{Type: EventGrantCreated, Data: map[string]any{"scopes": 7}}).Payload(); got != nil {
		t.Error(got)
	}
}

func ExampleEventsService_Stream() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := NewClient("gx_live_…")
	events, errs, err := client.Events.Stream(ctx, &StreamOptions{Since: String("2026-03-01T12:00:00Z")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for {
		select {
		case event := <-events:
			fmt.Println(event.Type, event.Data)
		case err := <-errs:
			fmt.Println(err)
			return
		}
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	event, err := parseEvent([]byte(`{"id":"e","type":"t","createdAt":"c","data":{"small":80,"part":0.5,"large":9007199254740993,"deep":[{"n":-18446744073709551617}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(event.Data)
	if string(text) != `{"deep":[{"n":-18446744073709551617}],"large":9007199254740993,"part":0.5,"small":80}` {
		t.Error(string(text))
	}
	if _, isFloat := event.Data["small"].(float64); !isFloat {
		t.Errorf("%T", event.Data["small"])
	}
}

func TestNoErrorShowsTheSecretsOfAURL(t *testing.T) {
	refuse := func(*http.Request) (*http.Response, error) {
		return nil, errors.New(`proxy "http://alice:hush@proxy:1/?k=hush" refuses`)
	}
	client := NewClient("k", WithBaseURL("http://127.0.0.1:1"), WithMaxRetries(0), WithRoundTripper(tripper(refuse)))
	_, err := client.Me(context.Background())
	if !errors.Is(err, ErrConnection) || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "***@proxy:1/?***") {
		t.Error(err)
	}
	for text, shown := range map[string]string{
		"https://user:p@ss/w?rd@host/a": "https://***@host/a",
		"https://host/hook/a@b?token=x": "https://host/hook/a@b?***",
		"http://127.0.0.1:8080/a":       "http://127.0.0.1:8080/a",
		"no URL, but a@b?c":             "no URL, but a@b?c",
	} {
		if got := redacted(text); got != shown {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (t tripper) RoundTrip(request *http.Request) (*http.Response, error) { return t(request) }

func TestAClientCanBeMadeInAnyEnvironment(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") }))
	defer server.Close()
	for name, value := range map[string]string{
		"NO_PROXY": "[::1],fe80::/10,,", "ALL_PROXY": "socks5://127.0.0.1:1", "SSL_CERT_FILE": "/no/such.pem",
	} {
		t.Setenv(name, value)
	}
	if _, err := NewClient("k", WithBaseURL(server.URL)).Me(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoTokenIsRefusedWithWhatToPass(t *testing.T) {
	verifier := NewVerifier("http://127.0.0.1:1", "dev_x")
	for token, said := range map[string]string{
		"":             "it is empty: pass the grant token",
		"Bearer a.b.c": `it begins with "Bearer ": pass only what follows it`,
	} {
		_, err := verifier.Verify(context.Background(), token, nil)
		if !errors.Is(err, ErrInvalidToken) || !strings.Contains(err.Error(), said) {
			t.Error(err)
		}
	}
}
