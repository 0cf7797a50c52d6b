"""Virtual synchrony (P12, P13): who moves together from view to view delivers the same messages.

Counterpart: extended virtual synchrony, specification 4 (failure atomicity).
Keeps:       nothing is asked of processes that part (P14), or crash before the next view.
"""

from typing import TypeAlias

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.checkers.company import Company
from unisono.sim.trace import Crashed, Delivered, Installed, Process, Ring, Trace

Log: TypeAlias = list[tuple[int, NodeId, int]]
"""Sequence, origin and key of what one process delivered in one ring, in its order."""


class VirtualSynchrony(Checker):
    """Fires when two processes that stayed together delivered different sequences of messages."""

    name = "virtual synchrony"
    properties = (
        ("P12", "processes that move together deliver the same messages in the same order"),
        ("P13", "the obligation set is the same for all who move together"),
        ("P14", "nothing is asked of processes that part"),
    )

    def __init__(self) -> None:
        self._company = Company()
        self._ring: dict[Process, Ring] = {}
        self._log: dict[Process, Log] = {}
        self._moved: dict[tuple[Ring, Ring], tuple[Process, Log]] = {}

    def attach(self, trace: Trace) -> None:
        """Listen, behind the company of all."""
        self._company = trace.observer(Company)
        super().attach(trace)

    def on_delivered(self, record: Delivered) -> None:
        """Keep the sequence of the current ring."""
        self._log.setdefault(record.who, []).append((record.seq, record.origin, record.key))

    def on_crashed(self, record: Crashed) -> None:
        """A crashed process owes nothing."""
        self._ring.pop(record.who, None)
        self._log.pop(record.who, None)

    def on_installed(self, record: Installed) -> None:
        """At the next regular view, compare with those who came the same way."""
        if not record.regular:
            return
        who = record.who
        before = self._ring.get(who)
        log = self._log.pop(who, [])
        self._ring[who] = record.ring
        if before is not None:
            self._compare(record.time, who, before, record.ring, log)

    def conclude(self, time: int) -> None:
        """Those who are together at the end have delivered the same, too."""
        for who, ring in self._ring.items():
            self._compare(time, who, ring, ring, self._log.get(who, []))

    def _compare(self, time: int, who: Process, before: Ring, after: Ring, log: Log) -> None:
        other, other_log = self._moved.setdefault((before, after), (who, log))
        if log == other_log:
            return
        mine, others = set(log), set(other_log)
        may_miss = self._company.may_miss
        log = [e for e in log if e in others or not may_miss(other, before, *e)]
        other_log = [e for e in other_log if e in mine or not may_miss(who, before, *e)]
        if log == other_log:
            return
        only = [f"{who} alone: {_text(entry)}" for entry in log if entry not in others]
        only += [f"{other} alone: {_text(entry)}" for entry in other_log if entry not in mine]
        raise self.fail(
            time,
            f"{who} ({len(log)} messages) and {other} ({len(other_log)}) went together from"
            f" {before} to {after}; " + ("; ".join(only[:4]) or "the orders differ"),
        )


def _text(entry: tuple[int, NodeId, int]) -> str:
    return f"{entry[2]:x} from {entry[1]} at {entry[0]}"
