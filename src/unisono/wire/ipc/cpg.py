"""CPG: requests, replies and events of the closed process group service.

Speaks:      requests 0-8 and 12 (9-11, zero copy, are not supported); events 4, 5, 13, 17.
Counterpart: corosync include/corosync/ipc_cpg.h, lib/cpg.c, exec/cpg.c.
Keeps:       a length that a client claims is never larger than what it sent.
Never:       who is in a group, in which state a connection is (services).
"""

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from unisono.base.errors import UsageError, WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.ids import NodeId, Pid, RingId, RingSeq
from unisono.base.limits import CPG_MEMBERS_MAX, GROUP_NAME_BYTES_MAX, NODES_MAX
from unisono.wire.ipc import qb


class Request(IntEnum):
    """Request ids (enum req_cpg_types)."""

    JOIN = 0
    LEAVE = 1
    MCAST = 2
    MEMBERSHIP = 3
    LOCAL_GET = 4
    ITERATION_INITIALIZE = 5
    ITERATION_NEXT = 6
    ITERATION_FINALIZE = 7
    FINALIZE = 8
    ZC_ALLOC = 9
    ZC_FREE = 10
    ZC_EXECUTE = 11
    PARTIAL_MCAST = 12


class Response(IntEnum):
    """Reply and event ids (enum res_cpg_types)."""

    JOIN = 0
    LEAVE = 1
    MCAST = 2
    MEMBERSHIP = 3
    CONFCHG = 4
    DELIVER = 5
    LOCAL_GET = 7
    ITERATION_INITIALIZE = 9
    ITERATION_NEXT = 10
    ITERATION_FINALIZE = 11
    FINALIZE = 12
    TOTEM_CONFCHG = 13
    ZC = 14
    PARTIAL_DELIVER = 17
    PARTIAL_SEND = 18


class Reason(IntEnum):
    """Why a member joined or left (cpg_reason_t)."""

    UNDEFINED = 0
    JOIN = 1
    LEAVE = 2
    NODEDOWN = 3
    NODEUP = 4
    PROCDOWN = 5


class IterationType(IntEnum):
    """cpg_iteration_type_t."""

    NAME_ONLY = 1
    ONE_GROUP = 2
    ALL = 3


class Fragment(IntEnum):
    """Place of a fragment in its message (LIBCPG_PARTIAL_*)."""

    FIRST = 1
    CONTINUED = 2
    LAST = 3


JOIN_DELIVER_INITIAL_TOTEM_CONF: Final = 1
GUARANTEE_AGREED: Final = 2
GUARANTEE_SAFE: Final = 3

_NAME: Final = Struct(f"<I4x{GROUP_NAME_BYTES_MAX}s")
_JOIN: Final = Struct("<i4xi4x136sI4xI4x")
_LEAVE: Final = Struct("<i4xi4x136sI4x")
_NAMED: Final = Struct("<i4xi4x136s")
_MCAST: Final = Struct("<i4xi4x8xI4xI4x")
_PARTIAL: Final = Struct("<i4xi4x8xI4xI4xI4xI4x")
_MEMBER: Final = Struct("<I4xI4xI4x")
_MEMBERSHIP: Final = Struct("<i4xi4xi4xI4x")
_ITERATED: Final = Struct("<i4xi4xi4x136sII")
_CONFCHG: Final = Struct("<i4xi4xi4x136sI4xI4xI4x")
_DELIVER: Final = Struct("<i4xi4x8x136sI4xI4xI4x")
_PARTIAL_DELIVER: Final = Struct("<i4xi4x8x136sI4xI4xI4xI4xI4x")
_TOTEM_CONFCHG: Final = Struct("<i4xi4xi4xI4xQI")
assert _NAME.size == 136
assert _JOIN.size == 168
assert _LEAVE.size == 160
assert _NAMED.size == 152
assert _MCAST.size == 40
assert _PARTIAL.size == 56
assert _MEMBER.size == 24
assert _MEMBERSHIP.size == 32
assert _ITERATED.size == 168
assert _CONFCHG.size == 184
assert _DELIVER.size == 184
assert _PARTIAL_DELIVER.size == 200
assert _TOTEM_CONFCHG.size == 44

