"""The native core without a socket: batching, order, bounds, and nonsense from the daemon."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError, WireError
from unisono.base.ids import NodeId, RingId, RingSeq
from unisono.base.limits import BLOCK_BYTES_MAX, CLIENT_ANSWERS_MAX, MESSAGE_BYTES_MAX
from unisono.client.core import Added, State
from unisono.client.native import NativeCore
from unisono.client.values import Batch, Gap, Member, Reason, Ring, View
from unisono.wire import native
from unisono.wire.block import decode_block, encode_block

RING = RingId(NodeId(1), RingSeq(4))
ME = native.Member(NodeId(1), 100)
OTHER = native.Member(NodeId(2), 200)


def feed(core: NativeCore, stream: bytes) -> None:
    """Let the bytes come, in reads as large as the core has room for."""
    rest = memoryview(stream)
    while rest:
        room = core.room()
        count = min(len(room), len(rest))
        room[:count] = rest[:count]
        core.received(count)
        rest = rest[count:]


def drain(core: NativeCore, *, everything: bool = True) -> bytes:
    """What is to be sent now, as if the socket took it all."""
    if everything:
        core.finish()
    stream = b""
    while pieces := core.output():
        sent = b"".join(pieces)
        core.sent(len(sent))
        stream += sent
    assert not core.unsent_bytes
    return stream


def ready() -> NativeCore:
    core = NativeCore()
    core.greet()
    drain(core)
    feed(core, native.encode_welcome(1, 100, RING))
    assert core.state is State.READY
    return core


def joined(*, rings: bool = False) -> NativeCore:
    core = ready()
    core.join(b"g", rings=rings)
    drain(core)
    feed(core, native.encode_reply(native.Kind.JOIN) + native.encode_view([ME], [ME], []))
    core.take()
    return core


def sent_blocks(core: NativeCore, *, everything: bool = True) -> list[tuple[bool, list[bytes]]]:
    """(safe, messages) of each SEND that the core would send now."""
    frames, _ = native.split_frames(memoryview(drain(core, everything=everything)))
    sends = [native.decode_to_daemon(frame) for frame in frames]
    return [
        (send.safe, decode_block(bytes(send.block)))
        for send in sends
        if isinstance(send, native.Send)
    ]


def test_core_when_greeted_then_knows_itself() -> None:
    core = ready()
    assert core.me == Member(NodeId(1), 100)


def test_join_when_own_view_comes_then_joined_and_the_view_waits() -> None:
    core = ready()
    core.join(b"g", rings=False)
    feed(core, native.encode_reply(native.Kind.JOIN))
    assert core.state is State.JOINING
    feed(core, native.encode_view([OTHER], [OTHER._replace(reason=1)], []))
    assert core.state is State.JOINING
    feed(core, native.encode_view([ME, OTHER], [ME._replace(reason=1)], []))
    assert core.state is State.JOINED
    assert core.members == (Member(NodeId(1), 100), Member(NodeId(2), 200))
    assert core.take() == View(core.members, {core.me: Reason.JOIN}, {})
    assert core.take() is None


def test_join_when_refused_then_ready_to_try_again() -> None:
    core = ready()
    core.join(b"g", rings=False)
    feed(core, native.encode_reply(native.Kind.JOIN, CsError.EXIST))
    assert core.state is State.READY and core.refused is CsError.EXIST
    core.join(b"g", rings=False)
    assert core.refused is None


def test_join_when_name_is_too_long_then_refused_here() -> None:
    core = ready()
    with pytest.raises(ClusterError) as caught:
        core.join(b"n" * 129, rings=False)
    assert caught.value.code is CsError.NAME_TOO_LONG
    assert core.state is State.READY


def test_leave_when_own_leave_is_seen_then_left_and_unread_events_are_gone() -> None:
    core = joined()
    feed(core, native.encode_block_frame(2, 200, encode_block([b"unread"])))
    core.add(b"last")
    core.leave()
    stream = drain(core)
    assert stream.index(b"last") < stream.index(native.encode_leave())
    feed(core, native.encode_block_frame(2, 200, encode_block([b"late"])))
    feed(core, native.encode_reply(native.Kind.LEAVE))
    assert core.state is State.LEAVING
    feed(core, native.encode_view([OTHER], [], [ME._replace(reason=2)]))
    assert core.state is State.LEFT
    assert core.take() is None
    assert core.inbox_bytes == 0


def test_leave_when_refused_then_still_joined() -> None:
    core = joined()
    core.leave()
    feed(core, native.encode_reply(native.Kind.LEAVE, CsError.TRY_AGAIN))
    assert core.state is State.JOINED and core.refused is CsError.TRY_AGAIN


def test_send_when_several_in_a_turn_then_one_block() -> None:
    core = joined()
    assert [core.add(b"a"), core.add(b"b"), core.add(b"c")] == [
        Added.FIRST,
        Added.BUFFERED,
        Added.BUFFERED,
    ]
    assert sent_blocks(core) == [(False, [b"a", b"b", b"c"])]
    assert drain(core) == b""
    assert core.add(b"d") is Added.FIRST


def test_send_when_the_block_is_full_then_only_the_full_one_leaves_at_once() -> None:
    core = joined()
    half = bytes(BLOCK_BYTES_MAX // 2 - 8)
    assert core.add(half) is Added.FIRST
    assert core.add(half) is Added.BUFFERED
    assert core.add(b"x") is Added.FULL
    assert sent_blocks(core, everything=False) == [(False, [half, half])]
    assert sent_blocks(core) == [(False, [b"x"])]


def test_send_when_the_guarantee_changes_then_order_is_kept_in_blocks() -> None:
    core = joined()
    core.add(b"1")
    core.add(b"2", True)
    core.add(b"3", True)
    core.add(b"4")
    assert sent_blocks(core) == [(False, [b"1"]), (True, [b"2", b"3"]), (False, [b"4"])]


def test_send_when_larger_than_a_block_then_a_block_of_its_own() -> None:
    core = joined()
    large = bytes(BLOCK_BYTES_MAX + 1)
    core.add(b"before")
    assert core.add(large) is Added.FULL
    assert core.add(b"after") is Added.FIRST
    assert [messages for _, messages in sent_blocks(core)] == [[b"before"], [large], [b"after"]]


def test_send_when_above_one_mebibyte_then_too_big_and_nothing_is_queued() -> None:
    core = joined()
    core.add(bytes(MESSAGE_BYTES_MAX))
    drain(core)
    for send in (
        lambda: core.add(bytes(MESSAGE_BYTES_MAX + 1)),
        lambda: core.add_many([b"ok", bytes(MESSAGE_BYTES_MAX + 1)], 0),
    ):
        with pytest.raises(ClusterError) as caught:
            send()
        assert caught.value.code is CsError.TOO_BIG and caught.value.definite
        assert drain(core) == b""


def test_send_when_the_buffer_changes_later_then_the_message_does_not() -> None:
    core = joined()
    data = bytearray(b"then")
    core.add(data)
    core.add_many([memoryview(data)], 0)
    data[:] = b"late"
    assert sent_blocks(core) == [(False, [b"then", b"then"])]


@pytest.mark.parametrize("data", ["text", 5, None], ids=str)
def test_send_when_it_is_no_buffer_then_type_error(data: object) -> None:
    core = joined()
    with pytest.raises(TypeError):
        core.add(data)  # type: ignore[arg-type]  # the mistake that is tested


@given(
    st.lists(st.integers(0, 3 * BLOCK_BYTES_MAX // 2).map(bytes), max_size=30),
    st.lists(st.binary(max_size=9), max_size=5),
    st.booleans(),
)
def test_send_many_when_of_any_sizes_then_blocks_are_bounded_and_in_order(
    messages: list[bytes], before: list[bytes], safe: bool
) -> None:
    core = joined()
    for message in before:
        core.add(message)
    blocks, start = [], 0
    while start < len(messages):
        start = core.add_many(messages, start, safe)
        blocks += sent_blocks(core, everything=start == len(messages))
    blocks += sent_blocks(core)
    assert [message for _, block in blocks for message in block] == before + messages
    for _, block in blocks:
        assert len(block) == 1 or len(encode_block(block)) <= BLOCK_BYTES_MAX


def test_send_when_not_joined_then_usage_error_and_when_lost_then_connection_lost() -> None:
    core = ready()
    with pytest.raises(UsageError):
        core.add(b"x")
    core.fail("gone")
    with pytest.raises(ConnectionLost, match="gone"):
        core.add(b"x")
    with pytest.raises(ConnectionLost):
        core.add_many([b"x"], 0)


def test_events_when_they_come_then_are_taken_in_order() -> None:
    core = joined(rings=True)
    ring = RingId(NodeId(1), RingSeq(8))
    feed(
        core,
        native.encode_block_frame(2, 200, encode_block([b"1", b"2"]))
        + native.encode_ring(ring, [1, 2])
        + native.encode_view([ME, OTHER], [], [native.Member(NodeId(3), 300, 3)])
        + native.encode_block_frame(1, 100, encode_block([b"3"])),
    )
    other, gone = Member(NodeId(2), 200), Member(NodeId(3), 300)
    assert core.take() == Batch(other, [b"1", b"2"])
    assert core.take() == Ring(ring, (NodeId(1), NodeId(2)))
    assert core.members == (core.me,)
    assert core.take() == View((core.me, other), {}, {gone: Reason.NODEDOWN})
    assert core.members == (core.me, other)
    assert core.take() == Batch(core.me, [b"3"])
    assert core.take() is None
    assert core.inbox_bytes == 0


def test_rings_when_not_asked_for_then_not_given() -> None:
    core = joined()
    feed(core, native.encode_ring(RING, [1]))
    assert core.take() is None


def test_block_when_a_member_sent_nonsense_then_it_alone_is_dropped() -> None:
    core = joined()
    feed(core, native.encode_block_frame(2, 200, b"\xff\xff\xff\xffnonsense"))
    feed(core, native.encode_block_frame(2, 200, encode_block([b"good"])))
    assert core.take() == Batch(Member(NodeId(2), 200), [b"good"])
    assert core.dropped_blocks == 1
    assert core.inbox_bytes == 0


def test_view_when_its_reason_is_unknown_then_undefined() -> None:
    core = joined()
    feed(core, native.encode_view([ME], [], [native.Member(NodeId(3), 300, 77)]))
    view = core.take()
    assert isinstance(view, View)
    assert list(view.left.values()) == [Reason.UNDEFINED]


@given(st.data())
def test_stream_when_cut_anywhere_then_events_are_the_same(data: st.DataObject) -> None:
    stream = b"".join(
        native.encode_block_frame(2, 200, encode_block([bytes([n])] * n)) for n in range(1, 6)
    )
    core = joined()
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        feed(core, stream[:cut])
        stream = stream[cut:]
    taken = []
    while (item := core.take()) is not None:
        assert isinstance(item, Batch)
        taken.append(list(item.payloads))
    assert taken == [[bytes([n])] * n for n in range(1, 6)]


@given(st.binary(max_size=60))
def test_stream_when_it_is_random_then_only_wire_error_escapes(junk: bytes) -> None:
    core = joined()
    framed = (len(junk) + 8).to_bytes(4, "little") + junk + bytes(4)
    for stream in (junk, framed):
        try:
            feed(core, stream)
        except WireError:
            core = joined()


def test_welcome_when_of_another_version_then_refused() -> None:
    core = NativeCore()
    feed(core, native.encode_welcome(1, 100, RING, version=2))
    assert core.refused is CsError.VERSION and core.state is State.GREETING


def test_core_when_lost_then_what_came_before_can_be_taken() -> None:
    core = joined()
    feed(core, native.encode_block_frame(2, 200, encode_block([b"before"])))
    core.fail("gone")
    assert isinstance(core.take(), Batch)
    with pytest.raises(ConnectionLost):
        core.check()


def test_core_when_it_continues_after_a_lost_one_then_rest_gap_and_view() -> None:
    before, after = joined(), joined()
    feed(before, native.encode_block_frame(2, 200, encode_block([b"rest"])))
    before.fail("gone")
    feed(after, native.encode_view([ME], [], []))
    after.continue_after(before)
    assert [type(after.take()) for _ in range(4)] == [Batch, Gap, View, type(None)]
    assert after.inbox_bytes == 0


def test_questions_when_too_many_wait_then_no_resources_and_forgotten_ones_make_room() -> None:
    core = ready()
    questions = [core.ask_members(b"g") for _ in range(CLIENT_ANSWERS_MAX)]
    with pytest.raises(ClusterError):
        core.ask_status()
    assert core.forget(questions[0]) is None
    question = core.ask_status()
    feed(core, native.encode_answer(questions[0], b"nobody waits"))
    feed(core, native.encode_answer(question, b"{}"))
    assert not core.has_answer(questions[0])
    assert core.has_answer(question)
    answer = core.forget(question)
    assert answer is not None and answer.body == b"{}"


@given(
    st.lists(st.integers(0, 9_000).map(bytes), max_size=20),
    st.lists(st.integers(1, 20_000), min_size=1, max_size=9),
)
def test_output_when_the_socket_takes_parts_then_every_byte_once(
    messages: list[bytes], parts: list[int]
) -> None:
    core, whole, stream = joined(), joined(), b""
    core.add_many(messages, 0)
    whole.add_many(messages, 0)
    core.finish()
    turn = 0
    while pieces := core.output():
        taken = b"".join(pieces)[: parts[turn % len(parts)]]
        core.sent(len(taken))
        stream += taken
        turn += 1
    assert stream == drain(whole)
    assert core.unsent_bytes == 0


def test_output_when_a_message_is_large_then_it_is_not_copied() -> None:
    core, large = joined(), bytes(MESSAGE_BYTES_MAX)
    core.add(large)
    assert [piece for piece in core.output() if piece is large] == [large]
    assert core.unsent_bytes == MESSAGE_BYTES_MAX + native.HEADER_BYTES + 8


def test_output_when_very_many_pieces_wait_then_a_gathering_write_takes_some() -> None:
    core = joined()
    for number in range(2_000):
        core.add(b"%d" % number, number % 2 == 0)
    core.finish()
    assert len(core.output()) <= 1_024
    assert [block for _, block in sent_blocks(core)] == [[b"%d" % n] for n in range(2_000)]


def test_send_many_when_too_much_is_unsent_then_nothing_is_taken_until_it_is_sent() -> None:
    core = joined()
    start = core.add_many([bytes(100_000)] * 100, 0)
    assert 0 < start < 100
    assert core.add_many([b"x"], 0) == 0
    drain(core)
    assert core.add_many([b"x"], 0) == 1


def test_message_when_alone_in_its_block_then_bytes_of_its_own() -> None:
    core = joined()
    feed(core, native.encode_block_frame(2, 200, encode_block([b"alone"])))
    feed(core, native.encode_block_frame(2, 200, encode_block([b"later"])))
    first = core.take()
    assert isinstance(first, Batch)
    assert type(first.payloads[0]) is bytes and first.payloads == [b"alone"]


@pytest.mark.parametrize("more", [0, 1])
def test_send_many_when_the_list_just_fills_the_block_then_one_and_else_two(more: int) -> None:
    core, half = joined(), BLOCK_BYTES_MAX // 2
    core.add(b"1234")
    assert core.add_many([bytes(half - 8), bytes(half - 12 + more)], 0) == 2
    assert len(sent_blocks(core, everything=False)) == more
    assert core.add_many([], 0) == 0
    assert core.add(b"x") is (Added.BUFFERED if more else Added.FULL)
    assert all(len(encode_block(block)) <= BLOCK_BYTES_MAX for _, block in sent_blocks(core))


def test_send_many_when_the_list_is_empty_then_no_block_is_opened() -> None:
    core = joined()
    assert core.add_many([], 0) == 0
    assert core.add(b"x") is Added.FIRST
