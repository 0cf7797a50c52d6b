"""Reading a dump of our recorder: whose it is, why it was made, and every record that is whole.

Speaks:      our dump files, version 1 (dump_file.py says how they look).
Keeps:       damage costs the block of cells that it hit; the others are read.
"""

from zlib import crc32

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.wire.blackbox.dump_file import (
    ABOUT_BYTES,
    ABOUT_LAYOUT,
    BLOCK_BYTES,
    BLOCK_CELLS,
    CELL_BYTES,
    CRC_LAYOUT,
    DIED,
    MAGIC,
    REQUESTED,
    VERSION,
)
from unisono.wire.blackbox.entry import Damage
from unisono.wire.blackbox.flight import (
    HEADER_BYTES,
    FlightHeader,
    FlightRecord,
    decode_cells,
    decode_header,
)


@event
class Dump:
    """What a dump file says."""

    header: FlightHeader
    why: int
    monotonic_ns: int
    realtime_ns: int
    records: list[FlightRecord]
    damage: Damage

    def when_ns(self, record: FlightRecord) -> int:
        """The calendar's time of a record, by the clocks as they stood when the dump was made."""
        return record.monotonic_ns - self.monotonic_ns + self.realtime_ns


def is_dump(data: bytes) -> bool:
    """Whether it begins like one of ours."""
    return data.startswith(MAGIC)


def decode_dump(data: bytes) -> Dump:
    """What is valid in a dump; WireError when its first 120 bytes are not."""
    if len(data) < ABOUT_BYTES or not is_dump(data):
        raise WireError("this is no dump of the flight recorder")
    _, version, why, monotonic_ns, realtime_ns, crc = ABOUT_LAYOUT.unpack_from(data)
    if crc32(data[: ABOUT_LAYOUT.size - CRC_LAYOUT.size]) != crc:
        raise WireError("the first page of the dump is damaged")
    if version != VERSION or why not in {DIED, REQUESTED}:
        raise WireError(f"dump of version {version}, reason {why}")
    header = decode_header(data[ABOUT_BYTES : ABOUT_BYTES + HEADER_BYTES])
    damage = Damage()
    start = ABOUT_BYTES + HEADER_BYTES
    cells = _checked(data[start:], header.cells, damage)
    records = decode_cells(cells, header.cells, damage)
    return Dump(header, why, monotonic_ns, realtime_ns, records, damage)


def _checked(data: bytes, count: int, damage: Damage) -> bytes:
    """The cells, with zeros where their checksum is wrong or missing."""
    cells_bytes = count * CELL_BYTES
    blocks = -(-count // BLOCK_CELLS)
    wanted = cells_bytes + blocks * CRC_LAYOUT.size
    if len(data) != wanted:
        damage.note(f"{len(data)} bytes of cells and checksums where {wanted} belong")
    cells = bytearray(data[:cells_bytes].ljust(cells_bytes, b"\0"))
    for block in range(blocks):
        start = block * BLOCK_BYTES
        end = min(start + BLOCK_BYTES, cells_bytes)
        sum_at = cells_bytes + block * CRC_LAYOUT.size
        if data[sum_at : sum_at + CRC_LAYOUT.size] != CRC_LAYOUT.pack(crc32(cells[start:end])):
            damage.note(f"block {block} of {blocks} is damaged")
            cells[start:end] = bytes(end - start)
    return bytes(cells)
