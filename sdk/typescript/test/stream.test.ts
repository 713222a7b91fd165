import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { after, before, test } from 'node:test';
import { Grantex } from '../src/index.js';
import { rawItems } from '../src/raw.js';
import { redacted, redactedUrl } from '../src/redact.js';

const event = (id: string): string =>
  `id: ${id}\ndata: {"id":"${id}","type":"t","createdAt":"c","data":{}}\n\n`;

/** A service with an idle log; each stream begins with one event. */
let server: Server;
let baseUrl: string;
let closed: Promise<unknown>[] = [];
before(async () => {
  server = createServer((_, response) => {
    closed.push(new Promise((resolve) => response.once('close', resolve)));
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(event('evt_1'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const streams = (): ReturnType<Grantex['events']['stream']> => {
  closed = [];
  return new Grantex({ apiKey: 'k', baseUrl }).events.stream();
};

test('return() while next() waits ends both, and the connection', async () => {
  const stream = streams();
  assert.equal((await stream.next()).value?.id, 'evt_1');
  const waiting = [stream.next(), stream.next()];
  assert.deepEqual(await stream.return(), { done: true, value: undefined });
  for (const one of waiting) assert.deepEqual(await one, { done: true, value: undefined });
  await Promise.all(closed);
  assert.deepEqual(await stream.next(), { done: true, value: undefined });
});

test('throw() ends it too, and throws', async () => {
  const stream = streams();
  await stream.next();
  const waiting = stream.next();
  await assert.rejects(stream.throw(new Error('enough')), /enough/);
  assert.equal((await waiting).done, true);
  await Promise.all(closed);
});

test('a pipeline that is destroyed closes an idle stream', async () => {
  const readable = Readable.from(streams());
  await once(readable, 'data');
  readable.destroy();
  await once(readable, 'close');
  await Promise.all(closed);
});

test('leaving the loop and a signal close it', async () => {
  for await (const { id } of streams()) {
    assert.equal(id, 'evt_1');
    break;
  }
  await Promise.all(closed);
  closed = [];
  const controller = new AbortController();
  const options = { signal: controller.signal };
  for await (const _ of new Grantex({ apiKey: 'k', baseUrl }).events.stream(options))
    controller.abort();
  await Promise.all(closed);
});

test('who asks twice is answered in turn', async () => {
  const body = [1, 2, 3].map((n) => event(`evt_${n}`)).join('');
  const headers = { 'content-type': 'text/event-stream' };
  const stream = new Grantex({
    apiKey: 'k',
    baseUrl,
    fetch: async () => new Response(body, { headers }),
  }).events.stream({ reconnect: false });
  const all = await Promise.all([
    stream.next(),
    stream.nextWithin(60_000),
    stream.next(),
    stream.next(),
  ]);
  assert.deepEqual(
    all.map((one) => one?.value?.id),
    ['evt_1', 'evt_2', 'evt_3', undefined],
  );
});

test('a process whose last stream ended exits', async () => {
  const program = `
    import { Grantex } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
    const stream = new Grantex({ apiKey: 'k', baseUrl: ${JSON.stringify(baseUrl)} }).events.stream();
    await stream.next();
    const waiting = stream.next();
    await stream.return();
    await waiting;`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: 'inherit',
  });
  const [code] = await once(child, 'exit');
  assert.equal(code, 0);
});

test('a client can be made in any environment', () => {
  const program = `
    import { Grantex } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
    new Grantex({ baseUrl: 'http://127.0.0.1:1', apiKey: 'k' });`;
  const env = {
    ...process.env,
    NO_PROXY: '[::1],fe80::/10',
    ALL_PROXY: 'socks5://127.0.0.1:1',
    SSL_CERT_FILE: '/no/such.pem',
    GRANTEX_BASE_URL: 'http://alice:hush@host',
  };
  const ran = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env,
  });
  assert.equal(ran.status, 0, ran.stderr);
});

test('texts are shown without the secrets of URLs', async () => {
  for (const [text, shown] of [
    ['https://user:p@ss/w?rd@host/a', 'https://***@host/a'],
    ['https://host/hook/a@b?token=x', 'https://host/hook/a@b?***'],
    ['proxy "http://u:p)w@h:1" failed', 'proxy "http://***@h:1" failed'],
    ['http://127.0.0.1:8080/a', 'http://127.0.0.1:8080/a'],
    ['no URL, but a@b?c', 'no URL, but a@b?c'],
  ] as const) {
    assert.equal(redacted(text), shown);
  }
  assert.equal(redactedUrl('user:pass@host:1/a?b'), '***@host:1/a?***');
  const refuse = (): never => {
    throw new TypeError('proxy http://alice:hush@proxy:1 refuses');
  };
  const grantex = new Grantex({ apiKey: 'k', baseUrl, maxRetries: 0, fetch: refuse });
  const error = await grantex.me().catch((error) => error);
  assert.match(error.message, /proxy http:\/\/\*\*\*@proxy:1 refuses/);
});

test("a list's items are found as they came", () => {
  const items = ['{"a":[1,{"b":"]}"}]}', '[ ]', '12345678901234567890', '"\\"]\\\\"', 'null'];
  const text = `{"other":{"events":[0]},"x":"events", "events" : [ ${items.join(' ,\n')}\t], "after":[1]}`;
  assert.deepEqual(rawItems(text, 'events'), items);
  assert.deepEqual(rawItems('{"events":[]}', 'events'), []);
  assert.deepEqual(rawItems('{"events":{"events":[1]}}', 'events'), []);
});
