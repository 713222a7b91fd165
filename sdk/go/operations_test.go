package grantex

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// wire is an event in the wire's form, made from its fields.
type wire struct {
	ID        string         `json:"id"`
	Type      string         `json:"type"`
	CreatedAt string         `json:"createdAt"`
	Data      map[string]any `json:"data"`
}

// toWire is an event in the wire's form.
func toWire(e GrantexEvent) wire {
	return wire{ID: e.ID, Type: e.Type, CreatedAt: e.Timestamp, Data: e.Data}
}

// historyPage is a page of events in the wire's form, beside the page itself.
type historyPage struct {
	Page[wire]
	page *Page[GrantexEvent]
}

func read[T any](args map[string]any) *T {
	into := new(T)
	text, err := json.Marshal(args)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		panic(fmt.Sprintf("%T from %v: %v", into, args, err))
	}
	return into
}

// collect takes everything from an iterator.
func collect[T any](all func(yield func(T, error) bool)) (items []T, err error) {
	items = []T{}
	all(func(item T, failed error) bool {
		if err = failed; err == nil {
			items = append(items, item)
		}
		return true
	})
	return items, err
}

// done makes a result of a call that has none.
func done(err error) (any, error) { return nil, err }

// verifyAll checks the tokens of a case.
func verifyAll(
	ctx context.Context, verify func(context.Context, string, *OfflineParams) (*Claims, error), args map[string]any,
) (any, error) {
	audience, _ := args["audience"].(string)
	claims := []*Claims{}
	for _, token := range args["tokens"].([]any) {
		one, err := verify(ctx, token.(string), &OfflineParams{Audience: audience})
		if err != nil {
			return nil, err
		}
		claims = append(claims, one)
	}
	return claims, nil
}

