"""QUORUM: requests, replies and events of the quorum service, both of its models.

Speaks:      GETQUORATE, TRACKSTART, TRACKSTOP, GETTYPE, MODEL_GETTYPE; event 3 of model 0,
             events 6 and 7 of model 1.
Counterpart: corosync include/corosync/ipc_quorum.h, lib/quorum.c, exec/vsf_quorum.c.
Keeps:       events carry the C structs' tail padding of 4 bytes after their last node id.
"""

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import Final

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.ids import NodeId, RingId, RingSeq
from unisono.base.limits import NODES_MAX
from unisono.wire.ipc import qb


class Request(IntEnum):
    """Request ids (enum req_quorum_types)."""

    GETQUORATE = 0
    TRACKSTART = 1
    TRACKSTOP = 2
    GETTYPE = 3
    MODEL_GETTYPE = 4


class Response(IntEnum):
    """Reply and event ids (enum res_quorum_types)."""

    GETQUORATE = 0
    TRACKSTART = 1
    TRACKSTOP = 2
    NOTIFICATION = 3
    GETTYPE = 4
    MODEL_GETTYPE = 5
    V1_QUORUM = 6
    V1_NODELIST = 7


TYPE_FREE: Final = 0
TYPE_SET: Final = 1
TRACK_CURRENT: Final = 1
TRACK_CHANGES: Final = 2
TRACK_CHANGES_ONLY: Final = 4
_OK: Final = 1

_NOTIFICATION: Final = Struct("<i4xi4xi4xi4xQI")
_V1_QUORUM: Final = Struct("<i4xi4xi4xi4xI4xQI")
_V1_NODELIST: Final = Struct("<i4xi4xi4xI4xQI4xI4xI")
assert _NOTIFICATION.size == 44
assert _V1_QUORUM.size == 52
assert _V1_NODELIST.size == 60


@event
class Notification:
    """Event of model 0."""

    quorate: bool
    ring_seq: RingSeq
    nodes: list[NodeId]


@event
class V1Quorum:
    """Quorum event of model 1."""

    quorate: bool
    ring: RingId
    nodes: list[NodeId]


@event
class V1Nodelist:
    """Membership event of model 1."""

    ring: RingId
    members: list[NodeId]
    joined: list[NodeId]
    left: list[NodeId]


def encode_getquorate() -> bytes:
    """GETQUORATE, 16 bytes."""
    return qb.encode_request(Request.GETQUORATE)


def encode_getquorate_reply(quorate: bool, error: int = _OK) -> bytes:
    """Reply to GETQUORATE, 32 bytes."""
    return qb.encode_u32_reply(Response.GETQUORATE, error, int(quorate))


def decode_getquorate_reply(message: memoryview) -> tuple[int, bool]:
    """(cs_error, quorate)."""
    error, value = qb.decode_u32_reply(message)
    return error, value != 0


def encode_trackstart(flags: int) -> bytes:
    """TRACKSTART, 24 bytes."""
    return qb.encode_u32_request(Request.TRACKSTART, flags)


def decode_trackstart(message: memoryview) -> int:
    """TRACKSTART: its flags."""
    return qb.decode_u32_request(message)


def encode_trackstop() -> bytes:
    """TRACKSTOP, 16 bytes."""
    return qb.encode_request(Request.TRACKSTOP)


def encode_gettype() -> bytes:
    """GETTYPE, 16 bytes."""
    return qb.encode_request(Request.GETTYPE)


def encode_gettype_reply(quorum_type: int, error: int = _OK) -> bytes:
    """Reply to GETTYPE, 32 bytes: TYPE_FREE or TYPE_SET."""
    return qb.encode_u32_reply(Response.GETTYPE, error, quorum_type)


def decode_gettype_reply(message: memoryview) -> tuple[int, int]:
    """(cs_error, quorum type); also for MODEL_GETTYPE."""
    return qb.decode_u32_reply(message)


def encode_model_gettype(model: int) -> bytes:
    """MODEL_GETTYPE, 24 bytes: this connection speaks `model` from now on."""
    return qb.encode_u32_request(Request.MODEL_GETTYPE, model)


def decode_model_gettype(message: memoryview) -> int:
    """MODEL_GETTYPE: the model."""
    return qb.decode_u32_request(message)


def encode_model_gettype_reply(quorum_type: int, error: int = _OK) -> bytes:
    """Reply to MODEL_GETTYPE, 32 bytes."""
    return qb.encode_u32_reply(Response.MODEL_GETTYPE, error, quorum_type)


def encode_notification(quorate: bool, ring_seq: int, nodes: Sequence[int]) -> bytes:
    """The event of model 0."""
    count = len(nodes)
    size = 48 + 4 * count
    head = _NOTIFICATION.pack(Response.NOTIFICATION, size, _OK, quorate, ring_seq, count)
    return head + _encode_nodes(nodes)


def decode_notification(message: memoryview) -> Notification:
    """The event of model 0."""
    qb.check_event(message, Response.NOTIFICATION, 44)
    _, _, _, quorate, seq, count = _NOTIFICATION.unpack_from(message)
    return Notification(quorate != 0, RingSeq(seq), _decode_nodes(message, 44, count))


def encode_v1_quorum(quorate: bool, ring: RingId, nodes: Sequence[int]) -> bytes:
    """The quorum event of model 1."""
    count = len(nodes)
    head = _V1_QUORUM.pack(Response.V1_QUORUM, 56 + 4 * count, _OK, quorate, *ring, count)
    return head + _encode_nodes(nodes)


def decode_v1_quorum(message: memoryview) -> V1Quorum:
    """The quorum event of model 1."""
    qb.check_event(message, Response.V1_QUORUM, 52)
    _, _, _, quorate, rep, seq, count = _V1_QUORUM.unpack_from(message)
    ring = RingId(NodeId(rep), RingSeq(seq))
    return V1Quorum(quorate != 0, ring, _decode_nodes(message, 52, count))


def encode_v1_nodelist(
    ring: RingId, members: Sequence[int], joined: Sequence[int], left: Sequence[int]
) -> bytes:
    """The membership event of model 1."""
    nodes = [*members, *joined, *left]
    size = 64 + 4 * len(nodes)
    counts = (len(members), len(joined), len(left))
    head = _V1_NODELIST.pack(Response.V1_NODELIST, size, _OK, *ring, *counts)
    return head + _encode_nodes(nodes)


def decode_v1_nodelist(message: memoryview) -> V1Nodelist:
    """The membership event of model 1."""
    qb.check_event(message, Response.V1_NODELIST, 60)
    _, _, _, rep, seq, n_members, n_joined, n_left = _V1_NODELIST.unpack_from(message)
    ring = RingId(NodeId(rep), RingSeq(seq))
    members = _decode_nodes(message, 60, n_members)
    joined = _decode_nodes(message, 60 + 4 * n_members, n_joined)
    left = _decode_nodes(message, 60 + 4 * (n_members + n_joined), n_left)
    return V1Nodelist(ring, members, joined, left)


def _encode_nodes(nodes: Sequence[int]) -> bytes:
    return Struct(f"<{len(nodes)}I4x").pack(*nodes)


def _decode_nodes(message: memoryview, offset: int, count: int) -> list[NodeId]:
    if count > NODES_MAX or offset + 4 * count > len(message):
        raise WireError(f"list of {count} nodes in a message of {len(message)} bytes")
    return [NodeId(node) for node in Struct(f"<{count}I").unpack_from(message, offset)]
