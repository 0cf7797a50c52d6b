"""Benchmark: a daemon is killed; how long until the survivors' clients have the new view.

Speaks:      `failover(trials)` -> seconds by engine, for Corosync over knet and Unisono over UST.
Keeps:       both run with `token: 1000`; the clock starts at the signal and stops when both other
             clients have been told.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

from tests.interop.lab import QUICK, Lab
from tests.interop.secure_lab import encrypted_corosync, secure

VICTIM = 3
UP_SECONDS = 6.5
"""A kernel says once a second to each of us that a port is closed, and six times at once after a
while (icmp(7), icmp_ratelimit): a daemon that dies sooner may be missed with the token only."""


def failover(trials: int) -> dict[str, dict[str, Any]]:
    """Milliseconds: median, worst and each, by engine."""
    makers: dict[str, Callable[..., Lab]] = {"corosync": encrypted_corosync, "unisono": secure}
    found = {}
    for name, make in makers.items():
        with make(totem=QUICK) as lab:
            lab.form()
            times = [round(_trial(lab) * 1000, 1) for _ in range(trials)]
        found[name] = {"median_ms": statistics.median(times), "worst_ms": max(times), "ms": times}
        print(f"{name:10} killed to new view: {times}", flush=True)
    return found


def _trial(lab: Lab) -> float:
    survivors = [n for n in lab.nodes if n != VICTIM]
    # Not always at the same moment of the heartbeats.
    time.sleep(UP_SECONDS + 0.037 * (time.monotonic_ns() % 10))
    start = time.monotonic()
    lab.kill(VICTIM)
    lab.wait_views(survivors)
    seconds = time.monotonic() - start
    lab.start(VICTIM)
    lab.wait_views()
    return seconds
