"""Reading a dump of our recorder: whose it is, why it was made, every record, the last words.

Speaks:      our dump files, version 1 (dump_file.py says how they look).
Keeps:       damage costs the block of cells that it hit; the others are read.
"""

from zlib import crc32

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.limits import FLIGHT_LAST_WORDS_BYTES
from unisono.wire.blackbox.dump_file import (
    ABOUT_BYTES,
    ABOUT_LAYOUT,
    BLOCK_BYTES,
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
from unisono.wire.blackbox.last_words import decode_last_words, fatal_signal


@event
class Dump:
    """What a dump file says."""

    header: FlightHeader
    why: int
    monotonic_ns: int
    realtime_ns: int
    records: list[FlightRecord]
    last_words: list[str]
    damage: Damage

    @property
    def signal(self) -> str:
        """The fatal signal that the process died of; empty when it could not say so."""
        return fatal_signal(self.last_words)

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
    cells_bytes = header.cells * CELL_BYTES
    content = _checked(data[start:], cells_bytes + FLIGHT_LAST_WORDS_BYTES, damage)
    records = decode_cells(content[:cells_bytes], header.cells, damage)
    last_words = decode_last_words(content[cells_bytes:])
    return Dump(header, why, monotonic_ns, realtime_ns, records, last_words, damage)


def _checked(data: bytes, content_bytes: int, damage: Damage) -> bytes:
    """Cells and last words, with zeros where their checksum is wrong or missing."""
    blocks = -(-content_bytes // BLOCK_BYTES)
    wanted = content_bytes + blocks * CRC_LAYOUT.size
    if len(data) != wanted:
        damage.note(f"{len(data)} bytes of content and checksums where {wanted} belong")
    content = bytearray(data[:content_bytes].ljust(content_bytes, b"\0"))
    for block in range(blocks):
        start = block * BLOCK_BYTES
        end = min(start + BLOCK_BYTES, content_bytes)
        sum_at = content_bytes + block * CRC_LAYOUT.size
        if data[sum_at : sum_at + CRC_LAYOUT.size] != CRC_LAYOUT.pack(crc32(content[start:end])):
            damage.note(f"block {block} of {blocks} is damaged")
            content[start:end] = bytes(end - start)
    return bytes(content)
