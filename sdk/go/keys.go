package grantex

import (
	"context"
	"net/http"
)

// KeysService handles API keys.
type KeysService struct{ transport *transport }

// Create creates another key, whose secret is shown only once. The call is not retried where the
// key may have been created.
func (s *KeysService) Create(ctx context.Context, name string) (*CreatedKey, error) {
	return send[CreatedKey](ctx, s.transport, call{
		method: http.MethodPost, path: "/v1/keys", body: map[string]string{"name": name}, unsafe: true,
	})
}

// List is one page of the keys, without their secrets, newest first.
func (s *KeysService) List(ctx context.Context, params *ListParams) (*Page[APIKey], error) {
	params = orZero(params)
	var answer struct {
		Keys       []APIKey
		NextCursor *string
	}
	err := s.transport.do(ctx, call{
		method: http.MethodGet, path: "/v1/keys",
		query: query("limit", number(params.Limit), "after", params.After),
	}, &answer)
	return pageOf(answer.Keys, answer.NextCursor, err)
}

// All is every key, page by page as they are taken.
func (s *KeysService) All(ctx context.Context, params *ListParams) func(yield func(APIKey, error) bool) {
	params = orZero(params)
	return walk(ctx, params.After, func(ctx context.Context, after string) (*Page[APIKey], error) {
		return s.List(ctx, &ListParams{params.Limit, after})
	})
}

// Revoke revokes a key and ends its streams.
func (s *KeysService) Revoke(ctx context.Context, keyID string) error {
	return remove(ctx, s.transport, "/v1/keys/"+segment(keyID))
}

// Rotate replaces the key that makes this call. The old key stops working at once, so the call is
// not retried where it may have taken effect: create a second key before you rotate one.
func (s *KeysService) Rotate(ctx context.Context) (*RotatedKey, error) {
	return send[RotatedKey](ctx, s.transport, call{method: http.MethodPost, path: "/v1/keys/rotate", unsafe: true})
}
