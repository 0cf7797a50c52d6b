"""libqb's shared files: the ring's header and chunks, and the control file of the socket transport.

Counterpart: libqb lib/ringbuffer_int.h (struct qb_ringbuffer_shared_s), lib/ipc_socket.c
             (struct ipc_us_control).
Keeps:       layouts only; who may read or write which word is ipc's (DESIGN.md there).
"""

from struct import Struct
from typing import Final

from unisono.wire.ipc.qb import PATH_BYTES

SEMAPHORE_BYTES: Final = 32
"""sizeof(sem_t), glibc on 64-bit machines."""
HEADER: Final = Struct(f"<III{PATH_BYTES}s{PATH_BYTES}si{SEMAPHORE_BYTES}si4x")
"""write_pt, read_pt, word_size, hdr_path, data_path, ref_count, semaphore, user word."""
HEADER_BYTES: Final = HEADER.size + 4
"""libqb rounds the struct to 8 bytes before it appends 4 bytes of user data."""
assert HEADER_BYTES == 8_252
WRITE_AT: Final = 0
READ_AT: Final = 4
REFERENCE_COUNT_AT: Final = 8_204
SEMAPHORE_AT: Final = 8_208
FLOW_AT: Final = 8_240
"""User word of the request ring: flow control."""

CHUNK: Final = Struct("<II")
"""Payload length in bytes, magic; the payload follows, padded to a whole word."""
COMMITTED: Final = 0xA1A1A1A1
CHUNK_MARGIN_BYTES: Final = 12
WORD: Final = Struct("<I")

CONTROL: Final = Struct("<6i")
"""sent and flow control of request, response and event channel."""
assert CONTROL.size == 24
CONTROL_FLOW_AT: Final = 4

FLOW_OPEN: Final = 0
FLOW_CLOSED: Final = 1
"""Nothing may be sent."""
FLOW_CRITICAL: Final = 2
"""CPG multicasts are refused by the client library, everything else is sent."""


def data_bytes(message_bytes_max: int, page_bytes: int) -> int:
    """Size of the data file for messages up to `message_bytes_max`, by libqb's formula."""
    wanted = message_bytes_max + CHUNK_MARGIN_BYTES + 1
    return (wanted + page_bytes - 1) // page_bytes * page_bytes
