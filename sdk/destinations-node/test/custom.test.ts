import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type BatchInfo,
  type DeadLetter,
  type DeliveryError,
  type EventDestination,
  EventSource,
  type GrantexEvent,
  RejectError,
  RetryError,
} from '@grantex/destinations';
import { filled, LONG_AGO, Memory, QUICK, Service, until } from './support.js';

let service: Service;
let ids: string[];

before(async () => {
  service = await Service.start();
  ids = await service.grants(10);
});
after(() => service.end());

/** Runs a source with these destinations until `isDone`, and stops it. */
async function run(
  isDone: () => boolean,
  destinations: EventDestination[],
  options: Parameters<Service['source']>[0] = {},
  delivery = {},
) {
  const source = service.source(options);
  for (const destination of destinations)
    source.addDestination(destination, { ...QUICK, ...delivery });
  const started = source.start();
  await Promise.race([until('it is done', isDone), started]);
  const stats = await source.stop();
  await started;
  return stats;
}

/** A destination whose `send` is this function. */
function sender(
  send: EventDestination['send'],
  others: Partial<EventDestination> = {},
): EventDestination {
  return { name: 'custom', send, ...others };
}

test('events arrive in order, in batches, each flushed, and close comes last and once', async () => {
  const calls: string[] = [];
  const received: string[] = [];
  const destination = sender(
    async (events) => {
      await sleep(1);
      calls.push(`send ${events.length}`);
      received.push(...events.map(({ id }) => id));
    },
    {
      async flush() {
        await sleep(1);
        calls.push('flush');
      },
      async close() {
        calls.push('close');
      },
    },
  );
  const [stats] = await run(
    () => received.length === 20,
    [destination],
    {},
    { batchSize: 8, flushIntervalMs: 200 },
  );
  assert.deepEqual(received, ids);
  assert.deepEqual(calls, ['send 8', 'flush', 'send 8', 'flush', 'send 4', 'flush', 'close']);
  assert.deepEqual(
    {
      phase: stats?.phase,
      delivered: stats?.delivered,
      batches: stats?.batches,
      pending: stats?.pending,
    },
    { phase: 'stopped', delivered: 20, batches: 3, pending: 0 },
  );
  assert.equal(stats?.cursor, ids.at(-1));
});

test('an event is the envelope that the service sends', async () => {
  const received: GrantexEvent[] = [];
  await run(() => received.length > 0, [sender((events) => void received.push(...events))]);
  const [first] = received;
  assert.deepEqual(Object.keys(first ?? {}), ['id', 'type', 'createdAt', 'data']);
  assert.equal(first?.type, 'grant.created');
  if (first?.type === 'grant.created') assert.deepEqual(first.data.scopes, ['calendar:read']);
});

test('methods that are missing or synchronous are fine', async () => {
  const received: string[] = [];
  const sync: EventDestination = {
    name: 'sync',
    send(events) {
      received.push(...events.map(({ id }) => id));
    },
    flush() {},
  };
  await run(() => received.length === 20, [sync]);
  assert.deepEqual(received, ids);
});

test('what is thrown or rejected is sent again as it was, and reported with its cause', async () => {
  const unprintable = Object.create(null);
  const thrown = [
    new Error('no'),
    'a text',
    undefined,
    null,
    unprintable,
    Symbol('x'),
    0n,
    { message: 'an object' },
  ];
  const tries: { ids: string[]; batch: BatchInfo }[] = [];
  const errors: DeliveryError[] = [];
  const destination = sender(async (events, batch) => {
    tries.push({ ids: events.map(({ id }) => id), batch });
    if (tries.length <= thrown.length) throw thrown[tries.length - 1];
  });
  const [stats] = await run(() => tries.length === 9, [destination], {
    onError: (error) => void errors.push(error),
  });
  assert.ok(tries.every((attempt) => attempt.ids.join() === ids.join()));
  assert.deepEqual(
    tries.map(({ batch }) => batch.isRepeat),
    [false, ...thrown.map(() => true)],
  );
  assert.equal(stats?.retries, thrown.length);
  assert.deepEqual(
    errors.map(({ failures }) => failures),
    thrown.map((_, index) => index + 1),
  );
  assert.deepEqual(
    errors.slice(0, 2).map(({ message }) => message),
    ['no', 'a text'],
  );
  assert.equal(errors[0]?.cause, thrown[0]);
  assert.equal(errors[0]?.destination, 'custom');
  assert.ok(errors.every(({ retryInMs }) => retryInMs !== undefined));
});

