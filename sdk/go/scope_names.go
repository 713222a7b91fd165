package grantex

import (
	"context"
	"fmt"
	"net/http"
)

// ScopeNamesService handles names of scopes, which principals read on the consent page and on their
// own page.
type ScopeNamesService struct{ transport *transport }

// Set names scopes; other scopes keep their names.
func (s *ScopeNamesService) Set(ctx context.Context, scopes []NewScopeName) ([]ScopeName, error) {
	body := map[string]any{"scopes": scopes}
	return s.names(ctx, call{method: http.MethodPut, path: "/v1/scopes", body: body})
}

// List gives all scopes that have a name, 500 at most.
func (s *ScopeNamesService) List(ctx context.Context) ([]ScopeName, error) {
	return s.names(ctx, call{method: http.MethodGet, path: "/v1/scopes"})
}

// Remove removes a scope's name. Grants do not change.
func (s *ScopeNamesService) Remove(ctx context.Context, scope string) error {
	return s.transport.do(ctx, call{method: http.MethodDelete, path: "/v1/scopes", query: query("scope", scope)}, nil)
}

func (s *ScopeNamesService) names(ctx context.Context, call call) ([]ScopeName, error) {
	var answer struct{ Scopes []ScopeName }
	err := s.transport.do(ctx, call, &answer)
	if err == nil && answer.Scopes == nil {
		err = fmt.Errorf("%w: the answer has no scopes: is the base URL right?", ErrProtocol)
	}
	return answer.Scopes, err
}
