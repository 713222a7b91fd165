package grantex

import (
	"context"
	"net/http"
)

// GrantsService handles grants.
type GrantsService struct{ transport *transport }

// List is one page of the grants, newest first.
func (s *GrantsService) List(ctx context.Context, params *GrantListParams) (*Page[Grant], error) {
	params = orZero(params)
	var answer struct {
		Grants     []Grant
		NextCursor *string
	}
	err := s.transport.do(ctx, call{
		method: http.MethodGet, path: "/v1/grants",
		query: query("agentId", params.AgentID, "principalId", params.PrincipalID, "status", params.Status,
			"limit", number(params.Limit), "after", params.After),
	}, &answer)
	return pageOf(answer.Grants, answer.NextCursor, err)
}

// All is every grant, page by page as they are taken.
func (s *GrantsService) All(ctx context.Context, params *GrantListParams) func(yield func(Grant, error) bool) {
	params = orZero(params)
	return walk(ctx, params.After, func(ctx context.Context, after string) (*Page[Grant], error) {
		page := *params
		page.After = after
		return s.List(ctx, &page)
	})
}

// Get is one grant.
func (s *GrantsService) Get(ctx context.Context, grantID string) (*Grant, error) {
	return get[Grant](ctx, s.transport, "/v1/grants/"+segment(grantID), nil)
}

// Revoke revokes a grant and every grant below it. The error is ErrNotFound if it does not exist or
// is revoked already.
func (s *GrantsService) Revoke(ctx context.Context, grantID string) error {
	return remove(ctx, s.transport, "/v1/grants/"+segment(grantID))
}

// Delegate delegates scopes of a grant to another agent.
func (s *GrantsService) Delegate(ctx context.Context, request *DelegateRequest, opts ...CallOption) (*TokenResponse, error) {
	return send[TokenResponse](ctx, s.transport, creating("/v1/grants/delegate", request, opts))
}

// Verify asks the service whether a token's grant is in force, and if not, why.
func (s *GrantsService) Verify(ctx context.Context, token string) (*GrantVerification, error) {
	return post[GrantVerification](ctx, s.transport, "/v1/grants/verify", map[string]string{"token": token})
}

// VerifyFor is Verify for a token that must be for this audience, which you are.
func (s *GrantsService) VerifyFor(ctx context.Context, token, audience string) (*GrantVerification, error) {
	body := map[string]string{"token": token, "audience": audience}
	return post[GrantVerification](ctx, s.transport, "/v1/grants/verify", body)
}
