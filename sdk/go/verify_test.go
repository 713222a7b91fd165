package grantex

import (
	"context"
	"crypto/rsa"
	"errors"
	"net"
	"testing"
	"time"
)

func verifierWithKey(t *testing.T, base string, age time.Duration) *Verifier {
	t.Helper()
	v := NewVerifier(base, "dev_x", WithMaxRetries(0))
	v.keys = map[string]*rsa.PublicKey{"k": {}}
	v.fetched = time.Now().Add(-age)
	return v
}

func TestAnOutageOfLessThanADayStopsNoVerification(t *testing.T) {
	v := verifierWithKey(t, "http://127.0.0.1:1", 2*time.Hour)
	for range [2]int{} {
		if key, err := v.key(context.Background(), "k"); key == nil || err != nil {
			t.Fatal(err)
		}
	}
	if v.failure == nil {
		t.Error("the keys were not asked for")
	}
}

func TestKeysThatAreADayOldAreNotUsed(t *testing.T) {
	v := verifierWithKey(t, "http://127.0.0.1:1", 25*time.Hour)
	_, first := v.key(context.Background(), "k")
	if first == nil || errors.Is(first, ErrInvalidToken) {
		t.Fatal(first)
	}
	// Those who waited for that fetch share its failure.
	if _, second := v.key(context.Background(), "k"); second != first {
		t.Error(second)
	}
}

func TestAMadeUpKeyNameDelaysNoOtherToken(t *testing.T) {
	// It accepts connections and never answers.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	v := verifierWithKey(t, "http://"+silent.Addr().String(), 0)
	ctx, cancel := context.WithCancel(context.Background())
	asked := make(chan error)
	go func() {
		_, err := v.key(ctx, "made-up")
		asked <- err
	}()
	for v.fetching.TryLock() {
		v.fetching.Unlock()
		time.Sleep(time.Millisecond)
	}
	if key, err := v.key(context.Background(), "k"); key == nil || err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-asked:
		t.Fatal("the fetch does not wait any more:", err)
	default:
	}
	cancel()
	if err := <-asked; err == nil {
		t.Error("a service that never answers has keys")
	}
	if v.failure != nil {
		t.Error("a caller that gave up counts as a failure of the service")
	}
}
