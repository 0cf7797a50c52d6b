"""CFG on the ring: orders of an administrator to one node or to all.

Speaks:      ringreenable, killnode, shutdown, reload_config, crypto_reconfig (service 1).
Counterpart: corosync exec/cfg.c, structs req_exec_cfg_*.
"""

from struct import Struct
from typing import Final

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.ids import NodeId
from unisono.wire.service import header
from unisono.wire.service.header import RingService, make_id

RINGREENABLE: Final = make_id(RingService.CFG, 0)
KILLNODE: Final = make_id(RingService.CFG, 1)
SHUTDOWN: Final = make_id(RingService.CFG, 2)
RELOAD_CONFIG: Final = make_id(RingService.CFG, 3)
CRYPTO_RECONFIG: Final = make_id(RingService.CFG, 4)
REASON_BYTES_MAX: Final = 255

_SOURCED: Final = Struct("<i4xi4xI4x8x")
_KILLNODE: Final = Struct("<i4xi4xI4xH6x256s")
_CRYPTO: Final = Struct("<i4xi4xI4x")
assert _SOURCED.size == 32
assert _KILLNODE.size == 288
assert _CRYPTO.size == 24


@event
class KillNode:
    """The node must end at once; `reason` without its NUL."""

    node_id: NodeId
    reason: bytes


def encode_killnode(order: KillNode) -> bytes:
    """killnode, 288 bytes; the reason is cut at 255 bytes, its length counts the NUL."""
    reason = order.reason[:REASON_BYTES_MAX]
    return _KILLNODE.pack(KILLNODE, 288, order.node_id, len(reason) + 1, reason)


def decode_killnode(message: memoryview) -> KillNode:
    """killnode."""
    header.check(message, _KILLNODE.size)
    _, _, node_id, length, reason = _KILLNODE.unpack_from(message)
    if length > REASON_BYTES_MAX + 1:
        raise WireError(f"killnode: reason of {length} bytes")
    return KillNode(NodeId(node_id), reason[:length].partition(b"\0")[0])


def encode_shutdown() -> bytes:
    """Shutdown, 16 bytes: the sender leaves."""
    return header.HEADER.pack(SHUTDOWN, 16)


def decode_shutdown(message: memoryview) -> None:
    """Shutdown: it says nothing but that it is one."""
    header.check(message, header.HEADER_BYTES)


def encode_reload_config(source: int) -> bytes:
    """reload_config, 32 bytes."""
    return _SOURCED.pack(RELOAD_CONFIG, 32, source)


def encode_ringreenable(source: int) -> bytes:
    """Ringreenable, 32 bytes."""
    return _SOURCED.pack(RINGREENABLE, 32, source)


def decode_sourced(message: memoryview) -> NodeId:
    """reload_config and ringreenable alike: the node whose client asked."""
    header.check(message, _SOURCED.size)
    return NodeId(_SOURCED.unpack_from(message)[2])


def encode_crypto_reconfig(phase: int) -> bytes:
    """crypto_reconfig, 24 bytes: 1 activate, 2 clean up."""
    return _CRYPTO.pack(CRYPTO_RECONFIG, 24, phase)


def decode_crypto_reconfig(message: memoryview) -> int:
    """crypto_reconfig: its phase."""
    header.check(message, _CRYPTO.size)
    return int(_CRYPTO.unpack_from(message)[2])
