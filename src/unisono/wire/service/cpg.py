"""CPG on the ring: joins, leaves, messages, and what nodes tell each other after a change.

Speaks:      procjoin, procleave, joinlist, mcast, downlist, partial_mcast (service 2).
Counterpart: corosync exec/cpg.c, structs req_exec_cpg_*.
Keeps:       a length inside a message is never larger than the message.
Never:       the sender's node id inside a message: the ring knows who sent it.
"""

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from unisono.base.errors import UsageError, WireError
from unisono.base.event import event
from unisono.base.ids import NodeId, Pid
from unisono.base.limits import NODES_MAX
from unisono.wire.ipc.cpg import decode_name, encode_name
from unisono.wire.service import header
from unisono.wire.service.header import RingService, make_id


class Handler(IntEnum):
    """Handlers of the service on the ring (enum cpg_message_req_types)."""

    PROCJOIN = 0
    PROCLEAVE = 1
    JOINLIST = 2
    MCAST = 3
    DOWNLIST_OLD = 4
    DOWNLIST = 5
    PARTIAL_MCAST = 6


PROCJOIN: Final = make_id(RingService.CPG, Handler.PROCJOIN)
PROCLEAVE: Final = make_id(RingService.CPG, Handler.PROCLEAVE)
JOINLIST: Final = make_id(RingService.CPG, Handler.JOINLIST)
MCAST: Final = make_id(RingService.CPG, Handler.MCAST)
DOWNLIST: Final = make_id(RingService.CPG, Handler.DOWNLIST)
PARTIAL_MCAST: Final = make_id(RingService.CPG, Handler.PARTIAL_MCAST)

_PROCESS: Final = Struct("<i4xi4x136sI4xI4x")
_MCAST: Final = Struct("<i4xi4x136sI4xI4xI4xQ")
_PARTIAL: Final = Struct("<i4xi4x136sI4xI4xI4xI4xI4xQ")
_DOWNLIST: Final = Struct(f"<i4xi4xI4xI4x{NODES_MAX}I")
_JOINLIST: Final = Struct("<i4xi4xi4x")
_JOINLIST_ENTRY: Final = Struct("<I4x136s")
MCAST_BYTES: Final = 184
PARTIAL_BYTES: Final = 200
assert _PROCESS.size == 168
assert _MCAST.size == MCAST_BYTES
assert _PARTIAL.size == PARTIAL_BYTES
assert _DOWNLIST.size == 1568
assert _JOINLIST.size == 24
assert _JOINLIST_ENTRY.size == 144
_OK: Final = 1


class Process(NamedTuple):
    """One entry of a joinlist: a process of the sender's node and its group."""

    name: bytes
    pid: Pid


@event
class ProcessChange:
    """A procjoin or a procleave; `reason` is a cpg_reason_t."""

    name: bytes
    pid: Pid
    reason: int


@event
class PartialMcast:
    """A fragment of a message of `message_bytes` bytes; `fragment` is 1 first, 2 next, 3 last."""

    name_field: bytes
    message_bytes: int
    pid: Pid
    fragment: int
    payload: memoryview


@event
class Downlist:
    """What the sender believes left; informative only."""

    old_members: int
    left: list[NodeId]


# -- processes -------------------------------------------------------------------------------------


def encode_procjoin(name: bytes, pid: int, reason: int) -> bytes:
    """procjoin, 168 bytes."""
    return _PROCESS.pack(PROCJOIN, 168, encode_name(name), pid, reason)


def encode_procleave(name: bytes, pid: int, reason: int) -> bytes:
    """procleave, 168 bytes."""
    return _PROCESS.pack(PROCLEAVE, 168, encode_name(name), pid, reason)


def decode_process(message: memoryview) -> ProcessChange:
    """procjoin and procleave alike."""
    header.check(message, _PROCESS.size)
    _, _, field, pid, reason = _PROCESS.unpack_from(message)
    return ProcessChange(decode_name(field), Pid(pid), reason)


def encode_joinlist(processes: Sequence[Process]) -> bytes:
    """joinlist: every local process that is in a group."""
    size = _JOINLIST.size + _JOINLIST_ENTRY.size * len(processes)
    entries = [_JOINLIST_ENTRY.pack(pid, encode_name(name)) for name, pid in processes]
    return b"".join([_JOINLIST.pack(JOINLIST, size, 0), *entries])


