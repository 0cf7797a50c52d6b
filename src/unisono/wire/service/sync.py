"""Synchronisation messages: which services a node has, and that it is through with a phase.

Speaks:      group "sync": barrier (32 bytes), service_build (552 bytes).
Counterpart: corosync exec/sync.c, structs req_exec_barrier_message, req_exec_service_build_message.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from unisono.base.errors import UsageError, WireError
from unisono.base.event import event
from unisono.base.ids import NodeId, RingId, RingSeq
from unisono.base.limits import SYNC_SERVICE_LIST_MAX
from unisono.wire.service import header

BARRIER: Final = 0
SERVICE_BUILD: Final = 1
_BARRIER: Final = Struct("<i4xi4xIQ4x")
_SERVICE_BUILD: Final = Struct(f"<i4xi4xIQ4xi4x{SYNC_SERVICE_LIST_MAX}i")
assert _BARRIER.size == 32
assert _SERVICE_BUILD.size == 552


@event
class Barrier:
    """The sender has said everything that belongs to the current phase."""

    ring: RingId


@event
class ServiceBuild:
    """The sender's services that take part, ascending."""

    ring: RingId
    services: list[int]


def encode_barrier(ring: RingId) -> bytes:
    """Barrier, 32 bytes."""
    return _BARRIER.pack(BARRIER, 32, *ring)


def encode_service_build(ring: RingId, services: Sequence[int]) -> bytes:
    """Service list, 552 bytes; UsageError above 128 services."""
    count = len(services)
    if count > SYNC_SERVICE_LIST_MAX:
        raise UsageError(f"{count} services; at most {SYNC_SERVICE_LIST_MAX} fit")
    padding = [0] * (SYNC_SERVICE_LIST_MAX - count)
    return _SERVICE_BUILD.pack(SERVICE_BUILD, 552, *ring, count, *services, *padding)


def decode_sync(message: memoryview) -> Barrier | ServiceBuild:
    """Either message of the group "sync"."""
    ident = header.message_id(message)
    if ident == BARRIER:
        header.check(message, _BARRIER.size)
        _, _, rep, seq = _BARRIER.unpack_from(message)
        return Barrier(RingId(NodeId(rep), RingSeq(seq)))
    if ident == SERVICE_BUILD:
        header.check(message, _SERVICE_BUILD.size)
        _, _, rep, seq, count, *services = _SERVICE_BUILD.unpack_from(message)
        if not 0 <= count <= SYNC_SERVICE_LIST_MAX:
            raise WireError(f"service list of {count} entries")
        return ServiceBuild(RingId(NodeId(rep), RingSeq(seq)), services[:count])
    raise WireError(f"synchronisation message {ident} is unknown")
