"""Groups: which processes of the ring are in which process group, equal at every node.

Counterpart: corosync exec/cpg.c (process_info list).
Keeps:       members are sorted by (node id, pid); a group without members does not exist;
             the number of processes is bounded, and the bound hits at every node alike.
Never:       messages, client connections' states (member, cpg).
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Final

from unisono.base.ids import ClientId, NodeId, Pid
from unisono.base.limits import CPG_PROCESSES_MAX, GROUP_NAME_BYTES_MAX
from unisono.services.assembly import Assembly
from unisono.wire.ipc.cpg import DeliverHeaders, Member, decode_name

_FIELDS_MAX: Final = 4_096
"""Raw name fields remembered; beyond that the memory starts anew."""


class Group:
    """One group: all its members, and those of this node to whom its messages go."""

    __slots__ = ("name", "members", "nodes", "libcpg", "native", "headers", "assembly")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.members: list[Member] = []
        self.nodes: dict[NodeId, int] = {}
        """Number of members on each node that has any."""
        self.libcpg: list[ClientId] = []
        self.native: list[ClientId] = []
        self.headers = DeliverHeaders(name)
        self.assembly = Assembly()
        """Fragments on their way to native members."""

    def has(self, node_id: NodeId, pid: Pid) -> bool:
        """Whether the process is a member."""
        at = bisect_left(self.members, (node_id, pid))
        return at < len(self.members) and self.members[at][:2] == (node_id, pid)


class Groups:
    """All groups of the ring."""

    __slots__ = ("by_name", "by_field", "count")

    def __init__(self) -> None:
        self.by_name: dict[bytes, Group] = {}
        self.by_field: dict[bytes, Group] = {}
        """Raw name fields as seen in messages, to save their decoding."""
        self.count = 0
        """Processes in all groups together."""

    def find_field(self, field: bytes) -> Group | None:
        """The group of a raw name field, remembered for `by_field`. WireError."""
        group = self.by_name.get(decode_name(field))
        if group is not None:
            if len(self.by_field) >= _FIELDS_MAX:
                self.by_field.clear()
            self.by_field[field] = group
        return group

    def has(self, name: bytes, node_id: NodeId, pid: Pid) -> bool:
        """Whether the process is in the group `name`."""
        group = self.by_name.get(name)
        return group is not None and group.has(node_id, pid)

    def add(self, name: bytes, node_id: NodeId, pid: Pid) -> Group | None:
        """The group with the new member; None when it is one already, or the bound is reached."""
        assert len(name) <= GROUP_NAME_BYTES_MAX
        group = self.by_name.get(name)
        if self.count >= CPG_PROCESSES_MAX or (group is not None and group.has(node_id, pid)):
            return None
        if group is None:
            group = self.by_name[name] = Group(name)
        insort(group.members, Member(node_id, pid))
        group.nodes[node_id] = group.nodes.get(node_id, 0) + 1
        self.count += 1
        return group

    def remove(self, name: bytes, node_id: NodeId, pid: Pid) -> Group | None:
        """The group without the member (it may be empty now); None when it was none."""
        group = self.by_name.get(name)
        if group is None or not group.has(node_id, pid):
            return None
        del group.members[bisect_left(group.members, (node_id, pid))]
        group.assembly.forget(node_id, pid)
        self.count -= 1
        left = group.nodes[node_id] - 1
        if left:
            group.nodes[node_id] = left
        else:
            del group.nodes[node_id]
        if not group.members:
            del self.by_name[name]
            self.by_field.clear()
        return group

    def processes(self) -> Iterator[tuple[bytes, Member]]:
        """Every (group name, member), by name, then node id, then pid; a snapshot."""
        for name in sorted(self.by_name):
            for member in self.by_name[name].members[:]:
                yield name, member
