"""read.py sdk|sync|lines|json COUNT: reads so many replayed events, and prints what that cost."""

import asyncio
import json
import os
import sys
import time

import httpx

from grantex import Grantex, SyncGrantex

SINCE = "1970-01-01T00:00:00Z"


async def sdk(wanted: int) -> int:
    count = 0
    async with Grantex() as client:
        async for event in client.events.stream(since=SINCE):
            count += event.id != ""
            if count == wanted:
                break
    return count


def sync(wanted: int) -> int:
    count = 0
    with SyncGrantex() as client:
        for event in client.events.stream(since=SINCE):
            count += event.id != ""
            if count == wanted:
                break
    return count


def lines(wanted: int, parse: bool) -> int:
    count = 0
    url = f"{os.environ['GRANTEX_BASE_URL']}/v1/events/stream?since={SINCE}"
    headers = {"Authorization": f"Bearer {os.environ['GRANTEX_API_KEY']}"}
    with httpx.stream("GET", url, headers=headers, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith("data: "):
                if parse:
                    json.loads(line[6:])
                count += 1
                if count == wanted:
                    break
    return count


mode, wanted = sys.argv[1], int(sys.argv[2])
start = time.process_time()
if mode == "sdk":
    count = asyncio.run(sdk(wanted))
elif mode == "sync":
    count = sync(wanted)
else:
    count = lines(wanted, parse=mode == "json")
print(json.dumps({"events": count, "cpuSeconds": time.process_time() - start}))
