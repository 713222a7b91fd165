import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { inspect } from 'node:util';
import {
  ConfigError,
  DatadogDestination,
  EventSource,
  FileDestination,
  KafkaDestination,
  KeyRefusedError,
  type LogRecord,
  S3Destination,
  SourceError,
  SplunkDestination,
  StateError,
} from '@grantex/destinations';
import { Memory, nativeThreads, QUICK, Service, temporary, until } from './support.js';

let service: Service;
let ids: string[];

before(async () => {
  service = await Service.start();
  ids = await service.grants(5);
});
after(() => service.end());

/** What `start()` rejects with. */
async function refusal(source: EventSource): Promise<SourceError> {
  try {
    await source.start();
  } catch (error) {
    assert.ok(error instanceof SourceError, inspect(error));
    assert.ok(error instanceof Error);
    return error;
  }
  throw new Error('it ran');
}

test('start rejects an invalid configuration, with the destination and the option', async () => {
  const { url, apiKey } = service;
  const sources: [object, RegExp, string | undefined][] = [
    [{ apiKey: undefined }, /^apiKey: is missing; give it, or set GRANTEX_API_KEY$/, 'apiKey'],
    [{ apiKey: '' }, /^apiKey: is missing/, 'apiKey'],
    [
      { types: ['grant.exploded'] },
      /^types: unknown event type "grant.exploded"; the types are grant.created/,
      'types',
    ],
    [
      { types: 'grant.created' },
      /^types: invalid type: string "grant.created", expected a sequence$/,
      'types',
    ],
    [{ since: 'yesterday' }, /^since: "yesterday": expected an RFC 3339 time/, 'since'],
    [{ since: new Date(Number.NaN) }, /^since: is an invalid date$/, 'since'],
    [{ stopLimitMs: Number.NaN }, /^stopLimitMs: NaN is not a valid number/, 'stopLimitMs'],
    [{ stopLimitMs: -1 }, /^stopLimitMs: invalid value: integer `-1`/, 'stopLimitMs'],
    [
      { statedir: '/tmp/x' },
      /^statedir: unknown field `statedir`, expected one of `url`, .*`stateDir`/,
      'statedir',
    ],
    [
      { state_dir: '/tmp/x' },
      /^state_dir: there is no such option; did you mean `stateDir`\?$/,
      'state_dir',
    ],
    [{ url: 'not a url' }, /not a url/, undefined],
  ];
  for (const [options, message, option] of sources) {
    const error = await refusal(new EventSource({ url, apiKey, ...options }));
    assert.ok(error instanceof ConfigError, inspect(error));
    assert.deepEqual(
      [error.code, error.destination, error.option],
      ['invalid_config', undefined, option],
    );
    assert.match(error.message, message);
    assert.equal(error.name, 'ConfigError');
  }
  // Programs without types make these.
  const destinations: [unknown, RegExp, string | undefined, string | undefined][] = [
    [undefined, /^a destination must have a `name`$/, undefined, undefined],
    [{ name: 'mine' }, /^destination "mine": send: must be a function/, 'mine', 'send'],
    [{ name: '', send() {} }, /name: a destination needs one/, '', 'name'],
    [
      // @ts-expect-error: options are missing
      new DatadogDestination(),
      /^destination "datadog": missing field `apiKey`$/,
      'datadog',
      undefined,
    ],
    [new DatadogDestination({ apiKey: '' }), /apiKey: is empty/, 'datadog', 'apiKey'],
    [
      // @ts-expect-error: there is no such option
      new DatadogDestination({ apiKey: 'x', apikey: 'y' }),
      /`apikey`, expected one of `apiKey`, `site`/,
      'datadog',
      'apikey',
    ],
    [
      new SplunkDestination({ hecUrl: 'ftp://x', hecToken: 'x' }),
      /hecUrl: "ftp:\/\/x"/,
      'splunk',
      'hecUrl',
    ],
    [
      new SplunkDestination({ hecUrl: 'http://x', hecToken: 'x', batchSize: 0 }),
      /batchSize: 0 is not between 1 and/,
      'splunk',
      'batchSize',
    ],
    [
      new SplunkDestination({ hecUrl: 'http://x', hecToken: 'x', batchSize: 1.5 }),
      /batchSize: invalid type: floating point/,
      'splunk',
      'batchSize',
    ],
    [
      new FileDestination({ name: 'audit', path: 'x', concurrency: 2 }),
      /concurrency: this destination takes one batch/,
      'audit',
      'concurrency',
    ],
    [
      // @ts-expect-error: there is no such format
      new FileDestination({ path: 'x', format: 'xml' }),
      /format: unknown variant `xml`/,
      'file',
      'format',
    ],
  ];
  for (const [destination, message, name, option] of destinations) {
    const source = new EventSource({ url, apiKey });
    source.addDestination(destination as FileDestination);
    const error = await refusal(source);
    assert.ok(error instanceof ConfigError, inspect(error));
    assert.deepEqual([error.destination, error.option], [name, option], error.message);
    assert.match(error.message, message);
  }
});