_MEMBERSHIP_BYTES: Final = _MEMBERSHIP.size + NODES_MAX * _MEMBER.size
_OK: Final = 1


class NameTooLong(WireError):
    """A group name claims more than 128 bytes: JOIN answers CS_ERR_NAME_TOO_LONG."""


class Member(NamedTuple):
    """One process in a group; `reason` is 0 in member lists."""

    node_id: NodeId
    pid: Pid
    reason: int = 0


@event
class Join:
    """JOIN: `pid` is what the client claims."""

    name: bytes
    pid: Pid
    flags: int


@event
class Leave:
    """LEAVE."""

    name: bytes
    pid: Pid


@event
class PartialMcast:
    """One fragment: `message_bytes` is the length of the whole message."""

    guarantee: int
    message_bytes: int
    fragment: int
    payload: memoryview


@event
class MembershipReply:
    """Members of the group that was asked for."""

    error: int
    members: list[Member]


@event
class IterationReply:
    """One process (or, by NAME_ONLY, one group with node id and pid 0)."""

    error: int
    name: bytes
    node_id: NodeId
    pid: Pid


@event
class Confchg:
    """The group `name` changed."""

    name: bytes
    members: list[Member]
    left: list[Member]
    joined: list[Member]


@event
class Deliver:
    """A message of the group in agreed order."""

    name: bytes
    node_id: NodeId
    pid: Pid
    payload: memoryview


@event
class PartialDeliver:
    """One fragment of a message: `message_bytes` is the length of the whole."""

    name: bytes
    message_bytes: int
    node_id: NodeId
    pid: Pid
    fragment: int
    payload: memoryview


@event
class TotemConfchg:
    """The ring changed."""

    ring: RingId
    members: list[NodeId]


# -- group names ---------------------------------------------------------------------------------


def encode_name(name: bytes) -> bytes:
    """mar_cpg_name_t: 136 bytes; UsageError for a name above 128."""
    if len(name) > GROUP_NAME_BYTES_MAX:
        raise UsageError(f"group name of {len(name)} bytes; use at most {GROUP_NAME_BYTES_MAX}")
    return _NAME.pack(len(name), name)


def decode_name(field: bytes) -> bytes:
    """The name in a mar_cpg_name_t; NameTooLong (a WireError) above 128 bytes."""
    length, value = _NAME.unpack(field)
    if length > GROUP_NAME_BYTES_MAX:
        raise NameTooLong(f"group name of {length} bytes")
    return bytes(value[:length])


# -- requests ------------------------------------------------------------------------------------


def encode_join(name: bytes, pid: int, flags: int = 0) -> bytes:
    """JOIN, 168 bytes."""
    return _JOIN.pack(Request.JOIN, 168, encode_name(name), pid, flags)


def decode_join(message: memoryview) -> Join:
    """JOIN; NameTooLong when the name is."""
    qb.check_request(message, 168)
    _, _, field, pid, flags = _JOIN.unpack_from(message)
    return Join(decode_name(field), Pid(pid), flags)


def encode_leave(name: bytes, pid: int) -> bytes:
    """LEAVE, 160 bytes."""
    return _LEAVE.pack(Request.LEAVE, 160, encode_name(name), pid)


def decode_leave(message: memoryview) -> Leave:
    """LEAVE; NameTooLong when the name is."""
    qb.check_request(message, 160)
    _, _, field, pid = _LEAVE.unpack_from(message)
    return Leave(decode_name(field), Pid(pid))


def mcast_header(payload_bytes: int, guarantee: int = GUARANTEE_AGREED) -> bytes:
    """The 40 bytes that stand before the payload of a MCAST."""
    return _MCAST.pack(Request.MCAST, 40 + payload_bytes, guarantee, payload_bytes)


def encode_mcast(payload: Buffer, guarantee: int = GUARANTEE_AGREED) -> bytes:
    """MCAST as one piece; to gather pieces use `mcast_header`."""
    return mcast_header(len(payload), guarantee) + payload


def decode_mcast(message: memoryview) -> tuple[int, memoryview]:
    """MCAST: (guarantee, payload); the payload is a view into `message`."""
    length = len(message)
    if length < 40:
        raise WireError(f"MCAST of {length} bytes")
    _, size, guarantee, payload_bytes = _MCAST.unpack_from(message)
    if size != length or payload_bytes > length - 40:
        raise WireError(f"MCAST of {length} bytes claims {size}, payload {payload_bytes}")
    return guarantee, message[40 : 40 + payload_bytes]


