package grantex

// Developer is the tenant that everything belongs to. Mode is live or sandbox.
type Developer struct {
	DeveloperID string  `json:"developerId"`
	Name        string  `json:"name"`
	Email       *string `json:"email"`
	Mode        string  `json:"mode"`
	CreatedAt   string  `json:"createdAt"`
}

// SignupRequest is a signup. Mode is live unless given; in a sandbox requests are approved at
// once.
type SignupRequest struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
	Mode  string `json:"mode,omitempty"`
}

// SignupResponse is a new developer with the first API key, which is shown only once.
type SignupResponse struct {
	Developer
	APIKey string `json:"apiKey"`
}

// APIKey is an API key without its secret. Prefix is the first characters of the secret.
type APIKey struct {
	KeyID     string  `json:"keyId"`
	Name      string  `json:"name"`
	Prefix    string  `json:"prefix"`
	Mode      string  `json:"mode"`
	CreatedAt string  `json:"createdAt"`
	RevokedAt *string `json:"revokedAt"`
}

// CreatedKey is a new API key; its secret is shown only once.
type CreatedKey struct {
	KeyID     string `json:"keyId"`
	Name      string `json:"name"`
	APIKey    string `json:"apiKey"`
	Mode      string `json:"mode"`
	CreatedAt string `json:"createdAt"`
}

// RotatedKey is the key that replaces the one that made the call.
type RotatedKey struct {
	APIKey    string `json:"apiKey"`
	RotatedAt string `json:"rotatedAt"`
}

