"""A dump of our recorder: the ring as it was found, a page about the dump, and checksums.

Speaks:      our dump files, version 1; little-endian.
Counterpart: libqb lib/log_blackbox.c, qb_log_blackbox_write_to_file, which has no checksum.
Keeps:       blocks of 128 cells have a CRC32 each: damage costs the block that it hit.
"""

from enum import IntEnum
from struct import Struct
from typing import Final
from zlib import crc32

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.wire.blackbox.entry import Damage
from unisono.wire.blackbox.flight import (
    CELL_BYTES,
    HEADER_BYTES,
    FlightHeader,
    FlightRecord,
    decode_cells,
    decode_header,
)

MAGIC: Final = b"UNIDMP\r\n"
VERSION: Final = 1
ABOUT_LAYOUT: Final = Struct("<8sIIqqI")
"""magic, version, why, monotonic clock and real time of the dump (ns), CRC32 of all before it."""
assert ABOUT_LAYOUT.size == 36
ABOUT_BYTES: Final = 40
BLOCK_CELLS: Final = 128
_CRC: Final = Struct("<I")
_BLOCK_BYTES: Final = BLOCK_CELLS * CELL_BYTES


class Why(IntEnum):
    """What made the keeper write."""

    DIED = 1
    REQUESTED = 2


@event
class Dump:
    """What a dump file says."""

    header: FlightHeader
    why: Why
    monotonic_ns: int
    realtime_ns: int
    records: list[FlightRecord]
    damage: Damage

    def when_ns(self, record: FlightRecord) -> int:
        """The calendar's time of a record, by the clocks as they stood when the dump was made."""
        return record.monotonic_ns - self.monotonic_ns + self.realtime_ns


def encode_dump(ring: bytes, why: Why, monotonic_ns: int, realtime_ns: int) -> bytes:
    """The file for the bytes of a ring, header and cells, whatever they are."""
    about = ABOUT_LAYOUT.pack(MAGIC, VERSION, why, monotonic_ns, realtime_ns, 0)[: -_CRC.size]
    page = (about + _CRC.pack(crc32(about))).ljust(ABOUT_BYTES, b"\0")
    sums = (_CRC.pack(crc32(block)) for block in _blocks(ring))
    return b"".join((page, ring, *sums))


def _blocks(ring: bytes) -> list[memoryview]:
    view = memoryview(ring)
    return [view[at : at + _BLOCK_BYTES] for at in range(HEADER_BYTES, len(ring), _BLOCK_BYTES)]


def is_dump(data: bytes) -> bool:
    """Whether it begins like one of ours."""
    return data.startswith(MAGIC)


def decode_dump(data: bytes) -> Dump:
    """What is valid in a dump; WireError when its first 120 bytes are not."""
    if len(data) < ABOUT_BYTES or not is_dump(data):
        raise WireError("this is no dump of the flight recorder")
    _, version, why, monotonic_ns, realtime_ns, crc = ABOUT_LAYOUT.unpack_from(data)
    if crc32(data[: ABOUT_LAYOUT.size - _CRC.size]) != crc:
        raise WireError("the first page of the dump is damaged")
    if version != VERSION or why not in tuple(Why):
        raise WireError(f"dump of version {version}, reason {why}")
    header = decode_header(data[ABOUT_BYTES : ABOUT_BYTES + HEADER_BYTES])
    damage = Damage()
    start = ABOUT_BYTES + HEADER_BYTES
    cells = _checked(data[start:], header.cells, damage)
    records = decode_cells(cells, header.cells, damage)
    return Dump(header, Why(why), monotonic_ns, realtime_ns, records, damage)


def _checked(data: bytes, count: int, damage: Damage) -> bytes:
    """The cells, with zeros where their checksum is wrong or missing."""
    cells_bytes = count * CELL_BYTES
    blocks = -(-count // BLOCK_CELLS)
    wanted = cells_bytes + blocks * _CRC.size
    if len(data) != wanted:
        damage.note(f"{len(data)} bytes of cells and checksums where {wanted} belong")
    cells = bytearray(data[:cells_bytes].ljust(cells_bytes, b"\0"))
    for block in range(blocks):
        start = block * _BLOCK_BYTES
        end = min(start + _BLOCK_BYTES, cells_bytes)
        sum_at = cells_bytes + block * _CRC.size
        if data[sum_at : sum_at + _CRC.size] != _CRC.pack(crc32(cells[start:end])):
            damage.note(f"block {block} of {blocks} is damaged")
            cells[start:end] = bytes(end - start)
    return bytes(cells)
