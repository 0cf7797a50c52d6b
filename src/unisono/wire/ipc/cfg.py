"""CFG: requests and replies of the configuration service that tools and clients need.

Speaks:      KILLNODE, TRYSHUTDOWN, GET_NODE_ADDRS, LOCAL_GET, TRACKSTART, TRACKSTOP; event
             TESTSHUTDOWN.
Counterpart: corosync include/corosync/ipc_cfg.h, lib/cfg.c, exec/cfg.c.
Keeps:       response ids are Corosync's own enumeration, not the request ids.
"""

from collections.abc import Sequence
from enum import IntEnum
from struct import Struct
from typing import Final

from unisono.base.errors import CsError, WireError
from unisono.base.event import event
from unisono.base.ids import NodeId
from unisono.wire.ipc import qb


class Request(IntEnum):
    """Request ids (enum req_lib_cfg_types)."""

    RINGSTATUSGET = 0
    RINGREENABLE = 1
    KILLNODE = 2
    TRYSHUTDOWN = 3
    REPLYTOSHUTDOWN = 4
    GET_NODE_ADDRS = 5
    LOCAL_GET = 6
    RELOAD_CONFIG = 7
    REOPEN_LOG_FILES = 8
    NODESTATUSGET = 9
    TRACKSTART = 10
    TRACKSTOP = 11


class Response(IntEnum):
    """Reply and event ids (enum res_lib_cfg_types)."""

    RINGSTATUSGET = 0
    RINGREENABLE = 1
    TRACKSTART = 2
    TRACKSTOP = 3
    KILLNODE = 8
    TRYSHUTDOWN = 9
    TESTSHUTDOWN = 10
    GET_NODE_ADDRS = 11
    LOCAL_GET = 12
    REPLYTOSHUTDOWN = 13
    RELOAD_CONFIG = 14
    REOPEN_LOG_FILES = 15
    NODESTATUSGET = 16


class ShutdownFlag(IntEnum):
    """TRYSHUTDOWN flags (corosync_cfg_shutdown_flags_t)."""

    REQUEST = 0
    REGARDLESS = 1
    IMMEDIATE = 2


AF_INET: Final = 2
AF_INET6: Final = 10
ADDRESS_BYTES: Final = 16
ADDRESSES_MAX: Final = 8
"""INTERFACE_MAX: links of a node."""
REASON_BYTES_MAX: Final = 255
_OK: Final = 1

_KILLNODE: Final = Struct("<i4xi4xI4xH256s6x")
_NODE_ADDRS: Final = Struct("<i4xi4xi4xII")
_TRACKSTART: Final = Struct("<i4xi4xB7x")
assert _KILLNODE.size == 288
assert _NODE_ADDRS.size == 32
assert _TRACKSTART.size == 24


@event
class KillNode:
    """KILLNODE: `reason` without its NUL."""

    node_id: NodeId
    reason: bytes


@event
class NodeAddrsReply:
    """Addresses of a node: each 4 (AF_INET) or 16 (AF_INET6) bytes."""

    error: int
    family: int
    addresses: list[bytes]


def encode_killnode(node_id: int, reason: bytes) -> bytes:
    """KILLNODE, 288 bytes; `reason` is cut at 255 bytes, its length counts the NUL."""
    reason = reason[:REASON_BYTES_MAX]
    return _KILLNODE.pack(Request.KILLNODE, 288, node_id, len(reason) + 1, reason)


def decode_killnode(message: memoryview) -> KillNode:
    """KILLNODE."""
    qb.check_request(message, 288)
    _, _, node_id, length, reason = _KILLNODE.unpack_from(message)
    if length > 256:
        raise WireError(f"KILLNODE: reason of {length} bytes")
    return KillNode(NodeId(node_id), bytes(reason[:length]).partition(b"\0")[0])


def encode_tryshutdown(flags: int) -> bytes:
    """TRYSHUTDOWN, 24 bytes."""
    return qb.encode_u32_request(Request.TRYSHUTDOWN, flags)


