"""Liveness (P15, P16): once every fault is over, all nodes find one view, agree, and deliver.

Counterpart: extended virtual synchrony, specification 2.4; Totem paper, termination of membership.
Keeps:       `settled` is decided from the trace; the runner may stop as soon as it holds.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Booted, Calmed, Crashed, Delivered, Installed, Process, Ring, Synced


class _Standing:
    """Where one live process stands."""

    __slots__ = ("last", "members", "ring", "synced")

    def __init__(self) -> None:
        self.ring: Ring | None = None
        self.members: frozenset[NodeId] = frozenset()
        self.synced = False
        self.last = 0

    def __str__(self) -> str:
        return (
            f"ring {self.ring} of {sorted(self.members)},"
            f" {'synced' if self.synced else 'not synced'},"
            f" delivered up to {self.last}"
        )


class Liveness(Checker):
    """Fires at the end when the live nodes are not in one synced view with equal deliveries."""

    name = "liveness"
    properties = (
        ("P15", "when all is calm, every live process is in the view that the others are in"),
        ("P16", "when all is calm, all live processes come to one view in bounded time"),
    )

    def __init__(self) -> None:
        self._live: dict[Process, _Standing] = {}
        self._calm: Calmed | None = None

    def on_booted(self, record: Booted) -> None:
        """One more that must come along."""
        self._live[record.who] = _Standing()

    def on_crashed(self, record: Crashed) -> None:
        """One less."""
        self._live.pop(record.who, None)

    def on_installed(self, record: Installed) -> None:
        """A transitional view ends the agreement; a regular one begins anew."""
        standing = self._live[record.who]
        standing.synced = False
        if record.regular:
            standing.ring = record.ring
            standing.members = frozenset(record.members)
            standing.last = 0

    def on_synced(self, record: Synced) -> None:
        """This process's services agree."""
        self._live[record.who].synced = True

    def on_delivered(self, record: Delivered) -> None:
        """All members of the last ring must come to the same place."""
        self._live[record.who].last = record.seq

    def on_calmed(self, record: Calmed) -> None:
        """From here on time counts."""
        self._calm = record

    @property
    def settled(self) -> bool:
        """Whether all live processes are in one synced view."""
        standings = list(self._live.values())
        if not standings:
            return True
        first = standings[0]
        if first.ring is None or len(first.members) != len(standings):
            return False
        together = all(each.synced and each.ring == first.ring for each in standings)
        return together and first.members == {who.node for who in self._live}

    @property
    def level(self) -> bool:
        """Whether all live processes have delivered up to the same place."""
        return len({standing.last for standing in self._live.values()}) <= 1

    def conclude(self, time: int) -> None:
        """After a calm, everything must have settled."""
        if self._calm is not None and not (self.settled and self.level):
            lines = "; ".join(f"{who}: {standing}" for who, standing in self._live.items())
            raise self.fail(
                time, f"not settled {(time - self._calm.time) / 1e6:.0f} ms after the calm: {lines}"
            )
