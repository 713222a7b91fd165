// ws: a socket that has ended is replaced by one that resumes at its cursor.
import WebSocket from 'ws';

const { GRANTEX_BASE_URL: base, GRANTEX_API_KEY: key } = process.env;
let start = 'since=2020-01-01T00:00:00Z';

function open() {
  const socket = new WebSocket(`${base.replace('http', 'ws')}/v1/events/ws?${start}`, {
    headers: { Authorization: `Bearer ${key}` },
  });
  socket.on('message', (text) => {
    const { id } = JSON.parse(text);
    start = `lastEventId=${id}`;
    console.log(id);
  });
  // An error is followed by a close.
  socket.on('error', (error) => console.error(error.message));
  socket.on('close', () => setTimeout(open, 500));
}

open();