def decode_tryshutdown(message: memoryview) -> int:
    """TRYSHUTDOWN: a ShutdownFlag."""
    return qb.decode_u32_request(message)


def encode_reply_to_shutdown(response: int) -> bytes:
    """REPLYTOSHUTDOWN, 24 bytes: 0 no, 1 yes."""
    return qb.encode_u32_request(Request.REPLYTOSHUTDOWN, response)


def decode_reply_to_shutdown(message: memoryview) -> int:
    """REPLYTOSHUTDOWN: 0 no, 1 yes."""
    return qb.decode_u32_request(message)


def encode_get_node_addrs(node_id: int) -> bytes:
    """GET_NODE_ADDRS, 24 bytes; 0 asks for the local node."""
    return qb.encode_u32_request(Request.GET_NODE_ADDRS, node_id)


def decode_get_node_addrs(message: memoryview) -> NodeId:
    """GET_NODE_ADDRS: the node, 0 for the local one."""
    return NodeId(qb.decode_u32_request(message))


def encode_get_node_addrs_reply(family: int, addresses: Sequence[bytes], error: int = _OK) -> bytes:
    """Reply to GET_NODE_ADDRS: each address is padded to 16 bytes."""
    size = _NODE_ADDRS.size + ADDRESS_BYTES * len(addresses)
    head = _NODE_ADDRS.pack(Response.GET_NODE_ADDRS, size, error, family, len(addresses))
    return head + b"".join([address.ljust(ADDRESS_BYTES, b"\0") for address in addresses])


def decode_get_node_addrs_reply(message: memoryview) -> NodeAddrsReply:
    """The addresses; none on an error (stock daemons leave the count undefined then)."""
    error = qb.check_reply(message, _NODE_ADDRS.size)
    if error != CsError.OK:
        return NodeAddrsReply(error, 0, [])
    _, _, _, family, count = _NODE_ADDRS.unpack_from(message)
    if count > ADDRESSES_MAX or len(message) < _NODE_ADDRS.size + ADDRESS_BYTES * count:
        raise WireError(f"GET_NODE_ADDRS: {count} addresses in {len(message)} bytes")
    length = ADDRESS_BYTES if family == AF_INET6 else 4
    starts = range(_NODE_ADDRS.size, _NODE_ADDRS.size + ADDRESS_BYTES * count, ADDRESS_BYTES)
    return NodeAddrsReply(error, family, [bytes(message[at : at + length]) for at in starts])


def encode_local_get() -> bytes:
    """LOCAL_GET, 16 bytes."""
    return qb.encode_request(Request.LOCAL_GET)


def encode_local_get_reply(node_id: int, error: int = _OK) -> bytes:
    """Reply to LOCAL_GET, 32 bytes."""
    return qb.encode_u32_reply(Response.LOCAL_GET, error, node_id)


def decode_local_get_reply(message: memoryview) -> tuple[int, NodeId]:
    """(cs_error, node id)."""
    error, value = qb.decode_u32_reply(message)
    return error, NodeId(value)


def encode_trackstart(flags: int = 0) -> bytes:
    """TRACKSTART, 24 bytes."""
    return _TRACKSTART.pack(Request.TRACKSTART, 24, flags)


def decode_trackstart(message: memoryview) -> int:
    """TRACKSTART: its flags."""
    qb.check_request(message, 24)
    return int(_TRACKSTART.unpack_from(message)[2])


def encode_trackstop() -> bytes:
    """TRACKSTOP, 16 bytes."""
    return qb.encode_request(Request.TRACKSTOP)


def encode_testshutdown(flags: int, error: int = _OK) -> bytes:
    """TESTSHUTDOWN: a question (error OK), or its vote timed out (error TIMEOUT)."""
    return qb.encode_u32_reply(Response.TESTSHUTDOWN, error, flags)


def decode_testshutdown(message: memoryview) -> tuple[int, int]:
    """(cs_error, flags) of a TESTSHUTDOWN event."""
    qb.check_event(message, Response.TESTSHUTDOWN, 32)
    return qb.decode_u32_reply(message)
