import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import * as sdk from '../src/index.js';
import { type Json, Mock } from './mock.js';
import { call, envelope } from './operations.js';

/** Longer than any case takes that works. */
const PATIENCE_MS = 60_000;
/** Cases that run at the same time: most of them wait. */
const AT_ONCE = 32;
const KINDS: [new (...args: never[]) => Error, string][] = [
  [sdk.BadRequestError, 'bad_request'],
  [sdk.UnauthorizedError, 'unauthorized'],
  [sdk.InsufficientBudgetError, 'insufficient_budget'],
  [sdk.ForbiddenError, 'forbidden'],
  [sdk.NotFoundError, 'not_found'],
  [sdk.ConflictError, 'conflict'],
  [sdk.GoneError, 'gone'],
  [sdk.RateLimitedError, 'rate_limited'],
  [sdk.ServerError, 'server'],
  [sdk.ApiError, 'api'],
  [sdk.ConnectionError, 'connection'],
  [sdk.TimeoutError, 'timeout'],
  [sdk.ProtocolError, 'protocol'],
  [sdk.StreamEndedError, 'ended'],
  [sdk.InvalidTokenError, 'invalid_token'],
  [sdk.ConfigurationError, 'configuration'],
];

let mock: Mock;
before(async () => {
  mock = await Mock.start();
});
after(() => mock.stop());

test('every case holds', async () => {
  const { cases } = await mock.json('/cases');
  const leftOut = JSON.parse(
    readFileSync(new URL('../../test/unsupported.json', import.meta.url), 'utf8'),
  );
  for (const name of Object.keys(leftOut)) {
    assert.ok(
      cases.some((one: Json) => one.name === name),
      `${name} is declared unsupported and no case`,
    );
  }
  const plays = cases
    .filter((one: Json) => !(one.name in leftOut))
    .flatMap((one: Json) =>
      Array.from({ length: one.variants }, (_, variant) => ({ one, variant })),
    );
  const problems: string[] = [];
  const worker = async (): Promise<void> => {
    for (let next = plays.shift(); next; next = plays.shift()) {
      for (const problem of await play(next.one, next.variant)) {
        problems.push(`${next.one.name} #${next.variant}: ${problem}`);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  assert.deepEqual(problems, []);
});

async function play(one: Json, variant: number): Promise<string[]> {
  const opened = await mock.json('/sessions', { case: one.name, variant });
  const options = clientOptions(opened.base, one.client);
  const work = one.call === 'events.stream' ? stream(options, one) : ordinary(options, one);
  const outcome = await Promise.race([work, pause(PATIENCE_MS, undefined, { ref: false })]);
  const problems = outcome ? differences(one.outcome, outcome) : ['it did not end'];
  const verdict = await mock.json(`/sessions/${opened.session}`);
  return [...problems, ...verdict.problems];
}

function clientOptions(baseUrl: string, given: Json): sdk.GrantexOptions {
  const keys: string[] | undefined = given.keys?.slice();
  const callback = (): string => {
    const key = keys?.shift();
    if (!key) throw new Error('the callback was asked too often');
    return key;
  };
  const { timeoutMs, maxRetries, issuer, developerId } = given;
  const apiKey = keys ? callback : 'gx_test_vector';
  const limits = { timeoutMs, maxRetries, retryDelayMs: 1 };
  return {
    baseUrl: given.baseUrl ?? baseUrl,
    apiKey,
    ...limits,
    issuer,
    developerId: developerId ?? undefined,
  };
}

async function ordinary(options: sdk.GrantexOptions, one: Json): Promise<Json> {
  try {
    const result = (await call(options, one.call, one.args)) as Json;
    return { result: result ?? null, raws: result?.raws };
  } catch (error) {
    return { error: reported(error) };
  }
}

async function stream(
  options: sdk.GrantexOptions,
  { client, args, consumer }: Json,
): Promise<Json> {
  const events: Json[] = [];
  const outcome: Json = { events, raws: [], reconnects: 0 };
  const take = consumer.take ?? Number.POSITIVE_INFINITY;
  const streamOptions: sdk.StreamOptions = {
    ...args,
    reconnect: client.reconnect,
    reconnectDelayMs: client.reconnectDelayMs ?? 1,
    maxReconnectDelayMs: client.reconnectDelayMaxMs,
    silenceTimeoutMs: client.silenceMs,
    maxEventBytes: client.maxEventBytes,
    signal: consumer.abortAfterMs ? AbortSignal.timeout(consumer.abortAfterMs) : undefined,
    onReconnect: () => {
      outcome.reconnects += 1;
    },
  };
  try {
    const stream = new sdk.Grantex(options).events.stream(streamOptions);
    if (consumer.closeAfterMs) setTimeout(() => stream.return(), consumer.closeAfterMs);
    for (;;) {
      const next = consumer.waitMs ? await stream.nextWithin(consumer.waitMs) : await stream.next();
      if (!next) continue;
      if (next.done) break;
      const event = next.value;
      events.push(envelope(event));
      outcome.raws.push(event.json);
      if (events.length === 1 && consumer.holdAfterFirstMs) await pause(consumer.holdAfterFirstMs);
      if (events.length >= take) {
        await stream.return();
        return outcome;
      }
    }
    return consumer.closeAfterMs ? outcome : { ...outcome, closed: true };
  } catch (error) {
    return { ...outcome, error: reported(error) };
  }
}

function reported(error: unknown): Json {
  const kind = KINDS.find(([type]) => error instanceof type)?.[1] ?? 'other';
  const {
    status,
    code = null,
    text,
    requestId,
    retryAfterMs,
    oldestEventId,
  } = error as sdk.ApiError;
  return {
    kind,
    status,
    code,
    message: text,
    requestId,
    retryAfterMs,
    oldestEventId,
    shown: String(error),
  };
}

/** Where the outcome is not what the case says. An error may tell more than the case asks for. */
function differences(wanted: Json, got: Json): string[] {
  const problems: string[] = [];
  const compare = (name: string, want: Json, have: Json): void => {
    if (!isDeepStrictEqual(want, have)) {
      problems.push(`${name} is ${JSON.stringify(have)}, not ${JSON.stringify(want)}`);
    }
  };
  const { error, resultIncludes, ...rest } = wanted;
  for (const [name, value] of Object.entries(rest)) compare(name, value, got[name]);
  for (const [field, value] of Object.entries(resultIncludes ?? {})) {
    compare(`the result's ${field}`, value, got.result?.[field]);
  }
  const { says = [], hides = [], ...fields } = error ?? {};
  const shown = String(got.error?.shown);
  for (const part of says)
    if (!shown.includes(part)) problems.push(`the error does not say ${part}: ${shown}`);
  for (const part of hides)
    if (shown.includes(part)) problems.push(`the error shows ${part}: ${shown}`);
  for (const [field, value] of Object.entries(fields)) {
    compare(`the error's ${field}`, value, got.error?.[field]);
  }
  if (!error && got.error) problems.push(`it failed: ${got.error.shown}`);
  return problems;
}
