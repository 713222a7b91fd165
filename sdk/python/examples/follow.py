"""Prints a developer's whole log and follows it, one event's JSON a line.

Ends after as many events as its argument says.
"""

import asyncio
import json
import sys

from grantex import Grantex, Reconnect


def tell(reconnect: Reconnect) -> None:
    reason = reconnect.reason or "the service ended it"
    print(f"reconnecting in {reconnect.delay:.3f} s: {reason}", file=sys.stderr)


async def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else sys.maxsize
    async with Grantex() as client:
        count = 0
        async for event in client.events.stream(since="1970-01-01T00:00:00Z", on_reconnect=tell):
            line = {
                "id": event.id,
                "type": event.type,
                "createdAt": event.timestamp,
                "data": event.data,
            }
            print(json.dumps(line), flush=True)
            count += 1
            if count >= wanted:
                break


asyncio.run(main())