test('of two destinations of one name, the message says what to do', async () => {
  const source = service.source();
  source.addDestination(new FileDestination({ path: 'a' }));
  source.addDestination(new FileDestination({ path: 'b' }));
  assert.equal(
    (await refusal(source)).message,
    'destination "file": name: is used twice; give one of the two destinations another `name`',
  );
});

test('a destination of your own has delivery options, but no format', async () => {
  const source = service.source();
  source.addDestination(new Memory(), { format: 'ocsf' } as object);
  assert.match(
    (await refusal(source)).message,
    /^destination "memory": format: does not apply to a destination of your own/,
  );
});

test('a refused key, and a state folder that is no folder', async () => {
  const error = await refusal(service.source({ apiKey: 'gx_test_wrong' }));
  assert.ok(error instanceof KeyRefusedError, inspect(error));
  assert.equal(error.code, 'key_refused');
  assert.ok(!error.message.includes('gx_test_wrong'));
  const unusable = await refusal(service.source({ stateDir: '/proc/grantex' }));
  assert.ok(unusable instanceof StateError, inspect(unusable));
  assert.match(unusable.message, /^the state folder \/proc\/grantex cannot be used: /);
});

test('a destination that is logged shows no secret', () => {
  const destination = new SplunkDestination({ hecUrl: 'http://x', hecToken: 'hush-hush' });
  const source = service.source({ apiKey: 'hush-hush' });
  source.addDestination(destination);
  assert.ok(
    !inspect([destination, source], { depth: null, showHidden: true }).includes('hush-hush'),
  );
  assert.ok(!JSON.stringify([destination, source]).includes('hush-hush'));
});

test('brokers may be a list, and destinations of the package are made with their type as their name', () => {
  const kafka = new KafkaDestination({ brokers: ['a:1', 'b:2'], topic: 'events', clientId: 'x' });
  const s3 = new S3Destination({ name: 'archive', bucket: 'b', prefix: 'p', region: 'r' });
  assert.deepEqual([kafka.name, s3.name], ['kafka', 'archive']);
});

test('with a state folder the next source goes on where the last one was', async () => {
  const own = await Service.start();
  const stateDir = temporary();
  try {
    const all: string[] = [];
    for (const grants of [3, 4]) {
      const expected = await own.grants(grants);
      const memory = new Memory();
      const source = own.source({ stateDir });
      source.addDestination(memory, QUICK);
      const started = source.start();
      await until('it has the rest', () => all.length + memory.ids.length === expected.length);

      const second = own.source({ stateDir });
      const error = await refusal(second);
      assert.ok(error instanceof StateError, inspect(error));
      assert.match(error.message, /is in use by another forwarder/);

      await source.stop();
      await started;
      all.push(...memory.ids);
    }
    assert.deepEqual(all, await own.log());
  } finally {
    await own.end();
  }
});

test('without one, it is said once, and nothing is written', async () => {
  const folder = temporary();
  const before = process.cwd();
  process.chdir(folder);
  const records: LogRecord[] = [];
  try {
    const memory = new Memory();
    const source = service.source({ onLog: (record) => void records.push(record) });
    source.addDestination(memory, QUICK);
    source.addDestination(new Memory('another'), QUICK);
    const started = source.start();
    await until('it has everything', () => memory.ids.length === ids.length);
    await source.stop();
    await started;
  } finally {
    process.chdir(before);
  }
  assert.deepEqual(readdirSync(folder), []);
  const warnings = records.filter(({ level }) => level !== 'info').map(({ message }) => message);
  assert.deepEqual(warnings, [
    'no state folder: checkpoints and dead letters are kept in memory and end with this process',
  ]);
});

