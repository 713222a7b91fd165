package grantex

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// The event types of this version.
const (
	EventGrantCreated    = "grant.created"
	EventGrantRevoked    = "grant.revoked"
	EventTokenIssued     = "token.issued"
	EventBudgetThreshold = "budget.threshold"
	EventBudgetExhausted = "budget.exhausted"
)

// GrantexEvent is one event of a developer's log. Events of types that are newer than this package
// are delivered too.
type GrantexEvent struct {
	// ID is unique and increases strictly within the log: the key to de-duplicate by, and the cursor
	// to resume from (StreamOptions.LastEventID).
	ID string
	// Type says what happened.
	Type string
	// Timestamp is when it was committed (ISO 8601).
	Timestamp string
	// Data is the payload; Payload gives it with types. A number is a float64; a whole one from 2^53
	// on, which a float64 does not hold exactly, is a json.Number.
	Data map[string]any
	// JSON is the event's envelope as the service sent it, to which the event also encodes. Clear it
	// if you change another field.
	JSON json.RawMessage
}

// GrantCreated is the payload of grant.created: a consent was completed, or a grant delegated.
type GrantCreated struct {
	GrantID     string   `json:"grantId"`
	AgentID     string   `json:"agentId"`
	PrincipalID string   `json:"principalId"`
	Scopes      []string `json:"scopes"`
}

// GrantRevoked is the payload of grant.revoked; RevokedBy is developer, principal or system.
type GrantRevoked struct {
	GrantID   string `json:"grantId"`
	RevokedBy string `json:"revokedBy"`
}

// TokenIssued is the payload of token.issued; Method is exchange or refresh.
type TokenIssued struct {
	GrantID string `json:"grantId"`
	TokenID string `json:"tokenId"`
	Method  string `json:"method"`
}

// BudgetThreshold is the payload of budget.threshold: use crossed 50 % or 80 %.
type BudgetThreshold struct {
	GrantID    string  `json:"grantId"`
	Percentage int     `json:"percentage"`
	Remaining  float64 `json:"remaining"`
	Initial    float64 `json:"initial"`
}

// BudgetExhausted is the payload of budget.exhausted: nothing remains.
type BudgetExhausted struct {
	GrantID string  `json:"grantId"`
	Initial float64 `json:"initial"`
}

// Payload is the event's data as a typed value: a GrantCreated, GrantRevoked, TokenIssued,
// BudgetThreshold or BudgetExhausted; nil for a type that this version does not know, or for data
// that does not fit its type.
//
//	switch payload := event.Payload().(type) {
//	case grantex.BudgetExhausted:
//		fmt.Println(payload.GrantID, payload.Initial)
//	case nil:
//		fmt.Println(event.Type, event.Data)
//	}
func (e GrantexEvent) Payload() any {
	switch e.Type {
	case EventGrantCreated:
		return payload[GrantCreated](e.Data)
	case EventGrantRevoked:
		return payload[GrantRevoked](e.Data)
	case EventTokenIssued:
		return payload[TokenIssued](e.Data)
	case EventBudgetThreshold:
		return payload[BudgetThreshold](e.Data)
	case EventBudgetExhausted:
		return payload[BudgetExhausted](e.Data)
	}
	return nil
}

func payload[T any](data map[string]any) any {
	var typed T
	text, err := json.Marshal(data)
	if err != nil || json.Unmarshal(text, &typed) != nil {
		return nil
	}
	return typed
}

// envelope is the wire's form of an event.
type envelope struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	CreatedAt string          `json:"createdAt"`
	Data      json.RawMessage `json:"data"`
}

// MarshalJSON gives the event's envelope (id, type, createdAt, data), as the service sent it if
// JSON is set.
func (e GrantexEvent) MarshalJSON() ([]byte, error) {
	if len(e.JSON) > 0 {
		return e.JSON, nil
	}
	data, err := json.Marshal(e.Data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(envelope{ID: e.ID, Type: e.Type, CreatedAt: e.Timestamp, Data: data})
}

// UnmarshalJSON reads an event from its envelope.
func (e *GrantexEvent) UnmarshalJSON(text []byte) error {
	// The decoder reuses the text's memory.
	read, err := parseEvent(bytes.Clone(text))
	if err == nil {
		*e = read
	}
	return err
}

// parseEvent reads an event from its envelope, which the event keeps.
func parseEvent(text []byte) (GrantexEvent, error) {
	var read envelope
	if err := json.Unmarshal(text, &read); err != nil {
		return GrantexEvent{}, fmt.Errorf("%w: an event: %v: is the base URL right?", ErrProtocol, err)
	}
	if read.ID == "" || read.Type == "" || read.CreatedAt == "" {
		return GrantexEvent{}, fmt.Errorf("%w: an event has no id, type or createdAt: is the base URL right?", ErrProtocol)
	}
	data, err := dataOf(read.Data)
	if err != nil {
		return GrantexEvent{}, fmt.Errorf("%w: an event's data: %v: is the base URL right?", ErrProtocol, err)
	}
	return GrantexEvent{ID: read.ID, Type: read.Type, Timestamp: read.CreatedAt, Data: data, JSON: text}, nil
}

func dataOf(text json.RawMessage) (data map[string]any, err error) {
	if len(text) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&data); err != nil {
		return nil, err
	}
	for name, value := range data {
		data[name] = plainNumbers(value)
	}
	return data, nil
}

// plainNumbers converts each number to a float64, except whole ones from 2^53 on, which a float64
// does not hold exactly.
func plainNumbers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			value[name] = plainNumbers(inner)
		}
	case []any:
		for i, inner := range value {
			value[i] = plainNumbers(inner)
		}
	case json.Number:
		float, err := value.Float64()
		isWhole := !strings.ContainsAny(value.String(), ".eE")
		if err != nil || isWhole && math.Abs(float) >= 1<<53 {
			return value
		}
		return float
	}
	return value
}
