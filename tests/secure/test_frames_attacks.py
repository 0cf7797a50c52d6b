"""Frames and somebody who sees all packets, sends as anybody, and has no key."""

from collections.abc import Callable
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.secure.line import LEAD_BYTES, SENDER, Line
from unisono.base.group import Buffer
from unisono.base.ids import MS, Nanos, NodeId
from unisono.base.limits import SECURE_PARTIAL_BYTES_MAX, SECURE_PARTIAL_FRAMES_MAX
from unisono.crypto.sender_keys import OwnKey
from unisono.secure.frames import PATIENCE_NS
from unisono.wire.ust.header import HEADER_BYTES, Flag, Header, PacketType

LARGE = 9_000
"""Seven pieces."""


def forged_piece(line: Line, count: int = 2, step: int = 1_000) -> bytes:
    """The first piece of a frame that there never was."""
    random = line.random
    salt, counter, frame = (random.getrandbits(bits) for bits in (32, 40, 64))
    header = Header(PacketType.GROUP, Flag.PIECE, 1, SENDER, salt, counter)
    numbers = pack(">QHHI", frame, 0, count, count * step)
    return header.encode() + numbers + random.randbytes(step)


def held_bytes(line: Line) -> int:
    return sum(partial.bytes for partial in line.opener._claimed._partials.values())


# -- forged pieces of true frames ----------------------------------------------------------------


def before_each(packets: list[bytes], twin: Callable[[bytes], bytes]) -> list[bytes]:
    return [sent for packet in packets for sent in (twin(packet), packet)]


@pytest.mark.parametrize("reads", [1, 5, 1_000])
def test_frames_when_every_piece_has_a_forged_twin_before_it_then_lost_and_told(reads: int) -> None:
    line = Line()
    frames = 10
    for _ in range(frames):
        sent = before_each(line.seal(line.frame(LARGE)), line.twin)
        for at in range(0, len(sent), reads):
            assert line.open(*sent[at : at + reads]) == []
    assert line.opener.take_spoiled() == frames
    assert line.opener.take_spoiled() == 0
    assert line.opener.counters["forged"] > 0
    assert line.opener.counters["replayed"] == 0


@pytest.mark.parametrize("reads", [1, 5, 1_000])
@pytest.mark.parametrize("size", [10, LARGE, 62_400])
def test_frames_when_each_piece_is_sealed_then_forged_twins_stop_none(
    size: int, reads: int
) -> None:
    line = Line()
    line.seal_each()
    count = 0
    for _ in range(20):
        frame = line.frame(size)
        sent = before_each(line.seal(frame), line.twin)
        count += len(sent) // 2
        opened: list[Buffer] = []
        for at in range(0, len(sent), reads):
            opened += line.open(*sent[at : at + reads])
        assert opened == [frame]
    assert line.dropped() == {"forged": count}
    assert line.opener.take_spoiled() == 0


def test_ring_when_injector_stays_then_one_frame_lost_and_all_others_come() -> None:
    """The whole cure: spoiled, told, sealed one by one."""
    line = Line()
    opened = []
    for _ in range(100):
        opened += line.open(*before_each(line.seal(line.frame(LARGE)), line.twin))
        if line.opener.take_spoiled():
            line.sealer.on_spoiled(line.now)
        line.now = Nanos(line.now + MS)
    assert len(opened) == 99


def test_frame_when_its_twin_comes_too_late_then_not_touched() -> None:
    line = Line()
    frame = line.frame(LARGE)
    packets = line.seal(frame)
    assert line.open(*packets) == [frame]
    for packet in packets:
        assert line.open(line.twin(packet)) == []
    assert line.opener.take_spoiled() == 0
    assert line.opener.deadline is None


def test_frame_when_whole_in_one_read_then_an_earlier_forged_piece_does_not_matter() -> None:
    line = Line()
    frame = line.frame(LARGE)
    packets = line.seal(frame)
    assert line.open(line.twin(packets[1])) == []
    assert line.open(*packets) == [frame]
    assert line.opener.deadline is None
    assert line.dropped() == {}


@pytest.mark.parametrize("at", range(7))
def test_frame_when_a_piece_is_forged_within_the_read_then_others_of_the_read_come(at: int) -> None:
    line = Line()
    before, after = line.frame(10), line.frame(LARGE)
    packets = line.seal(line.frame(LARGE))
    packets[at] = line.twin(packets[at])
    assert line.open(*packets, *line.seal(before), *line.seal(after)) == [before, after]
    assert line.dropped() == {"spoiled": 1}