test('without onLog, warnings go to the console', async (context) => {
  const warn = context.mock.method(console, 'warn', () => {});
  const { url, apiKey } = service;
  const source = new EventSource({ url, apiKey });
  const started = source.start();
  await until('it is said', () => warn.mock.callCount() > 0);
  await source.stop();
  await started;
  assert.match(warn.mock.calls[0]?.arguments[0], /^\[grantex\] no state folder: /);
});

test('the key may be asked for', async () => {
  let asked = 0;
  const memory = new Memory();
  const source = service.source({
    async apiKey() {
      asked++;
      return service.apiKey;
    },
  });
  source.addDestination(memory, QUICK);
  const started = source.start();
  await until('it has everything', () => memory.ids.length === ids.length);
  await source.stop();
  await started;
  assert.equal(asked, 1);
});

test('the source has types, a destination its own', async () => {
  const created = new Memory('created');
  const issued = new Memory('issued');
  const source = service.source({ types: ['grant.created'] });
  source.addDestination(created, QUICK);
  source.addDestination(issued, { ...QUICK, types: ['token.issued'] });
  const started = source.start();
  await until('both have theirs', () => created.ids.length + issued.ids.length === ids.length);
  await source.stop();
  await started;
  assert.deepEqual(
    created.ids,
    ids.filter((_, index) => index % 2 === 0),
  );
  assert.deepEqual(
    issued.ids,
    ids.filter((_, index) => index % 2 === 1),
  );
});

test('a destination that is added later begins at once, and a wrong one is reported at once', async () => {
  const first = new Memory('first');
  const source = service.source();
  source.addDestination(first, QUICK);
  const started = source.start();
  await until('the first has everything', () => first.ids.length === ids.length);
  const second = new Memory('second');
  source.addDestination(second, QUICK);
  assert.throws(() => source.addDestination(new Memory('first')), {
    code: 'invalid_config',
    destination: 'first',
  });
  assert.throws(() => source.addDestination(new Memory('third'), { batchSize: 0 }), {
    option: 'batchSize',
  });
  await until('the second has everything', () => second.ids.length === ids.length);
  await source.stop();
  await started;
  assert.throws(() => source.addDestination(new Memory('fourth')), /has ended/);
});

test('start and stop in any order', async () => {
  const early = service.source();
  assert.deepEqual(await early.stop(), []);
  await early.start();
  assert.equal((await refusal(early)).code, 'already_started');

  const twice = service.source();
  twice.addDestination(new Memory(), QUICK);
  const started = twice.start();
  assert.equal((await refusal(twice)).code, 'already_started');
  const [one, other] = await Promise.all([twice.stop(), twice.stop()]);
  assert.deepEqual(one, other);
  await started;
  assert.deepEqual(await twice.stop(), one);
  assert.deepEqual(twice.stats(), one);
});

test('several sources live side by side, and leave no thread', async () => {
  const idle = nativeThreads();
  const memories = [1, 2, 3, 4].map((n) => new Memory(`memory-${n}`));
  const running = memories.map((memory) => {
    const source = service.source({ stateDir: temporary() });
    source.addDestination(memory, QUICK);
    return { source, started: source.start() };
  });
  await until('each has everything', () =>
    memories.every(({ ids: got }) => got.length === ids.length),
  );
  assert.ok(nativeThreads() > idle);
  for (const { source, started } of running) {
    await source.stop();
    await started;
  }
  assert.equal(nativeThreads(), idle);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    assert.equal(process.listenerCount(signal), 0);
});

test('a source that could not start holds nothing', async () => {
  const idle = nativeThreads();
  const stateDir = temporary();
  const wrong = service.source({ stateDir });
  wrong.addDestination(new FileDestination({ path: 'x', batchSize: 0 }));
  assert.equal((await refusal(wrong)).code, 'invalid_config');
  await until('its threads are gone', () => nativeThreads() === idle);
  const right = service.source({ stateDir });
  const started = right.start();
  await right.stop();
  await started;
});