// Agent is an agent. Scopes are those that it usually asks for: a description, not a limit. Status
// is active or suspended.
type Agent struct {
	AgentID     string   `json:"agentId"`
	DID         string   `json:"did"`
	DeveloperID string   `json:"developerId"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Scopes      []string `json:"scopes"`
	Status      string   `json:"status"`
	CreatedAt   string   `json:"createdAt"`
	UpdatedAt   string   `json:"updatedAt"`
}

// CreateAgentRequest is a new agent.
type CreateAgentRequest struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Scopes      []string `json:"scopes,omitempty"`
}

// UpdateAgentRequest has the changes to an agent; a nil field is not changed.
type UpdateAgentRequest struct {
	Name        *string   `json:"name,omitempty"`
	Description *string   `json:"description,omitempty"`
	Scopes      *[]string `json:"scopes,omitempty"`
	Status      *string   `json:"status,omitempty"`
}

// AuthorizeRequest is a request for a principal's consent. PrincipalID is your own identifier of
// the person; ExpiresIn, such as 90m, counts from the consent (24h unless given); Audience is the
// grant token's audience.
type AuthorizeRequest struct {
	AgentID             string   `json:"agentId"`
	PrincipalID         string   `json:"principalId"`
	Scopes              []string `json:"scopes"`
	ExpiresIn           string   `json:"expiresIn,omitempty"`
	RedirectURI         string   `json:"redirectUri,omitempty"`
	State               string   `json:"state,omitempty"`
	Audience            string   `json:"audience,omitempty"`
	CodeChallenge       string   `json:"codeChallenge,omitempty"`
	CodeChallengeMethod string   `json:"codeChallengeMethod,omitempty"`
	// Budget is the budget that the grant has from the exchange on. The principal reads it on the
	// consent page.
	Budget *RequestedBudget `json:"budget,omitempty"`
}

// RequestedBudget is a budget that is requested together with the access; Currency is USD unless
// given.
type RequestedBudget struct {
	InitialBudget string `json:"initialBudget"`
	Currency      string `json:"currency,omitempty"`
}

// NewScopeName is a name to give to a scope: what it allows, in a few words that follow "it may".
type NewScopeName struct {
	Scope       string `json:"scope"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// ScopeName is a scope with the name that principals read.
type ScopeName struct {
	Scope       string `json:"scope"`
	Name        string `json:"name"`
	Description string `json:"description"`
	UpdatedAt   string `json:"updatedAt"`
}

// AuthorizeResponse is an authorization request. Anyone with the ConsentURL can decide: send it
// only to the principal. In a sandbox the request is approved at once, and Code can be exchanged.
type AuthorizeResponse struct {
	AuthRequestID string `json:"authRequestId"`
	ConsentURL    string `json:"consentUrl"`
	ExpiresAt     string `json:"expiresAt"`
	Sandbox       bool   `json:"sandbox,omitempty"`
	Code          string `json:"code,omitempty"`
}

// Approval is the answer to an approval.
type Approval struct {
	Code        string `json:"code"`
	RedirectURI string `json:"redirectUri,omitempty"`
	State       string `json:"state,omitempty"`
}

// Denial is the answer to a denial.
type Denial struct {
	RedirectURI string `json:"redirectUri,omitempty"`
	State       string `json:"state,omitempty"`
}

// ExchangeRequest is a code to exchange.
type ExchangeRequest struct {
	Code         string `json:"code"`
	AgentID      string `json:"agentId"`
	CodeVerifier string `json:"codeVerifier,omitempty"`
}

// RefreshRequest is a refresh token, which can be used once.
type RefreshRequest struct {
	RefreshToken string `json:"refreshToken"`
	AgentID      string `json:"agentId"`
}

// TokenResponse is a grant token (a signed JWT) with its refresh token, which can be used once.
type TokenResponse struct {
	GrantToken   string   `json:"grantToken"`
	ExpiresAt    string   `json:"expiresAt"`
	Scopes       []string `json:"scopes"`
	RefreshToken string   `json:"refreshToken"`
	GrantID      string   `json:"grantId"`
}

// TokenVerification says whether the service considers a token valid now. The other fields are set
// only if it does.
type TokenVerification struct {
	Valid     bool     `json:"valid"`
	GrantID   string   `json:"grantId,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`
	Principal string   `json:"principal,omitempty"`
	Agent     string   `json:"agent,omitempty"`
	ExpiresAt string   `json:"expiresAt,omitempty"`
	// Audience is the token's audience, if one was requested. Any other audience must refuse the
	// token.
	Audience string `json:"aud,omitempty"`
}

// Claims are the claims of a grant token. ClientID, Scope, Grant and Actor repeat other claims
// under the names of RFC 9068; tokens of older grants may lack them.
type Claims struct {
	// Issuer is the service's public base URL.
	Issuer string `json:"iss"`
	// Principal gave the grant.
	Principal string `json:"sub"`
	// Agent is the agent's DID.
	Agent       string   `json:"agt"`
	DeveloperID string   `json:"dev"`
	Scopes      []string `json:"scp"`
	GrantID     string   `json:"grnt"`
	TokenID     string   `json:"jti"`
	// IssuedAt and ExpiresAt are seconds since 1970.
	IssuedAt  int64 `json:"iat"`
	ExpiresAt int64 `json:"exp"`
	// Audience is the token's audience, if one was requested.
	Audience string `json:"aud,omitempty"`
	// ParentAgent, ParentGrantID and DelegationDepth are those of a delegated grant.
	ParentAgent     string `json:"parentAgt,omitempty"`
	ParentGrantID   string `json:"parentGrnt,omitempty"`
	DelegationDepth int    `json:"delegationDepth,omitempty"`
	// Budget is the amount that remained at a refresh of a grant with a budget.
	Budget *float64 `json:"bdg,omitempty"`
	// ClientID is the agent's id.
	ClientID string `json:"client_id,omitempty"`
	// Scope has the scopes, separated by spaces.
	Scope string      `json:"scope,omitempty"`
	Grant *GrantClaim `json:"urn:grantex:grant,omitempty"`
	// Actor is the agent that delegated, with the agents above it.
	Actor *ActingAgent `json:"act,omitempty"`
}

// GrantClaim is the grant behind a token.
type GrantClaim struct {
	GrantID         string `json:"grant_id"`
	Agent           string `json:"agent_did"`
	DeveloperID     string `json:"developer_id"`
	ParentGrantID   string `json:"parent_grant_id,omitempty"`
	DelegationDepth int    `json:"delegation_depth,omitempty"`
}

// ActingAgent is an agent that delegated, by its DID, with the one above it.
type ActingAgent struct {
	Agent  string       `json:"sub"`
	Before *ActingAgent `json:"act,omitempty"`
}

// GrantVerification says whether a token's grant is in force. If so it has the claims, otherwise
// the Reason: revoked, expired, not_found, wrong_developer, wrong_audience or agent_suspended,
// which may be temporary.
type GrantVerification struct {
	Active bool    `json:"active"`
	Claims *Claims `json:"claims,omitempty"`
	Reason string  `json:"reason,omitempty"`
}

// Grant is a grant. Status is active, revoked or expired; DelegationDepth counts the delegations
// between it and the principal's consent.
type Grant struct {
	GrantID         string   `json:"grantId"`
	AgentID         string   `json:"agentId"`
	PrincipalID     string   `json:"principalId"`
	DeveloperID     string   `json:"developerId"`
	Scopes          []string `json:"scopes"`
	Status          string   `json:"status"`
	IssuedAt        string   `json:"issuedAt"`
	ExpiresAt       string   `json:"expiresAt"`
	RevokedAt       string   `json:"revokedAt,omitempty"`
	ParentGrantID   string   `json:"parentGrantId,omitempty"`
	DelegationDepth int      `json:"delegationDepth"`
}

// GrantListParams selects grants, and a page of them.
type GrantListParams struct {
	ListParams
	AgentID     string
	PrincipalID string
	Status      string
}

// DelegateRequest is a delegation of scopes of a grant to another agent.
type DelegateRequest struct {
	ParentGrantToken string   `json:"parentGrantToken"`
	SubAgentID       string   `json:"subAgentId"`
	Scopes           []string `json:"scopes"`
	ExpiresIn        string   `json:"expiresIn,omitempty"`
}

// Budget is a grant's budget. Its amounts are exact decimals, with four places.
type Budget struct {
	ID              string `json:"id"`
	GrantID         string `json:"grantId"`
	DeveloperID     string `json:"developerId"`
	InitialBudget   string `json:"initialBudget"`
	RemainingBudget string `json:"remainingBudget"`
	Currency        string `json:"currency"`
	CreatedAt       string `json:"createdAt"`
	UpdatedAt       string `json:"updatedAt"`
}

// AllocateRequest is a budget to allocate to a grant: a decimal such as 12.50 with at most four
// places, in USD unless given.
type AllocateRequest struct {
	GrantID       string `json:"grantId"`
	InitialBudget string `json:"initialBudget"`
	Currency      string `json:"currency,omitempty"`
}

// DebitRequest is a debit of a budget: a decimal such as 12.50 with at most four places.
type DebitRequest struct {
	GrantID     string         `json:"grantId"`
	Amount      string         `json:"amount"`
	Description string         `json:"description,omitempty"`
	Metadata    map[string]any `json:"metadata,omitempty"`
}

// DebitResponse is a completed debit, with the exact amount that remains.
type DebitResponse struct {
	Remaining     string `json:"remaining"`
	TransactionID string `json:"transactionId"`
	GrantID       string `json:"grantId"`
}

// Transaction is one debit. Its amount is an exact decimal, with four places.
type Transaction struct {
	ID           string         `json:"id"`
	GrantID      string         `json:"grantId"`
	AllocationID string         `json:"allocationId"`
	Amount       string         `json:"amount"`
	Description  *string        `json:"description"`
	Metadata     map[string]any `json:"metadata"`
	CreatedAt    string         `json:"createdAt"`
}

// TicketParams says what a ticket allows to stream, and how long it lasts (15m unless given, at
// most 24h). An empty filter does not restrict the ticket: without a filter it reads all of your
// events. So check a value that may be missing, such as a session's, before you give it.
type TicketParams struct {
	ExpiresIn   string   `json:"expiresIn,omitempty"`
	EventTypes  []string `json:"types,omitempty"`
	AgentID     string   `json:"agentId,omitempty"`
	PrincipalID string   `json:"principalId,omitempty"`
	GrantID     string   `json:"grantId,omitempty"`
}

// Ticket opens streams in a browser, as their ticket parameter.
type Ticket struct {
	Ticket    string `json:"ticket"`
	ExpiresAt string `json:"expiresAt"`
}

// PrincipalSessionRequest says whose session, and for how long (1h unless given, at most 24h).
type PrincipalSessionRequest struct {
	PrincipalID string `json:"principalId"`
	ExpiresIn   string `json:"expiresIn,omitempty"`
}

// CreatedPrincipalSession is a new session in which a principal sees and revokes their own grants,
// by token or on a page. Anyone who has either has the session.
type CreatedPrincipalSession struct {
	SessionID    string `json:"sessionId"`
	SessionToken string `json:"sessionToken"`
	DashboardURL string `json:"dashboardUrl"`
	ExpiresAt    string `json:"expiresAt"`
}

// PrincipalSession is a principal's open session, without its token. It ends with the API key that
// opened it.
type PrincipalSession struct {
	SessionID   string `json:"sessionId"`
	PrincipalID string `json:"principalId"`
	KeyID       string `json:"keyId"`
	CreatedAt   string `json:"createdAt"`
	ExpiresAt   string `json:"expiresAt"`
}

// AuditEntry is one change outside the event log.
type AuditEntry struct {
	ID        string `json:"id"`
	CreatedAt string `json:"createdAt"`
	// Actor made the change.
	Actor Actor `json:"actor"`
	// Action is what was done: key.created, key.rotated, key.revoked, session.created,
	// session.ended, scope.named, scope.name_removed, developer.suspended, developer.resumed. More
	// may come.
	Action string `json:"action"`
	// Target is the id of what was changed, or the scope.
	Target string `json:"target"`
	// Details are further facts, by name.
	Details map[string]string `json:"details"`
}

// Actor is who made a change.
type Actor struct {
	// Kind is api_key, principal, operator or system.
	Kind string `json:"kind"`
	// ID is the API key's id, the principal's id or the operator's user; nil for the service
	// itself.
	ID *string `json:"id"`
}
