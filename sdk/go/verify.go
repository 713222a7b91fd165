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
	// keysMaxAge is the age at which keys are fetched again: a key that the service withdrew stops
	// working then.
	keysMaxAge = time.Hour
	// keysMaxAgeInOutage is how long keys are used while the service cannot be reached: an outage of
	// less than a day stops no verification.
	keysMaxAgeInOutage = 24 * time.Hour
	// fetchPause is the shortest time between two fetches for unknown keys, and after a failed fetch
	// for old ones: tokens with made-up key names cost the service nothing, and an outage delays no
	// verification.
	fetchPause = 10 * time.Second
	// failureShared is how long a failed first fetch answers the calls that waited for it.
	failureShared = time.Second
	// leeway is the clock difference between issuer and verifier that is tolerated.
	leeway = 5 * time.Second
	// minKeyBits: RFC 7518 forbids smaller RSA keys.
	minKeyBits = 2048
)

var strictBase64 = base64.RawURLEncoding.Strict()

// Verifier checks grant tokens by the service's public keys, without asking the service about each,
// and without an API key: for a server that accepts tokens and does nothing else.
// TokensService.VerifyOffline is the same check. A Verifier is safe for concurrent use.
//
// Checked: signature (RS256), type, expiry, developer, audience, and the issuer if one is given.
// Not seen before the token expires: a revoked grant or token, a suspended agent or developer.
// Where these must count at once, ask the service (TokensService.Verify) or follow grant.revoked;
// both need an API key.
type Verifier struct {
	transport *transport
	issuer    string

	mutex             sync.Mutex
	developerID       string
	keys              map[string]*rsa.PublicKey
	fetched           time.Time
	fetchedForUnknown time.Time
	failed            time.Time
	failure           error

	// fetching is held by the one call that fetches.
	fetching sync.Mutex
}

// NewVerifier makes a verifier of the tokens that the service at this base URL issues for this
// developer. An empty base URL means GRANTEX_BASE_URL, or DefaultBaseURL. The options are those of
// NewClient; a key function is not used. An invalid setting is the error of every Verify.
//
//	verifier := grantex.NewVerifier("https://auth.example.com", "dev_…")
//	claims, err := verifier.Verify(ctx, token, &grantex.OfflineParams{Audience: "https://api.example"})
func NewVerifier(baseURL, developerID string, opts ...Option) *Verifier {
	own := []Option{WithDeveloperID(developerID)}
	if baseURL != "" {
		own = append(own, WithBaseURL(baseURL))
	}
	s := newSettings("", append(own, opts...))
	if s.developerID == "" && s.transport.broken == nil {
		// The check of the developer must not be left out.
		s.transport.broken = fmt.Errorf("%w: no developer id: a verifier accepts the tokens of one developer, "+
			"so give it that developer's id (client.Me shows yours)", ErrConfiguration)
	}
	return s.verifier()
}

// OfflineParams is what a token must have besides a good signature.
type OfflineParams struct {
	// Audience is the audience that you are. A token that names an audience is valid for that
	// audience only.
	Audience string
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidToken, fmt.Sprintf(format, args...))
}

