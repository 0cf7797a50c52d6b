"""Frames on their way from a sealer to an opener: cut, lost, late, doubled, of several keys."""

from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.secure.line import LINGER_NS, READER, ROOM, SENDER, Line
from unisono.base.errors import UsageError
from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.base.limits import (
    SECURE_FRAME_BYTES_MAX,
    SECURE_PARTIAL_FRAMES_MAX,
    SECURE_ROOM_BYTES_MIN,
)
from unisono.crypto.sender_keys import CIPHERS, OwnKey
from unisono.secure.assembly import PARTIAL_NS
from unisono.secure.frames import EACH_NS
from unisono.wire.ust.header import HEADER_BYTES, TAG_BYTES, Flag, PacketType, decode_header

ROOMS = (SECURE_ROOM_BYTES_MIN, 1_452, 1_472, 8_972, 65_507)
SEGMENTS_MAX = 64
DATAGRAM_BYTES_MAX = 65_507


def sizes(room: int) -> list[int]:
    """Sizes of frames at which something changes."""
    edge = room - HEADER_BYTES - TAG_BYTES
    cut = 2 * (room - 40) - TAG_BYTES
    cut_each = 2 * (room - 56)
    around = [edge + d for d in (-1, 0, 1)] + [cut + d for d in (-1, 0, 1)]
    around += [cut_each + d for d in (-1, 0, 1)]
    return [0, 1, *(n for n in around if n <= SECURE_FRAME_BYTES_MAX), SECURE_FRAME_BYTES_MAX]


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("cipher", CIPHERS)
def test_frame_of_any_size_when_sealed_then_fits_one_send_and_opens(
    cipher: str, room: int, each: bool
) -> None:
    line = Line(cipher=cipher)
    if each:
        line.seal_each()
    for size in sizes(room):
        frame = line.frame(size)
        packets = line.seal(frame, room)
        assert len(packets) <= SEGMENTS_MAX
        assert sum(map(len, packets)) <= DATAGRAM_BYTES_MAX
        assert {len(packet) for packet in packets[:-1]} <= {room}
        assert len(packets[-1]) <= room
        assert line.open(*packets) == [frame]
    assert line.dropped() == {}
    assert line.opener.deadline is None


@pytest.mark.parametrize("room", ROOMS)
def test_frame_when_it_just_fits_then_one_packet_without_flags(room: int) -> None:
    line = Line()
    fitting = min(room - HEADER_BYTES - TAG_BYTES, SECURE_FRAME_BYTES_MAX)
    [packet] = line.seal(line.frame(fitting), room)
    assert decode_header(packet).flags == 0


def test_large_frame_when_sealed_then_one_counter_one_frame_number_and_nothing_in_clear() -> None:
    line = Line()
    frame = bytes(5_000)
    first, second = line.seal(frame), line.seal(frame)
    assert {decode_header(packet) for packet in first} == {decode_header(first[0])}
    header = decode_header(first[0])
    assert (header.type, header.flags, header.counter) == (PacketType.GROUP, Flag.PIECE, 0)
    assert decode_header(second[0]).counter == 1
    assert decode_header(second[0]).salt != header.salt
    assert first[0][24:32] != second[0][24:32]
    assert all(bytes(16) not in packet for packet in first)


def test_frame_when_each_piece_is_sealed_then_each_has_its_own_counter() -> None:
    line = Line()
    line.seal_each()
    headers = [decode_header(packet) for packet in line.seal(line.frame(5_000))]
    assert [header.counter for header in headers] == list(range(len(headers)))
    assert {header.flags for header in headers} == {Flag.SEALED_PIECE}


def test_frame_when_larger_than_any_then_usage_error() -> None:
    line = Line()
    with pytest.raises(UsageError):
        line.seal(bytes(70_000))
    with pytest.raises(UsageError):
        line.seal(bytes(100), 40)


