package grantex

import (
	"context"
	"fmt"
)

// Page is one page of a list.
type Page[T any] struct {
	// Items are the items of the page.
	Items []T `json:"items"`
	// NextCursor is where the next page starts (After); nil on the last page.
	NextCursor *string `json:"nextCursor"`
	// Total is the number of all items, where the service counts them.
	Total *int `json:"total,omitempty"`
}

// ListParams selects a page of a list.
type ListParams struct {
	// Limit is the most items of a page; the service's default unless given.
	Limit int
	// After: only items after this one, the NextCursor of the page before.
	After string
}

// walk gives every item, page by page as they are taken, to yield. After an error it ends.
func walk[T any](ctx context.Context, after string, fetch func(ctx context.Context, after string) (*Page[T], error)) func(yield func(T, error) bool) {
	return func(yield func(T, error) bool) {
		for {
			page, err := fetch(ctx, after)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.NextCursor == nil {
				return
			}
			after = *page.NextCursor
		}
	}
}

func pageOf[T any](items []T, next *string, err error) (*Page[T], error) {
	if err != nil {
		return nil, err
	}
	if items == nil {
		// A page of the service always has a list, even if it is empty.
		return nil, fmt.Errorf("%w: the answer is not a page of a list: is the base URL right?", ErrProtocol)
	}
	return &Page[T]{Items: items, NextCursor: next}, nil
}

// orZero is params, or the zero value for nil.
func orZero[T any](params *T) *T {
	if params == nil {
		return new(T)
	}
	return params
}
