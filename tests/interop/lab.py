"""A laboratory: hosts with one daemon each, Corosync's or ours, and clients that tell their view.

Speaks:      `Lab("cuc")`: hosts 1 and 3 run corosync, host 2 runs unisonod.
Keeps:       waits end on client events, never on guessed times; every wait is bounded.
Never:       leaves a process or a namespace behind.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Self

from tests.interop.conf import Section, corosync_conf
from tests.interop.cpg_client import CpgClient, Event, build
from tests.interop.netns import Network

CONF_PATH: Final = "/etc/corosync/corosync.conf"
DAEMONS: Final = {
    "c": ("corosync", "-f"),
    "u": (str(Path(sys.executable).with_name("unisonod")), "-f", "-c", CONF_PATH),
}
QUICK: Final = {"token": 1000, "token_coefficient": 0}
"""Ring timers of most tests: a silent member is out after token + consensus = 2.2 s."""
LOG_LINES_SHOWN: Final = 25
ALL_ALIKE: Final = os.environ.get("UNISONO_LAB_ALL", "")
"""`c` runs Corosync on every host, whatever a test asks for: that must pass, to prove the tests."""
CAPTURE: Final = os.environ.get("UNISONO_LAB_PCAP", "")
"""A file that receives the last laboratory's datagrams, for a diagnosis."""


class LabError(AssertionError):
    """Something did not come about; the text holds what every client saw and the daemons' logs."""


