"""websockets: its own reconnection would repeat the first address, so that a loop around it is
needed.
"""

import json
import os
import time

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

url = f"{os.environ['GRANTEX_BASE_URL'].replace('http', 'ws')}/v1/events/ws"
headers = {"Authorization": f"Bearer {os.environ['GRANTEX_API_KEY']}"}
start = "since=2020-01-01T00:00:00Z"

while True:
    try:
        with connect(f"{url}?{start}", additional_headers=headers) as socket:
            for text in socket:
                event_id = json.loads(text)["id"]
                start = f"lastEventId={event_id}"
                print(event_id, flush=True)
    except (ConnectionClosed, OSError, EOFError):
        pass
    time.sleep(0.5)
