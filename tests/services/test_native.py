"""Native clients: frames, blocks on an all-native ring, conversion on every other."""

import json
from collections.abc import Callable

import pytest

from tests.services.bus import Bus, LibcpgClient, Message, NativeClient, View, cluster
from unisono.base.errors import CsError
from unisono.base.group import Guarantee
from unisono.base.ids import NodeId
from unisono.base.limits import CPG_ATOMIC_BYTES_MAX, MESSAGE_BYTES_MAX
from unisono.base.marks import Mark
from unisono.wire import native as stream
from unisono.wire.block import encode_block
from unisono.wire.service.header import GROUP_NATIVE, GROUP_SERVICES

SendBlock = Callable[..., None]


def pair(bus: Bus) -> tuple[NativeClient, LibcpgClient, NativeClient]:
    """A native and a libcpg client on node 1, a native one on node 2, all in one group."""
    clients = bus.native(1), bus.libcpg(1), bus.native(2)
    for client in clients:
        assert client.join(b"g") == CsError.OK
    bus.settle()
    for client in clients:
        client.events.clear()
    bus.sent.clear()
    return clients


def groups_used(bus: Bus) -> set[bytes]:
    return {message.group for _, _, message in bus.sent}


def test_hello_when_sent_then_welcome_tells_who_and_where() -> None:
    bus = cluster(2)
    client = bus.native(2, pid=99)
    ring = bus.nodes[NodeId(2)].ring
    assert ring is not None
    assert client.welcome == stream.Welcome(stream.VERSION, NodeId(2), client.pid, ring)


@pytest.mark.parametrize(
    "frame",
    [
        stream.encode_hello(2),
        stream.encode_hello()[:-1],
        b"",
        stream.encode_reply(stream.Kind.JOIN),
        stream.frame_header(99, 0),
        stream.frame_header(stream.Kind.JOIN, 129) + bytes(129),
        stream.frame_header(stream.Kind.LEAVE, 0, 1),
    ],
)
def test_frame_when_broken_then_the_client_is_dropped(frame: bytes) -> None:
    client = cluster(1).native(1)
    assert client.ask(frame) is None
    assert client.is_dropped


def test_frame_when_hello_did_not_come_first_then_the_client_is_dropped() -> None:
    class Hasty(NativeClient):
        def greet(self) -> None:
            self.ask(stream.encode_join(b"g"))

    bus = cluster(1)
    client = Hasty(bus, bus.nodes[NodeId(1)])
    assert client.is_dropped


def test_join_when_rings_are_wanted_then_view_then_ring_and_again_after_a_change() -> None:
    bus = cluster(2)
    client, deaf = bus.native(1), bus.native(1)
    assert client.join(b"g", rings=True) == CsError.OK
    bus.settle()
    deaf.join(b"h")
    bus.settle()
    view, ring = client.events
    assert view == View((client.key,), (), ((*client.key, 1),))
    assert client.rings == [ring]
    bus.form([1])
    bus.settle()
    assert [one.members for one in client.rings] == [(1, 2), (1,)]
    assert deaf.rings == []
    assert client.leave() == CsError.OK
    bus.settle()
    bus.form([1, 2])
    bus.settle()
    assert len(client.rings) == 2


def test_leave_when_delivered_then_the_view_shows_it_and_join_works_again() -> None:
    bus = cluster(1)
    client = bus.native(1)
    assert client.leave() == CsError.NOT_EXIST
    client.join(b"g")
    bus.settle()
    client.events.clear()
    assert client.leave() == CsError.OK
    bus.settle()
    assert client.events == [View((), ((*client.key, 2),), ())]
    assert client.join(b"other") == CsError.OK


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_block_when_ring_is_native_then_it_travels_whole(guarantee: Guarantee) -> None:
    bus = cluster(2)
    native, libcpg, remote = pair(bus)
    data = [b"one", b"", b"three" * 100]
    native.send(*data, guarantee=guarantee)
    bus.settle()
    ((_, _, message),) = bus.sent
    assert (message.group, message.guarantee) == (GROUP_NATIVE, guarantee)
    assert bytes(message.payload).endswith(encode_block(data))
    expected = [Message(1, native.pid, one) for one in data]
    assert native.events == libcpg.events == remote.events == expected
    assert [bytes(block.block) for block in remote.blocks] == [encode_block(data)]


