import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ROOT } from './mock.js';

/** The map of payload types in a package's `event.ts`. */
function payloads(source: string): string {
  const text = readFileSync(new URL(source, ROOT), 'utf8');
  const map = /export interface EventPayloads \{.*?\n\}\n/s.exec(text);
  assert.ok(map, `${source} has no EventPayloads`);
  return map[0];
}

test('both packages know the same types of events', () => {
  assert.equal(
    payloads('sdk/destinations-node/src/event.ts'),
    payloads('sdk/typescript/src/event.ts'),
  );
});
