package grantex

import (
	"context"
	"net/http"
)

// AgentsService handles agents.
type AgentsService struct{ transport *transport }

// Create registers an agent.
func (s *AgentsService) Create(ctx context.Context, request *CreateAgentRequest, opts ...CallOption) (*Agent, error) {
	return send[Agent](ctx, s.transport, creating("/v1/agents", request, opts))
}

// List is one page of the agents, newest first.
func (s *AgentsService) List(ctx context.Context, params *ListParams) (*Page[Agent], error) {
	params = orZero(params)
	var answer struct {
		Agents     []Agent
		NextCursor *string
	}
	err := s.transport.do(ctx, call{
		method: http.MethodGet, path: "/v1/agents",
		query: query("limit", number(params.Limit), "after", params.After),
	}, &answer)
	return pageOf(answer.Agents, answer.NextCursor, err)
}

// All is every agent, page by page as they are taken; from Go 1.23 on it works with range.
//
//	client.Agents.All(ctx, nil)(func(agent grantex.Agent, err error) bool {
//		fmt.Println(agent.AgentID, err)
//		return true
//	})
func (s *AgentsService) All(ctx context.Context, params *ListParams) func(yield func(Agent, error) bool) {
	params = orZero(params)
	return walk(ctx, params.After, func(ctx context.Context, after string) (*Page[Agent], error) {
		return s.List(ctx, &ListParams{params.Limit, after})
	})
}

// Get is one agent.
func (s *AgentsService) Get(ctx context.Context, agentID string) (*Agent, error) {
	return get[Agent](ctx, s.transport, "/v1/agents/"+segment(agentID), nil)
}

// Update changes the fields that are given.
func (s *AgentsService) Update(ctx context.Context, agentID string, request *UpdateAgentRequest) (*Agent, error) {
	return send[Agent](ctx, s.transport, call{
		method: http.MethodPatch, path: "/v1/agents/" + segment(agentID), body: request,
	})
}

// Delete deletes an agent; its grants and all below them are revoked.
func (s *AgentsService) Delete(ctx context.Context, agentID string) error {
	return remove(ctx, s.transport, "/v1/agents/"+segment(agentID))
}
