"""The native stream: every frame round-trips, every cut frame is refused by WireError alone."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import UsageError, WireError
from unisono.base.ids import RingId
from unisono.base.limits import NATIVE_FRAME_BYTES_MAX
from unisono.wire import native
from unisono.wire.native import Kind, Member

U32 = st.integers(0, 0xFFFF_FFFF)
I32 = st.integers(-(1 << 31), (1 << 31) - 1)
U64 = st.integers(0, (1 << 64) - 1)
NAMES = st.binary(max_size=128)
MEMBERS = st.lists(st.builds(Member, U32, U32, U32), max_size=5)
RINGS = st.builds(RingId, U32, U64)

TO_DAEMON = st.one_of(
    st.builds(native.Hello, U32),
    st.builds(native.Join, NAMES, st.booleans()),
    st.just(native.Leave()),
    st.builds(native.Send, st.binary(max_size=50), st.booleans()),
    st.builds(native.Query, U32, U32, NAMES),
    st.builds(native.Keyring, U32, st.integers(0, 255), st.booleans(), U32, st.binary(max_size=50)),
)
TO_CLIENT = st.one_of(
    st.builds(native.Welcome, U32, U32, U32, RINGS),
    st.builds(native.Reply, U32, I32),
    st.builds(native.View, MEMBERS, MEMBERS, MEMBERS),
    st.builds(native.Ring, RINGS, st.lists(U32, max_size=5)),
    st.builds(native.Block, U32, U32, st.binary(max_size=50)),
    st.builds(native.Answer, U32, I32, st.binary(max_size=50)),
    st.builds(native.Progress, U32, st.binary(max_size=50)),
)


def encode(frame: native.ToDaemon | native.ToClient) -> bytes:
    match frame:
        case native.Hello(version):
            return native.encode_hello(version)
        case native.Join(name, rings):
            return native.encode_join(name, rings=rings)
        case native.Leave():
            return native.encode_leave()
        case native.Send(block, safe):
            return native.encode_send(block, safe=safe)
        case native.Query(request, what, argument):
            return native.encode_query(request, what, argument)
        case native.Keyring(request, verb, is_forced, timeout_ms, argument):
            return native.encode_keyring(
                request, verb, argument, force=is_forced, timeout_ms=timeout_ms
            )
        case native.Progress(request, body):
            return native.encode_progress(request, body)
        case native.Welcome(version, node_id, pid, ring):
            return native.encode_welcome(node_id, pid, ring, version)
        case native.Reply(kind, error):
            return native.encode_reply(kind, error)
        case native.View(members, joined, left):
            return native.encode_view(members, joined, left)
        case native.Ring(ring, nodes):
            return native.encode_ring(ring, nodes)
        case native.Block(node_id, pid, block):
            return native.encode_block_frame(node_id, pid, block)
        case native.Answer(request, error, body):
            return native.encode_answer(request, body, error)


@given(TO_DAEMON)
def test_request_when_decoded_then_equals_what_was_encoded(frame: native.ToDaemon) -> None:
    assert native.decode_to_daemon(memoryview(encode(frame))) == frame


@given(TO_CLIENT)
def test_event_when_decoded_then_equals_what_was_encoded(frame: native.ToClient) -> None:
    assert native.decode_to_client(memoryview(encode(frame))) == frame


@given(st.one_of(TO_DAEMON, TO_CLIENT))
def test_frame_when_cut_or_extended_at_any_byte_then_wire_error(
    frame: native.ToDaemon | native.ToClient,
) -> None:
    whole = encode(frame)
    decode = native.decode_to_daemon if whole[4] < Kind.WELCOME else native.decode_to_client
    for cut in [*(whole[:length] for length in range(len(whole))), whole + b"\0"]:
        with pytest.raises(WireError):
            decode(memoryview(cut))


@given(st.one_of(TO_DAEMON, TO_CLIENT), st.integers(0, 200))
def test_body_when_cut_under_a_right_header_then_wire_error_or_another_meaning(
    frame: native.ToDaemon | native.ToClient, cut: int
) -> None:
    whole = encode(frame)
    body = whole[8:][:cut]
    damaged = memoryview(native.frame_header(whole[4], len(body), whole[5]) + body)
    for decode in (native.decode_to_daemon, native.decode_to_client):
        with contextlib.suppress(WireError):
            assert encode(decode(damaged)) == damaged


@given(st.binary(max_size=60))
def test_frame_when_bytes_are_random_then_only_wire_error_escapes(junk: bytes) -> None:
    framed = len(junk + b"x" * 8).to_bytes(4, "little") + junk + b"x" * 4
    for view in (memoryview(junk), memoryview(framed)):
        for decode in (native.decode_to_daemon, native.decode_to_client, native.decode_view_body):
            with contextlib.suppress(WireError):
                decode(view)


@given(st.lists(TO_CLIENT, max_size=6), st.data())
def test_stream_when_split_anywhere_then_gives_each_frame_once(
    frames: list[native.ToClient], data: st.DataObject
) -> None:
    wholes = [encode(frame) for frame in frames]
    stream = b"".join(wholes)
    cut = data.draw(st.integers(0, len(stream)))
    first, used = native.split_frames(memoryview(stream)[:cut])
    second, rest = native.split_frames(memoryview(stream)[used:])
    assert [bytes(view) for view in first + second] == wholes
    assert used + rest == len(stream)


@pytest.mark.parametrize("length", [0, 7, NATIVE_FRAME_BYTES_MAX + 1, 0xFFFF_FFFF])
def test_stream_when_a_length_is_impossible_then_wire_error_at_once(length: int) -> None:
    good = native.encode_leave()
    with pytest.raises(WireError):
        native.split_frames(memoryview(good + length.to_bytes(4, "little") + b"\x04\0\0\0"))


@pytest.mark.parametrize(
    "frame",
    [
        native.encode_leave()[:6] + b"\1\0",
        native.frame_header(Kind.LEAVE, 0, 1),
        native.frame_header(Kind.SEND, 0, 2),
        native.frame_header(Kind.JOIN, 129) + b"n" * 129,
        native.frame_header(99, 0),
    ],
    ids=["reserved", "flag-of-leave", "unknown-flag", "long-name", "unknown-kind"],
)
def test_request_when_it_breaks_a_rule_then_wire_error(frame: bytes) -> None:
    with pytest.raises(WireError):
        native.decode_to_daemon(memoryview(frame))


def test_client_when_it_speaks_as_the_daemon_then_wire_error() -> None:
    with pytest.raises(WireError):
        native.decode_to_daemon(memoryview(native.encode_reply(Kind.JOIN)))
    with pytest.raises(WireError):
        native.decode_to_client(memoryview(native.encode_leave()))


def test_frame_when_too_long_to_send_then_usage_error() -> None:
    with pytest.raises(UsageError):
        native.send_header(NATIVE_FRAME_BYTES_MAX)
    with pytest.raises(UsageError):
        native.block_header(1, 2, NATIVE_FRAME_BYTES_MAX)
    with pytest.raises(UsageError):
        native.encode_join(b"n" * 129)


def test_keyring_when_shown_then_without_the_key() -> None:
    frame = native.encode_keyring(1, native.Verb.INSTALL, b"s3cret" * 30)
    assert "s3cret" not in repr(native.decode_to_daemon(memoryview(frame)))


@given(TO_CLIENT)
def test_block_when_split_then_as_decoded_and_for_other_frames_none(
    message: native.ToClient,
) -> None:
    frame = memoryview(encode(message))
    if isinstance(message, native.Block):
        assert native.split_block(frame) == (message.node_id, message.pid, message.block)
        for damaged in (frame[:12], bytes(frame[:5]) + b"\1" + bytes(frame[6:])):
            assert native.split_block(memoryview(damaged)) is None
    else:
        assert native.split_block(frame) is None


def test_frame_bytes_when_asked_for_a_place_then_of_the_frame_that_begins_there() -> None:
    stream = native.encode_leave() + native.encode_hello()
    assert [native.frame_bytes(stream, start) for start in (0, 8)] == [8, 12]
