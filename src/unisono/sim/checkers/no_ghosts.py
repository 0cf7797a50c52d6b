"""No ghosts: whoever is listed in a group runs on a member of the ring; each exit is told once.

Counterpart: corosync exec/cpg.c (downlist, joinlist); CPG semantics of cpg_overview(3).
Keeps:       judged from the moment the services agree until the next transitional view.
"""

from typing import Final

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import (
    ClientEnded,
    ClientStarted,
    Crashed,
    GroupViewed,
    Installed,
    Member,
    Process,
    Synced,
)
from unisono.wire.ipc.cpg import Reason

NODEDOWN: Final = int(Reason.NODEDOWN)


class NoGhosts(Checker):
    """Fires on a listed member without a node, a change that does not fit, a ghost at the end."""

    name = "no ghosts"
    properties = (
        (
            "ghosts",
            "who is listed in a group lives on a member of the ring; each exit is told once",
        ),
    )

    def __init__(self) -> None:
        self._nodes: dict[Process, frozenset[NodeId]] = {}
        self._agreed: set[Process] = set()
        self._views: dict[Member, GroupViewed] = {}
        self._live: dict[Member, bytes] = {}

    def on_client_started(self, record: ClientStarted) -> None:
        """A process that may be listed."""
        self._live[record.member] = record.group

    def on_client_ended(self, record: ClientEnded) -> None:
        """A process that must vanish from every list."""
        self._live.pop(record.member, None)
        self._views.pop(record.member, None)

    def on_crashed(self, record: Crashed) -> None:
        """Its clients end by themselves."""
        self._agreed.discard(record.who)

    def on_installed(self, record: Installed) -> None:
        """The lists may be old until the services agree again."""
        self._agreed.discard(record.who)
        if record.regular:
            self._nodes[record.who] = frozenset(record.members)

    def on_synced(self, record: Synced) -> None:
        """From here on no list of this node may name a node outside the ring."""
        self._agreed.add(record.who)
        for view in self._views.values():
            if view.who == record.who:
                self._check_nodes(view)

    def on_group_viewed(self, record: GroupViewed) -> None:
        """The members must follow from the ones before, and be on nodes of the ring."""
        members = frozenset(record.members)
        joined = {member for member, _ in record.joined}
        left = {member for member, _ in record.left}
        before = self._views.get(record.member)
        if before is not None:
            known = frozenset(before.members)
            if joined & known or not left <= known or members != (known | joined) - left:
                raise self.fail(record.time, f"does not follow from {before}: {record}")
        self._check_reasons(record)
        if record.member in members:
            self._views[record.member] = record
        if record.who in self._agreed:
            self._check_nodes(record)

    def _check_reasons(self, record: GroupViewed) -> None:
        nodes = self._nodes.get(record.who, frozenset())
        for member, reason in record.left:
            if member.node not in nodes and reason != NODEDOWN:
                raise self.fail(record.time, f"{member} left with its node: {record}")

    def _check_nodes(self, view: GroupViewed) -> None:
        nodes = self._nodes[view.who]
        ghosts = [member for member in view.members if member.node not in nodes]
        if ghosts:
            raise self.fail(
                view.time, f"{ghosts[0]} is listed, the ring is {sorted(nodes)}: {view}"
            )

    def conclude(self, time: int) -> None:
        """At the end every list must name exactly the live members of the group."""
        groups: dict[bytes, set[Member]] = {}
        for member in self._views:
            groups.setdefault(self._live[member], set()).add(member)
        for member, view in self._views.items():
            real = groups[view.group]
            if real != set(view.members):
                raise self.fail(
                    time,
                    f"client {member} believes in {sorted(map(str, view.members))}, the group"
                    f" is {sorted(map(str, real))}",
                )
