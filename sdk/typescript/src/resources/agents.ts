import { List, type ListParams } from '../page.js';
import { type CreateOptions, type RequestOptions, segment, type Transport } from '../transport.js';
import type { Agent, CreateAgentRequest, UpdateAgentRequest } from '../types.js';

/** Agents. */
export class Agents {
  readonly #transport: Transport;

  /** @internal */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Registers an agent.
   *
   * @example
   * ```ts
   * const agent = await grantex.agents.create({ name: 'Calendar assistant', scopes: ['calendar:read'] });
   * ```
   */
  create(request: CreateAgentRequest, options?: CreateOptions): Promise<Agent> {
    return this.#transport.json(
      { method: 'POST', path: '/v1/agents', body: request, creates: true },
      options,
    );
  }

  /** The agents, newest first. */
  list(params: ListParams = {}, options?: RequestOptions): List<Agent> {
    return new List(params.after, async (after) => {
      const call = { method: 'GET', path: '/v1/agents', query: { ...params, after } };
      const { agents, nextCursor } = await this.#transport.json<{
        agents: Agent[];
        nextCursor: string | null;
      }>(call, options);
      return { items: agents, nextCursor };
    });
  }

  /** One agent. */
  get(agentId: string, options?: RequestOptions): Promise<Agent> {
    return this.#transport.json({ method: 'GET', path: `/v1/agents/${segment(agentId)}` }, options);
  }

  /** Changes the fields that are given. */
  update(agentId: string, request: UpdateAgentRequest, options?: RequestOptions): Promise<Agent> {
    const path = `/v1/agents/${segment(agentId)}`;
    return this.#transport.json({ method: 'PATCH', path, body: request }, options);
  }

  /** Deletes an agent; its grants and all below them are revoked. */
  delete(agentId: string, options?: RequestOptions): Promise<void> {
    return this.#transport.done(
      { method: 'DELETE', path: `/v1/agents/${segment(agentId)}` },
      options,
    );
  }
}
