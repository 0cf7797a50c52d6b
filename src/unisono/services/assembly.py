"""Assembly: fragments of CPG messages become whole again for native members.

Counterpart: corosync lib/cpg.c (cpg_dispatch, partial deliver); libcpg does it in the client.
Keeps:       at most MESSAGE_BYTES_MAX for each member of the group; a broken sequence is dropped.
"""

from enum import Enum

from unisono.base.ids import NodeId, Pid
from unisono.base.limits import MESSAGE_BYTES_MAX
from unisono.wire.ipc.cpg import Fragment
from unisono.wire.service.cpg import PartialMcast


class Dropped(Enum):
    """Why a fragment does not lead to a message."""

    TOO_LARGE = "too large"
    ORPHANED = "orphaned"


class Assembly:
    """Fragments of one group, by sender."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: dict[tuple[NodeId, Pid], bytearray] = {}

    def accept(self, node_id: NodeId, partial: PartialMcast) -> bytearray | Dropped | None:
        """The whole message with its last fragment, None before it, or why there is none."""
        key = (node_id, partial.pid)
        if partial.fragment == Fragment.FIRST:
            self._parts.pop(key, None)
            if partial.message_bytes > MESSAGE_BYTES_MAX:
                return Dropped.TOO_LARGE
            self._parts[key] = bytearray()
        parts = self._parts.get(key)
        if parts is None:
            return Dropped.ORPHANED
        parts += partial.payload
        if len(parts) > partial.message_bytes:
            del self._parts[key]
            return Dropped.ORPHANED
        if partial.fragment != Fragment.LAST:
            return None
        del self._parts[key]
        return parts if len(parts) == partial.message_bytes else Dropped.ORPHANED

    def forget(self, node_id: NodeId, pid: Pid) -> None:
        """The process left; what it began will not end."""
        self._parts.pop((node_id, pid), None)
