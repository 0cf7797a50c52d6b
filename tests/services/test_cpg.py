"""CPG clients: the states of a connection, views, messages, fragments, iterations."""

import pytest

from tests.services.bus import Bus, LibcpgClient, Message, NativeClient, View, cluster
from unisono.base.clients import ClientRequest, Disconnect, Reply
from unisono.base.errors import CsError
from unisono.base.group import Guarantee, Multicast
from unisono.base.ids import ClientId, Nanos, NodeId, Pid
from unisono.base.limits import CPG_MEMBERS_MAX, CPG_PROCESSES_MAX, ITERATIONS_PER_CLIENT_MAX
from unisono.base.marks import Mark
from unisono.services import Engine
from unisono.wire.ipc import cpg as ipc
from unisono.wire.ipc.qb import decode_status, encode_request
from unisono.wire.service import cpg as wire
from unisono.wire.service.header import GROUP_SERVICES


def joined(bus: Bus, *nodes: int, name: bytes = b"g") -> list[LibcpgClient]:
    """One libcpg client on each node, in the group, its events so far forgotten."""
    clients = [bus.libcpg(one) for one in nodes]
    for client in clients:
        assert client.join(name) == CsError.OK
    bus.settle()
    for client in clients:
        client.events.clear()
    return clients


# -- joining and leaving ---------------------------------------------------------------------------


def test_join_when_asked_then_reply_comes_before_the_view_and_the_ring_after_it() -> None:
    bus = cluster(1)
    client = bus.libcpg(1)
    assert client.join(b"g", flags=1) == CsError.OK
    assert client.events == []
    bus.settle()
    view, ring = client.events
    assert view == View(((1, client.pid),), (), ((1, client.pid, 1),))
    assert client.rings == [ring]
    assert client.rings[0].members == (1,)


def test_join_when_others_are_there_then_everybody_sees_one_view() -> None:
    bus = cluster(3)
    one, two = joined(bus, 1, 2)
    three = bus.native(3)
    three.join(b"g")
    bus.settle()
    members = (one.key, two.key, three.key)
    expected = View(members, (), ((3, three.pid, 1),))
    assert one.events == two.events == three.events == [expected]


def test_leave_when_delivered_then_all_see_it_and_the_connection_may_join_again() -> None:
    bus = cluster(2)
    one, two = joined(bus, 1, 2)
    assert one.leave(b"g") == CsError.OK
    assert one.join(b"other") == CsError.BUSY
    bus.settle()
    expected = View((two.key,), ((1, one.pid, 2),), ())
    assert one.events == two.events == [expected]
    # Stock daemons never come back to "unjoined" here.
    assert one.join(b"g") == CsError.OK
    bus.settle()
    assert one.members == (one.key, two.key)
    assert one.leave(b"g") == CsError.OK
    bus.settle()
    assert one.join(b"other") == CsError.OK


def test_connection_when_it_ends_without_leave_then_reason_is_process_down() -> None:
    bus = cluster(2)
    one, two = joined(bus, 1, 2)
    one.die()
    bus.settle()
    assert two.events == [View((two.key,), ((1, one.pid, 5),), ())]
    assert one.events == []


def test_finalize_when_asked_then_it_is_a_process_down_and_no_event_follows() -> None:
    bus = cluster(2)
    one, two = joined(bus, 1, 2)
    reply = one.ask(ipc.encode_finalize())
    assert reply is not None
    one.die()
    bus.settle()
    assert two.events == [View((two.key,), ((1, one.pid, 5),), ())]
    assert one.events == []


def test_connection_when_it_ends_during_its_join_then_nobody_stays_behind() -> None:
    bus = cluster(2)
    (two,) = joined(bus, 2)
    one = bus.libcpg(1)
    one.join(b"g")
    one.die()
    bus.settle()
    assert [view.members for view in two.views] == [(one.key, two.key), (two.key,)]
    assert one.events == []


