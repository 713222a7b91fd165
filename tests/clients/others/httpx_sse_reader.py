"""httpx-sse: a loop around it keeps the last id. The first block, and others without data, move the
id only.
"""

import json
import os
import time

import httpx
from httpx_sse import connect_sse

url = f"{os.environ['GRANTEX_BASE_URL']}/v1/events/stream"
headers = {"Authorization": f"Bearer {os.environ['GRANTEX_API_KEY']}"}

# An idle stream is never silent for five seconds.
with httpx.Client(timeout=httpx.Timeout(10, read=15)) as client:
    while True:
        try:
            with connect_sse(
                client, "GET", url, params={"since": "2020-01-01T00:00:00Z"}, headers=headers
            ) as source:
                source.response.raise_for_status()
                for event in source.iter_sse():
                    if event.data:
                        print(json.loads(event.data)["id"], flush=True)
                    headers["Last-Event-ID"] = event.id
        except httpx.TransportError:
            pass
        time.sleep(0.5)
