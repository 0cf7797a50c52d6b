"""The course of the demonstration: start, feed, kill, restart, catch up, compare."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from unisono.base.errors import UnisonoError
from unisono.cli.demo.daemons import Daemon, configuration, free_network, make_key
from unisono.cli.demo.replicas import ReplicaProcess, reports
from unisono.cli.demo.source import Item, read_items
from unisono.cli.demo.store import digest_entries
from unisono.cli.demo.view import View

REPLICAS: Final = 3
SECONDS_DEFAULT: Final = 20.0
SECONDS_MAX: Final = 110.0
"""The whole run ends with an error when it takes longer."""
KILL_SHARE: Final = 0.25
"""Part of the feeding time after which a daemon is killed; restarted one third later, at least."""
RESTART_SHARE: Final = 0.5
AWAY_SECONDS_MIN: Final = 1.0
WAIT_SECONDS: Final = 0.05
RATE_SECONDS: Final = 1.0
NANOS: Final = 1e9


@dataclass(slots=True)
class Outcome:
    """What a run found."""

    digests: list[str]
    orders: list[str]
    expected: str
    messages: int
    wanted: int
    gaps: int
    seconds: float
    bytes: int
    changes: list[tuple[str, float]] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        """Whether all replicas hold the input, put together in the same order."""
        return {*self.digests} == {self.expected} and len({*self.orders}) == 1

    @property
    def complete(self) -> bool:
        """Whether everything that was fed is in every replica, once and in its feeder's order."""
        return self.gaps == 0 and self.messages == self.wanted


