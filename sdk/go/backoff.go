package grantex

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// backoff is exponential with full jitter: a random part of base, doubled for each failed attempt
// before, at most longest. So many clients that lost one service do not all return at the same
// moment.
func backoff(attempt int, base, longest time.Duration, random float64) time.Duration {
	limit := math.Min(float64(base)*math.Pow(2, math.Min(float64(attempt), 31)), float64(longest))
	return time.Duration(limit * random)
}

// retryAfter is the wait of Retry-After, which has seconds or a date.
func retryAfter(header http.Header) time.Duration {
	text := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, time.Until(at))
}

// pause waits, until ctx is done.
func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
