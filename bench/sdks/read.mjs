// read.mjs sdk|lines|json COUNT: reads so many replayed events, and prints what that cost.
import { Grantex } from '../../sdk/typescript/dist/index.js';

const [mode, wanted] = [process.argv[2], Number(process.argv[3])];
const since = '1970-01-01T00:00:00Z';
const start = process.cpuUsage();
let count = 0;
if (mode === 'sdk') {
  const events = new Grantex().events.stream({ since });
  for await (const event of events) {
    if (event.id) count += 1;
    if (count === wanted) break;
  }
} else {
  const url = `${process.env.GRANTEX_BASE_URL}/v1/events/stream?since=${since}`;
  const response = await fetch(url, { headers: { Authorization: `Bearer ${process.env.GRANTEX_API_KEY}` } });
  let rest = '';
  read: for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue;
      if (mode === 'json') JSON.parse(line.slice(6));
      count += 1;
      if (count === wanted) break read;
    }
  }
}
const { user, system } = process.cpuUsage(start);
const peakBytes = process.resourceUsage().maxRSS * 1024;
console.log(JSON.stringify({ events: count, cpuSeconds: (user + system) / 1e6, peakBytes }));
process.exit(0);