def test_sealer_when_told_of_spoiled_frames_then_seals_each_until_a_minute_of_silence() -> None:
    line = Line()
    assert line.sealer.on_spoiled(line.now)
    line.now = Nanos(line.now + EACH_NS - 1)
    assert not line.sealer.on_spoiled(line.now)
    line.now = Nanos(line.now + EACH_NS - 1)
    assert decode_header(line.seal(bytes(5_000))[0]).flags == Flag.SEALED_PIECE
    line.now = Nanos(line.now + 1)
    assert decode_header(line.seal(bytes(5_000))[0]).flags == Flag.PIECE
    assert line.sealer.on_spoiled(line.now)


# -- how reads divide them -----------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
def test_frames_when_read_in_any_division_then_in_order(each: bool) -> None:
    line = Line()
    if each:
        line.seal_each()
    for reads in range(1, 30):
        frames = [line.frame(size) for size in (3_000, 0, 10, 9_000, 1_500, 62_400, 4_000)]
        packets = list(chain.from_iterable(map(line.seal, frames)))
        step = -(-len(packets) // reads)
        opened = [
            frame
            for at in range(0, len(packets), step)
            for frame in line.open(*packets[at : at + step])
        ]
        assert opened == frames
    assert line.dropped() == {}
    assert line.opener.deadline is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_frame_when_read_into_a_buffer_that_is_used_again_then_unharmed(
    kind: type[bytes] | type[bytearray] | type[memoryview],
) -> None:
    line = Line()
    frame = line.frame(4_000)
    packets = line.seal(frame)
    buffer = bytearray(ROOM)
    opened = []
    for packet in packets:
        buffer[: len(packet)] = packet
        opened += line.open(kind(memoryview(buffer)[: len(packet)]))
        buffer[:] = bytes(ROOM)
    assert opened == [frame]


@settings(max_examples=150)
@given(st.data())
def test_frames_when_lost_late_and_doubled_then_each_whole_one_comes_once(
    data: st.DataObject,
) -> None:
    """A frame comes exactly if each of its pieces does, in the order in which they get whole."""
    line = Line(data.draw(st.integers(0, 1_000)))
    if data.draw(st.booleans()):
        line.seal_each()
    frames = [line.frame(n) for n in data.draw(st.lists(st.integers(0, 9_000), max_size=6))]
    packets = [(n, packet) for n, frame in enumerate(frames) for packet in line.seal(frame)]
    kept = [pair for pair in packets if not data.draw(st.booleans(), label="lost")] or packets
    doubled = kept + data.draw(st.lists(st.sampled_from(kept), max_size=9)) if kept else []
    sent = data.draw(st.permutations(doubled)) if data.draw(st.booleans()) else doubled
    missing = {n: {p for m, p in packets if m == n} for n in range(len(frames))}
    expected = []
    for n, packet in sent:
        if packet in missing[n]:
            missing[n].remove(packet)
            if not missing[n]:
                expected.append(frames[n])
    reads = data.draw(st.integers(1, 8))
    opened = []
    for at in range(0, len(sent), reads):
        opened += line.open(*(packet for _, packet in sent[at : at + reads]))
    assert opened == expected
    assert set(line.dropped()) <= {"replayed"}
    # Nothing that is left over harms anybody.
    line.wait(PARTIAL_NS)
    assert line.opener.deadline is None
    assert line.opener.take_spoiled() == 0


def test_pieces_of_two_frames_when_interleaved_then_both_come() -> None:
    line = Line()
    frames = [line.frame(9_000), line.frame(9_000)]
    woven = chain.from_iterable(zip(*map(line.seal, frames), strict=True))
    assert line.open(*woven) == frames
    assert line.dropped() == {}


# -- loss and time -------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [False, True])
def test_partial_frame_when_a_second_old_then_lost_and_nobody_accused(each: bool) -> None:
    line = Line()
    if each:
        line.seal_each()
    packets = line.seal(line.frame(5_000))
    line.open(*packets[:-1])
    assert line.opener.deadline == line.now + PARTIAL_NS
    line.wait(PARTIAL_NS - 1)
    assert line.dropped() == {}
    line.wait(1)
    assert line.dropped() == {"lost": 1}
    assert line.opener.counters["pieces"] == len(packets) - 1
    assert line.opener.take_spoiled() == 0
    assert line.open(packets[-1]) == []


def test_partial_frames_when_many_lose_a_piece_then_nobody_is_accused() -> None:
    """Full speed with a frame in twenty lost: the table is full, and yet no attack."""
    line = Line()
    for number in range(2_000):
        packets = line.seal(line.frame(2_000), 1_200)
        line.open(*packets[number % 20 == 0 :])
        line.wait(SECOND // 5_000)
    assert line.opener.counters["delivered"] == 1_900
    assert line.opener.take_spoiled() == 0
    assert 0 < line.opener.counters["lost"] <= 100


def test_frame_when_whole_copies_come_over_two_links_then_once() -> None:
    """Link mode active: the first copy may lack a piece, which nobody waits for afterwards."""
    line = Line()
    frame = line.frame(5_000)
    packets = line.seal(frame)
    assert line.open(*packets[1:]) == []
    assert line.open(*packets) == [frame]
    assert line.opener.deadline is None
    assert line.open(*packets) == []
    assert line.dropped() == {"replayed": len(packets)}


# -- whose, and under which key ------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 5_000])
def test_frame_when_of_another_sender_then_foreign(size: int) -> None:
    line = Line()
    other = OwnKey(line.cipher, NodeId(4), 1, line.own.secret)
    packets = line.sealer.seal(other, line.frame(size), ROOM, line.now)
    assert line.open(*packets) == []
    assert line.dropped() == {"foreign": len(packets)}


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("size", [10, 5_000])
def test_frame_for_one_node_when_sealed_then_opens_there_alone(size: int, each: bool) -> None:
    line = Line()
    if each:
        line.seal_each()
    for reader, opens in ((READER, True), (NodeId(98), False)):
        frame = line.frame(size)
        packets = line.sealer.seal(line.own, frame, ROOM, line.now, reader)
        assert line.open(*packets) == ([frame] if opens else [])


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("size", [10, 5_000])
def test_frame_when_its_generation_is_unknown_then_asked_for_once(size: int, each: bool) -> None:
    line = Line()
    if each:
        line.seal_each()
    line.own = OwnKey(line.cipher, SENDER, 2, line.random.randbytes(32))
    packets = line.seal(line.frame(size))
    assert line.opener.take_unknown() is None
    assert line.open(*packets) == []
    assert line.dropped() == {"unknown": len(packets)}
    assert line.opener.take_unknown() == 2
    assert line.opener.take_unknown() is None
    line.learn(line.own)
    frame = line.frame(size)
    assert line.open(*line.seal(frame)) == [frame]
    assert line.opener.take_unknown() is None


def test_large_frame_when_the_first_of_a_newer_key_then_the_older_goes() -> None:
    line = Line()
    older, line.own = line.own, OwnKey(line.cipher, SENDER, 2, line.random.randbytes(32))
    line.learn(line.own)
    begun = line.sealer.seal(older, bytes(5_000), ROOM, line.now)
    line.open(*begun[:-1])
    line.open(*line.seal(bytes(5_000)))
    assert line.keys.deadline == line.now + LINGER_NS
    assert line.open(begun[-1]) == [bytes(5_000)]
    begun = line.sealer.seal(older, bytes(5_000), ROOM, line.now)
    line.open(*begun[:-1])
    line.keys.expire(Nanos(line.now + LINGER_NS))
    assert line.open(begun[-1]) == []
    assert line.dropped() == {"unknown": 1}


def test_pieces_when_their_key_was_dropped_meanwhile_then_pushed_out_like_any() -> None:
    """A restarted peer has other keys; what its former life began is no reason to fall over."""
    line = Line()
    line.open(line.seal(bytes(5_000))[0])
    line.keys.forget()
    line.own = OwnKey(line.cipher, SENDER, 7, line.random.randbytes(32))
    line.learn(line.own)
    for _ in range(SECURE_PARTIAL_FRAMES_MAX):
        line.open(line.seal(bytes(5_000))[0])
    assert line.dropped() == {"spoiled": 1}
    frame = line.frame(5_000)
    assert line.open(*line.seal(frame)) == [frame]
