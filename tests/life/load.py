"""Load: a client of a daemon that sends bursts and checks that everything comes back in order."""

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import unisono.blocking
from tests.life.daemons import SECONDS_MAX, leave_with

BURST = 30
SIZE = 100
PAUSE_SECONDS = 0.005


@contextmanager
def load(instance: Path | None) -> Iterator[dict[str, int]]:
    """Some thousand messages a second through the daemon of `instance`, while the block lasts.

    Then the dictionary has `delivered` and `status`: 0 when all came, in order.
    """
    counts: dict[str, int] = {}
    stop_read, stop_write = os.pipe()
    told_read, told_write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(stop_write)
        os.close(told_read)
        leave_with(partial(_exchange, instance, stop_read, told_write))
    os.close(stop_read)
    os.close(told_write)
    assert os.read(told_read, 1) == b"!", "the client could not join"
    try:
        yield counts
    finally:
        os.close(stop_write)
        said = b""
        while chunk := os.read(told_read, 64):
            said += chunk
        os.close(told_read)
        counts["status"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        counts["delivered"] = int(said or b"0")


def _exchange(instance: Path | None, stop: int, told: int) -> int:
    number = 0
    with unisono.blocking.connect(instance) as node, node.group("load") as group:
        os.write(told, b"!")
        while not select.select([stop], [], [], PAUSE_SECONDS)[0]:
            sent = [b"%*d" % (SIZE, number + each) for each in range(BURST)]
            group.send_many(sent)
            came: list[bytes] = []
            while len(came) < BURST:
                event = group.next(timeout=SECONDS_MAX)
                if isinstance(event, unisono.Message):
                    came.append(bytes(event.data))
            if came != sent:
                raise AssertionError(f"lost or out of order at {number}")
            number += BURST
    os.write(told, b"%d" % number)
    return 0
