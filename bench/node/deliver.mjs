// Delivers so many events to a destination of Node's, and tells what that took: `deliver.mjs KIND
// BATCH EVENTS FOLDER`.
import { EventSource, FileDestination } from '../../sdk/destinations-node/dist/index.mjs';

const [kind, batchSize, events, folder] = process.argv.slice(2);
const source = new EventSource({
  apiKey: process.env.GRANTEX_API_KEY,
  since: '1970-01-01T00:00:00Z',
  stateDir: `${folder}/state`,
});
let received = 0;
if (kind === 'file') {
  source.addDestination(new FileDestination({ path: `${folder}/out.ndjson`, batchSize: Number(batchSize) }));
} else {
  const count = {
    name: 'count',
    async send(batch) {
      for (const event of batch) if (event.type === 'grant.revoked') received++;
    },
  };
  source.addDestination(count, { batchSize: Number(batchSize) });
}
const isDone = () => source.stats()[0]?.delivered >= Number(events);
const timer = setInterval(() => isDone() && source.stop(), 10);
await source.start();
clearInterval(timer);
const [{ delivered }] = source.stats();
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
console.log(
  JSON.stringify({
    events: kind === 'file' ? delivered : received,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakBytes: maxRSS * 1024,
  }),
);