def decode_joinlist(message: memoryview) -> list[Process]:
    """The sender's processes."""
    header.check(message, _JOINLIST.size)
    entries = message[_JOINLIST.size :]
    if len(entries) % _JOINLIST_ENTRY.size:
        raise WireError(f"joinlist of {len(message)} bytes")
    return [
        Process(decode_name(field), Pid(pid)) for pid, field in _JOINLIST_ENTRY.iter_unpack(entries)
    ]


def encode_downlist(old_members: int, left: Sequence[int]) -> bytes:
    """downlist, always 1568 bytes; UsageError above 384 nodes."""
    count = len(left)
    if count > NODES_MAX:
        raise UsageError(f"{count} nodes; at most {NODES_MAX} fit")
    padding = [0] * (NODES_MAX - count)
    return _DOWNLIST.pack(DOWNLIST, 1568, old_members, count, *left, *padding)


def decode_downlist(message: memoryview) -> Downlist:
    """What the sender believes left."""
    header.check(message, _DOWNLIST.size)
    _, _, old_members, count, *left = _DOWNLIST.unpack_from(message)
    if count > NODES_MAX:
        raise WireError(f"downlist of {count} nodes")
    return Downlist(old_members, left[:count])


# -- messages --------------------------------------------------------------------------------------


def mcast_header(name_field: bytes, pid: int, node_id: int, payload_bytes: int) -> bytes:
    """The 184 bytes before the payload of a mcast; `name_field` comes from `encode_name`."""
    size = MCAST_BYTES + payload_bytes
    return _MCAST.pack(MCAST, size, name_field, payload_bytes, pid, node_id, 0)


class McastHeaders:
    """mcast headers of one member of one group, remembered: equal size, equal bytes.

    Bounded, so that a flood of odd sizes costs time and never memory.
    """

    __slots__ = ("_known", "_name_field", "_node_id", "_pid")
    KNOWN_MAX: Final = 64

    def __init__(self, name: bytes, pid: int, node_id: int) -> None:
        self._name_field = encode_name(name)
        self._pid = pid
        self._node_id = node_id
        self._known: dict[int, bytes] = {}

    def header(self, payload_bytes: int) -> bytes:
        """The header of a mcast with a payload of this size."""
        found = self._known.get(payload_bytes)
        if found is None:
            if len(self._known) >= self.KNOWN_MAX:
                self._known.clear()
            found = mcast_header(self._name_field, self._pid, self._node_id, payload_bytes)
            self._known[payload_bytes] = found
        return found

    def partial_header(self, message_bytes: int, payload_bytes: int, fragment: int) -> bytes:
        """The 200 bytes before the payload of one fragment."""
        return _PARTIAL.pack(
            PARTIAL_MCAST,
            PARTIAL_BYTES + payload_bytes,
            self._name_field,
            message_bytes,
            payload_bytes,
            self._pid,
            fragment,
            self._node_id,
            0,
        )


def decode_mcast(message: memoryview) -> tuple[bytes, Pid, memoryview]:
    """(raw name field, pid, payload) of a mcast; a tuple because every message passes here."""
    length = len(message)
    if length < MCAST_BYTES:
        raise WireError(f"mcast of {length} bytes")
    _, size, field, payload_bytes, pid, _, _ = _MCAST.unpack_from(message)
    if size != length or payload_bytes != length - MCAST_BYTES:
        raise WireError(f"mcast of {length} bytes claims {size}, payload {payload_bytes}")
    return field, pid, message[MCAST_BYTES:]


def decode_partial_mcast(message: memoryview) -> PartialMcast:
    """One fragment; the payload is a view into `message`."""
    header.check(message, PARTIAL_BYTES)
    fields = _PARTIAL.unpack_from(message)
    _, _, field, message_bytes, payload_bytes, pid, fragment, _, _ = fields
    if payload_bytes != len(message) - PARTIAL_BYTES or payload_bytes > message_bytes:
        raise WireError(f"fragment of {len(message)} bytes claims a payload of {payload_bytes}")
    if not 1 <= fragment <= 3:
        raise WireError(f"fragment of type {fragment}")
    return PartialMcast(field, message_bytes, Pid(pid), fragment, message[PARTIAL_BYTES:])
