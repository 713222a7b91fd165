"""The same as `follow.py`, for scripts."""

import json
import sys

from grantex import Reconnect, SyncGrantex


def tell(reconnect: Reconnect) -> None:
    reason = reconnect.reason or "the service ended it"
    print(f"reconnecting in {reconnect.delay:.3f} s: {reason}", file=sys.stderr)


wanted = int(sys.argv[1]) if len(sys.argv) > 1 else sys.maxsize
with SyncGrantex() as client:
    events = client.events.stream(since="1970-01-01T00:00:00Z", on_reconnect=tell)
    for count, event in enumerate(events, start=1):
        line = {
            "id": event.id,
            "type": event.type,
            "createdAt": event.timestamp,
            "data": event.data,
        }
        print(json.dumps(line), flush=True)
        if count >= wanted:
            break
