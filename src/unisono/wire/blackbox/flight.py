"""The recorder's ring in memory: a header, cells of 40 bytes used round and round, last words.

Speaks:      our own ring, version 1; little-endian.
Counterpart: libqb lib/ringbuffer.c, whose indexes stand in the shared memory; ours do not.
Keeps:       a cell says its own number twice, first and last. Cell n lies at place n modulo the
             ring's size, so a torn, stale or foreign cell contradicts itself or its place.
             Behind the cells there is room for what is said when a signal ends the process.
"""

from struct import Struct
from typing import Final
from zlib import crc32

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.limits import (
    FLIGHT_CELLS_MAX,
    FLIGHT_LAST_WORDS_BYTES,
    FLIGHT_NAME_BYTES_MAX,
    FLIGHT_TEXT_BYTES_MAX,
)
from unisono.wire.blackbox.dump_file import CELL_BYTES, RING_HEADER_BYTES
from unisono.wire.blackbox.entry import Damage

MAGIC: Final = b"UNIFLT\r\n"
VERSION: Final = 1
KIND_MARK: Final = 1
"""One cell: a mark and its two numbers."""
KIND_TEXT: Final = 2
"""Several cells: the first has the checksum and length of what fills the others."""
KIND_SKIP: Final = 3
"""The rest of the ring's end, where a record of several cells did not fit."""

# The second number is written last, and all is zero until then: a process that dies within these
# few stores leaves no valid cell. That costs nothing; a CRC over the cell costs half as much again.
CELL_LAYOUT: Final = Struct("<QQQIHBBQ")
"""number, monotonic ns, b, a, mark, kind, cells, number."""
MARK_LAYOUT: Final = Struct("<QQQIHHQ")
"""The same with kind and cells in one field, MARK_CELL for a mark: one argument less to pack."""
MARK_CELL: Final = KIND_MARK | 1 << 8
PIECE_LAYOUT: Final = Struct("<Q32s")
"""A further cell of a record: its number with CONTINUED, and a piece of the content. No text can
look like the first cell of a record, however it is chosen: it never lies where one begins."""
PIECE_BYTES: Final = 32
CONTINUED: Final = 1 << 63
HEADER_LAYOUT: Final = Struct("<8sIIII16sIIQqqI")
"""magic, version, cells, cell bytes, bytes of last words, boot id, pid, node id, start of the
process (ticks since boot), anchors of the monotonic clock and of the real time (ns), CRC32 of all
before it."""
RECORD_LAYOUT: Final = Struct("<16s16sIIBB")
"""a, b (signed, 128 bits), line, tag, priority, length of the function's name; name and text
follow."""
assert CELL_LAYOUT.size == MARK_LAYOUT.size == PIECE_LAYOUT.size == CELL_BYTES
assert HEADER_LAYOUT.size == 76
assert RECORD_LAYOUT.size == 42

HEADER_BYTES: Final = RING_HEADER_BYTES
_CRC: Final = Struct("<I")
_WIDE_BYTES: Final = 16
_WIDE_MAX: Final = (1 << 127) - 1
TEXT_CELLS_MAX: Final = 1 + -(
    -(RECORD_LAYOUT.size + FLIGHT_NAME_BYTES_MAX + FLIGHT_TEXT_BYTES_MAX) // PIECE_BYTES
)
"""Cells of the largest record."""
assert TEXT_CELLS_MAX < 256
PRIORITY_OF_MARK: Final = 255
"""Stands where a record is a mark with text: its priority follows from the mark."""


@event
class FlightHeader:
    """Whose ring it is, and how its clock relates to the calendar."""

    cells: int
    boot_id: bytes
    pid: int
    node_id: int
    start_ticks: int
    monotonic_ns: int
    realtime_ns: int


@event
class FlightRecord:
    """One record; a mark without text has neither priority nor function."""

    number: int
    monotonic_ns: int
    mark: int
    a: int
    b: int
    priority: int = PRIORITY_OF_MARK
    function: str = ""
    line: int = 0
    tag: int = 0
    text: str = ""


def encode_header(header: FlightHeader) -> bytes:
    """HEADER_BYTES at the ring's start."""
    fields = (
        MAGIC, VERSION, header.cells, CELL_BYTES, FLIGHT_LAST_WORDS_BYTES,
        header.boot_id, header.pid, header.node_id,
        header.start_ticks, header.monotonic_ns, header.realtime_ns,
    )  # fmt: skip
    body = HEADER_LAYOUT.pack(*fields, 0)[: -_CRC.size]
    return (body + _CRC.pack(crc32(body))).ljust(HEADER_BYTES, b"\0")


