import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import {
  ConfigurationError,
  Grantex,
  InvalidTokenError,
  NotFoundError,
  type StreamOptions,
  type TicketParams,
  TokenVerifier,
} from '../src/index.js';

let server: Server;
let baseUrl: string;
before(async () => {
  server = createServer((_, response) => {
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end('{"message":"no such grant","code":"NOT_FOUND","requestId":"req_1"}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => server.close());

test('a missing key, a key that cannot be one and a wrong base URL are said at once', () => {
  const apiKey = undefined;
  assert.throws(() => new Grantex({ apiKey }), {
    name: 'ConfigurationError',
    message: /GRANTEX_API_KEY/,
  });
  assert.throws(() => new Grantex({ apiKey: 'gx_test_a\nb' }), ConfigurationError);
  assert.throws(() => new Grantex({ apiKey: '' }), ConfigurationError);
  assert.throws(() => new Grantex({ apiKey: 'k', baseUrl: '127.0.0.1:8080' }), ConfigurationError);
});

test('nothing that is printed of a client holds its key', async () => {
  const grantex = new Grantex({
    apiKey: 'gx_test_secret',
    baseUrl: 'http://127.0.0.1:1',
    maxRetries: 0,
  });
  const { inspect } = await import('node:util');
  assert.ok(!inspect(grantex, { depth: 9, showHidden: true }).includes('secret'));
  const error = await grantex.me().catch((error) => error);
  assert.match(
    String(error),
    /the connection to http:\/\/127\.0\.0\.1:1 failed: .*is the service running/,
  );
  assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes('secret'));
});

test('a revoke that fails throws where it is awaited, and calls onError where it is not', async () => {
  const unheard: unknown[] = [];
  const grantex = new Grantex({ apiKey: 'k', baseUrl, onError: (error) => unheard.push(error) });
  await assert.rejects(grantex.grants.revoke('grnt_x'), NotFoundError);
  await assert.rejects(async () => grantex.grants.revoke('grnt_x'), NotFoundError);
  assert.equal(await grantex.grants.revoke('grnt_x').catch(() => 'caught'), 'caught');
  assert.equal(unheard.length, 0);
  grantex.grants.revoke('grnt_x');
  while (unheard.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(unheard[0] instanceof NotFoundError);
});

test('an un-awaited revoke that fails never ends the process', () => {
  const program = `
    import { Grantex } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
    const grantex = new Grantex({ apiKey: 'k', baseUrl: 'http://127.0.0.1:1', maxRetries: 0 });
    grantex.grants.revoke('grnt_x');
    process.on('exit', (code) => console.log('ended with', code));`;
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
  });
  assert.equal(ran.status, 0, ran.stderr);
  assert.match(ran.stdout, /ended with 0/);
  assert.match(ran.stderr, /the connection to/);
});

test('a call can be aborted', async () => {
  const grantex = new Grantex({ apiKey: 'k', baseUrl });
  await assert.rejects(grantex.me({ signal: AbortSignal.abort(new Error('enough')) }), /enough/);
});

test('what a handler throws is reported, and the subscription goes on', async () => {
  const event = '{"id":"evt_1","type":"t","createdAt":"2026-03-01T12:00:00.000Z","data":{}}';
  const body = `id: evt_1\ndata: ${event}\n\nid: evt_2\ndata: ${event.replace('evt_1', 'evt_2')}\n\n`;
  const headers = { 'content-type': 'text/event-stream' };
  const grantex = new Grantex({
    apiKey: 'k',
    baseUrl,
    fetch: async () => new Response(body, { headers }),
  });
  const reported: unknown[] = [];
  const seen = await new Promise<string[]>((resolve) => {
    const ids: string[] = [];
    grantex.events.subscribe(
      async ({ id }) => {
        ids.push(id);
        if (ids.length === 2) resolve(ids);
        throw new Error(id);
      },
      { reconnect: false, onError: (error) => reported.push(String(error)) },
    );
  });
  assert.deepEqual(seen, ['evt_1', 'evt_2']);
  assert.equal(reported[0], 'Error: evt_1');
});

test('an amount that JSON cannot hold is refused before it is sent', async () => {
  const grantex = new Grantex({ apiKey: 'k', baseUrl });
  await assert.rejects(grantex.budgets.debit({ grantId: 'g', amount: Number.NaN }), RangeError);
});

test('an option that does not exist is refused, and the one meant is named', async () => {
  const grantex = new Grantex({ apiKey: 'k', baseUrl });
  const verifier = new TokenVerifier({ baseUrl, developerId: 'dev_x' });
  const as = <Options>(options: object): Options => options as Options;
  for (const [wrong, meant] of [
    ['types', 'eventTypes'],
    ['event_types', 'eventTypes'],
    ['principalID', 'principalId'],
    ['lastEventID', 'lastEventId'],
  ] as const) {
    const message = `events.stream has no option "${wrong}": use "${meant}"`;
    const options = as<StreamOptions>({ [wrong]: 'x' });
    assert.throws(() => grantex.events.stream(options), { name: 'TypeError', message });
    assert.throws(() => grantex.events.subscribe(() => {}, options), { name: 'TypeError' });
    assert.throws(() => grantex.events.list(options as object), { name: 'TypeError' });
  }
  assert.throws(() => grantex.events.stream(as({ colour: 1 })), /"colour": its options are eventT/);
  await assert.rejects(grantex.events.createTicket(as({ types: ['grant.revoked'] })), {
    name: 'TypeError',
    message: 'events.createTicket has no option "types": use "eventTypes"',
  });
  await assert.rejects(grantex.events.createTicket(as({ since: 'x' })), TypeError);
  await assert.rejects(verifier.verify('a.b.c', as({ aud: 'x' })), {
    name: 'TypeError',
    message: 'TokenVerifier.verify has no option "aud": use "audience"',
  });
  await assert.rejects(grantex.tokens.verifyOffline('a.b.c', as({ aud: 'x' })), TypeError);
  await assert.rejects(grantex.tokens.verify('a.b.c', as({ aud: 'x' })), TypeError);
  await assert.rejects(grantex.grants.verify('a.b.c', as({ aud: 'x' })), TypeError);
  assert.throws(() => new TokenVerifier(as({ developerId: 'dev_x', audience: 'x' })), {
    name: 'TypeError',
    message: /give it to verify\(token, \{ audience \}\)/,
  });
});

test('a ticket is never made with a filter that has no value', async () => {
  const asked: unknown[] = [];
  const grantex = new Grantex({
    apiKey: 'k',
    baseUrl,
    fetch: async (_, init) => {
      asked.push(JSON.parse(String(init?.body)));
      return Response.json({ ticket: 't', expiresAt: 'e' });
    },
  });
  for (const name of ['eventTypes', 'agentId', 'principalId', 'grantId']) {
    for (const value of [undefined, null]) {
      const params = { [name]: value } as TicketParams;
      await assert.rejects(grantex.events.createTicket(params), {
        name: 'TypeError',
        message: new RegExp(`${name} is ${value}, which would not restrict the ticket`),
      });
    }
  }
  await grantex.events.createTicket({ principalId: 'user-1', expiresIn: undefined });
  assert.deepEqual(asked, [{ principalId: 'user-1' }]);
});

test('event types are an array, and a time may be a Date', async () => {
  const asked: URL[] = [];
  const grantex = new Grantex({
    apiKey: 'k',
    baseUrl,
    fetch: async (input) => {
      asked.push(new URL(String(input)));
      return Response.json({ events: [], nextCursor: null });
    },
  });
  const eventTypes = 'grant.revoked' as unknown as string[];
  const expected = { name: 'TypeError', message: /give an array/ };
  assert.throws(() => grantex.events.stream({ eventTypes }), expected);
  await assert.rejects(async () => grantex.events.list({ eventTypes }), expected);
  await assert.rejects(grantex.events.createTicket({ eventTypes }), expected);
  const since = new Date(0);
  await grantex.events.list({ since, until: since });
  await assert.rejects(grantex.events.stream({ since }).next(), /not an event stream/);
  for (const url of asked) assert.equal(url.searchParams.get('since'), '1970-01-01T00:00:00.000Z');
  assert.equal(asked[0]?.searchParams.get('until'), '1970-01-01T00:00:00.000Z');
});

test('what is no token is refused with what to pass', async () => {
  const verifier = new TokenVerifier({ baseUrl, developerId: 'dev_x' });
  for (const [token, message] of [
    [undefined, /it is undefined: pass the grant token as a string/],
    [null, /it is null/],
    ['Bearer a.b.c', /it begins with "Bearer ": pass only what follows it/],
  ] as const) {
    const refused = await verifier.verify(token as string).catch((error) => error);
    assert.ok(refused instanceof InvalidTokenError);
    assert.match(refused.message, message);
  }
});