def test_join_when_state_forbids_it_then_the_errors_are_corosyncs() -> None:
    bus = cluster(1)
    client = bus.libcpg(1)
    assert client.leave(b"g") == CsError.NOT_EXIST
    assert client.join(b"g") == CsError.OK
    assert client.join(b"g") == CsError.EXIST
    assert client.join(b"other") == CsError.EXIST
    assert client.leave(b"g") == CsError.BUSY
    bus.settle()
    assert client.join(b"other") == CsError.EXIST
    assert client.leave(b"other") == CsError.NOT_EXIST
    assert client.leave(b"g") == CsError.OK
    assert client.leave(b"g") == CsError.NOT_EXIST
    assert client.join(b"other") == CsError.BUSY


def test_join_when_pid_is_not_the_kernels_then_it_is_refused() -> None:
    bus = cluster(1)
    client = bus.libcpg(1)
    assert client.join(b"g", pid=client.pid + 1) == CsError.INVALID_PARAM
    bus.settle()
    assert client.events == []


def test_join_when_same_process_has_another_connection_in_the_group_then_it_exists() -> None:
    bus = cluster(1)
    first, second = bus.libcpg(1, pid=5), bus.libcpg(1, pid=5)
    assert first.join(b"g") == CsError.OK
    assert second.join(b"g") == CsError.EXIST
    assert second.join(b"h") == CsError.OK


def test_join_when_an_earlier_leave_is_on_its_way_then_try_again() -> None:
    bus = cluster(1)
    first = bus.libcpg(1, pid=5)
    first.join(b"g")
    bus.settle()
    first.die()
    second = bus.libcpg(1, pid=5)
    assert second.join(b"g") == CsError.TRY_AGAIN
    bus.settle()
    assert second.join(b"g") == CsError.OK
    bus.settle()
    assert second.members == ((1, 5),)


@pytest.mark.parametrize("length", [0, 1, 128])
def test_join_when_name_has_any_allowed_length_then_it_works(length: int) -> None:
    bus = cluster(2)
    clients = joined(bus, 1, 2, name=b"\xff" * length)
    clients[0].send(b"x")
    bus.settle()
    assert [client.messages for client in clients] == [[Message(1, clients[0].pid, b"x")]] * 2


def test_join_when_name_is_too_long_then_it_is_refused() -> None:
    bus = cluster(1)
    client = bus.libcpg(1)
    request = bytearray(ipc.encode_join(b"n" * 128, client.pid))
    request[16] = 129
    reply = client.ask(bytes(request))
    assert reply is not None
    assert decode_status(memoryview(reply)) == CsError.NAME_TOO_LONG


def test_leave_when_the_request_is_odd_then_it_is_refused() -> None:
    bus = cluster(1)
    (client,) = joined(bus, 1)
    request = bytearray(ipc.encode_leave(b"n" * 128, client.pid))
    request[16] = 129
    foreign = ipc.encode_leave(b"g", client.pid + 1)
    replies = [client.ask(bytes(request)), client.ask(foreign)]
    errors = [decode_status(memoryview(reply)) for reply in replies if reply is not None]
    assert errors == [CsError.NOT_EXIST, CsError.INVALID_PARAM]
    assert bus.settle() == 0


# -- views after configuration changes -------------------------------------------------------------


def test_nodes_when_they_go_then_one_view_a_group_and_then_the_ring() -> None:
    bus = cluster(4)
    first, _, _, _ = joined(bus, 1, 2, 3, 4)
    other = bus.libcpg(3)
    other.join(b"g")
    bus.settle()
    first.events.clear()
    watcher = bus.libcpg(1)
    bus.form([1, 2], [3, 4])
    bus.settle()
    view, ring = first.events
    assert isinstance(view, View)
    assert [left[0] for left in view.left] == [3, 3, 4]
    assert {left[2] for left in view.left} == {3}
    assert view.left == tuple(sorted(view.left))
    assert [node for node, _ in view.members] == [1, 2]
    assert first.rings == [ring]
    assert first.rings[0].members == (1, 2)
    # Every CPG connection hears of the ring, joined or not.
    assert watcher.events == [ring]


