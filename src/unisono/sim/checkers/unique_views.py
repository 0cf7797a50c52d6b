"""Unique views (P3): one ring id, one member set; ids grow.

Counterpart: extended virtual synchrony, specification 2 (configuration changes).
Keeps:       a node that lost its store may use an id again; its epoch tells the two apart.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Booted, Installed, Ring


class UniqueViews(Checker):
    """Fires on a ring id with two member sets, or that does not grow."""

    name = "unique views"
    properties = (("P3", "one ring id names one set of members; ids grow at each process"),)

    def __init__(self) -> None:
        self._members: dict[Ring, frozenset[NodeId]] = {}
        self._highest: dict[NodeId, int] = {}

    def on_booted(self, record: Booted) -> None:
        """A daemon with its store starts above every ring that it ever installed."""
        node = record.who.node
        if not record.kept:
            self._highest.pop(node, None)
        elif record.ring_seq <= self._highest.get(node, -1):
            raise self.fail(
                record.time,
                f"{record.who} starts with ring sequence {record.ring_seq}, although it has"
                f" installed {self._highest[node]}",
            )

    def on_installed(self, record: Installed) -> None:
        """Compare with everybody's and with one's own earlier views."""
        who, members = record.who, frozenset(record.members)
        if len(members) != len(record.members):
            raise self.fail(record.time, f"a member is listed twice: {record}")
        if not record.regular:
            return
        if record.ring.rep not in members:
            raise self.fail(record.time, f"the representative is no member: {record}")
        known = self._members.setdefault(record.ring, members)
        if known != members:
            raise self.fail(
                record.time,
                f"ring {record.ring} has members {sorted(known)} elsewhere, here: {record}",
            )
        if record.ring.seq <= self._highest.get(who.node, -1):
            raise self.fail(
                record.time, f"{who} had installed {self._highest[who.node]} before: {record}"
            )
        self._highest[who.node] = record.ring.seq
