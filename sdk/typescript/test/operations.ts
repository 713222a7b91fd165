import {
  Grantex,
  type GrantexEvent,
  type GrantexOptions,
  type List,
  TokenVerifier,
  type TokenVerifierOptions,
} from '../src/index.js';
import type { Json } from './mock.js';

/** An event in the wire's form. */
export function envelope({ id, type, timestamp, data }: GrantexEvent): Json {
  return { id, type, createdAt: timestamp, data };
}

async function all<T>(list: List<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of list) items.push(item);
  return items;
}

/** Calls the operation that a case names; its result in the wire's form. */
export async function call(
  options: GrantexOptions,
  operation: string,
  args: Json,
  grantex = new Grantex(options),
): Promise<Json> {
  const { idempotencyKey, ...body } = args;
  const { agentId, grantId, keyId, authRequestId, tokenId, ...rest } = args;
  const create = { idempotencyKey };
  switch (operation) {
    case 'signup':
      return Grantex.signup(body, options);
    case 'me':
      return grantex.me();
    case 'keys.list':
      return grantex.keys.list(body);
    case 'keys.list.all':
      return all(grantex.keys.list(body));
    case 'keys.create':
      return grantex.keys.create(body);
    case 'keys.revoke':
      return grantex.keys.revoke(keyId);
    case 'keys.rotate':
      return grantex.keys.rotate();
    case 'agents.create':
      return grantex.agents.create(body, create);
    case 'agents.list':
      return grantex.agents.list(body);
    case 'agents.list.all':
      return all(grantex.agents.list(body));
    case 'agents.get':
      return grantex.agents.get(agentId);
    case 'agents.update':
      return grantex.agents.update(agentId, rest);
    case 'agents.delete':
      return grantex.agents.delete(agentId);
    case 'authorize':
      return grantex.authorize(body, create);
    case 'authorizations.approve':
      return grantex.authorizations.approve(authRequestId);
    case 'authorizations.deny':
      return grantex.authorizations.deny(authRequestId);
    case 'tokens.exchange':
      return grantex.tokens.exchange(body, create);
    case 'tokens.refresh':
      return grantex.tokens.refresh(body, create);
    case 'tokens.verify':
      return grantex.tokens.verify(body.token, { audience: body.audience });
    case 'tokens.revoke':
      return grantex.tokens.revoke(tokenId);
    case 'tokens.verifyOffline': {
      const claims = [];
      for (const token of body.tokens) {
        claims.push(await grantex.tokens.verifyOffline(token, { audience: body.audience }));
      }
      return claims;
    }
    case 'verifier.verify': {
      const { apiKey: _, ...settings } = options;
      const verifier = new TokenVerifier(settings as TokenVerifierOptions);
      const claims = [];
      for (const token of body.tokens) {
        claims.push(await verifier.verify(token, { audience: body.audience }));
      }
      return claims;
    }
    case 'grants.list':
      return grantex.grants.list(body);
    case 'grants.list.all':
      return all(grantex.grants.list(body));
    case 'grants.get':
      return grantex.grants.get(grantId);
    case 'grants.revoke':
      return grantex.grants.revoke(grantId);
    case 'grants.delegate':
      return grantex.grants.delegate(body, create);
    case 'grants.verify':
      return grantex.grants.verify(body.token, { audience: body.audience });
    case 'budgets.allocate':
      return grantex.budgets.allocate(body, create);
    case 'budgets.debit':
      return grantex.budgets.debit(body, create);
    case 'budgets.get':
      return grantex.budgets.get(grantId);
    case 'budgets.list':
      return grantex.budgets.list(body);
    case 'budgets.list.all':
      return all(grantex.budgets.list(body));
    case 'budgets.transactions':
      return grantex.budgets.transactions(grantId, rest);
    case 'budgets.transactions.all':
      return all(grantex.budgets.transactions(grantId, rest));
    case 'events.list': {
      const page = await grantex.events.list(body);
      const result = { ...page, items: page.items.map(envelope) };
      // Beside what is compared.
      return Object.defineProperty(result, 'raws', { value: page.items.map(({ json }) => json) });
    }
    case 'events.get': {
      const { position, event } = await grantex.events.get(args.eventId);
      const result = { position, event: envelope(event) };
      return Object.defineProperty(result, 'raws', { value: [event.json] });
    }
    case 'events.list.all':
      return (await all(grantex.events.list(body))).map(envelope);
    case 'events.createTicket':
      return grantex.events.createTicket(body);
    case 'scopeNames.set':
      return grantex.scopeNames.set(body);
    case 'scopeNames.list':
      return grantex.scopeNames.list();
    case 'scopeNames.remove':
      return grantex.scopeNames.remove(args.scope);
    case 'principalSessions.create':
      return grantex.principalSessions.create(body);
    case 'principalSessions.list':
      return grantex.principalSessions.list(body);
    case 'principalSessions.list.all':
      return all(grantex.principalSessions.list(body));
    case 'principalSessions.end':
      return grantex.principalSessions.end(args.sessionId);
    case 'principalSessions.endAll':
      return grantex.principalSessions.endAll(args.principalId);
    case 'audit.list':
      return grantex.audit.list(body);
    case 'audit.list.all':
      return all(grantex.audit.list(body));
    default:
      throw new Error(`no operation is called ${operation}`);
  }
}