test('a synchronous throw, a failing flush and a failing close are failures like others', async () => {
  let sends = 0;
  let flushes = 0;
  const destination = sender(
    () => {
      if (++sends === 1) throw new Error('at once');
    },
    {
      async flush() {
        if (++flushes === 1) throw new Error('not flushed');
      },
      close() {
        throw new Error('not closed');
      },
    },
  );
  const [stats] = await run(() => flushes === 2, [destination]);
  assert.equal(sends, 3, 'what was not flushed is sent again');
  assert.equal(stats?.phase, 'stopped');
});

test('a RetryError says how long to wait', async () => {
  const times: number[] = [];
  const destination = sender(() => {
    times.push(performance.now());
    if (times.length === 1) throw new RetryError('busy', { retryAfterMs: 300 });
  });
  await run(() => times.length === 2, [destination]);
  const [first = 0, second = 0] = times;
  assert.ok(second - first >= 295, `${second - first} ms`);

  const waits = [Number.NaN, -1, 0, 0.5];
  let tries = 0;
  const odd = sender(() => {
    if (tries++ < waits.length)
      throw new RetryError('busy', { retryAfterMs: waits[tries - 1] ?? 0 });
  });
  const [stats] = await run(() => tries === 5, [odd]);
  assert.equal(stats?.lastError, 'busy', 'what is no time is no other error');
});

test('a RejectError rejects the batch, and what follows it is delivered', async () => {
  const received: string[] = [];
  const letters: DeadLetter[] = [];
  let sends = 0;
  const destination = sender((events) => {
    if (++sends === 1) throw new RejectError('never');
    received.push(...events.map(({ id }) => id));
  });
  const onDeadLetter = (letter: DeadLetter) => void letters.push(letter);
  const [stats] = await run(
    () => received.length === 15,
    [destination],
    { onDeadLetter },
    { batchSize: 5 },
  );
  assert.deepEqual(received, ids.slice(5));
  assert.deepEqual(
    letters.map(({ event }) => event.id),
    ids.slice(0, 5),
  );
  assert.ok(
    letters.every(({ destination, reason }) => destination === 'custom' && reason === 'never'),
  );
  assert.equal(stats?.deadLetters, 5);
  assert.equal(stats?.pending, 0);
});

test('more events than wait for the event loop are rejected at once, and none goes untold', async () => {
  const { url, apiKey, end } = await filled(10_000);
  try {
    const reported = new Set<string>();
    const source = new EventSource({
      url,
      apiKey,
      since: LONG_AGO,
      onLog: () => {},
      onDeadLetter: ({ event }) => void reported.add(event.id),
    });
    const never = () => {
      throw new RejectError('never');
    };
    source.addDestination({ name: 'a', send: never }, { batchSize: 1 });
    source.addDestination({ name: 'b', send: never }, { batchSize: 10_000 });
    const started = source.start();
    await until('all are reported', () =>
      source.stats().every(({ deadLetters }) => deadLetters === 10_000),
    );
    await source.stop();
    await started;
    assert.equal(reported.size, 10_000);
  } finally {
    end();
  }
});

test('a RejectError with indexes rejects those; the others are sent again, unless they are delivered', async () => {
  for (const othersDelivered of [false, true]) {
    const received: string[] = [];
    const letters: string[] = [];
    const sizes: number[] = [];
    const repeats: boolean[] = [];
    const destination = sender((events, { isRepeat }) => {
      sizes.push(events.length);
      repeats.push(isRepeat);
      if (events.length === 20) {
        if (othersDelivered)
          received.push(...events.filter((_, index) => index % 7 !== 0).map(({ id }) => id));
        throw new RejectError('poison', { events: [0, 7, 14, 20], othersDelivered });
      }
      received.push(...events.map(({ id }) => id));
    });
    const onDeadLetter = ({ event }: DeadLetter) => void letters.push(event.id);
    const logged: string[] = [];
    const onLog = ({ message }: { message: string }) => void logged.push(message);
    await run(() => letters.length === 3 && received.length === 17, [destination], {
      onDeadLetter,
      onLog,
    });
    assert.ok(logged.some((message) => message.includes('events that are not in the batch')));
    assert.deepEqual(letters, [ids[0], ids[7], ids[14]]);
    assert.deepEqual(
      received,
      ids.filter((_, index) => index % 7 !== 0),
    );
    assert.deepEqual(sizes, othersDelivered ? [20] : [20, 17]);
    assert.deepEqual(repeats, othersDelivered ? [false] : [false, true]);
  }
});

