"""A client beside the attacks, in a process of its own: `python -m tests.chaos.bystander PORT FILE`.

It reads one stream after the other, asks for /health in between, and appends one line to the file for each: `token`,
`stream` (a new one begins) or `health`, the time, and the seconds that /health took. It imports little, so that nothing
but the server and the machine can delay it. `busy FILE` is a yardstick instead: a process that only computes, and how
long each equal piece of its work took.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from typing import TextIO

SECONDS = 600
HEALTH_PAUSE_SECONDS = 0.1
PIECE = 40_000
BODY = {
    "model": "claude-any",
    "max_tokens": 20_000,
    "stream": True,
    "messages": [{"role": "user", "content": "Tell me a long story."}],
}


def read_streams(port: int, file: TextIO) -> None:
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        connection.request("POST", "/v1/messages", json.dumps(BODY), {"content-type": "application/json"})
        response = connection.getresponse()
        file.write(f"stream {time.monotonic()} {response.status}\n")
        while line := response.readline():
            if b'"content_block_delta"' in line:
                file.write(f"token {time.monotonic()} 0\n")
            elif line.startswith(b"event: error"):
                file.write(f"error {time.monotonic()} 0\n")
        connection.close()


def ask_for_health(port: int, file: TextIO) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    while True:
        began = time.monotonic()
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        kind = "health" if response.status == 200 else "unhealthy"
        file.write(f"{kind} {time.monotonic()} {time.monotonic() - began}\n")
        time.sleep(HEALTH_PAUSE_SECONDS)


def compute(file: TextIO) -> None:
    while True:
        began, total = time.monotonic(), 0
        for number in range(PIECE):
            total += number
        file.write(f"piece {time.monotonic()} {time.monotonic() - began}\n")


def main() -> None:
    with open(sys.argv[2], "w", buffering=1, encoding="utf-8") as file:
        if sys.argv[1] == "busy":
            compute(file)
        threading.Thread(target=ask_for_health, args=(int(sys.argv[1]), file), daemon=True).start()
        read_streams(int(sys.argv[1]), file)


if __name__ == "__main__":
    main()
