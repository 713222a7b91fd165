package grantex

import (
	"context"
	"net/http"
)

// PrincipalSessionsService handles sessions in which principals see and revoke their own grants.
type PrincipalSessionsService struct{ transport *transport }

// PrincipalSessionListParams says which sessions, and which page of them.
type PrincipalSessionListParams struct {
	ListParams
	// PrincipalID: only this principal's sessions.
	PrincipalID string
}

// Create opens a session. Anyone who has its token or its link has the session.
//
//	session, err := client.PrincipalSessions.Create(ctx, &grantex.PrincipalSessionRequest{
//		PrincipalID: "user-123", ExpiresIn: "10m",
//	})
func (s *PrincipalSessionsService) Create(ctx context.Context, request *PrincipalSessionRequest) (*CreatedPrincipalSession, error) {
	return post[CreatedPrincipalSession](ctx, s.transport, "/v1/principal-sessions", request)
}

// List is one page of the open sessions, without their tokens, newest first.
func (s *PrincipalSessionsService) List(ctx context.Context, params *PrincipalSessionListParams) (*Page[PrincipalSession], error) {
	params = orZero(params)
	var answer struct {
		Sessions   []PrincipalSession
		NextCursor *string
	}
	err := s.transport.do(ctx, call{
		method: http.MethodGet, path: "/v1/principal-sessions",
		query: query("principalId", params.PrincipalID, "limit", number(params.Limit), "after", params.After),
	}, &answer)
	return pageOf(answer.Sessions, answer.NextCursor, err)
}

// All is every open session, without its token, page by page as they are taken.
func (s *PrincipalSessionsService) All(ctx context.Context, params *PrincipalSessionListParams) func(yield func(PrincipalSession, error) bool) {
	wanted := *orZero(params)
	return walk(ctx, wanted.After, func(ctx context.Context, after string) (*Page[PrincipalSession], error) {
		page := wanted
		page.After = after
		return s.List(ctx, &page)
	})
}

// End ends a session: its token and its page stop working at once.
func (s *PrincipalSessionsService) End(ctx context.Context, sessionID string) error {
	return remove(ctx, s.transport, "/v1/principal-sessions/"+segment(sessionID))
}

// EndAll ends all open sessions of a principal; having none is no error.
func (s *PrincipalSessionsService) EndAll(ctx context.Context, principalID string) error {
	return s.transport.do(ctx, call{
		method: http.MethodDelete, path: "/v1/principal-sessions", query: query("principalId", principalID),
	}, nil)
}