// operate calls the operation that a case names.
func operate(ctx context.Context, client *Client, operation string, args map[string]any) (any, error) {
	text := func(name string) string { value, _ := args[name].(string); return value }
	list := read[ListParams](args)
	grants := &GrantListParams{ListParams: *list, AgentID: text("agentId"), PrincipalID: text("principalId"), Status: text("status")}
	sessions := &PrincipalSessionListParams{ListParams: *list, PrincipalID: text("principalId")}
	history := &HistoryParams{ListParams: *list, Since: text("since"), Until: text("until"), Before: text("before"), NewestFirst: args["newestFirst"] == true, AgentID: text("agentId"), PrincipalID: text("principalId"), GrantID: text("grantId")}
	if strings.HasPrefix(operation, "events.list") && args["eventTypes"] != nil {
		history.EventTypes = read[struct{ EventTypes []string }](args).EventTypes
	}
	// This package takes amounts as texts only.
	for _, name := range []string{"initialBudget", "amount"} {
		if number, ok := args[name].(float64); ok {
			args[name] = strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.4f", number), "0"), ".")
		}
	}
	var opts []CallOption
	if key := text("idempotencyKey"); key != "" {
		opts = append(opts, WithIdempotencyKey(key))
	}
	switch operation {
	case "signup":
		return client.Signup(ctx, read[SignupRequest](args))
	case "me":
		return client.Me(ctx)
	case "keys.list":
		return client.Keys.List(ctx, list)
	case "keys.list.all":
		return collect(client.Keys.All(ctx, list))
	case "keys.create":
		return client.Keys.Create(ctx, text("name"))
	case "keys.revoke":
		return done(client.Keys.Revoke(ctx, text("keyId")))
	case "keys.rotate":
		return client.Keys.Rotate(ctx)
	case "agents.create":
		return client.Agents.Create(ctx, read[CreateAgentRequest](args), opts...)
	case "agents.list":
		return client.Agents.List(ctx, list)
	case "agents.list.all":
		return collect(client.Agents.All(ctx, list))
	case "agents.get":
		return client.Agents.Get(ctx, text("agentId"))
	case "agents.update":
		return client.Agents.Update(ctx, text("agentId"), read[UpdateAgentRequest](args))
	case "agents.delete":
		return done(client.Agents.Delete(ctx, text("agentId")))
	case "authorize":
		return client.Authorize(ctx, read[AuthorizeRequest](args), opts...)
	case "authorizations.approve":
		return client.Authorizations.Approve(ctx, text("authRequestId"))
	case "authorizations.deny":
		return client.Authorizations.Deny(ctx, text("authRequestId"))
	case "tokens.exchange":
		return client.Tokens.Exchange(ctx, read[ExchangeRequest](args), opts...)
	case "tokens.refresh":
		return client.Tokens.Refresh(ctx, read[RefreshRequest](args), opts...)
	case "tokens.verify":
		if audience := text("audience"); audience != "" {
			return client.Tokens.VerifyFor(ctx, text("token"), audience)
		}
		return client.Tokens.Verify(ctx, text("token"))
	case "tokens.revoke":
		return done(client.Tokens.Revoke(ctx, text("tokenId")))
	case "tokens.verifyOffline":
		return verifyAll(ctx, client.Tokens.VerifyOffline, args)
	case "grants.list":
		return client.Grants.List(ctx, grants)
	case "grants.list.all":
		return collect(client.Grants.All(ctx, grants))
	case "grants.get":
		return client.Grants.Get(ctx, text("grantId"))
	case "grants.revoke":
		return done(client.Grants.Revoke(ctx, text("grantId")))
	case "grants.delegate":
		return client.Grants.Delegate(ctx, read[DelegateRequest](args), opts...)
	case "grants.verify":
		if audience := text("audience"); audience != "" {
			return client.Grants.VerifyFor(ctx, text("token"), audience)
		}
		return client.Grants.Verify(ctx, text("token"))
	case "budgets.allocate":
		return client.Budgets.Allocate(ctx, read[AllocateRequest](args), opts...)
	case "budgets.debit":
		return client.Budgets.Debit(ctx, read[DebitRequest](args), opts...)
	case "budgets.get":
		return client.Budgets.Get(ctx, text("grantId"))
	case "budgets.list":
		return client.Budgets.List(ctx, list)
	case "budgets.list.all":
		return collect(client.Budgets.All(ctx, list))
	case "budgets.transactions":
		return client.Budgets.Transactions(ctx, text("grantId"), list)
	case "budgets.transactions.all":
		return collect(client.Budgets.AllTransactions(ctx, text("grantId"), list))
	case "events.list":
		page, err := client.Events.List(ctx, history)
		if err != nil {
			return nil, err
		}
		return historyPage{Page[wire]{Items: wires(page.Items), NextCursor: page.NextCursor}, page}, nil
	case "events.get":
		return client.Events.Get(ctx, text("eventId"))
	case "events.list.all":
		events, err := collect(client.Events.All(ctx, history))
		return wires(events), err
	case "events.createTicket":
		params := read[TicketParams](args)
		params.EventTypes = read[struct{ EventTypes []string }](args).EventTypes
		return client.Events.CreateTicket(ctx, params)
	case "scopeNames.set":
		return client.ScopeNames.Set(ctx, read[struct{ Scopes []NewScopeName }](args).Scopes)
	case "scopeNames.list":
		return client.ScopeNames.List(ctx)
	case "scopeNames.remove":
		return done(client.ScopeNames.Remove(ctx, text("scope")))
	case "principalSessions.create":
		return client.PrincipalSessions.Create(ctx, read[PrincipalSessionRequest](args))
	case "principalSessions.list":
		return client.PrincipalSessions.List(ctx, sessions)
	case "principalSessions.list.all":
		return collect(client.PrincipalSessions.All(ctx, sessions))
	case "principalSessions.end":
		return done(client.PrincipalSessions.End(ctx, text("sessionId")))
	case "principalSessions.endAll":
		return done(client.PrincipalSessions.EndAll(ctx, text("principalId")))
	case "audit.list":
		return client.Audit.List(ctx, list)
	case "audit.list.all":
		return collect(client.Audit.All(ctx, list))
	}
	panic("no operation is called " + operation)
}

func wires(events []GrantexEvent) []wire {
	wires := []wire{}
	for _, event := range events {
		wires = append(wires, toWire(event))
	}
	return wires
}