// Verify gives the claims of a valid token. Any other token is ErrInvalidToken; another error says
// that the service's keys could not be fetched. The public keys are fetched every hour, and when a
// token names a new one.
func (v *Verifier) Verify(ctx context.Context, token string, params *OfflineParams) (*Claims, error) {
	if v.transport.broken != nil {
		return nil, v.transport.broken
	}
	if token == "" {
		return nil, invalid("it is empty: pass the grant token")
	}
	if len(token) > len("Bearer ") && strings.EqualFold(token[:len("Bearer ")], "Bearer ") {
		return nil, invalid(`it begins with "Bearer ": pass only what follows it`)
	}
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
		return nil, invalid("its type is neither at+jwt nor JWT")
	}
	if header.Kid == "" {
		return nil, invalid("its header names no key (kid)")
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
	if err := v.check(claims, orZero(params).Audience); err != nil {
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
// or the older type.
func isGrantToken(typ string) bool {
	name := strings.TrimPrefix(typ, "application/")
	return strings.EqualFold(name, "at+jwt") || strings.EqualFold(name, "JWT")
}

func (v *Verifier) check(claims *Claims, audience string) error {
	for _, text := range []string{claims.Issuer, claims.Principal, claims.Agent, claims.DeveloperID, claims.GrantID, claims.TokenID} {
		if text == "" {
			return invalid("a claim that every grant token has is missing")
		}
	}
	if claims.Scopes == nil || claims.IssuedAt == 0 || claims.ExpiresAt == 0 {
		return invalid("a claim that every grant token has is missing")
	}
	if time.Unix(claims.ExpiresAt, 0).Add(leeway).Before(time.Now()) {
		return invalid("it has expired")
	}
	if v.issuer != "" && claims.Issuer != v.issuer {
		return invalid("its issuer is %q, not %q", claims.Issuer, v.issuer)
	}
	if claims.Audience != audience {
		if audience == "" {
			return invalid("it is for an audience, and no audience was given to compare")
		}
		if claims.Audience == "" {
			return invalid("it names no audience, and %q is required", audience)
		}
		return invalid("its audience is %q, not %q", claims.Audience, audience)
	}
	return nil
}

func (v *Verifier) developer(ctx context.Context) (string, error) {
	v.mutex.Lock()
	id := v.developerID
	v.mutex.Unlock()
	if id != "" {
		return id, nil
	}
	me, err := get[Developer](ctx, v.transport, "/v1/me", nil)
	if err != nil {
		return "", err
	}
	v.mutex.Lock()
	defer v.mutex.Unlock()
	v.developerID = me.DeveloperID
	return v.developerID, nil
}

// key finds a key that is known without waiting for a fetch, unless this is the first call that
// finds it old.
func (v *Verifier) key(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	key, isOld := v.find(kid)
	switch {
	case key != nil && !isOld:
		return key, nil
	case key != nil:
		if !v.fetching.TryLock() {
			return key, nil
		}
		defer v.fetching.Unlock()
		if v.fetch(ctx) != nil {
			return key, nil
		}
	default:
		v.fetching.Lock()
		defer v.fetching.Unlock()
		if key, _ := v.find(kid); key != nil {
			return key, nil
		}
		if err := v.beginFetch(kid); err != nil {
			return nil, err
		}
		if err := v.fetch(ctx); err != nil {
			return nil, err
		}
	}
	if key, _ = v.find(kid); key != nil {
		return key, nil
	}
	return nil, unknownKey(kid)
}

func unknownKey(kid string) error {
	return invalid("the service has no key %q", kid)
}

// find is the key if it can be used, and whether it should be fetched again.
func (v *Verifier) find(kid string) (key *rsa.PublicKey, isOld bool) {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	age := time.Since(v.fetched)
	if age > keysMaxAgeInOutage {
		return nil, true
	}
	return v.keys[kid], age > keysMaxAge && time.Since(v.failed) > fetchPause
}

// beginFetch says whether the keys may be fetched now for one that is not among them.
func (v *Verifier) beginFetch(kid string) error {
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if time.Since(v.fetched) > keysMaxAge {
		if time.Since(v.failed) <= failureShared {
			return v.failure
		}
		return nil
	}
	if time.Since(v.fetchedForUnknown) <= fetchPause {
		if v.failure != nil {
			return v.failure
		}
		return unknownKey(kid)
	}
	v.fetchedForUnknown = time.Now()
	return nil
}

func (v *Verifier) fetch(ctx context.Context) error {
	var set struct{ Keys []json.RawMessage }
	jwks := call{method: http.MethodGet, path: "/.well-known/jwks.json", isPublic: true}
	err := v.transport.do(ctx, jwks, &set)
	v.mutex.Lock()
	defer v.mutex.Unlock()
	if err != nil {
		// A caller that gave up says nothing of the service.
		if ctx.Err() == nil {
			v.failed, v.failure = time.Now(), err
		}
		return err
	}
	v.keys = map[string]*rsa.PublicKey{}
	for _, text := range set.Keys {
		if kid, key := usableKey(text); key != nil {
			v.keys[kid] = key
		}
	}
	v.fetched, v.failed, v.failure = time.Now(), time.Time{}, nil
	return nil
}

// usableKey is a key that can verify grant tokens; others are ignored.
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
		return invalid("it is not JSON")
	}
	return nil
}
