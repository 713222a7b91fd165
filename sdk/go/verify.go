package grantex

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// keysMaxAge is how long fetched keys are believed: then a key that the service withdrew stops
	// working.
	keysMaxAge = time.Hour
	// unknownKeyPause is how often unknown keys may make it fetch: tokens with made-up keys cost the
	// service nothing.
	unknownKeyPause = 10 * time.Second
	// leeway is how far the clocks of issuer and verifier may be apart.
	leeway = 5 * time.Second
	// minKeyBits: RFC 7518 forbids smaller RSA keys.
	minKeyBits = 2048
)

var strictBase64 = base64.RawURLEncoding.Strict()

// verifier checks grant tokens against the service's public keys.
type verifier struct {
	transport *transport
	issuer    string

	mutex             sync.Mutex
	developerID       string
	keys              map[string]*rsa.PublicKey
	fetched           time.Time
	fetchedForUnknown time.Time
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidToken, fmt.Sprintf(format, args...))
}

// verify gives the claims of a token that holds.
func (v *verifier) verify(ctx context.Context, token, audience string) (*Claims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, invalid("it does not have three parts")
	}
	var header struct{ Alg, Kid, Typ string }
	if err := decodePart(parts[0], &header); err != nil {
		return nil, err
	}
	// The token does not choose how it is checked.
	if header.Alg != "RS256" {
		return nil, invalid("it is not signed with RS256")
	}
	if !isGrantToken(header.Typ) {
		return nil, invalid("its type is not that of a grant token")
	}
	if header.Kid == "" {
		return nil, invalid("it does not name its key")
	}
	signature, err := strictBase64.DecodeString(parts[2])
	if err != nil {
		return nil, invalid("its signature is not base64url")
	}
	key, err := v.key(ctx, header.Kid)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) != nil {
		return nil, invalid("its signature is wrong")
	}
	claims := new(Claims)
	if err := decodePart(parts[1], claims); err != nil {
		return nil, err
	}
	if err := v.check(claims, audience); err != nil {
		return nil, err
	}
	developerID, err := v.developer(ctx)
	if err != nil {
		return nil, err
	}
	if claims.DeveloperID != developerID {
		return nil, invalid("it belongs to another developer")
	}
	return claims, nil
}

// isGrantToken says whether a token of this type can be a grant token: an access token of RFC 9068,
// or one from before.
func isGrantToken(typ string) bool {
	name := strings.TrimPrefix(typ, "application/")
	return strings.EqualFold(name, "at+jwt") || strings.EqualFold(name, "JWT")
}

func (v *verifier) check(claims *Claims, audience string) error {
	for _, text := range []string{claims.Issuer, claims.Principal, claims.Agent, claims.DeveloperID, claims.GrantID, claims.TokenID} {
		if text == "" {
			return invalid("it lacks a claim that every grant token has")
		}
	}
	if claims.Scopes == nil || claims.IssuedAt == 0 || claims.ExpiresAt == 0 {
		return invalid("it lacks a claim that every grant token has")
	}
	if time.Unix(claims.ExpiresAt, 0).Add(leeway).Before(time.Now()) {
		return invalid("it has expired")
	}
	if v.issuer != "" && claims.Issuer != v.issuer {
		return invalid("its issuer is %q", claims.Issuer)
	}
	if claims.Audience != audience {
		if audience == "" {
			return invalid("it is for an audience: say who you are")
		}
		return invalid("its audience is %q", claims.Audience)
	}
	return nil
}

func (v *verifier) developer(ctx context.Context) (string, error) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if v.developerID == "" {
		me, err := get[Developer](ctx, v.transport, "/v1/me", nil)
		if err != nil {
			return "", err
		}
		v.developerID = me.DeveloperID
	}
	return v.developerID, nil
}

func (v *verifier) key(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if time.Since(v.fetched) > keysMaxAge {
		if err := v.fetch(ctx); err != nil {
			return nil, err
		}
	} else if v.keys[kid] == nil && time.Since(v.fetchedForUnknown) > unknownKeyPause {
		v.fetchedForUnknown = time.Now()
		if err := v.fetch(ctx); err != nil {
			return nil, err
		}
	}
	if key := v.keys[kid]; key != nil {
		return key, nil
	}
	return nil, invalid("the service has no key %q", kid)
}

func (v *verifier) fetch(ctx context.Context) error {
	var set struct{ Keys []json.RawMessage }
	jwks := call{method: http.MethodGet, path: "/.well-known/jwks.json", isPublic: true}
	if err := v.transport.do(ctx, jwks, &set); err != nil {
		return err
	}
	v.keys = map[string]*rsa.PublicKey{}
	for _, text := range set.Keys {
		if kid, key := usableKey(text); key != nil {
			v.keys[kid] = key
		}
	}
	v.fetched = time.Now()
	return nil
}

// usableKey is a key that can verify grant tokens; others are passed over.
func usableKey(text []byte) (string, *rsa.PublicKey) {
	var jwk struct{ Kty, Kid, Use, Alg, N, E string }
	if json.Unmarshal(text, &jwk) != nil || jwk.Kty != "RSA" || jwk.Kid == "" {
		return "", nil
	}
	if jwk.Use != "" && jwk.Use != "sig" || jwk.Alg != "" && jwk.Alg != "RS256" {
		return "", nil
	}
	n, err := strictBase64.DecodeString(jwk.N)
	if err != nil {
		return "", nil
	}
	e, err := strictBase64.DecodeString(jwk.E)
	if err != nil || len(e) == 0 || len(e) > 4 {
		return "", nil
	}
	exponent := 0
	for _, b := range e {
		exponent = exponent<<8 | int(b)
	}
	modulus := new(big.Int).SetBytes(n)
	if modulus.BitLen() < minKeyBits {
		return "", nil
	}
	return jwk.Kid, &rsa.PublicKey{N: modulus, E: exponent}
}

func decodePart(part string, into any) error {
	text, err := strictBase64.DecodeString(part)
	if err != nil {
		return invalid("it is not base64url")
	}
	if json.Unmarshal(text, into) != nil {
		return invalid("it is not made of JSON")
	}
	return nil
}