def test_block_when_a_member_is_stock_then_it_becomes_cpg_messages_for_all() -> None:
    bus = cluster(3, stock=[3])
    native, libcpg, remote = pair(bus)
    corosync = bus.libcpg(3)
    corosync.join(b"g")
    bus.settle()
    for client in (native, libcpg, remote, corosync):
        client.events.clear()
    bus.sent.clear()
    native.send(b"one", b"", b"three", guarantee=Guarantee.SAFE)
    corosync.send(b"back")
    bus.settle()
    assert groups_used(bus) == {GROUP_SERVICES}
    assert [one.guarantee for _, who, one in bus.sent if who == 1] == [Guarantee.SAFE] * 3
    own = [one for one in native.messages if one.pid == native.pid]
    assert own == [Message(1, native.pid, one) for one in (b"one", b"", b"three")]
    assert Message(3, corosync.pid, b"back") in native.messages
    assert native.events == libcpg.events == remote.events == corosync.events


@pytest.mark.parametrize("stock", [[], [2]])
@pytest.mark.parametrize(
    "size", [CPG_ATOMIC_BYTES_MAX, CPG_ATOMIC_BYTES_MAX + 1, MESSAGE_BYTES_MAX]
)
def test_message_when_larger_than_cpgs_limit_then_all_kinds_get_it(
    size: int, stock: list[int]
) -> None:
    bus = cluster(2, stock=stock)
    native, libcpg = bus.native(1), bus.libcpg(1)
    remote = bus.libcpg(2)
    for client in (native, libcpg, remote):
        client.join(b"g")
    bus.settle()
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    native.send(b"before", data, b"after")
    bus.settle()
    for client in (native, libcpg, remote):
        assert [one.data for one in client.messages] == [b"before", data, b"after"]
    assert bool(remote.fragments) == (size > CPG_ATOMIC_BYTES_MAX)


@pytest.mark.parametrize("block", [b"", b"\x05\0\0\0", b"\xff\xff\xff\xff" + bytes(50)])
def test_block_when_it_has_no_room_for_its_ends_then_the_client_is_dropped(block: bytes) -> None:
    native, _, _ = pair(cluster(2))
    assert native.ask(stream.encode_send(block)) is None
    assert native.is_dropped


def test_block_when_its_ends_are_wrong_then_daemons_mark_it_and_go_on() -> None:
    bus = cluster(2)
    native, libcpg, remote = pair(bus)
    for client in (native, remote):
        client.decodes_blocks = False
    native.ask(stream.encode_send(b"\x02\0\0\0\x09\0\0\0\x01\0\0\0x"))
    native.send(b"good")
    bus.settle()
    assert libcpg.messages == [Message(1, native.pid, b"good")]
    assert libcpg.node.marked(Mark.SERVICE_MESSAGE_MALFORMED)


def test_block_when_empty_then_nothing_is_sent() -> None:
    bus = cluster(1)
    client = bus.native(1)
    client.join(b"g")
    bus.settle()
    bus.sent.clear()
    client.send()
    assert bus.settle() == 0


def test_block_when_not_joined_then_it_is_dropped() -> None:
    bus = cluster(1)
    client = bus.native(1)
    bus.sent.clear()
    client.send(b"x")
    assert bus.settle() == 0


# -- a ring that stops being native while blocks are queued ----------------------------------------


