package grantex

import (
	"context"
	"net/http"
)

// BudgetsService handles budgets and debits.
type BudgetsService struct{ transport *transport }

// Allocate allocates a budget to a grant.
func (s *BudgetsService) Allocate(ctx context.Context, request *AllocateRequest, opts ...CallOption) (*Budget, error) {
	return send[Budget](ctx, s.transport, creating("/v1/budget/allocate", request, opts))
}

// Debit debits an amount, all or nothing. Retries do not debit again: all tries have the same
// idempotency key.
func (s *BudgetsService) Debit(ctx context.Context, request *DebitRequest, opts ...CallOption) (*DebitResponse, error) {
	return send[DebitResponse](ctx, s.transport, creating("/v1/budget/debit", request, opts))
}

// Get is a grant's budget.
func (s *BudgetsService) Get(ctx context.Context, grantID string) (*Budget, error) {
	return get[Budget](ctx, s.transport, "/v1/budget/balance/"+segment(grantID), nil)
}

// List is one page of the budgets, newest first.
func (s *BudgetsService) List(ctx context.Context, params *ListParams) (*Page[Budget], error) {
	params = orZero(params)
	var answer struct {
		Allocations []Budget
		NextCursor  *string
	}
	err := s.transport.do(ctx, call{
		method: http.MethodGet, path: "/v1/budget/allocations",
		query: query("limit", number(params.Limit), "after", params.After),
	}, &answer)
	return pageOf(answer.Allocations, answer.NextCursor, err)
}

// All is every budget, page by page as they are taken.
func (s *BudgetsService) All(ctx context.Context, params *ListParams) func(yield func(Budget, error) bool) {
	params = orZero(params)
	return walk(ctx, params.After, func(ctx context.Context, after string) (*Page[Budget], error) {
		return s.List(ctx, &ListParams{params.Limit, after})
	})
}

// Transactions is one page of a grant's debits, newest first.
func (s *BudgetsService) Transactions(ctx context.Context, grantID string, params *ListParams) (*Page[Transaction], error) {
	params = orZero(params)
	var answer struct {
		Transactions []Transaction
		Total        int
		NextCursor   *string
	}
	err := s.transport.do(ctx, call{
		method: http.MethodGet, path: "/v1/budget/transactions/" + segment(grantID),
		query: query("limit", number(params.Limit), "after", params.After),
	}, &answer)
	page, err := pageOf(answer.Transactions, answer.NextCursor, err)
	if err == nil {
		page.Total = &answer.Total
	}
	return page, err
}

// AllTransactions is every debit of a grant, page by page as they are taken.
func (s *BudgetsService) AllTransactions(ctx context.Context, grantID string, params *ListParams) func(yield func(Transaction, error) bool) {
	params = orZero(params)
	return walk(ctx, params.After, func(ctx context.Context, after string) (*Page[Transaction], error) {
		return s.Transactions(ctx, grantID, &ListParams{params.Limit, after})
	})
}
