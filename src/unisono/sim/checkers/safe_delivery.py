"""Safe delivery (P11): a safe message delivered in a regular view reaches all who installed it.

Counterpart: extended virtual synchrony, specification 7 (safe delivery).
Keeps:       who crashed before its next view, or never installed the view, owes nothing.
"""

from typing import TypeAlias

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.checkers.company import Company
from unisono.sim.trace import Crashed, Delivered, Installed, Process, Ring, Sent, Trace

Message: TypeAlias = tuple[NodeId, int, int]
"""Origin, key, sequence."""


class SafeDelivery(Checker):
    """Fires when a safe message was delivered as stable and a member went on without it."""

    name = "safe delivery"
    properties = (
        ("P11", "what is delivered as safe in a regular view is delivered by all its members"),
    )

    def __init__(self) -> None:
        self._company = Company()
        self._safe: set[tuple[NodeId, int]] = set()
        self._view: dict[Process, tuple[Ring, bool]] = {}
        self._installed: dict[Ring, list[Process]] = {}
        self._got: dict[tuple[Process, Ring], set[Message]] = {}
        self._stable: dict[Ring, dict[Message, Delivered]] = {}
        self._excused: set[tuple[Process, Ring]] = set()

    def attach(self, trace: Trace) -> None:
        """Listen, behind the company of all."""
        self._company = trace.observer(Company)
        super().attach(trace)

    def on_sent(self, record: Sent) -> None:
        """Note what was asked for as safe."""
        if record.safe:
            self._safe.add((record.who.node, record.key))

    def on_installed(self, record: Installed) -> None:
        """Follow each process's regular view."""
        who = record.who
        if record.regular:
            self._view[who] = (record.ring, True)
            self._installed.setdefault(record.ring, []).append(who)
        elif who in self._view:
            self._view[who] = (self._view[who][0], False)

    def on_crashed(self, record: Crashed) -> None:
        """Whoever crashes in a view is excused in that view."""
        if record.who in self._view:
            self._excused.add((record.who, self._view[record.who][0]))

    def on_delivered(self, record: Delivered) -> None:
        """A safe message delivered in a regular view is owed by all who installed it."""
        ring = record.ring
        if ring is None or (record.origin, record.key) not in self._safe:
            return
        message = (record.origin, record.key, record.seq)
        self._got.setdefault((record.who, ring), set()).add(message)
        if self._view.get(record.who) == (ring, True):
            self._stable.setdefault(ring, {}).setdefault(message, record)

    def conclude(self, time: int) -> None:
        """Collect what is owed."""
        for ring, stable in self._stable.items():
            for who in self._installed[ring]:
                if (who, ring) in self._excused:
                    continue
                got = self._got.get((who, ring), set())
                for message, record in stable.items():
                    origin, key, seq = message
                    if message not in got and not self._company.may_miss(
                        who, ring, seq, origin, key
                    ):
                        raise self.fail(
                            record.time,
                            f"{who} installed {ring}, did not crash in it, and never delivered"
                            f" what was stable: {record}",
                        )