class Lab:
    """A ring of hosts; `kinds` names each one's daemon, in order of node id, from 1."""

    def __init__(
        self,
        kinds: str,
        transport: str = "udpu",
        family: int = 4,
        *,
        totem: Section | None = None,
        system: Section | None = None,
        logging: Section | None = None,
        group: str = "choir",
        strangers: int = 0,
        mtu: int = 1500,
    ) -> None:
        """`strangers` hosts more, numbered after the members, stay without a daemon."""
        self.kinds = dict(enumerate(ALL_ALIKE * len(kinds) or kinds, 1))
        self.nodes = tuple(self.kinds)
        self.clients: dict[int, CpgClient] = {}
        self.daemons: dict[int, subprocess.Popen[bytes]] = {}
        self._group = group
        self._transport = transport
        self._conf = corosync_conf(
            self.nodes,
            transport,
            family,
            {**QUICK, **(totem or {})},
            {"sched_rr": "no", **(system or {})},
            logging,
        )
        self.network = Network(len(kinds) + strangers, mtu)
        self._capture = self.network.capture(Path(CAPTURE)) if CAPTURE else None
        for n in self.nodes:
            self.network.host(n).path(CONF_PATH).write_text(self._conf)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process that this laboratory started and remove the namespaces."""
        for client in self.clients.values():
            client.kill()
        for daemon in self.daemons.values():
            daemon.send_signal(signal.SIGKILL)
            daemon.wait(10)
        if self._capture:
            self._capture.terminate()
            self._capture.wait(10)
        self.network.close()

    # -- daemons and clients ------------------------------------------------------------------

    def log(self, n: int) -> Path:
        """The file that holds what the daemon of host `n` printed; it goes with the host."""
        return self.network.host(n).path("/run/daemon.log")

    def start(self, *nodes: int, client: bool = True) -> None:
        """Start the daemons of these hosts (default: all) and a client beside each."""
        for n in nodes or self.nodes:
            argv = self.network.host(n).command(*DAEMONS[self.kinds[n]])
            with self.log(n).open("ab") as log:
                self.daemons[n] = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
                )
        if client:
            for n in nodes or self.nodes:
                self.join(n)

    def form(self) -> None:
        """Start all and wait for the full ring; at most one Corosync joins at a time.

        Over udp Corosync 3.1.7 may fail its assertion in orf_token_rtr when a third node's join
        reaches it while it forms a ring with a second one; so there each joins a ring that stands.
        """
        theirs = [n for n in self.nodes if self.kinds[n] == "c"]
        started = [n for n in self.nodes if n not in theirs]
        if self._transport == "udpu" or not started:
            started += theirs[:1]
        self.start(*started)
        self.wait_views(started)
        for n in theirs:
            if n not in started:
                started.append(n)
                self.start(n)
                self.wait_views(started)

    def join(self, n: int, argv: Iterable[str] = ()) -> CpgClient:
        """Start the client of host `n`; a client that was there before is ended first."""
        if n in self.clients:
            self.clients.pop(n).kill()
        command = [*(argv or [str(build())]), self._group]
        self.clients[n] = CpgClient(n, self.network.host(n).command(*command))
        return self.clients[n]

    def run(self, n: int, *argv: str, timeout: float = 20) -> "subprocess.CompletedProcess[str]":
        """Run a tool on host `n` to its end."""
        return subprocess.run(
            self.network.host(n).command(*argv),
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
        )

    def kill(self, n: int) -> None:
        """SIGKILL the daemon of host `n`; its client finds out by itself and is removed."""
        self._end(n, signal.SIGKILL)

    def stop(self, n: int) -> int:
        """SIGTERM the daemon of host `n`, which leaves the ring; returns its exit status."""
        return self._end(n, signal.SIGTERM)

    def _end(self, n: int, how: signal.Signals) -> int:
        daemon = self.daemons.pop(n)
        daemon.send_signal(how)
        status = daemon.wait(20)
        if n in self.clients:
            self.clients.pop(n).close()
        return status

    def freeze(self, n: int) -> None:
        """SIGSTOP the daemon of host `n`."""
        self.daemons[n].send_signal(signal.SIGSTOP)

    def thaw(self, n: int) -> None:
        """SIGCONT the daemon of host `n`."""
        self.daemons[n].send_signal(signal.SIGCONT)

    # -- waiting ------------------------------------------------------------------------------

    def wait(self, what: str, is_true: Callable[[], bool], timeout: float = 20) -> float:
        """Read client events until `is_true`; returns the seconds taken, LabError when too long."""
        start = time.monotonic()
        end = start + timeout
        while not is_true():
            left = end - time.monotonic()
            self._check_daemons(what)
            if left <= 0:
                raise LabError(f"after {timeout} s not so: {what}\n{self.describe()}")
            ready, _, _ = select.select(list(self.clients.values()), [], [], min(left, 0.5))
            for client in ready:
                if not client.feed():
                    raise LabError(f"client {client.node} ended: {what}\n{self.describe()}")
        return time.monotonic() - start

    def _check_daemons(self, what: str) -> None:
        for n, daemon in self.daemons.items():
            if daemon.poll() is not None:
                status = daemon.returncode
                raise LabError(f"daemon {n} exited {status}: {what}\n{self.describe()}")

    def wait_views(self, nodes: Iterable[int] = (), timeout: float = 20) -> float:
        """Wait until the clients of these hosts (default: all) see each other and no one else."""
        members = tuple(sorted(nodes or self.nodes))
        seen = [self.clients[n] for n in members]
        return self.wait(
            f"ring and group of {members}",
            lambda: all(c.view == set(members) and sorted(c.ring) == [*members] for c in seen),
            timeout,
        )

    def marked(self, label: str, nodes: Iterable[int] = (), timeout: float = 60) -> list[Event]:
        """Send an ordered mark from the first of these hosts; returns each one's tally at it."""
        clients = [self.clients[n] for n in sorted(nodes or self.clients)]
        clients[0].say(f"mark {label}")
        self.wait(
            f"mark {label}", lambda: all(c.last("mark", label=label) for c in clients), timeout
        )
        return [event for c in clients if (event := c.last("mark", label=label))]

    def send(self, count: int, size: int, nodes: Iterable[int] = (), gap_us: int = 0) -> None:
        """Order the clients of these hosts (default: all) to send."""
        for n in nodes or self.clients:
            self.clients[n].send(count, size, gap_us)

    def finish(self, nodes: Iterable[int] = (), timeout: float = 60) -> None:
        """Wait until these hosts (default: all) have delivered all that they sent to each other."""
        clients = [self.clients[n] for n in nodes or self.clients]
        self.wait(
            f"sendings of {[c.node for c in clients]} delivered",
            lambda: all(c.has_finished(sender) for c in clients for sender in clients),
            timeout,
        )

    def flow(self, count: int, timeout: float = 20) -> None:
        """Wait until every client has delivered `count` messages since the last mark."""

        def is_flowing() -> bool:
            reports = [client.last("report") for client in self.clients.values()]
            for client in self.clients.values():
                client.say("report")
            return all(report and report["count"] >= count for report in reports)

        self.wait(f"{count} messages delivered", is_flowing, timeout)

    def rings(self) -> list[list[Event]]:
        """Every ring that each client has been told of so far."""
        return [client.all("ring") for client in self.clients.values()]

    def describe(self) -> str:
        """What is known about every host, for a failure's text."""
        parts = [f"kinds {''.join(self.kinds.values())}"]
        for n, client in self.clients.items():
            tail = "\n".join(f"    {event}" for event in client.events[-6:])
            parts.append(f"client {n}: view {sorted(client.view)} ring {client.ring}\n{tail}")
        for n, kind in self.kinds.items():
            if self.log(n).exists():
                lines = self.log(n).read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
                parts.append(f"log of host {n} ({kind}):\n    " + "\n    ".join(lines))
        return "\n".join(parts)
