// Prints a developer's whole log and follows it, one event's JSON a line; ends after as many events
// as its argument says.
import { Grantex } from '@grantex/sdk';

const wanted = Number(process.argv[2] ?? Number.POSITIVE_INFINITY);
const grantex = new Grantex({ apiKey: process.env.GRANTEX_API_KEY });

const events = grantex.events.stream({
  since: '1970-01-01T00:00:00Z',
  onReconnect: ({ delayMs, reason }) =>
    console.error(`reconnecting in ${delayMs} ms: ${reason ?? 'the service ended it'}`),
});

let count = 0;
for await (const { id, type, timestamp, data } of events) {
  console.log(JSON.stringify({ id, type, createdAt: timestamp, data }));
  count += 1;
  if (count >= wanted) break;
}
