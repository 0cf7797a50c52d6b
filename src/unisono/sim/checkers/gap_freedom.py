"""Gap freedom (P9): in a regular view a message comes only after all earlier ones of its ring.

Counterpart: extended virtual synchrony, specification 6.3; Totem paper, agreed delivery.
Keeps:       in a transitional view gaps are legal (messages of members that did not come along).
"""

from unisono.sim.checkers.checker import Checker
from unisono.sim.checkers.company import Company
from unisono.sim.checkers.history import History
from unisono.sim.trace import Delivered, Installed, Process, Ring, Trace


class GapFreedom(Checker):
    """Fires when a process passed over a sequence at which anybody delivered something."""

    name = "gap freedom"
    properties = (("P9", "in a regular view a message comes after all earlier ones of its ring"),)

    def __init__(self) -> None:
        self._company = Company()
        self._history = History()
        self._in_regular: dict[Process, bool] = {}
        self._upto: dict[tuple[Process, Ring], Delivered] = {}

    def attach(self, trace: Trace) -> None:
        """Listen, behind what all share."""
        self._company = trace.observer(Company)
        self._history = trace.observer(History)
        super().attach(trace)

    def on_installed(self, record: Installed) -> None:
        """Gaps are judged for what was delivered in a regular view."""
        self._in_regular[record.who] = record.regular

    def on_delivered(self, record: Delivered) -> None:
        """Note the last."""
        if record.ring is not None and self._in_regular.get(record.who):
            self._upto[record.who, record.ring] = record

    def conclude(self, time: int) -> None:
        """Compare each process's sequences with all that are known of its ring."""
        for last in self._upto.values():
            other = self._history.passed_over(self._company, last)
            if other is not None:
                raise self.fail(
                    last.time, f"{last.who} never delivered what came before: {other}; but: {last}"
                )
