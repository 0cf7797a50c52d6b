"""Our ring and our dumps: requirements BB13 (whose it is) and BB14 (damage)."""

import random
from zlib import crc32

import pytest

from unisono.base.errors import WireError
from unisono.base.limits import (
    FLIGHT_LAST_LINES_MAX,
    FLIGHT_LAST_WORDS_BYTES,
    FLIGHT_NAME_BYTES_MAX,
    FLIGHT_TEXT_BYTES_MAX,
)
from unisono.wire.blackbox.dump import Dump, decode_dump
from unisono.wire.blackbox.dump_file import (
    ABOUT_BYTES,
    BLOCK_BYTES,
    CELL_BYTES,
    DIED,
    RING_HEADER_BYTES,
    encode_dump,
)
from unisono.wire.blackbox.flight import (
    CELL_LAYOUT,
    KIND_MARK,
    KIND_SKIP,
    KIND_TEXT,
    TEXT_CELLS_MAX,
    FlightHeader,
    FlightRecord,
    decode_header,
    encode_header,
    encode_record,
)

CELLS = 160
MUTATIONS = 100_000
BLOCKS = -(-(CELLS * CELL_BYTES + FLIGHT_LAST_WORDS_BYTES) // BLOCK_BYTES)
HEADER = FlightHeader(CELLS, bytes(range(16)), 4711, 3, 123_456, 1_000, 10**18)


def mark_cell(number: int, a: int = 1, b: int = 2) -> bytes:
    return CELL_LAYOUT.pack(number, 1_000 + number, b, a, 201, KIND_MARK, 1, number)


def ring(cells: bytes, words: bytes = b"") -> bytes:
    whole = cells.ljust(CELLS * CELL_BYTES, b"\0") + words.ljust(FLIGHT_LAST_WORDS_BYTES, b"\0")
    return encode_header(HEADER) + whole


def read(cells: bytes, words: bytes = b"") -> Dump:
    return decode_dump(encode_dump(ring(cells, words), DIED, 5_000, 10**18 + 4_000))


def numbers(dump: Dump) -> list[int]:
    return [record.number for record in dump.records]


def test_bb13_header_when_encoded_and_decoded_then_the_same() -> None:
    assert decode_header(encode_header(HEADER)) == HEADER
    assert read(b"").header == HEADER


@pytest.mark.parametrize("at", range(76))
def test_bb14_header_when_any_byte_is_changed_then_wire_error(at: int) -> None:
    data = bytearray(encode_header(HEADER))
    data[at] ^= 0x40
    with pytest.raises(WireError):
        decode_header(bytes(data))


def test_record_when_its_time_is_asked_then_by_the_clocks_at_the_dump() -> None:
    dump = read(mark_cell(0))
    assert dump.when_ns(dump.records[0]) == 10**18


def test_records_when_decoded_then_the_same() -> None:
    record = FlightRecord(1, 7_000, 0, -1, 2**100, 4, "main", 12, 9, "text ä")
    first = FlightRecord(0, 1_000, 201, 1, 2)
    assert read(mark_cell(0) + encode_record(1, 7_000, record)).records == [first, record]


def test_record_when_its_texts_are_too_long_then_cut_and_within_the_largest() -> None:
    record = FlightRecord(0, 0, 5, 0, 0, 4, "f" * 100, 1, 1, "ä" * FLIGHT_TEXT_BYTES_MAX)
    data = encode_record(0, 0, record)
    assert len(data) == TEXT_CELLS_MAX * CELL_BYTES
    (back,) = read(data).records
    assert back.function == "f" * FLIGHT_NAME_BYTES_MAX
    assert back.text == "ä" * (FLIGHT_TEXT_BYTES_MAX // 2)


def test_ring_when_used_again_then_the_oldest_first() -> None:
    cells = b"".join(mark_cell(CELLS + place if place < 5 else place) for place in range(CELLS))
    dump = read(cells)
    assert numbers(dump) == list(range(5, CELLS + 5))
    assert not dump.damage


@pytest.mark.parametrize("stores", range(5))
def test_mark_when_torn_after_any_store_then_left_out_and_no_damage(stores: int) -> None:
    """The fields are stored one after the other, over zeros; the number comes last."""
    torn = mark_cell(CELLS + 1)[: 8 * stores].ljust(CELL_BYTES, b"\0")
    cells = [mark_cell(CELLS), torn, *map(mark_cell, range(2, CELLS))]
    dump = read(b"".join(cells))
    assert numbers(dump) == list(range(2, CELLS + 1))
    assert not dump.damage


def test_text_when_torn_then_left_out_and_no_damage() -> None:
    data = encode_record(1, 0, FlightRecord(1, 0, 201, 0, 0, text="x" * 200))
    whole = read(mark_cell(0) + data)
    assert numbers(whole) == [0, 1]
    for end in range(0, len(data) - CELL_BYTES, CELL_BYTES):
        torn = read(mark_cell(0) + data[:end])
        assert numbers(torn) == [0]
        assert not torn.damage


def test_skip_when_the_end_of_the_ring_was_left_free_then_no_gap_is_told() -> None:
    last = 2 * CELLS - 3
    skip = CELL_LAYOUT.pack(last, 0, 0, 0, 0, KIND_SKIP, 3, last)
    text = encode_record(2 * CELLS, 0, FlightRecord(0, 0, 201, 0, 0, text="x" * 100))
    first = CELLS + len(text) // CELL_BYTES
    stale = mark_cell(last - CELLS + 1) + mark_cell(last - CELLS + 2)
    dump = read(text + b"".join(map(mark_cell, range(first, last))) + skip + stale)
    assert numbers(dump) == [*range(first, last), 2 * CELLS]
    assert not dump.damage


def test_cell_when_it_lies_at_a_foreign_place_then_left_out() -> None:
    assert numbers(read(mark_cell(0) + mark_cell(5))) == [0]


def test_text_when_it_looks_like_a_cell_then_it_is_only_text() -> None:
    """Wherever it lies in the text, and whatever number it claims."""
    for claimed in (*range(2, 12), CELLS + 3, 2**62):
        forged = CELL_LAYOUT.pack(claimed, 0, 2, 1, 100, KIND_MARK, 1, claimed)
        for offset in range(CELL_BYTES):
            text = ("." * offset).encode() + forged * 5
            record = FlightRecord(1, 0, 201, 0, 0, text=text.decode("ascii", "replace"))
            assert numbers(read(mark_cell(0) + encode_record(1, 0, record))) == [0, 1]


def test_bb14_cell_when_broken_then_the_gap_is_told_and_the_rest_is_shown() -> None:
    cells = bytearray(b"".join(map(mark_cell, range(10))))
    cells[4 * CELL_BYTES] ^= 1
    dump = read(bytes(cells))
    assert numbers(dump) == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert dump.damage.words() == ["1 cells are lost before record 5"]


def test_bb14_block_when_its_file_was_damaged_then_the_other_blocks_are_shown() -> None:
    data = bytearray(encode_dump(ring(b"".join(map(mark_cell, range(CELLS)))), DIED, 0, 0))
    data[ABOUT_BYTES + RING_HEADER_BYTES + 17] ^= 1  # a number of a mark, in the first block
    dump = decode_dump(bytes(data))
    assert numbers(dump) == list(range(BLOCK_BYTES // CELL_BYTES, CELLS))
    assert dump.damage.words() == [f"block 0 of {BLOCKS} is damaged"]


def test_bb14_dump_when_cut_anywhere_then_refused_or_told() -> None:
    data = encode_dump(ring(b"".join(map(mark_cell, range(CELLS)))), DIED, 0, 0)
    for length in range(0, len(data), 7):
        try:
            dump = decode_dump(data[:length])
        except WireError:
            assert length < ABOUT_BYTES + RING_HEADER_BYTES
        else:
            assert dump.damage


def test_bb14_dump_when_mutated_then_nothing_but_wire_errors_and_never_unnoticed() -> None:
    """10^5 mutations of a file: whatever is changed is refused or told."""
    dice = random.Random(14)
    text = encode_record(CELLS - 40, 0, FlightRecord(0, 0, 201, 0, 0, text="x" * 100))
    data = encode_dump(ring(b"".join(map(mark_cell, range(CELLS - 40))) + text), DIED, 0, 0)
    padding = {*range(36, ABOUT_BYTES), *range(ABOUT_BYTES + 76, ABOUT_BYTES + RING_HEADER_BYTES)}
    changed = bytearray(data)
    for _ in range(MUTATIONS):
        at = dice.randrange(len(data))
        changed[at] ^= dice.randint(1, 255)
        try:
            dump = decode_dump(bytes(changed))
        except WireError:
            assert at < ABOUT_BYTES + RING_HEADER_BYTES
        else:
            assert dump.damage or at in padding
        changed[at] = data[at]


def test_bb14_cells_when_nonsense_has_right_checksums_then_no_exception() -> None:
    """What a broken process leaves in its memory gets a right checksum from the keeper."""
    dice = random.Random(15)
    whole = b"".join(map(mark_cell, range(60))) + encode_record(
        60, 0, FlightRecord(0, 0, 201, 0, 0, text="x" * 300)
    )
    for _ in range(2_000):
        cells = bytearray(whole)
        for _ in range(dice.randint(1, 10)):
            cell = dice.randrange(len(whole) // CELL_BYTES) * CELL_BYTES
            field = dice.choice((0, 8, 16, 24, 28, 30, 31, 32))
            cells[cell + field] = dice.choice((0, 1, 2, 3, 127, 255))
        dump = read(bytes(cells))
        assert all(0 <= number < 2**64 for number in numbers(dump))


def test_kinds_are_never_zero() -> None:
    assert 0 not in {KIND_MARK, KIND_TEXT, KIND_SKIP}


WORDS = b"""Fatal Python error: %s

Stack (most recent call first):
  File "selectors.py", line 468 in select
"""


@pytest.mark.parametrize(
    ("text", "signal"),
    [
        ("Segmentation fault", "SIGSEGV"),
        ("Bus error", "SIGBUS"),
        ("Aborted", "SIGABRT"),
        ("Illegal instruction", "SIGILL"),
        ("Floating point exception", "SIGFPE"),
        ("Floating-point exception", "SIGFPE"),
        ("Something new", ""),
    ],
)
def test_bb8_last_words_when_a_fatal_signal_left_them_then_lines_and_its_name(
    text: str, signal: str
) -> None:
    dump = read(b"".join(map(mark_cell, range(CELLS))), WORDS % text.encode())
    assert dump.signal == signal
    assert dump.last_words == [
        f"Fatal Python error: {text}",
        "Stack (most recent call first):",
        '  File "selectors.py", line 468 in select',
    ]
    assert numbers(dump) == list(range(CELLS))
    assert not dump.damage


def test_last_words_when_there_are_none_then_no_signal() -> None:
    dump = read(mark_cell(0))
    assert (dump.last_words, dump.signal) == ([], "")


def test_last_words_when_they_look_like_cells_then_they_are_only_words() -> None:
    forged = CELL_LAYOUT.pack(CELLS, 0, 2, 1, 100, KIND_MARK, 1, CELLS)
    dump = read(b"".join(map(mark_cell, range(CELLS))), forged)
    assert numbers(dump) == list(range(CELLS))


def test_last_words_when_they_are_forged_then_as_many_lines_as_are_believed_in() -> None:
    dump = read(mark_cell(0), b"\xff\x1b\n" * (FLIGHT_LAST_WORDS_BYTES // 3))
    assert dump.last_words == ["\ufffd\x1b"] * FLIGHT_LAST_LINES_MAX


def test_bb14_last_words_when_their_block_was_damaged_then_none_and_told() -> None:
    data = bytearray(encode_dump(ring(mark_cell(0), b"." * FLIGHT_LAST_WORDS_BYTES), DIED, 0, 0))
    data[ABOUT_BYTES + RING_HEADER_BYTES + (BLOCKS - 1) * BLOCK_BYTES] ^= 1
    dump = decode_dump(bytes(data))
    assert numbers(dump) == [0]
    assert dump.damage.words() == [f"block {BLOCKS - 1} of {BLOCKS} is damaged"]
    assert sum(map(len, dump.last_words)) < FLIGHT_LAST_WORDS_BYTES


def test_header_when_its_room_for_last_words_is_foreign_then_wire_error() -> None:
    body = bytearray(encode_header(HEADER))
    body[20:24] = b"\0" * 4
    body[72:76] = crc32(body[:72]).to_bytes(4, "little")
    with pytest.raises(WireError, match="last words of 0 bytes"):
        decode_header(bytes(body))
