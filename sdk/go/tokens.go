package grantex

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// TokensService handles grant tokens.
type TokensService struct {
	transport *transport
	verifier  *Verifier
}

// codePrefix is the prefix of every authorization code.
const codePrefix = "gxc_"

// Exchange exchanges the code of an approved request for a grant and its first token. The error is
// ErrConfiguration, before a request is made, for a code that does not begin with gxc_.
func (s *TokensService) Exchange(ctx context.Context, request *ExchangeRequest, opts ...CallOption) (*TokenResponse, error) {
	if !strings.HasPrefix(orZero(request).Code, codePrefix) {
		return nil, fmt.Errorf("%w: the authorization code does not begin with %s: give the code of the redirect, or in "+
			"a sandbox that of the request", ErrConfiguration, codePrefix)
	}
	return send[TokenResponse](ctx, s.transport, creating("/v1/token", request, opts))
}

// Refresh gives a new token of the same grant for a refresh token, which can be used once.
func (s *TokensService) Refresh(ctx context.Context, request *RefreshRequest, opts ...CallOption) (*TokenResponse, error) {
	return send[TokenResponse](ctx, s.transport, creating("/v1/token/refresh", request, opts))
}

// Verify asks the service whether a token is valid; it sees revocations at once.
func (s *TokensService) Verify(ctx context.Context, token string) (*TokenVerification, error) {
	return post[TokenVerification](ctx, s.transport, "/v1/tokens/verify", map[string]string{"token": token})
}

// VerifyFor is Verify for a token that must be for this audience, which you are. After Verify,
// compare Audience yourself.
func (s *TokensService) VerifyFor(ctx context.Context, token, audience string) (*TokenVerification, error) {
	body := map[string]string{"token": token, "audience": audience}
	return post[TokenVerification](ctx, s.transport, "/v1/tokens/verify", body)
}

// VerifyOffline checks a token without asking the service: signature, type, expiry, developer,
// audience, and the issuer if one is set. A token that is not valid is ErrInvalidToken. One key set
// signs the tokens of all developers, so the developer is always compared with your own.
//
// It does not see revocations before the token expires: where they must count at once, use Verify
// or follow grant.revoked. The service's public keys are fetched every hour, and when a token names
// a new one. A server that has no API key uses a Verifier.
func (s *TokensService) VerifyOffline(ctx context.Context, token string, params *OfflineParams) (*Claims, error) {
	return s.verifier.Verify(ctx, token, params)
}

// Revoke revokes a token by its jti; the grant stays.
func (s *TokensService) Revoke(ctx context.Context, tokenID string) error {
	return s.transport.do(ctx, call{
		method: http.MethodPost, path: "/v1/tokens/revoke", body: map[string]string{"jti": tokenID},
	}, nil)
}
