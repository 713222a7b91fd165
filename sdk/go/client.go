package grantex

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Version is this package's version.
const Version = "0.1.0"

// DefaultBaseURL is the public service's base URL; WithBaseURL or GRANTEX_BASE_URL set another one.
const DefaultBaseURL = "https://api.grantex.dev"

// Client is a client of one Grantex service. It is safe for concurrent use.
type Client struct {
	// Agents.
	Agents *AgentsService
	// Audit is the audit trail.
	Audit *AuditService
	// Authorizations are requests for a principal's consent.
	Authorizations *AuthorizationsService
	// Budgets and debits.
	Budgets *BudgetsService
	// Events is the event log: streams, subscriptions, the history.
	Events *EventsService
	// Grants.
	Grants *GrantsService
	// Keys are API keys.
	Keys *KeysService
	// PrincipalSessions are sessions in which principals see and revoke their own grants.
	PrincipalSessions *PrincipalSessionsService
	// ScopeNames are the names of scopes that principals read.
	ScopeNames *ScopeNamesService
	// Tokens are grant tokens.
	Tokens *TokensService

	transport *transport
}

type settings struct {
	transport   *transport
	developerID string
	issuer      string
}

// Option is a setting of a Client or a Verifier.
type Option func(*settings)

// WithBaseURL gives the service's base URL; GRANTEX_BASE_URL, or DefaultBaseURL, unless given.
func WithBaseURL(url string) Option { return func(s *settings) { s.transport.baseURL = url } }

// WithKeyFunc gives the function that is called for the API key: before the first call, and again
// whenever the service refuses the key with 401. A fresh key that is refused is an error.
func WithKeyFunc(ask func(context.Context) (string, error)) Option {
	return func(s *settings) { s.transport.key.ask, s.transport.key.isFixed = ask, false }
}

// WithTimeout limits how long one try of a call may take; 30 s unless given. Streams have
// SilenceTimeout instead.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.transport.timeout = timeout }
}

// WithMaxRetries limits how often a failed call is retried where that is safe; 2 unless given.
func WithMaxRetries(retries int) Option {
	return func(s *settings) { s.transport.maxRetries = retries }
}

// WithRetryDelay is the delay before the first retry, doubled with each and with full jitter;
// 500 ms unless given.
func WithRetryDelay(delay time.Duration) Option {
	return func(s *settings) { s.transport.retryDelay = delay }
}

// WithDeveloperID names the developer whose tokens VerifyOffline accepts; a client without it asks
// the service once.
func WithDeveloperID(id string) Option { return func(s *settings) { s.developerID = id } }

// WithIssuer names the issuer that VerifyOffline and a Verifier require; any unless given.
func WithIssuer(issuer string) Option { return func(s *settings) { s.issuer = issuer } }

// WithRoundTripper sends the requests through another transport, for proxies and tests.
func WithRoundTripper(tripper http.RoundTripper) Option {
	return func(s *settings) { s.transport.http.Transport = tripper }
}

// NewClient is a client with this API key; an empty one means the key in GRANTEX_API_KEY. An
// invalid setting is the error of every call.
func NewClient(apiKey string, opts ...Option) *Client {
	if apiKey == "" {
		apiKey = os.Getenv("GRANTEX_API_KEY")
	}
	s := newSettings(apiKey, opts)
	t := s.transport
	return &Client{
		Agents:            &AgentsService{t},
		Audit:             &AuditService{t},
		Authorizations:    &AuthorizationsService{t},
		Budgets:           &BudgetsService{t},
		Events:            &EventsService{transport: t},
		Grants:            &GrantsService{t},
		Keys:              &KeysService{t},
		PrincipalSessions: &PrincipalSessionsService{t},
		ScopeNames:        &ScopeNamesService{t},
		Tokens:            &TokensService{t, s.verifier()},
		transport:         t,
	}
}

// newSettings are the defaults, the environment and the options; an empty key is none.
func newSettings(apiKey string, opts []Option) *settings {
	s := &settings{transport: &transport{
		http: &http.Client{
			Transport: roundTripper(),
			// The key must not go elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		baseURL:    os.Getenv("GRANTEX_BASE_URL"),
		timeout:    30 * time.Second,
		maxRetries: 2,
		retryDelay: 500 * time.Millisecond,
	}}
	t := s.transport
	if apiKey != "" {
		t.key.ask, t.key.isFixed = func(context.Context) (string, error) { return apiKey, nil }, true
	}
	for _, opt := range opts {
		opt(s)
	}
	if t.baseURL == "" {
		t.baseURL = DefaultBaseURL
	}
	t.baseURL = strings.TrimRight(t.baseURL, "/")
	if err := checkURL(t.baseURL); err != nil {
		t.broken = fmt.Errorf("%w: the base URL %q %w", ErrConfiguration, redactedURL(t.baseURL), err)
	}
	return s
}

func (s *settings) verifier() *Verifier {
	return &Verifier{transport: s.transport, developerID: s.developerID, issuer: s.issuer}
}

func roundTripper() http.RoundTripper {
	base, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	own := base.Clone()
	own.ReadBufferSize = readBufferBytes
	return own
}

// checkURL refuses what is no base URL, and one with a secret that an error or a log would show.
func checkURL(text string) error {
	parsed, err := url.Parse(text)
	switch {
	// The error of Parse holds the URL.
	case err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "":
		return errors.New("is not an http or https URL")
	case parsed.User != nil:
		return errors.New("contains a user name or a password, which the service does not accept: remove it, " +
			"and give the API key to NewClient or in GRANTEX_API_KEY")
	case strings.ContainsAny(text, "?#"):
		return errors.New("contains a query or a fragment: give only the scheme, the host and a path")
	}
	return nil
}

// Me is the developer that the API key belongs to.
func (c *Client) Me(ctx context.Context) (*Developer, error) {
	return get[Developer](ctx, c.transport, "/v1/me", nil)
}

// Signup creates a developer with a first API key, which is shown only once. It needs no API key.
func (c *Client) Signup(ctx context.Context, request *SignupRequest) (*SignupResponse, error) {
	return send[SignupResponse](ctx, c.transport, call{
		method: http.MethodPost, path: "/v1/signup", body: request, isPublic: true, unsafe: true,
	})
}

// Authorize asks a principal for consent; with a sandbox key the request is approved at once.
//
//	asked, err := client.Authorize(ctx, &grantex.AuthorizeRequest{
//		AgentID: agent.AgentID, PrincipalID: "user-123", Scopes: []string{"calendar:read"},
//	})
func (c *Client) Authorize(ctx context.Context, request *AuthorizeRequest, opts ...CallOption) (*AuthorizeResponse, error) {
	return c.Authorizations.Create(ctx, request, opts...)
}

// String is a pointer to s, for optional fields such as StreamOptions.Since.
func String(s string) *string { return &s }

func send[T any](ctx context.Context, t *transport, c call) (*T, error) {
	answer := new(T)
	if err := t.do(ctx, c, answer); err != nil {
		return nil, err
	}
	return answer, nil
}

func get[T any](ctx context.Context, t *transport, path string, query url.Values) (*T, error) {
	return send[T](ctx, t, call{method: http.MethodGet, path: path, query: query})
}

func post[T any](ctx context.Context, t *transport, path string, body any) (*T, error) {
	return send[T](ctx, t, call{method: http.MethodPost, path: path, body: body})
}

func remove(ctx context.Context, t *transport, path string) error {
	return t.do(ctx, call{method: http.MethodDelete, path: path}, nil)
}
