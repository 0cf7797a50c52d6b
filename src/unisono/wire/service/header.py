"""The header of every service message, and the numbers of the services on the ring.

Speaks:      struct qb_ipc_request_header: id (service << 16 | handler), size of the whole message.
Counterpart: corosync include/corosync/coroapi.h (SERVICE_ID_MAKE), exec/main.c (deliver_fn).
"""

from enum import IntEnum
from struct import Struct
from typing import Final

from unisono.base.errors import WireError

GROUP_SERVICES: Final = b"a"
GROUP_SYNC: Final = b"sync"
GROUP_NATIVE: Final = b"unisono"
HEADER: Final = Struct("<i4xi4x")
HEADER_BYTES: Final = 16
assert HEADER.size == HEADER_BYTES
ID: Final = Struct("<i")
"""The id alone: what a dispatcher reads of every message."""


class RingService(IntEnum):
    """Services with messages on the ring, or with a phase in the synchronisation."""

    CMAP = 0
    CFG = 1
    CPG = 2
    QUORUM = 3
    VOTEQUORUM = 5


def message_id(message: memoryview) -> int:
    """The id of a service message; WireError when it has no header."""
    if len(message) < HEADER_BYTES:
        raise WireError(f"service message of {len(message)} bytes has no header")
    return int(ID.unpack_from(message)[0])


def make_id(service: int, handler: int) -> int:
    """The id of the message that `handler` of `service` receives."""
    return service << 16 | handler


def check(message: memoryview, bytes_min: int) -> None:
    """WireError unless the header's size is the message's, and at least `bytes_min`."""
    length = len(message)
    if length < bytes_min or HEADER.unpack_from(message)[1] != length:
        raise WireError(f"service message of {length} bytes, need {bytes_min} and an equal header")
