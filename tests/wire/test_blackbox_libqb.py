"""libqb's dumps: requirements BB14 (damage) and BB15 (the same messages as qb-blackbox)."""

import random
import struct
from pathlib import Path

import pytest

from unisono.base.errors import WireError
from unisono.base.limits import FLIGHT_DAMAGES_MAX, LIBQB_MESSAGE_BYTES_MAX, PRINTF_WIDTH_MAX
from unisono.wire.blackbox.entry import Entry
from unisono.wire.blackbox.libqb import MARKER, decode_libqb, encode_libqb, is_libqb
from unisono.wire.blackbox.printf import render

VECTORS = Path(__file__).parents[1] / "vectors" / "blackbox"
MUTATIONS = 100_000
RING_AT = 40
"""Marker and header."""
MAGIC = struct.pack("<I", 0xA1A1A1A1)


def dump(name: str) -> bytes:
    return (VECTORS / f"{name}.dump").read_bytes()


def printed(name: str) -> list[str]:
    """FUNCTION(LINE):TAG: MESSAGE of each line that qb-blackbox printed."""
    lines = (VECTORS / f"{name}.txt").read_text().splitlines()
    return [line.split(maxsplit=4)[4] for line in lines]


def shown(entries: list[Entry]) -> list[str]:
    return [f"{each.function}({each.line}):{each.tag}: {each.text}" for each in entries]