test('dead letters are kept, sent again on request, and forgotten', async () => {
  let isMended = false;
  let isDown = false;
  const redelivered: string[] = [];
  const destination = sender((events, { isRedelivery }) => {
    if (isDown) throw new Error('down');
    if (!isMended || events[0]?.id === ids[1]) throw new RejectError('broken');
    if (isRedelivery) redelivered.push(...events.map(({ id }) => id));
  });
  const source = service.source();
  await assert.rejects(source.deadLetters(), { code: 'not_running' });
  source.addDestination(destination, QUICK);
  const started = source.start();
  await until('all are rejected', () => source.stats()[0]?.deadLetters === 20);
  const letters = await source.deadLetters();
  assert.deepEqual(
    letters.map(({ event }) => event.id),
    ids,
  );
  const { destination: name, reason, tries, isWaiting } = letters[0] ?? {};
  assert.deepEqual(
    { name, reason, tries, isWaiting },
    { name: 'custom', reason: 'broken', tries: 1, isWaiting: false },
  );
  isMended = true;
  const counts = await source.redeliver(letters.slice(0, 2));
  assert.deepEqual(counts, { delivered: 1, refused: 1, waiting: 0 });
  assert.deepEqual(redelivered, ids.slice(0, 1));
  await source.dropDeadLetters(letters.slice(3));
  const left = await source.deadLetters();
  assert.deepEqual(
    left.map(({ event, tries }) => ({ id: event.id, tries })),
    [
      { id: ids[1], tries: 2 },
      { id: ids[2], tries: 1 },
    ],
  );
  // It takes nothing now: the wait ends, the letter goes on waiting.
  isDown = true;
  const waiting = await source.redeliver(left.slice(1), { waitMs: 1 });
  assert.deepEqual(waiting, { delivered: 0, refused: 0, waiting: 1 });
  // @ts-expect-error: numbers are not letters.
  await assert.rejects(source.redeliver([1, 2]), TypeError);
  const cut = assert.rejects(source.redeliver(left.slice(1)), /stopped during the redelivery/);
  await source.stop();
  await started;
  await cut;
  await assert.rejects(source.redeliver(letters), { code: 'not_running' });
});

test('one that hangs gets no more, and stalls neither the event loop nor the others', async () => {
  let calls = 0;
  const hanging: EventDestination = {
    name: 'hanging',
    send() {
      calls++;
      return new Promise(() => {});
    },
  };
  const memory = new Memory();
  let ticks = 0;
  const timer = setInterval(() => ticks++, 5);
  const source = service.source({ stopLimitMs: 100 });
  source.addDestination(hanging, { ...QUICK, batchSize: 1 });
  source.addDestination(memory, { ...QUICK, batchSize: 1 });
  const started = source.start();
  await until('the other has everything', () => memory.ids.length === 20);
  await until('the event loop turns', () => ticks > 5);
  clearInterval(timer);
  assert.equal(calls, 1);
  const stats = new Map((await source.stop()).map((stats) => [stats.name, stats]));
  await started;
  assert.equal(stats.get('hanging')?.pending, 20, 'what is left is reported');
  assert.equal(stats.get('hanging')?.delivered, 0);
  assert.equal(stats.get('memory')?.pending, 0);
});

test('stopping closes also what hangs, in time', async () => {
  let isClosed = false;
  const close = () => {
    isClosed = true;
  };
  const hanging = sender(() => new Promise(() => {}), { close });
  const source = service.source({ stopLimitMs: 50 });
  source.addDestination(hanging, QUICK);
  const started = source.start();
  await until('it was read', () => (source.stats()[0]?.pending ?? 0) > 0);
  await source.stop();
  await started;
  assert.ok(isClosed);
});

test('stopping delivers what was read', async () => {
  const memory = new Memory();
  const source = service.source();
  source.addDestination(memory, { flushIntervalMs: 3_600_000, batchSize: 1000 });
  const started = source.start();
  await until('it was read', () => source.stats()[0]?.pending === 20);
  assert.equal(memory.ids.length, 0);
  await source.stop();
  await started;
  assert.deepEqual(memory.ids, ids);
  assert.ok(memory.isClosed);
});

test('several batches are on their way at once where that is wanted', async () => {
  let now = 0;
  let most = 0;
  let received = 0;
  const slow = sender(async (events) => {
    most = Math.max(most, ++now);
    await sleep(10);
    now--;
    received += events.length;
  });
  await run(() => received === 20, [slow], {}, { batchSize: 1, concurrency: 4 });
  assert.equal(most, 4);
});

test("the application's own mistakes in its listeners end nothing", async (context) => {
  const complaints = context.mock.method(console, 'error', () => {});
  const received: string[] = [];
  let sends = 0;
  const destination = sender((events) => {
    if (++sends <= 2) throw new Error('again');
    received.push(...events.map(({ id }) => id));
  });
  let reported = 0;
  const onError = () => {
    if (++reported === 1) throw new Error('mine');
    return Promise.reject(new Error('mine, later'));
  };
  await run(() => received.length === 20, [destination], { onError });
  await until('both are reported', () => complaints.mock.callCount() === 2);
});
