// A program of a user: `program.js MODE URL KEY STATE`.
import { writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { EventSource } from '@grantex/destinations';

const [mode, url, apiKey, stateDir] = (workerData ?? process.argv.slice(2)) as [
  string,
  string,
  string,
  string,
];

function say(what: string): void {
  if (parentPort) parentPort.postMessage(what);
  else writeSync(1, `${what}\n`);
}

async function main(): Promise<void> {
  const source = new EventSource({ url, apiKey, stateDir, since: '2020-01-01T00:00:00Z' });
  let received = 0;
  source.addDestination(
    {
      name: 'program',
      async send(events) {
        received += events.length;
        say(`received ${received}`);
        if (mode === 'stop') setImmediate(() => source.stop());
        if (mode === 'exit') process.exit(7);
        // In the middle of a batch: a kill falls into it.
        if (mode === 'hang') await new Promise(() => {});
      },
    },
    { flushIntervalMs: 20 },
  );
  await source.start();
  say('ended');
}

void main();
