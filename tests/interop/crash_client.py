"""A native client that outlives its daemon, for test_crash.py: JSON lines on standard output.

crash_client.py aio|blocking GROUP: waits for events, says `lost` when the daemon is gone.
crash_client.py load GROUP PER_SECOND: also sends messages of 64 B; says what was delivered.
"""

import asyncio
import json
import sys
import threading
import time
from contextlib import suppress

import unisono
from unisono import blocking

BATCH = [bytes(64)] * 25
REPORT_SECONDS = 0.1
CONNECT_SECONDS_MAX = 20


def say(kind: str, **fields: object) -> None:
    print(json.dumps({"ev": kind, "t": time.monotonic_ns(), **fields}), flush=True)


async def wait(name: str) -> None:
    async with unisono.connect(timeout=CONNECT_SECONDS_MAX) as node, node.group(name) as group:
        say("ready")
        try:
            async for _ in group:
                pass
        except unisono.ConnectionLost:
            say("lost")


def send(group: blocking.Group, per_second: int) -> None:
    """At an even pace; a thread, because the loop's own timers are too coarse for it."""
    due = time.monotonic()
    with suppress(unisono.ConnectionLost):
        while True:
            group.send_many(BATCH)
            due = max(due + len(BATCH) / per_second, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))


def receive(group: blocking.Group) -> None:
    delivered, due = 0, time.monotonic()
    try:
        for event in group.batches():
            if isinstance(event, unisono.Batch):
                delivered += len(event.payloads)
            if time.monotonic() >= due:
                say("delivered", count=delivered)
                due = time.monotonic() + REPORT_SECONDS
    except unisono.ConnectionLost:
        say("lost", count=delivered)


def run(name: str, per_second: int = 0) -> None:
    with blocking.connect(timeout=CONNECT_SECONDS_MAX) as node, node.group(name) as group:
        say("ready")
        sender = threading.Thread(target=send, args=(group, per_second))
        if per_second:
            sender.start()
        receive(group)
        if per_second:
            sender.join()


if __name__ == "__main__":
    _, style, group_name, *pace = sys.argv
    if style == "aio":
        asyncio.run(wait(group_name))
    else:
        run(group_name, *map(int, pace))