def decode_header(data: bytes) -> FlightHeader:
    """The header; WireError unless it is whole and of this version."""
    if len(data) < HEADER_BYTES or not data.startswith(MAGIC):
        raise WireError("this is no ring of the flight recorder")
    _, version, cells, cell_bytes, words_bytes, *rest, crc = HEADER_LAYOUT.unpack_from(data)
    if crc32(data[: HEADER_LAYOUT.size - _CRC.size]) != crc:
        raise WireError("the header of the ring is damaged")
    if (version, cell_bytes) != (VERSION, CELL_BYTES):
        raise WireError(f"ring of version {version} with cells of {cell_bytes} bytes")
    if words_bytes != FLIGHT_LAST_WORDS_BYTES:
        raise WireError(f"ring with last words of {words_bytes} bytes")
    if not TEXT_CELLS_MAX <= cells <= FLIGHT_CELLS_MAX:
        raise WireError(f"ring of {cells} cells")
    return FlightHeader(cells, *rest)


def encode_record(number: int, monotonic_ns: int, record: FlightRecord) -> bytes:
    """A record of several cells that begins with cell `number`; texts are cut to their bounds."""
    function = _cut(record.function, FLIGHT_NAME_BYTES_MAX)
    body = (
        RECORD_LAYOUT.pack(
            _wide(record.a),
            _wide(record.b),
            record.line & 0xFFFFFFFF,
            record.tag & 0xFFFFFFFF,
            record.priority & 0xFF,
            len(function),
        )
        + function
        + _cut(record.text, FLIGHT_TEXT_BYTES_MAX)
    )
    cells = 1 + -(-len(body) // PIECE_BYTES)
    crc = _record_crc(number, monotonic_ns, record.mark, body)
    head = CELL_LAYOUT.pack(
        number, monotonic_ns, crc, len(body), record.mark, KIND_TEXT, cells, number
    )
    pieces = (
        PIECE_LAYOUT.pack(CONTINUED | number + 1 + at // PIECE_BYTES, body[at : at + PIECE_BYTES])
        for at in range(0, len(body), PIECE_BYTES)
    )
    return head + b"".join(pieces)


def _record_crc(number: int, monotonic_ns: int, mark: int, body: bytes) -> int:
    return crc32(body, crc32(b"%d %d %d" % (number, monotonic_ns, mark)))


def _wide(value: int) -> bytes:
    bounded = max(-_WIDE_MAX, min(value, _WIDE_MAX))
    return bounded.to_bytes(_WIDE_BYTES, "little", signed=True)


def _cut(text: str, bytes_max: int) -> bytes:
    raw = text.encode(errors="replace")
    return raw if len(raw) <= bytes_max else raw[:bytes_max].decode(errors="ignore").encode()


_Cell = tuple[int, int, int, int, int, int, int, int]


def decode_cells(cells: bytes, count: int, damage: Damage) -> list[FlightRecord]:
    """Every valid record of a ring of `count` cells, oldest first; gaps are noted as damage."""
    valid: list[_Cell] = [
        cell
        for place, cell in enumerate(CELL_LAYOUT.iter_unpack(cells[: count * CELL_BYTES]))
        if cell[0] == cell[7] < CONTINUED and cell[0] % count == place and _is_whole(cell, count)
    ]
    valid.sort()
    if not valid:
        return []
    oldest = valid[-1][0] + valid[-1][6] - count
    records: list[FlightRecord] = []
    expected: int | None = None
    for cell in valid:
        number, length = cell[0], cell[6]
        if number < oldest or (expected is not None and number < expected):
            continue  # left over from the round before, or the content of a text
        record = _decode_record(cell, cells, count)
        if record is None and cell[5] != KIND_SKIP:
            continue
        if expected is not None and number > expected:
            damage.note(f"{number - expected} cells are lost before record {number}")
        expected = number + length
        if record is not None:
            records.append(record)
    return records


def _is_whole(cell: _Cell, count: int) -> bool:
    kind, length = cell[5], cell[6]
    if not 1 <= length <= count - cell[0] % count:
        return False
    return length == 1 if kind == KIND_MARK else kind in {KIND_TEXT, KIND_SKIP}


def _decode_record(cell: _Cell, cells: bytes, count: int) -> FlightRecord | None:
    number, when, b, a, mark, kind, length, _ = cell
    if kind == KIND_MARK:
        return FlightRecord(number, when, mark, a, b)
    if kind != KIND_TEXT or not RECORD_LAYOUT.size <= a <= (length - 1) * PIECE_BYTES:
        return None
    first = number % count + 1
    starts = range(first * CELL_BYTES, (first + length - 1) * CELL_BYTES, CELL_BYTES)
    body = b"".join(cells[at + CELL_BYTES - PIECE_BYTES : at + CELL_BYTES] for at in starts)[:a]
    if len(body) != a or _record_crc(number, when, mark, body) != b:
        return None
    wide_a, wide_b, line, tag, priority, name_bytes = RECORD_LAYOUT.unpack_from(body)
    name_end = RECORD_LAYOUT.size + name_bytes
    return FlightRecord(
        number, when, mark,
        int.from_bytes(wide_a, "little", signed=True),
        int.from_bytes(wide_b, "little", signed=True),
        priority,
        body[RECORD_LAYOUT.size : name_end].decode(errors="replace"),
        line, tag,
        body[name_end:].decode(errors="replace"),
    )  # fmt: skip