class Director:
    """Runs the demonstration once, in `directory`, which the caller removes."""

    def __init__(self, directory: Path, source: Path | None, seconds: float, view: View) -> None:
        self._view = view
        self._source = source
        self._seconds = seconds
        self._items: list[Item] = read_items(source)
        self._directory = directory
        self._daemons: list[Daemon] = []
        self._replicas: list[ReplicaProcess] = []
        self._end = time.monotonic() + SECONDS_MAX
        self._fed_from = 0.0
        self._rates: list[tuple[float, int]] = []
        self._phase = "starting"
        self._changes: list[tuple[str, float]] = []
        self._finished: dict[int, int] = {}
        self._checked: dict[int, dict[str, Any]] = {}
        self._seen: list[tuple[int, dict[str, Any]]] = []
        """(node, report) of views and transfers since the last thing that was done to the ring."""

    def run(self) -> Outcome:
        """The whole course; UnisonoError when something ends or takes too long."""
        with ExitStack() as stack:
            self._start(stack)
            self._feed_until(self._seconds * KILL_SHARE)
            self._kill_one()
            self._feed_until(self._seconds * RESTART_SHARE)
            self._start_again()
            self._feed_until(self._seconds)
            seconds = self._finish()
            return self._compare(seconds)

    # -- the course --------------------------------------------------------------------------------

    def _start(self, stack: ExitStack) -> None:
        total = sum(len(value) for _, value in self._items)
        self._view.say(
            f"input: {self._source or 'the source of the Python standard library'}, "
            f"{len(self._items)} items, {total / 1e6:.1f} MB"
        )
        begin = time.monotonic_ns()
        key_file = make_key(self._directory)
        text = configuration(REPLICAS, free_network(REPLICAS), key_file)
        for index in range(REPLICAS):
            daemon = Daemon(self._directory / f"node{index + 1}", index, text)
            self._daemons.append(daemon)
            stack.callback(daemon.stop)
            daemon.start()
        for index, daemon in enumerate(self._daemons):
            replica = ReplicaProcess(daemon.directory, index, REPLICAS, self._source)
            self._replicas.append(replica)
            stack.callback(replica.stop)
        self._wait(
            lambda: all(
                state.get("synced") and len(state["members"]) == len(state["nodes"]) == REPLICAS
                for state in (replica.state for replica in self._replicas)
            ),
            "three daemons and replicas",
        )
        self._note("three daemons on one ring, three replicas", time.monotonic_ns() - begin)
        self._fed_from = time.monotonic()
        self._phase = "feeding"
        for replica in self._replicas:
            replica.order("feed")

    def _kill_one(self) -> None:
        victim = self._daemons[-1]
        self._seen.clear()
        begin = time.monotonic_ns()
        self._view.say(f"kill -KILL {victim.pid}: daemon {victim.node_id} is gone, feeding goes on")
        victim.kill()
        self._phase = f"daemon {victim.node_id} killed"
        at = self._wait_views({daemon.node_id for daemon in self._daemons[:-1]})
        self._note("killed daemon: view without it at both others", at - begin)
        self._feed_until(time.monotonic() - self._fed_from + AWAY_SECONDS_MIN)

    def _start_again(self) -> None:
        victim = self._daemons[-1]
        self._seen.clear()
        begin = time.monotonic_ns()
        victim.start()
        self._phase = f"daemon {victim.node_id} starts again"
        at = self._wait_views({daemon.node_id for daemon in self._daemons})
        self._note("restarted daemon: view with its replica at all", at - begin)
        self._phase = f"replica {victim.node_id} catches up"
        report = self._wait_report(victim.node_id, "synced")
        self._note(
            f"state transfer to the newcomer ({report['bytes'] / 1e6:.1f} MB, "
            f"{report['keys']} keys), while feeding",
            report["at"] - at,
        )
        self._phase = "feeding"

    def _finish(self) -> float:
        self._phase = "finishing the round"
        for replica in self._replicas:
            replica.order("finish")
        self._wait(lambda: len(self._finished) == REPLICAS, "the end of the feeding")
        seconds = time.monotonic() - self._fed_from
        self._phase = "comparing"
        totals = " ".join(str(self._finished[index + 1]) for index in range(REPLICAS))
        for replica in self._replicas:
            replica.order(f"check {totals}")
        self._wait(lambda: len(self._checked) == REPLICAS, "the replicas to agree")
        return seconds

    def _compare(self, seconds: float) -> Outcome:
        found = [self._checked[node] for node in sorted(self._checked)]
        sizes = [
            sum(len(value) for _, value in self._items[index::REPLICAS])
            for index in range(REPLICAS)
        ]
        counts = [len(self._items[index::REPLICAS]) for index in range(REPLICAS)]
        applied = [min(report["applied"][index] for report in found) for index in range(REPLICAS)]
        return Outcome(
            digests=[report["digest"] for report in found],
            orders=[report["order"] for report in found],
            expected=digest_entries(dict(self._items).items()),
            messages=sum(applied),
            wanted=sum(self._finished.values()),
            gaps=sum(report["gaps"] for report in found),
            seconds=seconds,
            bytes=sum(
                size * done // count
                for size, done, count in zip(sizes, applied, counts, strict=True)
                if count
            ),
            changes=self._changes,
        )

    # -- waiting -----------------------------------------------------------------------------------

    def _note(self, what: str, nanoseconds: int) -> None:
        self._changes.append((what, nanoseconds / NANOS))
        self._view.say(f"{nanoseconds / NANOS:7.2f} s  {what}")

    def _feed_until(self, seconds: float) -> None:
        self._wait(lambda: time.monotonic() - self._fed_from >= seconds, "feeding")

    def _wait_views(self, nodes: set[int]) -> int:
        """When the last replica on `nodes` saw a view of exactly these nodes."""

        def first(node: int) -> int | None:
            return next(
                (
                    report["at"]
                    for seen, report in self._seen
                    if seen == node
                    and report["event"] == "view"
                    and set(report["members"]) == nodes
                ),
                None,
            )

        self._wait(lambda: all(first(node) for node in nodes), f"a view of nodes {sorted(nodes)}")
        return max(first(node) or 0 for node in nodes)

    def _wait_report(self, node: int, event: str) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next(
                (
                    report
                    for seen, report in self._seen
                    if seen == node and report["event"] == event
                ),
                None,
            )

        self._wait(lambda: found() is not None, f"{event} of replica {node}")
        return found() or {}

    def _wait(self, condition: Callable[[], object], what: str) -> None:
        while not condition():
            if time.monotonic() > self._end:
                logs = "\n".join(daemon.log_end() for daemon in self._daemons)
                raise UnisonoError(f"waited too long for {what}\n{logs}")
            for daemon in self._daemons:
                daemon.check()
            for replica, report in reports(self._replicas, WAIT_SECONDS):
                self._hear(replica.node_id, report)
            self._draw()

    def _hear(self, node: int, report: dict[str, Any]) -> None:
        match report["event"]:
            case "view" | "synced":
                self._seen.append((node, report))
            case "finished":
                self._finished[node] = report["number"]
            case "checked":
                self._checked[node] = report
            case "lost":
                self._view.say(f"replica {node} lost its daemon: {report['reason']}")

    # -- the picture -------------------------------------------------------------------------------

    def _applied(self) -> int:
        return max((sum(r.state.get("applied", ())) for r in self._replicas), default=0)

    def _rate(self) -> float:
        now = time.monotonic()
        self._rates = [entry for entry in self._rates if entry[0] > now - RATE_SECONDS]
        self._rates.append((now, self._applied()))
        (start, before), (end, after) = self._rates[0], self._rates[-1]
        return max(0, after - before) / (end - start) if end > start else 0.0

    def _draw(self) -> None:
        rows = []
        for daemon, replica in zip(self._daemons, self._replicas, strict=False):
            state = replica.state
            if not state:
                doing = "starting" if daemon.pid else "killed"
                rows.append(f"node {daemon.node_id}  daemon {doing}")
                continue
            synced = "in step" if state["synced"] else "catching up"
            rows.append(
                f"node {daemon.node_id}  daemon {daemon.pid or 'killed'}  ring {state['ring']:<8} "
                f"daemons {','.join(map(str, state['nodes'])):<6} "
                f"group {','.join(map(str, state['members'])):<6} "
                f"{state['keys']:>7} keys  {synced}"
            )
        fed = time.monotonic() - self._fed_from if self._fed_from else 0.0
        summary = f"{self._applied():>9,} messages  {self._rate():>8,.0f}/s  {self._phase}"
        self._view.show(rows, min(fed / self._seconds, 1.0), summary)
