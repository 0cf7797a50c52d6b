"""Deaths under test: a daemon is killed, and everything about that moment is written down.

Speaks:      `kill(lab, n, how)` -> Death; `CrashClient`s by `start_client`.
Keeps:       the death is seen by a pidfd, on the clock that the recorder and the clients use.
"""

import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.interop.cpg_client import CpgClient
from tests.interop.lab import Lab
from unisono.wire.blackbox.dump import Dump, decode_dump

CLIENT: Final = str(Path(__file__).with_name("crash_client.py"))
STATE: Final = "/var/lib/corosync"
SECONDS_MAX: Final = 20


class Death(NamedTuple):
    """Of a daemon: when the signal was sent, when the kernel called it dead, what it left."""

    killed_ns: int
    died_ns: int
    file: Path
    dump: Dump


def children(pid: int) -> list[int]:
    """Processes that this one has started and that still are."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def await_end(watch: int) -> int:
    """When a process that is watched by a pidfd had ended; closes it."""
    try:
        assert select.select([watch], [], [], SECONDS_MAX)[0], "it does not end"
        return time.monotonic_ns()
    finally:
        os.close(watch)


def signal_and_watch(pid: int, how: signal.Signals) -> tuple[int, int]:
    """Send a signal that kills; when it was sent, and when the process was dead."""
    watch = os.pidfd_open(pid)
    killed_ns = time.monotonic_ns()
    signal.pidfd_send_signal(watch, how)
    return killed_ns, await_end(watch)


def kill(lab: Lab, n: int, how: signal.Signals) -> Death:
    """Kill the daemon of host `n` by `how`, and wait for the dump that its keeper writes."""
    daemon = lab.daemons.pop(n)
    (keeper,) = children(daemon.pid)
    keeper_watch = os.pidfd_open(keeper)
    killed_ns, died_ns = signal_and_watch(daemon.pid, how)
    assert daemon.wait(SECONDS_MAX) == -how
    await_end(keeper_watch)
    file = max(lab.network.host(n).path(STATE).glob("flight-*.dump"))
    return Death(killed_ns, died_ns, file, decode_dump(file.read_bytes()))


def start_client(lab: Lab, n: int, *arguments: object) -> CpgClient:
    """A crash_client.py on host `n`; the caller closes it."""
    return CpgClient(n, lab.network.host(n).command(sys.executable, CLIENT, *map(str, arguments)))


def without_clients(lab: Lab) -> None:
    """End the clients that a laboratory forms its ring with."""
    for client in lab.clients.values():
        client.close()
    lab.clients.clear()


def await_event(client: CpgClient, kind: str) -> int:
    """Read what the client says until it has said `kind`; when that was, by its own clock."""
    end = time.monotonic() + SECONDS_MAX
    while (event := client.last(kind)) is None:
        left = end - time.monotonic()
        assert left > 0 and select.select([client], [], [], left)[0], (kind, client.events[-3:])
        assert client.feed() or client.last(kind), (kind, client.events[-3:])
    return int(event["t"])