def partial_mcast_header(
    payload_bytes: int, message_bytes: int, fragment: int, guarantee: int = GUARANTEE_AGREED
) -> bytes:
    """The 56 bytes that stand before the payload of a PARTIAL_MCAST."""
    size = 56 + payload_bytes
    return _PARTIAL.pack(
        Request.PARTIAL_MCAST, size, guarantee, message_bytes, payload_bytes, fragment
    )


def encode_partial_mcast(partial: PartialMcast) -> bytes:
    """PARTIAL_MCAST as one piece."""
    header = partial_mcast_header(
        len(partial.payload), partial.message_bytes, partial.fragment, partial.guarantee
    )
    return header + partial.payload


def decode_partial_mcast(message: memoryview) -> PartialMcast:
    """PARTIAL_MCAST; the payload is a view into `message`."""
    length = len(message)
    if length < 56:
        raise WireError(f"PARTIAL_MCAST of {length} bytes")
    _, size, guarantee, message_bytes, payload_bytes, fragment = _PARTIAL.unpack_from(message)
    if size != length or payload_bytes > length - 56 or payload_bytes > message_bytes:
        raise WireError(f"PARTIAL_MCAST of {length} bytes claims {size}, payload {payload_bytes}")
    if not Fragment.FIRST <= fragment <= Fragment.LAST:
        raise WireError(f"PARTIAL_MCAST of type {fragment}")
    return PartialMcast(guarantee, message_bytes, fragment, message[56 : 56 + payload_bytes])


def encode_membership_get(name: bytes) -> bytes:
    """MEMBERSHIP, 152 bytes."""
    return _NAMED.pack(Request.MEMBERSHIP, 152, encode_name(name))


def decode_membership_get(message: memoryview) -> bytes:
    """MEMBERSHIP: the group's name."""
    qb.check_request(message, 152)
    return decode_name(_NAMED.unpack_from(message)[2])


def encode_local_get() -> bytes:
    """LOCAL_GET, 16 bytes."""
    return qb.encode_request(Request.LOCAL_GET)


def encode_iteration_initialize(kind: int, name: bytes = b"") -> bytes:
    """ITERATIONINITIALIZE, 160 bytes; `kind` is an IterationType."""
    return _LEAVE.pack(Request.ITERATION_INITIALIZE, 160, encode_name(name), kind)


def decode_iteration_initialize(message: memoryview) -> tuple[int, bytes]:
    """ITERATIONINITIALIZE: (kind, name); libcpg leaves the name undefined unless ONE_GROUP."""
    qb.check_request(message, 160)
    _, _, field, kind = _LEAVE.unpack_from(message)
    return kind, decode_name(field) if kind == IterationType.ONE_GROUP else b""


def encode_iteration_next(handle: int) -> bytes:
    """ITERATIONNEXT, 24 bytes."""
    return qb.encode_u64_request(Request.ITERATION_NEXT, handle)


def encode_iteration_finalize(handle: int) -> bytes:
    """ITERATIONFINALIZE, 24 bytes."""
    return qb.encode_u64_request(Request.ITERATION_FINALIZE, handle)


def decode_iteration_handle(message: memoryview) -> int:
    """The handle in an ITERATIONNEXT or ITERATIONFINALIZE."""
    return qb.decode_u64_request(message)


def encode_finalize() -> bytes:
    """FINALIZE, 16 bytes."""
    return qb.encode_request(Request.FINALIZE)


# -- replies -------------------------------------------------------------------------------------


def encode_local_get_reply(node_id: int, error: int = _OK) -> bytes:
    """Reply to LOCAL_GET, 32 bytes."""
    return qb.encode_u32_reply(Response.LOCAL_GET, error, node_id)


def decode_local_get_reply(message: memoryview) -> tuple[int, NodeId]:
    """(cs_error, node id)."""
    error, value = qb.decode_u32_reply(message)
    return error, NodeId(value)


