"""The CPG core without libqb: requests, fragments, refusals, and what a stock daemon sends."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import ClusterError, CsError, UsageError, WireError
from unisono.base.ids import NodeId, Pid, RingId, RingSeq
from unisono.base.limits import (
    CLIENT_UNSENT_BYTES_MAX,
    CPG_ATOMIC_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    PARTIAL_SENDERS_MAX,
)
from unisono.client.assembly import Assembly
from unisono.client.core import Added, State
from unisono.client.cpg import CpgCore
from unisono.client.values import Batch, Member, Reason, Ring, View
from unisono.wire.ipc import cpg, qb

ME = cpg.Member(NodeId(1), Pid(100))
OTHER = cpg.Member(NodeId(2), Pid(200))
LARGE = bytes(range(256)) * 4096


def answer(core: CpgCore, error: int = CsError.OK) -> bool:
    return core.answer(qb.encode_status(0, error))


def request(core: CpgCore) -> bytes:
    """The request at the front of the output."""
    return b"".join(core.output[0].pieces)


def joined(*, rings: bool = False) -> CpgCore:
    core = CpgCore(100)
    core.greet()
    assert request(core) == cpg.encode_local_get()
    core.answer(cpg.encode_local_get_reply(1))
    core.join(b"g", rings=rings)
    assert request(core) == cpg.encode_join(b"g", 100, int(rings))
    answer(core)
    core.receive([cpg.encode_confchg(b"g", [ME], [], [ME._replace(reason=1)])])
    assert core.take() == View((core.me,), {core.me: Reason.JOIN}, {})
    assert not core.output
    return core


def test_core_when_greeted_with_an_error_then_refused() -> None:
    core = CpgCore(100)
    core.greet()
    core.answer(cpg.encode_local_get_reply(0, CsError.ACCESS))
    assert core.refused is CsError.ACCESS and core.state is State.GREETING


def test_join_when_refused_then_ready_again() -> None:
    core = CpgCore(100)
    core.greet()
    core.answer(cpg.encode_local_get_reply(1))
    core.join(b"g", rings=False)
    answer(core, CsError.TRY_AGAIN)
    assert core.state is State.READY and core.refused is CsError.TRY_AGAIN


def test_leave_when_own_leave_is_seen_then_left() -> None:
    core = joined()
    core.leave()
    assert request(core) == cpg.encode_leave(b"g", 100)
    answer(core)
    core.receive([cpg.encode_confchg(b"g", [], [ME._replace(reason=2)], [])])
    assert core.state is State.LEFT


@pytest.mark.parametrize(("safe", "guarantee"), [(False, 2), (True, 3)])
def test_send_when_small_then_one_multicast(safe: bool, guarantee: int) -> None:
    core = joined()
    assert core.add(b"one", safe) is Added.FIRST
    assert core.add(b"two") is Added.BUFFERED
    front = core.output[0]
    assert front.multicast and not front.called
    assert cpg.decode_mcast(memoryview(request(core))) == (guarantee, b"one")
    core.sent()
    assert cpg.decode_mcast(memoryview(request(core)))[1] == b"two"


def test_send_when_much_is_unsent_then_full_until_it_is_sent() -> None:
    core = joined()
    half = bytes(CLIENT_UNSENT_BYTES_MAX // 2)
    assert [core.add(half), core.add(half), core.add(b"x")] == [
        Added.FIRST,
        Added.BUFFERED,
        Added.FULL,
    ]
    for _ in range(3):
        core.sent()
    assert core.add(half) is Added.FIRST


def test_send_many_when_much_then_stops_at_the_bound() -> None:
    core = joined()
    payloads = [bytes(CLIENT_UNSENT_BYTES_MAX // 4)] * 10
    assert core.add_many(payloads, 0) == 5
    assert core.add_many(payloads, 9) == 10


@pytest.mark.parametrize("size", [CPG_ATOMIC_BYTES_MAX, MESSAGE_BYTES_MAX])
def test_send_when_large_then_in_as_few_requests_as_possible(size: int) -> None:
    core = joined()
    core.add(LARGE[:size])
    fragments = []
    if size == CPG_ATOMIC_BYTES_MAX:
        assert len(request(core)) == 1024 * 1024 - 1024 + 40
        return
    while core.output:
        part = cpg.decode_partial_mcast(memoryview(request(core)))
        fragments.append((part.fragment, part.message_bytes, len(part.payload)))
        assert answer(core)
    assert fragments == [
        (cpg.Fragment.FIRST, size, CPG_ATOMIC_BYTES_MAX),
        (cpg.Fragment.LAST, size, size - CPG_ATOMIC_BYTES_MAX),
    ]


def test_fragment_when_a_view_came_between_then_from_the_first_again() -> None:
    core = joined()
    assert core.add(LARGE) is Added.FULL
    assert answer(core)
    assert not answer(core, CsError.TRY_AGAIN)
    assert cpg.decode_partial_mcast(memoryview(request(core))).fragment == cpg.Fragment.LAST
    assert not answer(core, CsError.INTERRUPT)
    assert cpg.decode_partial_mcast(memoryview(request(core))).fragment == cpg.Fragment.FIRST
    assert core.add(b"after") is Added.FULL  # somebody must wait for the replies
    assert answer(core) and answer(core)
    assert cpg.decode_mcast(memoryview(request(core)))[1] == b"after"


def test_fragment_when_refused_for_good_then_wire_error() -> None:
    core = joined()
    core.add(LARGE)
    with pytest.raises(WireError):
        answer(core, CsError.NOT_EXIST)


def test_send_when_too_big_or_not_joined_then_refused() -> None:
    core = joined()
    with pytest.raises(ClusterError) as caught:
        core.add(bytes(MESSAGE_BYTES_MAX + 1))
    assert caught.value.code is CsError.TOO_BIG
    core.leave()
    with pytest.raises(UsageError):
        core.add(b"late")


def test_events_when_they_come_then_messages_of_one_sender_are_one_batch() -> None:
    core = joined(rings=True)
    ring = RingId(NodeId(1), RingSeq(8))
    core.receive(
        [
            cpg.encode_deliver(b"g", 2, 200, b"1"),
            cpg.encode_deliver(b"g", 2, 200, b"2"),
            cpg.encode_deliver(b"g", 1, 100, b"3"),
            cpg.encode_totem_confchg(ring, [1, 2]),
            cpg.encode_deliver(b"g", 1, 100, b"4"),
            cpg.encode_confchg(b"g", [ME], [OTHER._replace(reason=3)], []),
        ]
    )
    other = Member(NodeId(2), Pid(200))
    assert [core.take() for _ in range(6)] == [
        Batch(other, [b"1", b"2"]),
        Batch(core.me, [b"3"]),
        Ring(ring, (NodeId(1), NodeId(2))),
        Batch(core.me, [b"4"]),
        View((core.me,), {}, {other: Reason.NODEDOWN}),
        None,
    ]
    assert core.inbox_bytes == 0


def test_events_when_of_another_group_then_ignored_and_unknown_ones_are_wrong() -> None:
    core = joined()
    core.receive([cpg.encode_confchg(b"other", [ME], [], [])])
    assert core.take() is None
    with pytest.raises(WireError):
        core.receive([qb.encode_status(99, 1)])


@given(st.binary(max_size=300))
def test_event_when_it_is_random_then_only_wire_error_escapes(junk: bytes) -> None:
    core = joined()
    for ident in (4, 5, 13, 17):
        event = qb.RESPONSE_HEADER.pack(ident, 24 + len(junk), 1) + junk
        for data in (junk, event):
            with suppress(WireError):
                core.receive([data])


def test_members_when_asked_then_read_from_the_reply() -> None:
    core = joined()
    question = core.ask_members(b"h")
    core.answer(cpg.encode_membership_reply([ME, OTHER]))
    reply = core.forget(question)
    assert reply is not None
    assert core.read_members(reply.body) == (core.me, Member(NodeId(2), Pid(200)))
    with pytest.raises(ClusterError) as caught:
        core.ask_status()
    assert caught.value.code is CsError.NOT_SUPPORTED


# -- fragments that come in ------------------------------------------------------------------------


def part(node: int, fragment: cpg.Fragment, payload: bytes, message_bytes: int) -> bytes:
    header = cpg.partial_deliver_header(
        cpg.encode_name(b"g"),
        node,
        9,
        message_bytes=message_bytes,
        payload_bytes=len(payload),
        fragment=fragment,
    )
    return header + payload


def test_fragments_when_senders_interleave_then_each_message_is_whole() -> None:
    core = joined()
    first, middle, last = cpg.Fragment
    core.receive([part(1, first, b"a", 3), part(2, first, b"x", 2), part(1, middle, b"b", 3)])
    core.receive([part(2, last, b"y", 2), part(1, last, b"c", 3)])
    assert core.take() == Batch(Member(NodeId(2), Pid(9)), [b"xy"])
    assert core.take() == Batch(Member(NodeId(1), Pid(9)), [b"abc"])


@pytest.mark.parametrize(
    "parts",
    [
        [(cpg.Fragment.LAST, b"no first", 8)],
        [(cpg.Fragment.FIRST, b"ab", 5), (cpg.Fragment.LAST, b"c", 5)],
        [(cpg.Fragment.FIRST, b"ab", 3), (cpg.Fragment.LAST, b"cd", 3)],
    ],
    ids=["no-first", "too-short", "too-long"],
)
def test_fragments_when_they_do_not_add_up_then_the_message_is_dropped(
    parts: list[tuple[cpg.Fragment, bytes, int]],
) -> None:
    core = joined()
    core.receive([part(2, *fields) for fields in parts])
    assert core.take() is None


def test_fragments_when_the_sender_leaves_or_begins_again_then_the_rest_is_forgotten() -> None:
    core = joined()
    gone = cpg.Member(NodeId(2), Pid(9), 3)
    core.receive([part(2, cpg.Fragment.FIRST, b"a", 2)])
    core.receive([cpg.encode_confchg(b"g", [ME], [gone], [])])
    core.take()
    core.receive([part(2, cpg.Fragment.LAST, b"b", 2)])
    assert core.take() is None
    core.receive([part(2, cpg.Fragment.FIRST, b"x", 2), part(2, cpg.Fragment.FIRST, b"a", 2)])
    core.receive([part(2, cpg.Fragment.LAST, b"b", 2)])
    assert core.take() == Batch(Member(NodeId(2), Pid(9)), [b"ab"])


def test_assembly_when_too_many_senders_then_further_ones_are_dropped() -> None:
    assembly = Assembly()
    for node in range(PARTIAL_SENDERS_MAX + 1):
        sender = Member(NodeId(node), Pid(1))
        event = cpg.decode_partial_deliver(memoryview(part(node, cpg.Fragment.FIRST, b"a", 2)))
        assert assembly.add(sender, event) is None
    assert assembly.dropped == 1
