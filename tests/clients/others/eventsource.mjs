// eventsource 4: resumes by itself. The API key goes into a header of its own `fetch`.
import { EventSource } from 'eventsource';

const { GRANTEX_BASE_URL: base, GRANTEX_API_KEY: key } = process.env;
const source = new EventSource(`${base}/v1/events/stream?since=2020-01-01T00:00:00Z`, {
  fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, Authorization: `Bearer ${key}` } }),
});
source.onmessage = (message) => console.log(JSON.parse(message.data).id);
// Closed for good: any answer but a stream.
source.onerror = (error) => {
  if (source.readyState === EventSource.CLOSED) console.error(error.code, error.message);
};
