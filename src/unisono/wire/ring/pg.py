"""The process-group packet inside an mcast body, and the group prefix of each message.

Speaks:      struct totempg_mcast (version, type, fragmented, continuation, msg_count, msg_len[]).
Counterpart: corosync exec/totempg.c.
Keeps:       the parts' lengths add up to the packet's length exactly, or the packet is refused.
"""

from struct import Struct
from typing import Final

from unisono.base.errors import WireError
from unisono.base.group import Buffer

PACKET_LAYOUT: Final = Struct("<HHBBH")
assert PACKET_LAYOUT.size == 8
PACKET_HEADER_BYTES: Final = PACKET_LAYOUT.size
LENGTH_BYTES: Final = 2
PART_BYTES_MAX: Final = 0xFFFF
_U16: Final = Struct("<H")
_PREFIX_ONE: Final = Struct("<HH")
_LENGTHS: Final = [Struct(f"<{n}H") for n in range(64)]


def encode_packet_header(fragmented: int, continuation: int, lengths: list[int]) -> bytes:
    """The packet's first 8 bytes and the table of its parts' lengths in bytes."""
    count = len(lengths)
    table = _LENGTHS[count] if count < len(_LENGTHS) else Struct(f"<{count}H")
    return PACKET_LAYOUT.pack(0, 0, fragmented, continuation, count) + table.pack(*lengths)


def decode_packet(body: memoryview) -> tuple[int, int, list[memoryview]]:
    """(fragmented, continuation, parts) of an mcast body. Raises WireError."""
    size = len(body)
    if size < PACKET_HEADER_BYTES:
        raise WireError(f"packet of {size} bytes has no header")
    version, kind, fragmented, continuation, count = PACKET_LAYOUT.unpack_from(body)
    if version != 0 or kind != 0:
        raise WireError(f"packet version {version} type {kind} is unknown")
    start = PACKET_HEADER_BYTES + LENGTH_BYTES * count
    if start > size:
        raise WireError(f"packet of {size} bytes cannot hold {count} lengths")
    if count == 1:
        if _U16.unpack_from(body, PACKET_HEADER_BYTES)[0] != size - start:
            raise WireError("packet's length does not match its part")
        return fragmented, continuation, [body[start:]]
    table = _LENGTHS[count] if count < len(_LENGTHS) else Struct(f"<{count}H")
    parts = []
    for length in table.unpack_from(body, PACKET_HEADER_BYTES):
        end = start + length
        parts.append(body[start:end])
        start = end
    if start != size or not count:
        raise WireError("packet's length does not match its parts")
    return fragmented, continuation, parts


def encode_prefix(group: bytes) -> bytes:
    """The prefix of a message to one group: count 1, the name's length, the name."""
    return _PREFIX_ONE.pack(1, len(group)) + group


def decode_prefix(message: Buffer) -> tuple[list[bytes], int]:
    """The groups a message is for, and the offset of its payload. Raises WireError."""
    size = len(message)
    if size < LENGTH_BYTES:
        raise WireError("message has no group prefix")
    count = _U16.unpack_from(message)[0]
    start = LENGTH_BYTES + LENGTH_BYTES * count
    if start > size:
        raise WireError(f"message of {size} bytes cannot name {count} groups")
    groups = []
    table_at = LENGTH_BYTES
    for _ in range(count):
        end = start + _U16.unpack_from(message, table_at)[0]
        if end > size:
            raise WireError("group name runs past the message")
        groups.append(bytes(message[start:end]))
        start = end
        table_at += LENGTH_BYTES
    return groups, start
