package grantex

import (
	"context"
	"fmt"
)

// Page is one page of a list.
type Page[T any] struct {
	// Items are what is on the page.
	Items []T `json:"items"`
	// NextCursor is where the next page starts (After); nil on the last page.
	NextCursor *string `json:"nextCursor"`
	// Total is how many there are in all, where the service counts them.
	Total *int `json:"total,omitempty"`
}

// ListParams says which page of a list.
type ListParams struct {
	// Limit is how many items a page holds at most; the service's own number unless given.
	Limit int
	// After leaves out everything up to this item: the NextCursor of the page before.
	After string
}

// walk gives every item, page by page as they are taken, to yield; an error is the last thing that
// it gets.
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
		// The service's own pages have a list, also an empty one.
		return nil, fmt.Errorf("%w: the answer is no page of a list: is the base URL right?", ErrProtocol)
	}
	return &Page[T]{Items: items, NextCursor: next}, nil
}

// orZero makes optional parameters required.
func orZero[T any](params *T) *T {
	if params == nil {
		return new(T)
	}
	return params
}