def encode_membership_reply(members: Sequence[Member], error: int = _OK) -> bytes:
    """Reply to MEMBERSHIP, always 9248 bytes; lists at most 128, as libcpg's array holds."""
    members = members[:CPG_MEMBERS_MAX]
    head = _MEMBERSHIP.pack(Response.MEMBERSHIP, _MEMBERSHIP_BYTES, error, len(members))
    return (head + _encode_members(members)).ljust(_MEMBERSHIP_BYTES, b"\0")


def decode_membership_reply(message: memoryview) -> MembershipReply:
    """The members, with reason 0."""
    error = qb.check_reply(message, _MEMBERSHIP.size)
    if len(message) < _MEMBERSHIP.size:
        return MembershipReply(error, [])
    count = _MEMBERSHIP.unpack_from(message)[3]
    return MembershipReply(error, _decode_members(message, _MEMBERSHIP.size, count))


def encode_iteration_initialize_reply(handle: int, error: int = _OK) -> bytes:
    """Reply to ITERATIONINITIALIZE, 32 bytes."""
    return qb.encode_u64_reply(Response.ITERATION_INITIALIZE, error, handle)


def decode_iteration_initialize_reply(message: memoryview) -> tuple[int, int]:
    """(cs_error, handle)."""
    return qb.decode_u64_reply(message)


def encode_iteration_next_reply(
    name: bytes = b"", node_id: int = 0, pid: int = 0, error: int = _OK
) -> bytes:
    """Reply to ITERATIONNEXT, 168 bytes; error NO_SECTIONS ends the iteration."""
    return _ITERATED.pack(Response.ITERATION_NEXT, 168, error, encode_name(name), node_id, pid)


def decode_iteration_next_reply(message: memoryview) -> IterationReply:
    """One process; on an error the rest is empty (stock daemons leave it undefined)."""
    error = qb.check_reply(message, 168)
    if error != _OK:
        return IterationReply(error, b"", NodeId(0), Pid(0))
    _, _, _, field, node_id, pid = _ITERATED.unpack_from(message)
    return IterationReply(error, decode_name(field), NodeId(node_id), Pid(pid))


# -- events --------------------------------------------------------------------------------------


def encode_confchg(
    name: bytes, members: Sequence[Member], left: Sequence[Member], joined: Sequence[Member]
) -> bytes:
    """CONFCHG; each list at most 128. The counts stand in another order than the lists."""
    entries = len(members) + len(left) + len(joined)
    head = _CONFCHG.pack(
        Response.CONFCHG,
        184 + 24 * entries,
        _OK,
        encode_name(name),
        len(members),
        len(joined),
        len(left),
    )
    return head + _encode_members(members) + _encode_members(left) + _encode_members(joined)


def decode_confchg(message: memoryview) -> Confchg:
    """CONFCHG."""
    qb.check_event(message, Response.CONFCHG, 184)
    _, _, _, field, n_members, n_joined, n_left = _CONFCHG.unpack_from(message)
    members = _decode_members(message, 184, n_members)
    left = _decode_members(message, 184 + 24 * n_members, n_left)
    joined = _decode_members(message, 184 + 24 * (n_members + n_left), n_joined)
    return Confchg(decode_name(field), members, left, joined)


def deliver_header(name_field: bytes, node_id: int, pid: int, payload_bytes: int) -> bytes:
    """The 184 bytes before the payload of a DELIVER; `name_field` comes from `encode_name`."""
    size = 184 + payload_bytes
    return _DELIVER.pack(Response.DELIVER, size, name_field, payload_bytes, node_id, pid)


class DeliverHeaders:
    """DELIVER headers of one group, remembered: equal sender and size, equal bytes.

    One object per group; bounded, so that a flood of odd sizes costs time and never memory.
    """

    __slots__ = ("_known", "_name_field")
    KNOWN_MAX: Final = 256

    def __init__(self, name: bytes) -> None:
        self._name_field = encode_name(name)
        self._known: dict[tuple[int, int, int], bytes] = {}

    def header(self, node_id: int, pid: int, payload_bytes: int) -> bytes:
        """The header of a DELIVER from this sender with a payload of this size."""
        key = (node_id, pid, payload_bytes)
        header = self._known.get(key)
        if header is None:
            if len(self._known) >= self.KNOWN_MAX:
                self._known.clear()
            header = deliver_header(self._name_field, node_id, pid, payload_bytes)
            self._known[key] = header
        return header


