package grantex

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Errors by what the caller can do about them, for errors.Is.
var (
	// ErrBadRequest is 400: change the request.
	ErrBadRequest = errors.New("bad request")
	// ErrUnauthorized is 401: get a working API key.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrInsufficientBudget is 402: the budget does not cover the amount; nothing was debited.
	ErrInsufficientBudget = errors.New("insufficient budget")
	// ErrForbidden is 403: the caller is not allowed to do this.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound is 404: it does not exist, or it belongs to another developer.
	ErrNotFound = errors.New("not found")
	// ErrConflict is 409: the request conflicts with the current state.
	ErrConflict = errors.New("conflict")
	// ErrGone is 410: it has ended; for a stream: the log no longer reaches back to the cursor.
	ErrGone = errors.New("gone")
	// ErrRateLimited is 429: wait as long as APIError.RetryAfter says.
	ErrRateLimited = errors.New("rate limited")
	// ErrServer is 5xx: the service failed.
	ErrServer = errors.New("server error")
	// ErrAPI is any other status.
	ErrAPI = errors.New("api error")

	// ErrConnection: the connection could not be opened, or it broke.
	ErrConnection = errors.New("the connection failed")
	// ErrTimeout: the service did not answer in time.
	ErrTimeout = errors.New("timeout")
	// ErrProtocol: the answer is not one that this service sends; is the base URL right?
	ErrProtocol = errors.New("protocol error")
	// ErrStreamEnded is a 204 that ended a stream: the server asked clients not to reconnect.
	ErrStreamEnded = errors.New("the stream ended with status 204, by which a server asks clients not to " +
		"reconnect; this service never sends it: is the base URL right, or does a proxy answer?")
	// ErrInvalidToken: the token is not valid, and must not be accepted.
	ErrInvalidToken = errors.New("the token is not valid")
	// ErrConfiguration: a setting of the client or an argument of a call is invalid.
	ErrConfiguration = errors.New("configuration error")
)

// APIError is an error answer of the service.
//
//	var refused *grantex.APIError
//	if errors.As(err, &refused) {
//		log.Println(refused.Code, refused.RequestID)
//	}
type APIError struct {
	// Status is the HTTP status.
	Status int
	// Code is the stable code, such as NOT_FOUND; empty where the answer is not the service's own.
	Code string
	// Message says what is wrong and what to do about it, as the service says it.
	Message string
	// RequestID identifies the request in the service's log.
	RequestID string
	// RetryAfter is how long the service asks to wait.
	RetryAfter time.Duration
	// OldestEventID is, with 410 on a stream, the oldest event that is still there.
	OldestEventID string

	hint string
}

// Error is the message with status, code and request id.
func (e *APIError) Error() string {
	details := []string{fmt.Sprint(e.Status)}
	if e.Code != "" {
		details = append(details, e.Code)
	}
	if e.RequestID != "" {
		details = append(details, "request "+e.RequestID)
	}
	text := fmt.Sprintf("%s [%s]", e.Message, strings.Join(details, ", "))
	if e.OldestEventID != "" {
		text += fmt.Sprintf(" (the oldest event still there is %s)", e.OldestEventID)
	}
	if e.hint != "" {
		text += "; " + e.hint
	}
	return text
}

// Is reports whether target is the error of this status, such as ErrNotFound.
func (e *APIError) Is(target error) bool { return target == e.kind() }

func (e *APIError) kind() error {
	switch e.Status {
	case 400:
		return ErrBadRequest
	case 401:
		return ErrUnauthorized
	case 402:
		return ErrInsufficientBudget
	case 403:
		return ErrForbidden
	case 404:
		return ErrNotFound
	case 409:
		return ErrConflict
	case 410:
		return ErrGone
	case 429:
		return ErrRateLimited
	}
	if e.Status >= 500 {
		return ErrServer
	}
	return ErrAPI
}

// mayPass reports whether the same request may succeed later: a 409 unless the service said that it
// is final, a 5xx except for a damaged event, which stays damaged.
func (e *APIError) mayPass() bool {
	if e.Status == 409 {
		return e.Code != "CONFLICT" && e.Code != "GRANT_INACTIVE"
	}
	return e.Status == 408 || e.Status == 429 || (e.Status >= 500 && e.Code != "EVENT_DAMAGED")
}

// didNothing reports whether the answer says that the request had no effect.
func (e *APIError) didNothing() bool {
	return e.Status == 429 || e.Status == 503 && e.Code == "UNAVAILABLE"
}

// ofStream adds what to do about a stream that ended with this.
func (e *APIError) ofStream() *APIError {
	switch e.Status {
	case 401:
		e.hint = "a stream needs a working API key; a client with WithKeyFunc renews it by itself"
	case 410:
		e.hint = "events may be missing: read the current state, then start again"
	}
	return e
}
