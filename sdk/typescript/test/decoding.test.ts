import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delay } from '../src/backoff.js';
import { Decoder, type Item, TooLong } from '../src/sse.js';
import { type Json, vectors } from './mock.js';

/** What a decoder makes of the chunks, and whether it met its limit. */
function decode(chunks: Uint8Array[], limit: number): Json {
  const decoder = new Decoder(limit);
  const items: Item[] = [];
  let tooLong = false;
  try {
    for (const chunk of chunks) decoder.feed(chunk, items);
  } catch (error) {
    assert.ok(error instanceof TooLong);
    tooLong = true;
  }
  const plain = items.map((item): Json => {
    switch (item.kind) {
      case 'message':
        return { message: { event: item.event, data: item.data } };
      case 'cursor':
        return { cursor: item.id };
      case 'retry':
        return { retry: item.ms };
      default:
        return 'comment';
    }
  });
  return { items: plain, tooLong };
}

test('every stream reads the same wherever it is cut', () => {
  for (const one of vectors('sse.json').cases) {
    const fill = (text: string): string => text.replace('{x}', () => 'x'.repeat(one.repeat ?? 0));
    const stream = new TextEncoder().encode(one.repeat ? fill(one.stream) : one.stream);
    const items = one.items.map((item: Json) =>
      item.message && one.repeat
        ? { message: { ...item.message, data: fill(item.message.data) } }
        : item,
    );
    const wanted = { items, tooLong: one.tooLong ?? false };
    const limit = one.limit ?? 1 << 20;
    assert.deepEqual(decode([stream], limit), wanted, `${one.name}, whole`);
    const bytes = Array.from(stream, (byte) => Uint8Array.of(byte));
    assert.deepEqual(decode(bytes, limit), wanted, `${one.name}, byte by byte`);
    const step = one.sampled ? Math.floor(stream.length / 16) : 1;
    for (let cut = 0; cut <= stream.length; cut += step) {
      const halves = [stream.subarray(0, cut), stream.subarray(cut)];
      assert.deepEqual(decode(halves, limit), wanted, `${one.name}, cut at ${cut}`);
    }
  }
});

test('delays are exponential with full jitter', () => {
  for (const { name, attempt, baseMs, maxMs, random, delayMs } of vectors('backoff.json').cases) {
    assert.equal(delay(attempt, baseMs, maxMs, random), delayMs, name);
  }
});
