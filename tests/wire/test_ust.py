"""UST/1 packets: what is written is read again, and nothing else is."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import UsageError, WireError
from unisono.base.ids import NodeId
from unisono.wire.ust import handshake, pieces, records
from unisono.wire.ust.header import Flag, Header, PacketType, decode_header, encode_nonce

U16, U32, U64 = (st.integers(0, (1 << bits) - 1) for bits in (16, 32, 64))
HELLO = Header(PacketType.HELLO, 0, 0x1F2E3D4C, NodeId(3), 0, 0)
GROUP = Header(PacketType.GROUP, Flag.PIECE, 1, NodeId(0xFFFFFFFF), 7, 1 << 40)

RECORDS: st.SearchStrategy[records.Record] = st.one_of(
    st.builds(records.Pad, st.integers(0, 2000)),
    st.builds(records.Key, U32, st.binary(min_size=32, max_size=32), U64, U32),
    st.builds(records.KeyAck, U32),
    st.builds(records.NeedKey, U32),
    st.builds(
        records.Rotate,
        st.booleans(),
        st.binary(min_size=4, max_size=4),
        st.just(4096),
        st.integers(0, 4096 - 1024),
        st.binary(min_size=1, max_size=1024),
    ),
    st.builds(records.Ping, st.integers(0, 255), U64),
    st.builds(records.Pong, st.integers(0, 255), U64),
    st.just(records.Bye()),
    st.builds(records.Spoiled, U32),
)


@given(kind=st.sampled_from(PacketType), key=U32, sender=U32, salt=U32, counter=U64, cut=st.data())
def test_header_when_written_then_read_and_refused_when_cut(
    kind: PacketType, key: int, sender: int, salt: int, counter: int, cut: st.DataObject
) -> None:
    header = Header(kind, 0, key, NodeId(sender), salt, counter)
    packet = header.encode()
    assert len(packet) == 24
    assert decode_header(packet) == header
    assert packet[12:] == encode_nonce(salt, counter)
    with pytest.raises(WireError):
        decode_header(packet[: cut.draw(st.integers(0, 23))])


@pytest.mark.parametrize(
    ("at", "value"), [(0, 0x54), (1, 0x21), (1, 0x13), (1, 0x10), (3, 8), (3, 3), (2, 1)]
)
def test_header_when_foreign_then_refused(at: int, value: int) -> None:
    packet = bytearray(GROUP.encode())
    packet[at] = value
    with pytest.raises(WireError):
        decode_header(bytes(packet))


def test_header_when_a_handshake_has_flags_then_refused() -> None:
    with pytest.raises(WireError):
        decode_header(HELLO._replace(flags=1).encode())


def test_handshake_packets_when_written_then_read() -> None:
    macs = b"a" * 16 + b"b" * 16
    noise = bytes(range(handshake.NOISE_HELLO_BYTES))
    packet = handshake.encode_hello(HELLO, NodeId(2), noise) + macs
    assert decode_header(packet) == HELLO
    assert handshake.decode_hello(packet) == (2, noise, macs[:16], macs[16:])
    noise = bytes(range(handshake.NOISE_ANSWER_BYTES))
    packet = handshake.encode_answer(HELLO, NodeId(2), 77, noise) + macs
    assert handshake.decode_answer(packet) == (2, 77, noise, macs[:16], macs[16:])
    packet = handshake.encode_cookie(HELLO, b"n" * 12, b"s" * 32)
    assert handshake.decode_cookie(packet) == (b"n" * 12, b"s" * 32)


@pytest.mark.parametrize(
    ("decode", "size"),
    [
        (handshake.decode_hello, handshake.HELLO_BYTES),
        (handshake.decode_answer, handshake.ANSWER_BYTES),
        (handshake.decode_cookie, handshake.COOKIE_BYTES),
    ],
    ids=["hello", "answer", "cookie"],
)
def test_handshake_packet_when_of_any_other_size_then_refused(
    decode: Callable[[bytes], object], size: int
) -> None:
    decode(bytes(size))
    for wrong in [*range(size), size + 1, 2 * size]:
        with pytest.raises(WireError):
            decode(bytes(wrong))


@given(st.binary(min_size=16, max_size=16), U32, U32, U64, U64, U32)
def test_payload_when_written_then_read(
    boot: bytes, index: int, capabilities: int, version: int, wall: int, generation: int
) -> None:
    payload = handshake.Payload(boot, index, capabilities, version, wall)
    grant = handshake.KeyGrant(generation, b"k" * 32, wall)
    assert handshake.decode_payload(handshake.encode_payload(payload)) == (payload, None)
    assert handshake.decode_payload(handshake.encode_payload(payload, grant)) == (payload, grant)


@pytest.mark.parametrize("size", [0, 39, 41, 83, 85])
def test_payload_when_of_another_size_then_refused(size: int) -> None:
    with pytest.raises(WireError):
        handshake.decode_payload(bytes(size))


@given(st.lists(RECORDS, max_size=records.RECORDS_MAX))
def test_records_when_written_then_read(some: list[records.Record]) -> None:
    assert records.decode_records(records.encode_records(some)) == some


def test_records_when_a_kind_is_unknown_then_the_others_are_read() -> None:
    body = records.encode_records([records.KeyAck(1)]) + b"\xc8\0\0\3abc"
    body += records.encode_records([records.Bye()])
    assert records.decode_records(body) == [records.KeyAck(1), records.Bye()]


@pytest.mark.parametrize(
    "body",
    [
        b"\2\0\0\5\0\0\0\1\0",
        b"\2\0\0\4\0\0\0",
        b"\2\0\0",
        b"\2\1\0\4\0\0\0\1",
        b"\4\0\0\4kidd",
        b"\7\0\0\1x",
        records.encode_records([records.Bye()] * (records.RECORDS_MAX + 1)),
    ],
    ids=["long", "cut body", "cut head", "not zero", "no key", "bye with a body", "too many"],
)
def test_records_when_malformed_then_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        records.decode_records(body)


@given(st.binary(max_size=200))
def test_records_when_anything_at_all_then_records_or_wire_error(body: bytes) -> None:
    try:
        found = records.decode_records(body)
    except WireError:
        return
    assert isinstance(found, list)


@given(sealed=st.binary(min_size=1, max_size=6000), room=st.integers(64, 1500), frame=U64)
def test_pieces_when_put_together_then_the_frame(sealed: bytes, room: int, frame: int) -> None:
    bodies = pieces.encode_pieces(frame, sealed, room)
    assert max(map(len, bodies)) <= room
    found = [pieces.decode_piece(body) for body in bodies]
    assert [piece.number for piece in found] == list(range(len(bodies)))
    assert {(p.frame, p.pieces, p.total) for p in found} == {(frame, len(bodies), len(sealed))}
    assert b"".join(piece.data for piece in found) == sealed


def test_pieces_when_a_frame_is_too_large_or_room_too_small_then_usage_error() -> None:
    for sealed, room in ((bytes(pieces.FRAME_BYTES_MAX + 1), 1472), (b"x", 16), (bytes(5000), 20)):
        with pytest.raises(UsageError):
            pieces.encode_pieces(1, sealed, room)


@given(U64, U16, U16, U32, st.integers(0, 1500))
def test_piece_when_anything_at_all_then_a_place_inside_the_frame_or_wire_error(
    frame: int, index: int, count: int, total: int, size: int
) -> None:
    body = pieces._LAYOUT.pack(frame, index, count, total) + bytes(size)
    try:
        piece = pieces.decode_piece(body)
    except WireError:
        return
    assert piece.number < piece.pieces <= pieces.PIECES_MAX
    step = size if index < count - 1 else (total - size) // max(1, count - 1)
    assert index * step + size <= total <= pieces.FRAME_BYTES_MAX


@pytest.mark.parametrize("size", [128, 256, 1024, 1025, 4096])
def test_authkey_when_told_then_in_pieces_that_fit_any_path_and_make_it_whole(size: int) -> None:
    key = bytes(number % 251 for number in range(size))
    told = records.rotate_records(b"kid!", key, is_active=True)
    assert b"".join(record.piece for record in told) == key
    overhead = len(GROUP.encode()) + 16
    assert all(len(records.encode_records([one])) + overhead <= 1_200 for one in told)


@pytest.mark.parametrize(
    "record",
    [
        records.Rotate(True, b"kid!", 128, 0, b""),
        records.Rotate(True, b"kid!", 128, 100, b"x" * 29),
        records.Rotate(True, b"kid!", 4096, 0, b"x" * 1025),
    ],
)
def test_rotate_when_its_piece_is_out_of_bounds_then_refused(record: records.Rotate) -> None:
    with pytest.raises(WireError):
        records.decode_records(records.encode_records([record]))
