"""Pieces: their numbers, and which of them follow each other."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import WireError
from unisono.base.run import Run
from unisono.wire.ust.pieces import (
    PIECE_HEADER_BYTES,
    PIECES_MAX,
    count_run,
    decode_piece,
    encode_pieces,
    join_pieces,
)

LEAD = b"lead"


def cut(size: int, room: int, frame: int = 5, lead: bytes = LEAD) -> list[bytes]:
    return list(encode_pieces(frame, bytes(n % 251 for n in range(size)), room, lead))


def run_from(packets: list[bytes], at: int) -> int:
    return count_run(packets, at, decode_piece(packets[at][len(LEAD) :]), len(LEAD))


@given(size=st.integers(1, 6_000), room=st.integers(64, 1_500))
def test_pieces_when_they_have_a_lead_then_fit_with_it(size: int, room: int) -> None:
    packets = cut(size, room)
    assert {len(packet) for packet in packets[:-1]} <= {room}
    assert len(packets[-1]) <= room
    pieces = [decode_piece(packet[len(LEAD) :]) for packet in packets]
    assert {piece.step for piece in pieces[:-1]} <= {room - len(LEAD) - PIECE_HEADER_BYTES}
    assert len({(p.frame, p.pieces, p.total, p.step) for p in pieces}) == 1


@pytest.mark.parametrize("size", [1, 499, 501, 980])
def test_last_piece_when_the_others_cannot_have_one_size_then_wire_error(size: int) -> None:
    """1,480 bytes in three pieces: 500, 500 and 480, or others of which no two sizes agree."""
    packets = cut(1_480, 520)
    assert [len(packet) for packet in packets] == [520, 520, 500]
    head = packets[2][len(LEAD) : len(LEAD) + PIECE_HEADER_BYTES]
    with pytest.raises(WireError):
        decode_piece(head + bytes(size))


@given(size=st.integers(1, 6_000), room=st.integers(64, 1_500))
def test_join_when_a_run_is_all_pieces_of_a_frame_then_its_body(size: int, room: int) -> None:
    body = bytes(n % 251 for n in range(size))
    assert join_pieces(encode_pieces(5, body, room, LEAD), len(LEAD)) == body


@given(st.data())
def test_join_when_a_run_is_anything_else_then_nothing(data: st.DataObject) -> None:
    packets = cut(4_000, 200)
    start = data.draw(st.integers(0, len(packets) - 1))
    end = data.draw(st.integers(start + 1, len(packets)))
    row = packets[start:end]
    if data.draw(st.booleans()) or row == packets:
        at = data.draw(st.integers(0, len(row) - 1))
        row = row[:at] + data.draw(st.sampled_from([[], packets[:1] * 2])) + row[at + 1 :]
    if row and row != packets:
        assert join_pieces(Run(b"".join(row), 200), len(LEAD)) is None


@given(st.binary(min_size=1, max_size=400), st.integers(1, 400))
def test_join_when_a_run_is_noise_then_nothing_is_raised(noise: bytes, step: int) -> None:
    join_pieces(Run(noise, step), 24)


@given(st.data())
def test_run_when_packets_follow_each_other_then_counted_to_the_first_stranger(
    data: st.DataObject,
) -> None:
    packets = cut(data.draw(st.integers(1, 4_000)), 200)
    others = cut(4_000, 200, data.draw(st.sampled_from([5, 6])), b"Lead")
    start = data.draw(st.integers(0, len(packets) - 1))
    end = data.draw(st.integers(start + 1, len(packets)))
    row = packets[start:end] + data.draw(st.sampled_from([[], others, packets[:1], [b""], [LEAD]]))
    before = data.draw(st.lists(st.sampled_from(others), max_size=2))
    assert run_from(before + row, len(before)) == end - start


def test_run_when_a_frame_ends_then_the_next_is_not_of_it() -> None:
    packets = cut(1_000, 200)
    assert run_from(packets * 2, 0) == len(packets)


def test_run_when_a_place_is_missing_or_doubled_then_ends_there() -> None:
    packets = cut(2_000, 200)
    assert run_from([*packets[:4], *packets[5:]], 0) == 4
    assert run_from([*packets[:4], packets[3], *packets[4:]], 1) == 3


def test_pieces_when_there_are_the_most_then_all_follow() -> None:
    packets = encode_pieces(1, bytes(PIECES_MAX * 100), 120, LEAD)
    assert len(packets) == PIECES_MAX
    assert run_from(packets, 0) == PIECES_MAX


def test_piece_when_its_frame_has_more_than_the_most_then_wire_error() -> None:
    with pytest.raises(WireError):
        decode_piece(pack(">QHHI", 1, 0, PIECES_MAX + 1, (PIECES_MAX + 1) * 100) + bytes(100))