def encode_deliver(name: bytes, node_id: int, pid: int, payload: Buffer) -> bytes:
    """DELIVER as one piece; to gather pieces use `DeliverHeaders`."""
    return deliver_header(encode_name(name), node_id, pid, len(payload)) + payload


def decode_deliver(message: memoryview) -> Deliver:
    """DELIVER; the payload is a view into `message`."""
    length = len(message)
    if length < 184:
        raise WireError(f"DELIVER of {length} bytes")
    ident, size, field, payload_bytes, node_id, pid = _DELIVER.unpack_from(message)
    if ident != Response.DELIVER or size != length or payload_bytes > length - 184:
        raise WireError(f"DELIVER of {length} bytes: id {ident}, {size}, payload {payload_bytes}")
    return Deliver(decode_name(field), node_id, pid, message[184 : 184 + payload_bytes])


def partial_deliver_header(
    name_field: bytes,
    node_id: int,
    pid: int,
    *,
    message_bytes: int,
    payload_bytes: int,
    fragment: int,
) -> bytes:
    """The 200 bytes before the payload of a PARTIAL_DELIVER."""
    return _PARTIAL_DELIVER.pack(
        Response.PARTIAL_DELIVER,
        200 + payload_bytes,
        name_field,
        message_bytes,
        payload_bytes,
        node_id,
        pid,
        fragment,
    )


def encode_partial_deliver(partial: PartialDeliver) -> bytes:
    """PARTIAL_DELIVER as one piece."""
    header = partial_deliver_header(
        encode_name(partial.name),
        partial.node_id,
        partial.pid,
        message_bytes=partial.message_bytes,
        payload_bytes=len(partial.payload),
        fragment=partial.fragment,
    )
    return header + partial.payload


def decode_partial_deliver(message: memoryview) -> PartialDeliver:
    """PARTIAL_DELIVER; the payload is a view into `message`."""
    qb.check_event(message, Response.PARTIAL_DELIVER, 200)
    fields = _PARTIAL_DELIVER.unpack_from(message)
    _, _, field, message_bytes, payload_bytes, node_id, pid, fragment = fields
    if payload_bytes > len(message) - 200 or payload_bytes > message_bytes:
        raise WireError(f"PARTIAL_DELIVER of {len(message)} bytes: payload {payload_bytes}")
    payload = message[200 : 200 + payload_bytes]
    name = decode_name(field)
    return PartialDeliver(name, message_bytes, NodeId(node_id), Pid(pid), fragment, payload)


def encode_totem_confchg(ring: RingId, members: Sequence[int]) -> bytes:
    """TOTEM_CONFCHG; the C struct's tail padding (4 bytes) follows the last member."""
    count = len(members)
    head = _TOTEM_CONFCHG.pack(Response.TOTEM_CONFCHG, 48 + 4 * count, _OK, *ring, count)
    return head + Struct(f"<{count}I4x").pack(*members)


def decode_totem_confchg(message: memoryview) -> TotemConfchg:
    """TOTEM_CONFCHG."""
    qb.check_event(message, Response.TOTEM_CONFCHG, 44)
    _, _, _, rep, seq, count = _TOTEM_CONFCHG.unpack_from(message)
    if count > NODES_MAX or count * 4 > len(message) - 44:
        raise WireError(f"TOTEM_CONFCHG of {len(message)} bytes claims {count} members")
    members = [NodeId(node) for node in Struct(f"<{count}I").unpack_from(message, 44)]
    return TotemConfchg(RingId(NodeId(rep), RingSeq(seq)), members)


# -- member lists --------------------------------------------------------------------------------


def _encode_members(members: Sequence[Member]) -> bytes:
    return b"".join([_MEMBER.pack(*member) for member in members])


def _decode_members(message: memoryview, offset: int, count: int) -> list[Member]:
    end = offset + count * _MEMBER.size
    if count > NODES_MAX or end > len(message):
        raise WireError(f"list of {count} members in a message of {len(message)} bytes")
    view = message[offset:end]
    return [Member(NodeId(n), Pid(p), r) for n, p, r in _MEMBER.iter_unpack(view)]