def shortened(data: bytes, first: int) -> bytes:
    """A dump of three entries only, from the one at place `first` on."""
    starts = [at - 4 for at in range(RING_AT, len(data), 4) if data[at : at + 4] == MAGIC]
    chunks = data[starts[first] : starts[first + 3]]
    fields = (len(chunks) // 4 + 1, len(chunks) // 4, 0, 1)
    return MARKER + struct.pack("<5I", *fields, sum(fields)) + chunks + bytes(4)


@pytest.mark.parametrize("name", ["plain", "wrapped"])
def test_bb15_dump_when_decoded_then_as_qb_blackbox_prints_it(name: str) -> None:
    entries, damage = decode_libqb(dump(name))
    assert shown(entries) == printed(name)
    assert not damage


def test_bb15_percent_sign_when_decoded_then_the_rest_of_the_line_is_right() -> None:
    entries, damage = decode_libqb(dump("percent"))
    assert [(each.priority, each.text) for each in entries[-4:]] == [
        (5, "every 1237 ms (75% of all)"),
        (5, "75% left 25%, % % 7"),
        (0, "short %hd %hhd"),
        (1, "hexadecimal 0x1p+1"),
    ]
    assert not damage


def test_bb15_dump_without_marker_when_decoded_then_its_times_are_seconds() -> None:
    with_marker = dump("plain")
    entries, _ = decode_libqb(with_marker)
    first = entries[0]
    body = bytearray(with_marker[RING_AT:])
    (length,) = struct.unpack_from("<I", body)
    name_end = 8 + 13 + len("main") + 1
    seconds = struct.pack("<q", first.when_ns // 10**9)
    old = body[8:name_end] + seconds + body[name_end + 16 : 8 + length]
    chunk = struct.pack("<II", len(old), 0xA1A1A1A1) + old
    chunk = chunk.ljust(-(-len(chunk) // 4) * 4, b"\0")
    fields = (1024, len(chunk) // 4, 0, 1)
    data = struct.pack("<5I", *fields, sum(fields)) + chunk.ljust(4096, b"\0")
    assert is_libqb(data)
    (entry,), damage = decode_libqb(data)
    assert (entry.text, entry.when_ns) == (first.text, first.when_ns // 10**9 * 10**9)
    assert not damage


def test_encoded_dump_when_decoded_then_the_same_entries() -> None:
    entries = [
        Entry(1_795_274_611_703_000_001, 4, "main", 20, 7, "75% of %s is not a format"),
        Entry(1_795_274_611_704_000_002, 8, "ä", 2**32 - 1, 2**31, ""),
    ]
    data = encode_libqb(entries)
    assert data.startswith(MARKER)
    assert decode_libqb(data)[0] == entries
    assert decode_libqb(encode_libqb([]))[0] == []


def test_encoded_text_when_longer_than_qb_blackbox_takes_then_cut() -> None:
    data = encode_libqb([Entry(0, 6, "f", 1, 1, "ä" * LIBQB_MESSAGE_BYTES_MAX)])
    ((entry,), _) = decode_libqb(data)
    assert entry.text == "ä" * ((LIBQB_MESSAGE_BYTES_MAX - 4) // 2)


def test_bb14_dump_when_cut_anywhere_then_refused_or_told() -> None:
    data = dump("wrapped")
    for length in range(len(data)):
        with pytest.raises(WireError):
            decode_libqb(data[:length])


def test_bb14_chunk_when_broken_then_the_others_are_shown_and_it_is_told() -> None:
    data = bytearray(dump("plain"))
    second = data.index(MAGIC, RING_AT + 8)
    data[second] ^= 1
    entries, damage = decode_libqb(bytes(data))
    wanted = printed("plain")
    assert shown(entries) == wanted[:1] + wanted[2:]
    assert len(damage.words()) == 1


def test_bb14_damage_when_everywhere_then_told_up_to_a_bound() -> None:
    data = bytearray(encode_libqb([Entry(0, 6, "f", 1, 1, "x")] * 500))
    for at in range(RING_AT, len(data) - 4, 4):
        if data[at : at + 4] == MAGIC:
            data[at + 4 + 9 : at + 4 + 13] = b"\xff" * 4  # the length of the name
    entries, damage = decode_libqb(bytes(data))
    assert not entries
    assert len(damage.words()) == FLIGHT_DAMAGES_MAX + 1
    assert damage.words()[-1] == f"and {500 - FLIGHT_DAMAGES_MAX} more"


def test_bb14_dump_when_mutated_then_nothing_but_wire_errors() -> None:
    """10^5 mutations: most below the header, where they reach the entries."""
    dice = random.Random(14)
    whole = [shortened(dump(name), at) for name in ("plain", "percent") for at in (0, 3, 5)]
    survived = told = 0
    for turn in range(MUTATIONS):
        data = bytearray(whole[turn % len(whole)])
        start = 0 if turn % 10 == 0 else RING_AT
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(start, len(data))] = dice.choice((0, 1, 37, 42, 127, 255))
        try:
            _, damage = decode_libqb(bytes(data))
        except WireError:
            continue
        survived += 1
        told += bool(damage)
    assert survived > MUTATIONS // 2
    assert told > MUTATIONS // 20


@pytest.mark.parametrize(
    ("template", "raw", "text"),
    [
        ("%d%%", struct.pack("<i", -5) + b"%", "-5%"),
        ("%lu|%zu|%jx", struct.pack("<QQQ", 2**64 - 1, 7, 255), "18446744073709551615|7|ff"),
        ("%-6u|", struct.pack("<I", 2**32 - 1), "4294967295|"),
        ("%*d|", struct.pack("<ii", -6, 42), "42    |"),
        ("%.*s", struct.pack("<i", 2) + b"xy\0", "xy"),
        ("%#o %#x %#x", struct.pack("<III", 8, 0, 15), "010 0 0xf"),
        ("%p %p", struct.pack("<QQ", 0, 255), "(nil) 0xff"),
        ("%a %A", struct.pack("<dd", 2.0, 0.15625), "0x1p+1 0X1.4P-3"),
        ("%'d %q %m %n %hd", struct.pack("<i", 1000), "1000 %q %m %n %hd"),
        ("75%% of %d", b"%" + struct.pack("<ii", 4, -1), "75% of 4"),
        ("%d%% %s", struct.pack("<i", 5) + b"%%left\0", "5% left"),
        ("at %% of %s", b"%" + struct.pack("<i", 4) + b"x\0", "at % of %s"),
        ("trailing %", b"", "trailing %"),
        ("%s", "ä\0".encode(), "ä"),
    ],
)
def test_format_when_rendered_then_as_printf(template: str, raw: bytes, text: str) -> None:
    assert render(template, raw) == text


def test_format_when_it_asks_for_gigabytes_then_bounded() -> None:
    raw = struct.pack("<i", 1)
    assert len(render("%2000000000d", raw)) == PRINTF_WIDTH_MAX
    assert len(render("%" + "9" * 5000 + "d", raw)) == PRINTF_WIDTH_MAX
    assert len(render("%*d", struct.pack("<ii", 2**31 - 1, 1))) == PRINTF_WIDTH_MAX


@pytest.mark.parametrize(("template", "raw"), [("%d", b"123"), ("%s", b"endless"), ("%c%c", b"x")])
def test_format_when_arguments_are_missing_then_wire_error(template: str, raw: bytes) -> None:
    with pytest.raises(WireError):
        render(template, raw)
