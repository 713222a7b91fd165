import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from '@grantex/destinations';
import { filled, LONG_AGO, temporary, until } from './support.js';

const EVENTS = 100_000;
const ROUNDS = 10;

/** Megabytes in use, with nothing left to collect. */
function residentMegabytes(): number {
  assert.ok(global.gc, 'run with --expose-gc');
  global.gc();
  return process.memoryUsage().rss / 2 ** 20;
}

test(
  '100,000 events arrive in order, and over 1,000,000 memory does not grow',
  { timeout: 300_000 },
  async () => {
    const { url, apiKey, end } = await filled(EVENTS);
    const memory: number[] = [];
    try {
      for (let round = 0; round < ROUNDS; round++) {
        // Half of them as one that lasts has it, half as one without a state folder.
        const stateDir = round % 2 === 0 ? temporary() : undefined;
        const source = new EventSource({ url, apiKey, since: LONG_AGO, stateDir, onLog: () => {} });
        let received = 0;
        let last = '';
        let disorder = 0;
        source.addDestination({
          name: 'counting',
          async send(events) {
            for (const { id } of events) {
              if (id <= last) disorder++;
              last = id;
            }
            received += events.length;
          },
        });
        const started = source.start();
        await until('all have arrived', () => received >= EVENTS);
        const [stats] = await source.stop();
        await started;
        assert.deepEqual([received, disorder, stats?.pending], [EVENTS, 0, 0]);
        memory.push(residentMegabytes());
      }
    } finally {
      end();
    }
    // The first rounds fill the allocators' pools.
    const [, , , settled = 0] = memory;
    const grown = (memory.at(-1) ?? 0) - settled;
    console.log(`resident MB after each ${EVENTS} events: ${memory.map(Math.round).join(' ')}`);
    assert.ok(grown < 16, `${grown} MB more after ${(ROUNDS - 4) * EVENTS} events`);
  },
);
