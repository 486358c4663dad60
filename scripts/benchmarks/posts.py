"""The measure for what starting costs: the same bodies posted by a bare loop of requests, as many threads as lanes.

python posts.py LANES < {"port", "path", "body"} as JSON lists; prints {"seconds", "cpu"}
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator

import requests


def post(bodies: Iterator[tuple[int, str, str]], lock: threading.Lock) -> None:
    session = requests.Session()
    session.trust_env = False
    while True:
        with lock:
            found = next(bodies, None)
        if found is None:
            return
        port, path, body = found
        answer = session.post(
            f"http://127.0.0.1:{port}{path}", data=body.encode(), headers={"Content-Type": "application/json"}
        )
        assert answer.json()["Code"] == 0


if __name__ == "__main__":
    given, lock = json.load(sys.stdin), threading.Lock()
    bodies = iter(given)
    lanes = [threading.Thread(target=post, args=(bodies, lock)) for _ in range(int(sys.argv[1]))]
    begun, cpu = time.monotonic(), time.process_time()
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    print(json.dumps({"seconds": time.monotonic() - begun, "cpu": time.process_time() - cpu}))
