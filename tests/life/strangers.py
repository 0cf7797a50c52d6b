"""Strangers: short-lived processes that get the pids which a running daemon's relatives had.

Keeps:       one daemon in the background, under load; each probe is made to have a pid that the
             daemon's starter or a former keeper had. What the daemon, its client, its recorder
             and its files say of it is the result. Most probes are forks of a loaded `main`, as
             daemons.py has them; some are executed.
"""

import itertools
import os
import re
import signal
import time
from collections import Counter
from pathlib import Path

from tests.life import listing
from tests.life.daemons import Daemon, Place, forked
from tests.life.island import NOBODY, PIDS_MIN, inside, reap, take_next_pid
from tests.life.load import load
from unisono.wire.blackbox.dump import decode_dump

KEEPER_SECONDS_MAX = 15.0
WAYS = (("-v",), ("-t",), ("-f",), ())
"""Version, test, and a second start in the foreground and in the background."""


def freed_pids(place: Place, first: int, daemon: Daemon) -> list[int]:
    """Pids that the daemon's ancestors and its first keeper had, now free."""
    keeper = daemon.children[0]
    os.kill(keeper, signal.SIGKILL)
    place.await_line("Nothing will be left of the flight recorder")
    # The process between the forks gave the session its number, which keeps it from recurring.
    return [pid for pid in (*range(first, daemon.pid), keeper) if pid != os.getsid(daemon.pid)]


def visit(place: Place, pids: list[int], forks: int, executions: int) -> Counter[str]:
    """Let strangers with these pids come and go; how each kind ended, and who had a wanted pid."""
    found: Counter[str] = Counter()
    alive = set(listing.processes())
    ways = itertools.product(WAYS, (0, NOBODY))
    for number, (way, uid) in zip(range(forks), itertools.cycle(ways), strict=False):
        pid = _next_of(pids, number)
        ran = place.probe(*way, uid=uid)
        settle(alive)
        found["recurred"] += ran.pid == pid
        found[f"{' '.join(way) or 'start'} by {uid}: {ran.status}"] += 1
    for number in range(executions):
        pid = _next_of(pids, number)
        ran = place.execute(*WAYS[number % 2], uid=NOBODY * (number % 2))
        found["recurred"] += ran.pid == pid
        found[f"exec: {ran.status}"] += 1
    return found


def _next_of(pids: list[int], number: int) -> int:
    """Let the next process have one of these pids, in turn, if the new keeper has not got it."""
    free = [pid for pid in pids if not Path(f"/proc/{pid}").exists()]
    pid = free[number % len(free)]
    take_next_pid(pid)
    return pid


def settle(alive: set[int]) -> None:
    """Until none but the processes of before are left: a second start's forks, too."""
    end = time.monotonic() + KEEPER_SECONDS_MAX
    while not (left := set(listing.processes()) - alive) <= _keepers():
        assert time.monotonic() < end, left
        reap()


def _keepers() -> set[int]:
    """Of the daemon itself, which may start one at any time."""
    return {pid for pid, name in listing.processes().items() if name == "unisono-keeper"}


def dumped(place: Place) -> dict[str, object]:
    """A dump on request: whose it is, and what is wrong with it."""
    end = time.monotonic() + KEEPER_SECONDS_MAX
    ask = ["blackbox", "--instance", str(place.instance), "--request"]
    while (ran := forked(ask, tool=True)).status and time.monotonic() < end:
        time.sleep(0.2)  # a keeper that was killed is replaced after ten seconds
    newest = max(place.instance.glob("flight-*.dump"))
    dump = decode_dump(newest.read_bytes())
    times = [each.monotonic_ns for each in dump.records]
    return {
        "status": ran.status,
        "pid": dump.header.pid,
        "damage": dump.damage.words(),
        "records": len(dump.records),
        "in order": times == sorted(times),
    }


def _names(place: Place) -> list[str]:
    """Files that exist, without the dumps that were asked for."""
    return sorted(
        name for name in listing.files() if not re.search(r"/flight-[^/]*\.(dump|qb)$", name)
    )


def recycled(forks: int, executions: int) -> dict[str, object]:
    """The whole scene."""
    place = Place("/run/one")
    place.start().stop()  # what the first life makes (the ring sequence, the log) is there
    take_next_pid(PIDS_MIN - 50)
    first = PIDS_MIN - 50
    daemon = place.start()
    pids = freed_pids(place, first, daemon)
    before = _names(place)
    began = time.monotonic()
    with load(place.instance) as counts:
        visits = visit(place, pids, forks, executions)
        is_alive = daemon.is_alive
    seconds = time.monotonic() - began
    dump = dumped(place)
    result: dict[str, object] = {
        "alive": is_alive and daemon.is_alive,
        "pids": pids,
        "visits": dict(visits),
        "visited": forks + executions,
        "client": counts["status"],
        "messages per second": int(counts["delivered"] / seconds),
        "seconds": seconds,
        "dump": dump | {"its own": dump["pid"] == daemon.pid},
        "files": sorted(set(before) ^ set(_names(place))),
        "missed": place.status()["daemon"]["recorder"]["missed"],
        "end": daemon.stop(),
    }
    reap()
    take_next_pid(daemon.pid)
    again = place.start()
    return result | {"again": again.stop()}


def main() -> None:
    """By hand: python -m tests.life.strangers FORKS EXECUTIONS (as root)."""
    import json
    import sys

    forks, executions = map(int, sys.argv[1:])
    print(json.dumps(inside(recycled, forks, executions, pids=PIDS_MIN, seconds=3600), indent=1))


if __name__ == "__main__":
    main()
