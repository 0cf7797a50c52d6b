"""Self delivery (P7): every message that the ring accepted is delivered at its live sender.

Counterpart: extended virtual synchrony, specification 3 (self delivery).
Keeps:       what belongs to an exchange after a view change is void when the view changes again.
"""

from unisono.sim.checkers.checker import Checker
from unisono.sim.messages import size_of
from unisono.sim.trace import Crashed, Delivered, Installed, Process, Sent


class SelfDelivery(Checker):
    """Fires at the end, for a live sender whose message never came back."""

    name = "self delivery"
    properties = (("P7", "a process delivers what it sent, unless it crashes"),)

    def __init__(self) -> None:
        self._owed: dict[Process, dict[int, list[Sent]]] = {}

    def on_sent(self, record: Sent) -> None:
        """From now on it is owed."""
        self._owed.setdefault(record.who, {}).setdefault(record.key, []).append(record)

    def on_delivered(self, record: Delivered) -> None:
        """Paid."""
        if record.origin != record.who.node:
            return
        owed = self._owed.get(record.who, {})
        sends = owed.get(record.key)
        if sends:
            sends.pop(0)
            if not sends:
                del owed[record.key]

    def on_installed(self, record: Installed) -> None:
        """Another view: the exchange about the last one need not be finished."""
        owed = self._owed.get(record.who)
        if owed:
            for key in [key for key, sends in owed.items() if sends[0].during_sync]:
                del owed[key]

    def on_crashed(self, record: Crashed) -> None:
        """Who crashed cannot deliver."""
        self._owed.pop(record.who, None)

    @property
    def paid(self) -> bool:
        """Whether nobody owes anything."""
        return not any(self._owed.values())

    def conclude(self, time: int) -> None:
        """Nothing may be owed any more."""
        for who, owed in self._owed.items():
            for key, sends in owed.items():
                raise self.fail(
                    time,
                    f"{who} never delivered its own {size_of(key)} bytes, sent at"
                    f" {sends[0].time} ns: {sends[0]}",
                )
