"""CFG, the state of links and nodes: the two large replies of the configuration service.

Speaks:      RINGSTATUSGET (reply of 10272 bytes), NODESTATUSGET version 1 (reply of 4200 bytes).
Counterpart: corosync include/corosync/ipc_cfg.h, cfg.h (struct corosync_cfg_node_status_v1).
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from unisono.base.errors import CsError
from unisono.base.event import event
from unisono.base.ids import NodeId
from unisono.wire.ipc import qb
from unisono.wire.ipc.cfg import ADDRESSES_MAX, Request, Response

NODE_STATUS_VERSION: Final = 1
RINGS_MAX: Final = 16
_NAME_BYTES: Final = 128
_STATUS_BYTES: Final = 512

_RINGS: Final = Struct("<i4xi4xi4xI4x")
_NODE_STATUS_GET: Final = Struct("<i4xi4xI4xI4x")
_NODE_STATUS: Final = Struct("<i4xi4xi4xiIBBBBBB2x")
_LINK: Final = Struct("<BBBxI256s256s")
_REPLY_FAILED: Final = Struct("<i4xi4xi4x8x")
assert _RINGS.size == 32
assert _NODE_STATUS_GET.size == 32
assert _NODE_STATUS.size == 40
assert _LINK.size == 520
assert _REPLY_FAILED.size == 32


@event
class Link:
    """One link from this node to another; addresses are text."""

    connected: bool
    mtu: int
    source: str
    destination: str


def encode_ring_status_reply(rings: Sequence[tuple[str, str]], error: int = CsError.OK) -> bytes:
    """Reply to RINGSTATUSGET: (name, status) of each link, at most 16, cut to their fields."""
    rings = rings[:RINGS_MAX]
    size = _RINGS.size + RINGS_MAX * (_NAME_BYTES + _STATUS_BYTES)
    names = b"".join([_field(name, _NAME_BYTES) for name, _ in rings])
    states = b"".join([_field(status, _STATUS_BYTES) for _, status in rings])
    head = _RINGS.pack(Response.RINGSTATUSGET, size, error, len(rings))
    body = names.ljust(RINGS_MAX * _NAME_BYTES, b"\0") + states
    return (head + body).ljust(size, b"\0")


def encode_node_status_get(node_id: int, version: int = NODE_STATUS_VERSION) -> bytes:
    """NODESTATUSGET, 32 bytes."""
    return _NODE_STATUS_GET.pack(Request.NODESTATUSGET, 32, node_id, version)


def decode_node_status_get(message: memoryview) -> tuple[NodeId, int]:
    """NODESTATUSGET: (node id, version of the answer)."""
    qb.check_request(message, _NODE_STATUS_GET.size)
    _, _, node_id, version = _NODE_STATUS_GET.unpack_from(message)
    return NodeId(node_id), version


def encode_node_status_reply(node_id: int, links: Sequence[Link], *, reachable: bool) -> bytes:
    """Reply to NODESTATUSGET, version 1; the protocol versions of knet are 0."""
    size = _NODE_STATUS.size + ADDRESSES_MAX * _LINK.size
    head = _NODE_STATUS.pack(
        Response.NODESTATUSGET,
        size,
        CsError.OK,
        NODE_STATUS_VERSION,
        node_id,
        reachable,
        *(0, 0, 0, 0, 0),
    )
    body = [_encode_link(link) for link in links[:ADDRESSES_MAX]]
    return (head + b"".join(body)).ljust(size, b"\0")


def encode_node_status_failure(error: int) -> bytes:
    """Failed reply to NODESTATUSGET, 32 bytes."""
    return _REPLY_FAILED.pack(Response.NODESTATUSGET, _REPLY_FAILED.size, error)


def _encode_link(link: Link) -> bytes:
    source, destination = _field(link.source, 256), _field(link.destination, 256)
    return _LINK.pack(True, link.connected, True, link.mtu, source, destination)


def _field(text: str, size: int) -> bytes:
    """NUL-terminated text in a field of `size` bytes."""
    return text.encode()[: size - 1].ljust(size, b"\0")
