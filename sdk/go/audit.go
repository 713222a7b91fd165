package grantex

import (
	"context"
	"net/http"
)

// AuditService reads the audit trail: who changed what outside the event log, such as API keys,
// principals' sessions and names of scopes.
type AuditService struct{ transport *transport }

// List is one page of the entries, newest first.
func (s *AuditService) List(ctx context.Context, params *ListParams) (*Page[AuditEntry], error) {
	params = orZero(params)
	var answer struct {
		Entries    []AuditEntry
		NextCursor *string
	}
	err := s.transport.do(ctx, call{
		method: http.MethodGet, path: "/v1/audit/entries",
		query: query("limit", number(params.Limit), "after", params.After),
	}, &answer)
	return pageOf(answer.Entries, answer.NextCursor, err)
}

// All is every entry, newest first, page by page as they are taken.
//
//	for entry, err := range client.Audit.All(ctx, nil) { // from Go 1.23 on
//		if err != nil {
//			return err
//		}
//		fmt.Println(entry.CreatedAt, entry.Action, entry.Target, "by", entry.Actor.Kind)
//	}
func (s *AuditService) All(ctx context.Context, params *ListParams) func(yield func(AuditEntry, error) bool) {
	params = orZero(params)
	return walk(ctx, params.After, func(ctx context.Context, after string) (*Page[AuditEntry], error) {
		return s.List(ctx, &ListParams{params.Limit, after})
	})
}