def test_pieces_when_a_forger_claims_another_size_or_number_then_the_true_ones_come() -> None:
    """Pieces that do not agree in every number are not of one frame."""
    line = Line()
    frame = line.frame(LARGE)
    packets = line.seal(frame)
    lead = packets[0][: HEADER_BYTES + 8]
    claims = [
        (0, 7, 9_010, 1_431),
        (1, 7, 9_015, 1_432),
        (0, 8, 9_016, 1_400),
        (6, 7, 9_016, 10),
        (0, 1, 50, 50),
    ]
    for index, count, total, size in claims:
        line.open(lead + pack(">HHI", index, count, total) + bytes(size))
    assert line.open_singly(packets) == [frame]


@pytest.mark.parametrize("size", [0, 17, 1_431, 1_433])
def test_piece_when_forged_with_another_size_than_its_place_then_dropped(size: int) -> None:
    """In one read with true pieces, where only the first one's numbers are decoded."""
    line = Line()
    frame = line.frame(LARGE)
    packets = line.seal(frame)
    wrong = packets[1][:LEAD_BYTES] + bytes(size)
    assert line.open(packets[0], wrong, packets[2]) == []
    assert line.open(*packets[1:]) == [frame]
    assert line.dropped() == {"malformed": 1, "replayed": 1}


# -- floods --------------------------------------------------------------------------------------


def test_table_when_flooded_then_bounded_and_told() -> None:
    line = Line()
    flood = 10 * SECURE_PARTIAL_FRAMES_MAX
    for _ in range(flood):
        line.open(forged_piece(line))
        assert len(line.opener._claimed._partials) <= SECURE_PARTIAL_FRAMES_MAX
    assert line.opener.take_spoiled() == flood - SECURE_PARTIAL_FRAMES_MAX


def test_table_when_flooded_with_large_pieces_then_bounded_in_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("unisono.secure.assembly.SECURE_PARTIAL_BYTES_MAX", 100_000)
    line = Line()
    for _ in range(100):
        line.open(forged_piece(line, step=30_000))
        line.open_singly(line.seal(line.frame(3_000)))
        assert held_bytes(line) == line.opener._claimed._bytes <= 100_000
    assert line.opener.counters["spoiled"] == 97
    assert line.opener.counters["delivered"] == 100
    line.wait(2_000 * MS)
    assert line.opener._claimed._bytes == 0


def test_bounds_of_the_table_when_filled_with_the_largest_frames_then_both_are_met() -> None:
    assert SECURE_PARTIAL_FRAMES_MAX * 65_600 >= SECURE_PARTIAL_BYTES_MAX


def test_frame_when_pushed_out_by_a_flood_then_lost_and_each_piece_sealed_gets_through() -> None:
    line = Line()

    def flood() -> None:
        for _ in range(SECURE_PARTIAL_FRAMES_MAX + 1):
            line.open(forged_piece(line))

    first, *others = line.seal(line.frame(LARGE))
    line.open(first)
    flood()
    assert line.open(*others) == []
    assert line.opener.take_spoiled() > 0
    line.seal_each()
    frame = line.frame(LARGE)
    first, *others = line.seal(frame)
    line.open(first)
    flood()
    assert line.open(*others) == [frame]


def test_whole_frames_when_flooded_then_come_all_the_same() -> None:
    """Pieces that are read together do not need the table."""
    line = Line()
    for _ in range(200):
        line.open(forged_piece(line))
        frame = line.frame(LARGE)
        assert line.open(*line.seal(frame)) == [frame]


def test_partial_frame_when_pushed_out_after_it_was_opened_from_copies_then_no_loss() -> None:
    """Under another frame number its pieces open just as well, and the rest is nobody's loss."""
    line = Line()
    frame = line.frame(LARGE)
    packets = line.seal(frame)
    line.open(packets[0])
    renamed = [p[:HEADER_BYTES] + bytes(8) + p[HEADER_BYTES + 8 :] for p in packets]
    assert line.open(*renamed) == [frame]
    for _ in range(SECURE_PARTIAL_FRAMES_MAX):
        line.open(forged_piece(line))
    assert line.opener.take_spoiled() == 0


def test_partial_frame_when_pushed_out_late_then_lost_on_its_way_not_spoiled() -> None:
    line = Line()
    line.open(line.seal(bytes(LARGE))[0])
    line.now = Nanos(line.now + PATIENCE_NS)
    for _ in range(SECURE_PARTIAL_FRAMES_MAX):
        line.open(forged_piece(line))
    assert line.dropped() == {"lost": 1}


def test_sealed_pieces_when_too_many_begin_then_the_oldest_goes_and_nobody_is_accused() -> None:
    line = Line()
    line.seal_each()
    begun = [line.seal(line.frame(LARGE)) for _ in range(SECURE_PARTIAL_FRAMES_MAX + 1)]
    for packets in begun:
        line.open(packets[0])
    assert line.dropped() == {"lost": 1}
    assert line.open(*begun[0][1:]) == []
    assert len(line.open(*begun[-1][1:])) == 1