def test_partitions_when_they_merge_then_one_view_of_node_ups_on_each_side() -> None:
    bus = cluster(4)
    clients = joined(bus, 1, 2, 3, 4)
    bus.form([1, 2], [3, 4])
    bus.settle()
    for client in clients:
        client.events.clear()
    bus.form([1, 2, 3, 4])
    bus.settle()
    keys = tuple(client.key for client in clients)
    for client, others in zip(clients, [(2, 3)] * 2 + [(0, 1)] * 2, strict=True):
        ups = tuple((*clients[one].key, 4) for one in others)
        assert client.views == [View(keys, (), ups)]


def test_late_node_when_it_joins_then_it_learns_the_groups_and_tells_nothing() -> None:
    bus = cluster(3)
    clients = joined(bus, 1, 2)
    bus.crash(3, Engine(bus.nodes[NodeId(3)].engine._cluster.settings))
    bus.form([1, 2, 3])
    bus.settle()
    assert [client.views for client in clients] == [[], []]
    late = bus.libcpg(3)
    late.join(b"g")
    bus.settle()
    assert late.members == (*(client.key for client in clients), late.key)


def test_process_when_the_joinlist_lacks_it_then_it_is_a_process_down() -> None:
    """A peer lost a process without a leave that we saw."""
    bus = cluster(2)
    (client,) = joined(bus, 1)
    ghost = wire.encode_procjoin(b"g", 666, 1)
    bus.nodes[NodeId(2)].queue.append(Multicast(GROUP_SERVICES, ghost))
    bus.settle()
    assert client.members == (client.key, (2, 666))
    bus.nodes[NodeId(2)].engine._cpg.groups.remove(b"g", NodeId(2), Pid(666))
    bus.form([1, 2])
    bus.settle()
    assert client.views[-1] == View((client.key,), ((2, 666, 5),), ())
    assert bus.nodes[NodeId(1)].marked(Mark.GHOST_REMOVED)


# -- messages --------------------------------------------------------------------------------------


def test_messages_when_all_send_then_all_receive_the_same_order() -> None:
    bus = cluster(3)
    clients: list[LibcpgClient | NativeClient] = [*joined(bus, 1, 2, 3)]
    native = bus.native(2)
    native.join(b"g")
    bus.settle()
    clients.append(native)
    for number in range(20):
        for client in clients:
            client.send(b"%d" % number)
        bus.steps(number % 5)
    bus.settle()
    assert len(native.messages) == 80
    assert all(client.messages == native.messages for client in clients)
    own = [one.data for one in native.messages if one.pid == native.pid]
    assert own == [b"%d" % number for number in range(20)]


def test_message_when_client_is_not_in_the_group_then_it_is_dropped() -> None:
    bus = cluster(2)
    one, two = joined(bus, 1, 2)
    outsider = bus.libcpg(2)
    outsider.send(b"no group")
    two.leave(b"g")
    two.send(b"after leave")
    bus.settle()
    assert one.messages == []


def test_message_when_sent_right_after_the_join_request_then_it_follows_the_view() -> None:
    bus = cluster(1)
    client = bus.libcpg(1)
    client.join(b"g")
    client.send(b"early")
    bus.settle()
    assert [type(event) for event in client.events] == [View, Message]


def test_message_when_senders_node_has_no_member_then_it_is_not_delivered() -> None:
    bus = cluster(2)
    (one,) = joined(bus, 1)
    stray = wire.McastHeaders(b"g", 9, 2).header(1) + b"x"
    bus.nodes[NodeId(2)].queue.append(Multicast(GROUP_SERVICES, stray))
    bus.settle()
    assert one.messages == []
    assert bus.nodes[NodeId(1)].marked(Mark.SENDER_UNKNOWN)


@pytest.mark.parametrize(
    ("guarantee", "expected"),
    [
        (0, Guarantee.AGREED),
        (2, Guarantee.AGREED),
        (3, Guarantee.SAFE),
        (99, Guarantee.AGREED),
    ],
)
def test_message_when_sent_with_a_guarantee_then_the_ring_is_asked_for_it(
    guarantee: int, expected: Guarantee
) -> None:
    bus = cluster(1)
    (client,) = joined(bus, 1)
    client.send(b"x", guarantee)
    assert [one.guarantee for one in client.node.queue] == [expected]


