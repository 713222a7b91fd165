package grantex

import "context"

// PrincipalSessionsService handles sessions in which principals see and revoke their own grants.
type PrincipalSessionsService struct{ transport *transport }

// Create opens a session.
func (s *PrincipalSessionsService) Create(ctx context.Context, request *PrincipalSessionRequest) (*PrincipalSession, error) {
	return post[PrincipalSession](ctx, s.transport, "/v1/principal-sessions", request)
}
