package grantex

import (
	"context"
	"net/http"
)

// AuthorizationsService handles authorization requests.
type AuthorizationsService struct{ transport *transport }

// Create asks a principal for consent; the same as Client.Authorize.
func (s *AuthorizationsService) Create(ctx context.Context, request *AuthorizeRequest, opts ...CallOption) (*AuthorizeResponse, error) {
	return send[AuthorizeResponse](ctx, s.transport, creating("/v1/authorize", request, opts))
}

// Approve approves a pending request in the principal's place; only in a sandbox.
func (s *AuthorizationsService) Approve(ctx context.Context, authRequestID string) (*Approval, error) {
	path := "/v1/authorize/" + segment(authRequestID) + "/approve"
	return send[Approval](ctx, s.transport, call{method: http.MethodPost, path: path, unsafe: true})
}

// Deny denies a pending request in the principal's place; only in a sandbox.
func (s *AuthorizationsService) Deny(ctx context.Context, authRequestID string) (*Denial, error) {
	path := "/v1/authorize/" + segment(authRequestID) + "/deny"
	return send[Denial](ctx, s.transport, call{method: http.MethodPost, path: path, unsafe: true})
}