def test_message_when_it_claims_more_than_it_has_then_the_client_is_dropped() -> None:
    bus = cluster(1)
    (client,) = joined(bus, 1)
    request = bytearray(ipc.encode_mcast(b"short"))
    request[32] = 200
    assert client.ask(bytes(request)) is None
    assert client.is_dropped
    bus.settle()
    assert client.messages == []


def test_message_when_two_members_are_here_then_they_share_the_pieces() -> None:
    bus = cluster(1)
    clients = joined(bus, 1, 1)
    clients[0].send(b"one")
    bus.settle()
    assert clients[0].messages == clients[1].messages == [Message(1, clients[0].pid, b"one")]


# -- fragments -------------------------------------------------------------------------------------


def test_fragments_when_sent_then_libcpg_gets_them_and_native_the_whole() -> None:
    bus = cluster(2)
    one, two = joined(bus, 1, 2)
    native = bus.native(2)
    native.join(b"g")
    bus.settle()
    for fragment, data in enumerate([b"abc", b"def", b"g"], start=1):
        assert one.send_partial(data, 7, fragment) == CsError.OK
    bus.settle()
    assert [part.fragment for part in two.fragments] == [1, 2, 3]
    for client in (one, two, native):
        assert client.messages == [Message(1, one.pid, b"abcdefg")]


def test_fragments_when_a_view_came_between_then_interrupt_until_a_new_first() -> None:
    bus = cluster(2)
    one, two = joined(bus, 1, 2)
    assert one.send_partial(b"abc", 6, 1) == CsError.OK
    two.leave(b"g")
    bus.settle()
    assert one.send_partial(b"def", 6, 3) == CsError.INTERRUPT
    assert one.send_partial(b"abc", 6, 1) == CsError.OK
    assert one.send_partial(b"def", 6, 3) == CsError.OK
    bus.settle()
    assert one.messages == [Message(1, one.pid, b"abcdef")]


def test_fragments_when_not_joined_then_not_exist() -> None:
    bus = cluster(1)
    assert bus.libcpg(1).send_partial(b"abc", 6, 1) == CsError.NOT_EXIST


@pytest.mark.parametrize(
    "parts",
    [
        [(1, b"abcdef", 6), (2, b"g", 6)],
        [(1, b"abc", 9), (3, b"def", 9)],
        [(1, b"abc", 2 << 20), (3, b"def", 2 << 20)],
    ],
)
def test_fragments_when_they_are_no_whole_then_native_gets_nothing_and_it_is_marked(
    parts: list[tuple[int, bytes, int]],
) -> None:
    bus = cluster(1)
    (client,) = joined(bus, 1)
    native = bus.native(1)
    native.join(b"g")
    bus.settle()
    for fragment, data, whole in parts:
        client.send_partial(data, whole, fragment)
    bus.settle()
    assert native.messages == []
    assert client.node.marked(Mark.FRAGMENT_DROPPED)


# -- questions -------------------------------------------------------------------------------------


def test_membership_when_asked_then_all_members_are_listed() -> None:
    bus = cluster(2)
    one, two = joined(bus, 1, 2)
    reply = bus.libcpg(1).ask(ipc.encode_membership_get(b"g"))
    assert reply is not None
    listed = ipc.decode_membership_reply(memoryview(reply))
    assert [(member.node_id, member.pid) for member in listed.members] == [one.key, two.key]


