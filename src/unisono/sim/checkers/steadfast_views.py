"""Steadfast views: in fair weather, no intruder and no failed handshake ever changes a view.

Counterpart: the replay attack on knet: 331 recorded datagrams cost a live peer its place.
Keeps:       judged from the moment when all who live are together in one synced view, until one
             starts or ends; for runs in which nothing else breaks (`siege.is_harmless`).
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Booted, Crashed, Installed, Process, Ring, Synced


class SteadfastViews(Checker):
    """Fires on any configuration that is installed while all are together."""

    name = "steadfast views"
    properties = (
        ("steadfast", "replayed, forged, flooded and lost handshakes change no view of a ring"),
    )

    def __init__(self) -> None:
        self._live: set[Process] = set()
        self._views: dict[Process, tuple[Ring, frozenset[NodeId]]] = {}
        self._synced: set[Process] = set()

    def on_booted(self, record: Booted) -> None:
        """All must find together anew."""
        self._live.add(record.who)

    def on_crashed(self, record: Crashed) -> None:
        """The others may do without."""
        self._live.discard(record.who)
        self._views.clear()
        self._synced.clear()

    def on_installed(self, record: Installed) -> None:
        """Not when all are together."""
        if self._are_together():
            raise self.fail(record.time, f"nothing but an intruder can have caused this: {record}")
        self._synced.discard(record.who)
        if record.regular:
            self._views[record.who] = (record.ring, frozenset(record.members))

    def on_synced(self, record: Synced) -> None:
        """One more that is settled."""
        self._synced.add(record.who)

    def _are_together(self) -> bool:
        if not self._live <= self._synced:
            return False
        views = {self._views.get(who) for who in self._live}
        return len(views) == 1 and None not in views and self._all_are_in(views)

    def _all_are_in(self, views: set[tuple[Ring, frozenset[NodeId]] | None]) -> bool:
        nodes = {who.node for who in self._live}
        return all(view is not None and view[1] == nodes for view in views)