def test_blocks_when_queued_and_a_stock_node_joins_then_it_gets_them_in_the_same_order() -> None:
    bus = cluster(3, stock=[3])
    bus.form([1, 2], [3])
    bus.settle()
    assert [one.native for one in bus.nodes[NodeId(1)].finished] == [False, True]
    native, libcpg, remote = pair(bus)
    corosync = bus.libcpg(3)
    corosync.join(b"g")
    bus.settle()
    native.send(b"a", b"b", guarantee=Guarantee.SAFE)
    native.send(b"c")
    remote.send(b"d")
    bus.form([1, 2, 3])
    engine = bus.nodes[NodeId(1)].engine
    while bus.step():
        # Nobody may speak before what was queued is on its way again.
        if engine.accepting and not any(one.data == b"e" for one in native.messages):
            assert not native.node.engine._native.in_flight
    assert engine.accepting
    native.send(b"e")
    bus.settle()
    for client in (native, libcpg, remote, corosync):
        own = [one.data for one in client.messages if one.pid == native.pid]
        assert own == [b"a", b"b", b"c", b"e"]
        assert client.messages == native.messages
    assert len(bus.nodes[NodeId(1)].marked(Mark.BLOCK_RESENT)) == 2
    assert len(bus.nodes[NodeId(2)].marked(Mark.BLOCK_STALE)) == 3
    safe = [
        one.guarantee
        for ring, who, one in bus.sent
        if who == 1 and one.group == GROUP_SERVICES and one.payload[184:] in (b"a", b"b", b"c")
    ]
    assert safe == [Guarantee.SAFE, Guarantee.SAFE, Guarantee.AGREED]


@pytest.mark.parametrize("end", ["leave", "die"])
def test_leave_when_blocks_are_queued_then_it_does_not_overtake_them(end: str) -> None:
    bus = cluster(3, stock=[3])
    bus.form([1, 2], [3])
    bus.settle()
    native, libcpg, _ = pair(bus)
    corosync = bus.libcpg(3)
    corosync.join(b"g")
    bus.settle()
    native.send(b"last words")
    if end == "leave":
        assert native.leave() == CsError.OK
    else:
        native.die()
        again = bus.native(1, pid=native.pid)
        assert again.join(b"g") == CsError.TRY_AGAIN
    bus.form([1, 2, 3])
    bus.settle()
    for client in (libcpg, corosync):
        where = client.events.index(Message(1, native.pid, b"last words"))
        left = [
            number
            for number, event in enumerate(client.events)
            if isinstance(event, View) and native.key in [one[:2] for one in event.left]
        ]
        assert left == [max(where, *left)]
    assert all(native.key not in client.members for client in (libcpg, corosync))


def test_blocks_when_the_change_keeps_the_ring_native_then_they_stay_blocks() -> None:
    bus = cluster(2)
    native, libcpg, remote = pair(bus)
    native.send(b"queued")
    bus.form([1, 2])
    bus.settle()
    assert libcpg.messages == remote.messages == [Message(1, native.pid, b"queued")]
    assert not bus.nodes[NodeId(1)].marked(Mark.BLOCK_RESENT)


def test_blocks_when_delivered_in_the_transitional_configuration_then_they_count() -> None:
    bus = cluster(2)
    native, libcpg, _ = pair(bus)
    native.send(b"in between")
    bus.form([1], tail=1)
    assert libcpg.messages == [Message(1, native.pid, b"in between")]


# -- questions -------------------------------------------------------------------------------------


def test_query_when_status_is_asked_then_json() -> None:
    bus = cluster(2)
    native, _, _ = pair(bus)
    answer = native.answer(stream.encode_query(7, stream.What.STATUS))
    assert isinstance(answer, stream.Answer)
    assert (answer.request, answer.error) == (7, CsError.OK)
    status = json.loads(bytes(answer.body))
    assert status["members"] == [1, 2]
    assert len(status["groups"]["g"]) == 3
    assert status["native"] is True


def test_query_when_members_are_asked_then_a_view_of_members_alone() -> None:
    bus = cluster(2)
    native, libcpg, remote = pair(bus)
    answer = native.answer(stream.encode_query(8, stream.What.MEMBERS, b"g"))
    assert isinstance(answer, stream.Answer)
    view = stream.decode_view_body(answer.body)
    assert [(one.node_id, one.pid) for one in view.members] == [
        native.key,
        libcpg.key,
        remote.key,
    ]
    assert view.joined == view.left == []


def test_query_when_unknown_then_not_supported() -> None:
    native, _, _ = pair(cluster(2))
    answer = native.answer(stream.encode_query(9, 77))
    assert isinstance(answer, stream.Answer)
    assert (answer.request, answer.error) == (9, CsError.NOT_SUPPORTED)