def test_local_get_when_asked_then_the_node_id() -> None:
    reply = cluster(2).libcpg(2).ask(ipc.encode_local_get())
    assert reply is not None
    assert ipc.decode_local_get_reply(memoryview(reply)) == (CsError.OK, 2)


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (ipc.IterationType.NAME_ONLY, b"", [(b"g", 0), (b"h", 0)]),
        (ipc.IterationType.ONE_GROUP, b"g", [(b"g", 1), (b"g", 2)]),
        (ipc.IterationType.ALL, b"", [(b"g", 1), (b"g", 2), (b"h", 1)]),
    ],
)
def test_iteration_when_run_to_its_end_then_entries_and_no_sections(
    kind: int, name: bytes, expected: list[tuple[bytes, int]]
) -> None:
    bus = cluster(2)
    joined(bus, 1, 2)
    joined(bus, 1, name=b"h")
    client = bus.libcpg(1)
    reply = client.ask(ipc.encode_iteration_initialize(kind, name))
    assert reply is not None
    _, handle = ipc.decode_iteration_initialize_reply(memoryview(reply))
    found = []
    for _ in range(10):
        reply = client.ask(ipc.encode_iteration_next(handle))
        assert reply is not None
        entry = ipc.decode_iteration_next_reply(memoryview(reply))
        if entry.error != CsError.OK:
            assert entry.error == CsError.NO_SECTIONS
            break
        found.append((entry.name, entry.node_id))
    assert found == expected
    for error in (CsError.OK, CsError.LIBRARY):
        reply = client.ask(ipc.encode_iteration_finalize(handle))
        assert reply is not None
        assert decode_status(memoryview(reply)) == error


def test_iterations_when_too_many_are_open_then_no_resources() -> None:
    client = cluster(1).libcpg(1)
    errors = []
    for _ in range(ITERATIONS_PER_CLIENT_MAX + 1):
        reply = client.ask(ipc.encode_iteration_initialize(ipc.IterationType.ALL))
        assert reply is not None
        errors.append(ipc.decode_iteration_initialize_reply(memoryview(reply))[0])
    assert errors == [CsError.OK] * ITERATIONS_PER_CLIENT_MAX + [CsError.NO_RESOURCES]


@pytest.mark.parametrize(
    ("ident", "error"),
    [
        (9, CsError.NOT_SUPPORTED),
        (10, CsError.NOT_SUPPORTED),
        (11, CsError.NOT_SUPPORTED),
        (13, CsError.INVALID_PARAM),
        (-1, CsError.INVALID_PARAM),
    ],
)
def test_request_when_unknown_or_zero_copy_then_it_is_answered(ident: int, error: CsError) -> None:
    reply = cluster(1).libcpg(1).ask(encode_request(ident, bytes(136)))
    assert reply is not None
    assert decode_status(memoryview(reply)) == error


# -- bounds ----------------------------------------------------------------------------------------


def test_view_when_a_group_is_huge_then_libcpgs_lists_are_cut() -> None:
    bus = cluster(2)
    (one,) = joined(bus, 1)
    for pid in range(1, CPG_MEMBERS_MAX + 20):
        payload = wire.encode_procjoin(b"g", pid, 1)
        bus.nodes[NodeId(2)].queue.append(Multicast(GROUP_SERVICES, payload))
    bus.settle()
    assert max(len(view.members) for view in one.views) == CPG_MEMBERS_MAX
    assert one.views[-1].joined == ((2, CPG_MEMBERS_MAX + 19, 1),)


def test_joins_when_beyond_the_bound_then_they_are_ignored_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert CPG_PROCESSES_MAX > 1_000
    monkeypatch.setattr("unisono.services.groups.CPG_PROCESSES_MAX", 3)
    bus = cluster(2)
    for pid in range(10, 20):
        payload = wire.encode_procjoin(b"g", pid, 1)
        bus.nodes[NodeId(2)].queue.append(Multicast(GROUP_SERVICES, payload))
    bus.settle()
    groups = [node.engine.status()["groups"] for node in bus.nodes.values()]
    assert groups[0] == groups[1] == {"g": [{"node": 2, "pid": pid} for pid in (10, 11, 12)]}


def test_request_when_the_client_is_unknown_then_nothing_happens() -> None:
    engine = cluster(1).nodes[NodeId(1)].engine
    engine.submit(ClientRequest(ClientId(999), memoryview(b"late")), Nanos(0))
    assert engine.drain() == []


def test_request_when_it_has_no_header_then_disconnect_and_no_reply() -> None:
    client = cluster(1).libcpg(1)
    client.node.engine.submit(ClientRequest(client.id, memoryview(b"short")), Nanos(0))
    effects = client.node.engine.drain()
    assert [type(one) for one in effects if isinstance(one, Disconnect | Reply)] == [Disconnect]
