"""Joinlists: what the other nodes say of their processes during one synchronisation.

Counterpart: corosync exec/cpg.c (joinlist_messages, my_old_member_list).
Keeps:       lists count only between the beginning of the phase and its end or abort: those of an
             aborted synchronisation never come back; who was lost in any configuration since the
             last complete synchronisation is lost, even if it is back.
"""

from unisono.base.ids import NodeId
from unisono.base.limits import CPG_PROCESSES_MAX
from unisono.wire.service.cpg import Process


class Joinlists:
    """Collects within one phase, and remembers across aborted ones who stayed."""

    __slots__ = ("old_members", "survivors", "_told", "_left", "_is_open")

    def __init__(self) -> None:
        self.old_members: frozenset[NodeId] = frozenset()
        """Members of the last configuration whose synchronisation was complete."""
        self.survivors: frozenset[NodeId] = frozenset()
        """Those of `old_members` that stayed with us in every configuration since."""
        self._told: dict[NodeId, set[Process]] = {}
        self._left: set[tuple[NodeId, Process]] = set()
        """Leaves since the phase began: a list that was made before must not bring them back."""
        self._is_open = False

    @property
    def down(self) -> frozenset[NodeId]:
        """Who left since the last complete synchronisation."""
        return self.old_members - self.survivors

    def begin(self, survivors: frozenset[NodeId]) -> None:
        """A regular configuration was installed."""
        assert not self._is_open, "an abort or an end comes before the next configuration"
        self.survivors &= survivors

    def open(self) -> None:
        """The phase begins."""
        self._is_open = True

    def close(self) -> dict[NodeId, set[Process]]:
        """The phase is over or aborted: what was told; the next one begins with nothing."""
        told = self._told
        self._told = {}
        self._left = set()
        self._is_open = False
        return told

    def install(self, members: frozenset[NodeId]) -> None:
        """The synchronisation is complete with these members."""
        self.old_members = members
        self.survivors = members

    def listed(self, origin: NodeId, processes: list[Process]) -> bool:
        """A node's list; False when it is stale, or there are too many."""
        count = sum(map(len, self._told.values())) + len(processes)
        if not self._is_open or count > CPG_PROCESSES_MAX:
            return False
        alive = {one for one in processes if (origin, one) not in self._left}
        self._told.setdefault(origin, set()).update(alive)
        return True

    def joined(self, origin: NodeId, process: Process) -> None:
        """A join was delivered; within the phase it adds to the node's list."""
        if self._is_open:
            self._left.discard((origin, process))
            self._told.setdefault(origin, set()).add(process)

    def left(self, origin: NodeId, process: Process) -> None:
        """A leave was delivered; within the phase it takes from the node's list."""
        if self._is_open:
            self._left.add((origin, process))
            self._told.get(origin, set()).discard(process)