# -- replays -------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [1, 3, 1_000])
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("size", [10, LARGE])
def test_packets_when_replayed_then_each_is_counted_and_nothing_is_told(
    size: int, each: bool, reads: int
) -> None:
    line = Line()
    if each:
        line.seal_each()
    frames = [line.frame(size) for _ in range(10)]
    recorded = [packet for frame in frames for packet in line.seal(frame)]
    assert line.open(*recorded) == frames
    for at in range(0, len(recorded), reads):
        assert line.open(*recorded[at : at + reads]) == []
    assert line.dropped() == {"replayed": len(recorded)}
    assert line.opener.take_spoiled() == 0
    assert line.opener.deadline is None


def test_frame_when_replayed_under_another_frame_number_then_not_delivered_again() -> None:
    """The frame's number is not sealed, and need not be: the counter is."""
    line = Line()
    frame = line.frame(LARGE)
    packets = line.seal(frame)
    assert line.open(*packets) == [frame]
    renamed = [p[:HEADER_BYTES] + bytes(8) + p[HEADER_BYTES + 8 :] for p in packets]
    assert line.open(*renamed) == []
    assert line.open_singly(renamed) == []


def test_frames_when_recorded_before_the_key_was_learnt_then_replays() -> None:
    line = Line()
    line.own = OwnKey(line.cipher, SENDER, 2, line.random.randbytes(32))
    recorded = [line.seal(line.frame(size)) for size in (10, LARGE)]
    line.learn(line.own)
    assert [line.open(*packets) for packets in recorded] == [[], []]
    assert line.dropped() == {"replayed": sum(map(len, recorded))}


def test_forged_counters_when_huge_then_move_no_window() -> None:
    line = Line()
    for flags in (0, Flag.PIECE, Flag.SEALED_PIECE):
        header = Header(PacketType.GROUP, flags, 1, SENDER, 0, 2**64 - 1).encode()
        line.open(header + pack(">QHHI", 1, 0, 1, 50) + bytes(50))
    frames = [line.frame(10), line.frame(LARGE)]
    assert [line.open(*line.seal(frame)) for frame in frames] == [[frames[0]], [frames[1]]]


def test_packets_of_other_types_when_among_frames_then_malformed() -> None:
    line = Line()
    packets = [
        Header(kind, 0, 1, SENDER, 0, 0).encode() + bytes(50)
        for kind in PacketType
        if kind is not PacketType.GROUP
    ]
    assert line.open(*packets) == []
    assert line.dropped() == {"malformed": len(packets)}


# -- anything at all -----------------------------------------------------------------------------


def test_opener_when_given_100_000_bad_packets_then_never_raises_nor_believes_one() -> None:
    """Bits of the numbers before a piece are not sealed: its frame may come all the same, once."""
    line = Line()
    random = line.random
    frames = [line.frame(size) for size in (100, 3_000, 3_000)]
    genuine = line.seal(frames[0]) + line.seal(frames[1], 1_200)
    line.seal_each()
    genuine += line.seal(frames[2], 1_200)
    opened: list[Buffer] = []
    for _ in range(100_000 // 20):
        batch = []
        for _ in range(20):
            packet = bytearray(random.choice(genuine))
            kind = random.randrange(4)
            if kind == 0:
                packet = packet[: random.randrange(len(packet))]
            elif kind == 1:
                # In the numbers most often: that is where decoders decide.
                at = random.randrange(random.choice((HEADER_BYTES, LEAD_BYTES, len(packet))))
                packet[at] ^= 1 << random.randrange(8)
            elif kind == 2:
                packet[HEADER_BYTES:] = random.randbytes(random.randrange(60))
            else:
                packet = bytearray(random.randbytes(random.randrange(80)))
            if packet not in genuine:
                batch.append(packet)
        opened += line.open(*batch)
        line.opener.take_unknown()
    assert {"malformed", "foreign", "unknown", "forged"} <= line.dropped().keys()
    line.wait(2_000 * MS)
    assert line.opener.deadline is None
    opened += line.open(*genuine)
    assert sorted(opened, key=bytes) == sorted(frames)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=100), max_size=8), st.data())
def test_opener_when_given_anything_then_never_raises(
    packets: list[bytes], data: st.DataObject
) -> None:
    line = Line()
    flags = st.sampled_from([0, Flag.PIECE, Flag.SEALED_PIECE])
    salts, counters = st.integers(0, 3), st.integers(0, 3)
    headed = []
    for packet in packets:
        sender = NodeId(data.draw(st.sampled_from([SENDER, 9])))
        header = Header(
            PacketType.GROUP, data.draw(flags), 1, sender, data.draw(salts), data.draw(counters)
        )
        headed.append(header.encode() + packet)
    assert line.open(*headed) == []
