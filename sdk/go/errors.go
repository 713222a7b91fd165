package grantex

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What went wrong, by what the caller can do about it; for errors.Is.
var (
	// ErrBadRequest is 400: change the request.
	ErrBadRequest = errors.New("bad request")
	// ErrUnauthorized is 401: get a working API key.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrInsufficientBudget is 402: the budget does not hold the amount; nothing was taken.
	ErrInsufficientBudget = errors.New("insufficient budget")
	// ErrForbidden is 403: this caller may not.
	ErrForbidden = errors.New("forbidden")
	// ErrNotFound is 404: there is no such thing, or it belongs to somebody else.
	ErrNotFound = errors.New("not found")
	// ErrConflict is 409: it stands against what is there.
	ErrConflict = errors.New("conflict")
	// ErrGone is 410: it was there and is over; for a stream: the cursor is of no use.
	ErrGone = errors.New("gone")
	// ErrRateLimited is 429: wait, as APIError.RetryAfter says.
	ErrRateLimited = errors.New("rate limited")
	// ErrServer is 5xx: the service failed.
	ErrServer = errors.New("server error")
	// ErrAPI is any other status.
	ErrAPI = errors.New("api error")

	// ErrConnection says that the connection could not be made, or broke.
	ErrConnection = errors.New("the connection failed")
	// ErrTimeout says that nothing came in time.
	ErrTimeout = errors.New("timeout")
	// ErrProtocol says that what came is not what this service sends: is the base URL right?
	ErrProtocol = errors.New("protocol error")
	// ErrStreamEnded is a 204 that ended a stream: whoever answers wants no reconnection.
	ErrStreamEnded = errors.New("the stream was ended with 204 and must not be opened again; " +
		"whatever answers there (a proxy?) says that it has no more")
	// ErrInvalidToken is a token that must not be accepted.
	ErrInvalidToken = errors.New("the token is not valid")
	// ErrConfiguration says that the client was set up wrongly, or a call was given what cannot work.
	ErrConfiguration = errors.New("configuration error")
)

// APIError is an answer that was no success.
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
	// Message says what is wrong and what to do about it, in the service's own words.
	Message string
	// RequestID names the answer in the service's log.
	RequestID string
	// RetryAfter is how long the service asks to wait.
	RetryAfter time.Duration
	// OldestEventID is, with 410 on a stream, the oldest event that is still there.
	OldestEventID string

	hint string
}

// Error is the message with what identifies the answer.
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

// Is tells whether target is the error of this status, such as ErrNotFound.
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

// mayPass tells whether the same request may get another answer later; a 409 unless the service
// called it final, a 5xx except for a damaged event, which stays damaged.
func (e *APIError) mayPass() bool {
	if e.Status == 409 {
		return e.Code != "CONFLICT" && e.Code != "GRANT_INACTIVE"
	}
	return e.Status == 408 || e.Status == 429 || (e.Status >= 500 && e.Code != "EVENT_DAMAGED")
}

// didNothing tells whether the answer says that nothing was done.
func (e *APIError) didNothing() bool {
	return e.Status == 429 || e.Status == 503 && e.Code == "UNAVAILABLE"
}

// ofStream adds what to do about a stream that ended with this.
func (e *APIError) ofStream() *APIError {
	switch e.Status {
	case 401:
		e.hint = "a stream needs a working API key; a client with WithKeyFunc renews it by itself"
	case 410:
		e.hint = "events may be missing: start again with Since, or without a cursor, and read the state itself"
	}
	return e
}
