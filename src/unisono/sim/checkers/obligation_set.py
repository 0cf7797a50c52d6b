"""Obligation set (P13): beyond a gap, only what those who come along have sent is delivered.

Counterpart: extended virtual synchrony, specification 6.3; Totem paper, step 6 of recovery: a
             message behind a missing one may have been caused by it, unless its sender is here.
Keeps:       a gap is a sequence that somebody has delivered something at, and this process has not.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.checkers.company import Company
from unisono.sim.checkers.history import History
from unisono.sim.trace import Delivered, Installed, Process, Ring, Trace


class ObligationSet(Checker):
    """Fires when a message of one who stayed behind is delivered although one before is missing."""

    name = "obligation set"
    properties = (
        ("P13", "messages beyond a gap of members that do not come along are not delivered"),
    )

    def __init__(self) -> None:
        self._company = Company()
        self._history = History()
        self._together: dict[Process, frozenset[NodeId]] = {}
        self._beyond: dict[tuple[Process, Ring], Delivered] = {}

    def attach(self, trace: Trace) -> None:
        """Listen, behind what all share."""
        self._company = trace.observer(Company)
        self._history = trace.observer(History)
        super().attach(trace)

    def on_installed(self, record: Installed) -> None:
        """Only in a transitional view are gaps legal."""
        if record.regular:
            self._together.pop(record.who, None)
        else:
            self._together[record.who] = frozenset(record.members)

    def on_delivered(self, record: Delivered) -> None:
        """Note the last of those that need all before."""
        together = self._together.get(record.who)
        if together is not None and record.ring is not None and record.origin not in together:
            self._beyond[record.who, record.ring] = record

    def conclude(self, time: int) -> None:
        """Whatever anybody delivered before such a message must be there."""
        for last in self._beyond.values():
            other = self._history.passed_over(self._company, last)
            if other is not None:
                raise self.fail(
                    last.time,
                    f"{last.who} lacks {other}; node {last.origin} did not come along; but: {last}",
                )
