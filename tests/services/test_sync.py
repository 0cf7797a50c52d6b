"""The synchronisation: its phases, other members' services, aborts at every message."""

from collections.abc import Iterable

import pytest

from tests.services.bus import Bus, Node, Stranger, cluster, settings
from unisono.base.group import Multicast
from unisono.base.ids import NodeId, RingId, RingSeq
from unisono.base.marks import Mark
from unisono.config.settings import QuorumSettings
from unisono.services import Engine
from unisono.wire.service import header
from unisono.wire.service.cpg import DOWNLIST, JOINLIST
from unisono.wire.service.header import GROUP_SYNC
from unisono.wire.service.sync import Barrier, ServiceBuild, decode_sync, encode_barrier
from unisono.wire.service.votequorum import NODEINFO, decode_nodeinfo


def kinds(bus: Bus, origin: int) -> list[str]:
    """What a node said, in words."""
    words = []
    for _, who, message in bus.sent:
        if who != origin:
            continue
        view = memoryview(bytes(message.payload))
        if message.group == header.GROUP_NATIVE:
            words.append("hello")
        elif message.group == GROUP_SYNC:
            match decode_sync(view):
                case Barrier():
                    words.append("barrier")
                case ServiceBuild() as build:
                    words.append(f"services {build.services}")
        else:
            words.append(f"{header.message_id(view) >> 16}.{header.message_id(view) & 0xFFFF}")
    return words


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_sync_when_nodes_start_together_then_all_accept_and_are_native(nodes: int) -> None:
    bus = cluster(nodes)
    for node in bus.nodes.values():
        assert node.engine.accepting
        assert [(one.native, one.ring) for one in node.finished] == [(True, node.ring)]
        assert node.engine.status()["members"] == list(range(1, nodes + 1))


def test_sync_when_a_node_starts_then_it_says_everything_in_the_order_that_peers_need() -> None:
    bus = cluster(1)
    assert kinds(bus, 1) == [
        "5.0",  # own votes before anybody can hear of a quorum device
        "services [0, 2, 3, 5]",
        "hello",
        "0.0",
        "barrier",
        "2.5",
        "barrier",
        "barrier",
        "5.0",
        "5.0",
        "barrier",
    ]
    infos = [
        decode_nodeinfo(memoryview(bytes(message.payload))).node_id
        for _, _, message in bus.sent
        if message.group == header.GROUP_SERVICES
        and header.message_id(memoryview(bytes(message.payload))) == NODEINFO
    ]
    assert infos == [1, 1, 0]


def test_sync_when_it_runs_then_requests_wait_until_its_end() -> None:
    bus = Bus([Node(1, Engine(settings(1)))])
    node = bus.nodes[NodeId(1)]
    seen = [node.engine.accepting]
    bus.form([1])
    while bus.step():
        assert node.engine.accepting == node.engine.agreed == (not node.is_syncing)
    seen.append(node.engine.accepting)
    bus.form([1])
    seen.append(node.engine.accepting)
    assert seen == [False, True, False]


def test_sync_when_a_member_has_no_votequorum_then_it_completes_and_its_votes_do_not_count() -> (
    None
):
    without = QuorumSettings(votequorum=False)
    bus = Bus(
        [
            Node(1, Engine(settings(1, 3))),
            Node(2, Engine(settings(2, 3))),
            Node(3, Engine(settings(3, 3, quorum=without))),
        ]
    )
    bus.form([1, 2, 3])
    bus.settle()
    assert all(node.engine.accepting for node in bus.nodes.values())
    votes = bus.nodes[NodeId(1)].engine.status()["votes"]
    assert votes == {"expected": 3, "total": 2, "quorum": 2}
    assert "services [0, 2, 3]" in kinds(bus, 3)
    # One barrier for each service of the union, also for the one that it does not have.
    assert kinds(bus, 3).count("barrier") == 4


@pytest.mark.parametrize("services", [[], [0, 2, 3, 5, 40], [7], [0, 1_000_000], [3], [-5]])
def test_sync_when_a_stranger_has_other_services_then_everybody_completes(
    services: Iterable[int],
) -> None:
    bus = Bus(
        [
            Node(1, Engine(settings(1))),
            Node(2, Stranger(2, services), is_stock=True),
            Node(3, Engine(settings(3))),
        ]
    )
    bus.form([1, 2, 3])
    bus.settle()
    for one in (1, 3):
        node = bus.nodes[NodeId(one)]
        assert node.engine.accepting
        assert [finished.native for finished in node.finished] == [False]


@pytest.mark.parametrize("stock", [[1], [2], [1, 3]])
def test_sync_when_a_member_is_stock_then_nobody_is_native(stock: list[int]) -> None:
    bus = cluster(3, stock=stock)
    assert {one.native for node in bus.nodes.values() for one in node.finished} == {False}


def test_sync_when_a_barrier_of_another_ring_comes_then_it_does_not_count() -> None:
    bus = Bus([Node(1, Engine(settings(1))), Node(2, Engine(settings(2)))])
    bus.form([1, 2])
    one, two = bus.nodes[NodeId(1)], bus.nodes[NodeId(2)]
    while one.engine._sync.phase_service != 0:
        assert bus.step()
    barriers = [RingId(NodeId(1), RingSeq(99)), RingId(NodeId(2), RingSeq(4))]
    for node in (one, two):
        node.urgent.clear()
        node.urgent.extend(Multicast(GROUP_SYNC, encode_barrier(ring)) for ring in barriers)
    bus.settle()
    assert one.engine._sync.phase_service == 0
    for node in (one, two):
        ring = node.ring
        assert ring is not None
        node.urgent.append(Multicast(GROUP_SYNC, encode_barrier(ring)))
    bus.settle()
    assert one.engine.accepting


def test_sync_when_one_member_is_silent_then_nobody_completes_until_it_has_gone() -> None:
    bus = Bus([Node(one, Engine(settings(one))) for one in (1, 2, 3)])
    bus.form([1, 2, 3])
    bus.nodes[NodeId(3)].urgent.clear()
    bus.settle()
    assert not bus.nodes[NodeId(1)].engine.accepting
    bus.form([1, 2])
    bus.settle()
    assert bus.nodes[NodeId(1)].engine.accepting


def abort_at(position: int, tail: int) -> tuple[Bus, bool]:
    """Three nodes with a client each; node 3 dies, and the sync without it is cut at `position`."""
    bus = cluster(3)
    clients = {one: bus.libcpg(one) for one in (1, 2, 3)}
    for client in clients.values():
        assert client.join(b"g") == 1
    bus.settle()
    bus.form([1, 2])
    done = bus.steps(position)
    # The dead node's clients must never come back, whatever was said in the cut synchronisation.
    bus.crash(3, Engine(settings(3, 3)))
    bus.form([1, 2, 3], tail=tail)
    bus.settle()
    return bus, done < position


@pytest.mark.parametrize("tail", [0, 1, 50])
def test_sync_when_cut_at_every_message_then_no_ghost_and_equal_groups(tail: int) -> None:
    for position in range(200):
        bus, was_complete = abort_at(position, tail)
        engines = [node.engine for node in bus.nodes.values()]
        assert all(engine.accepting for engine in engines)
        groups = [engine.status()["groups"] for engine in engines]
        assert groups == [{"g": [{"node": 1, "pid": 1001}, {"node": 2, "pid": 1002}]}] * 3
        for one in (1, 2):
            (client,) = bus.nodes[NodeId(one)].clients.values()
            assert client.members == ((1, 1001), (2, 1002))
            lost = [left for view in client.views for left in view.left]
            assert lost == [(3, 1003, 3)]
        if was_complete:
            assert position > 10
            return
    raise AssertionError("the synchronisation never completed")


def test_sync_when_a_stale_joinlist_comes_before_the_service_lists_then_it_is_ignored() -> None:
    bus = cluster(2)
    client = bus.libcpg(2)
    client.join(b"g")
    bus.settle()
    bus.form([1, 2])
    two = bus.nodes[NodeId(2)]
    # As far as node 2's own joinlist, which stays unsent in its queue ...
    while not any(
        header.message_id(memoryview(bytes(one.payload))) == JOINLIST
        for one in two.urgent
        if one.group == header.GROUP_SERVICES
    ):
        assert bus.step()
    # ... its client dies meanwhile, and the list is sent on the next ring all the same.
    bus.form([1, 2])
    client.die()
    bus.settle()
    assert [node.engine.status()["groups"] for node in bus.nodes.values()] == [{}, {}]
    assert bus.nodes[NodeId(1)].marked(Mark.JOINLIST_STALE)


@pytest.mark.parametrize("origin", [1, 2])
def test_sync_when_a_client_dies_at_any_message_then_it_does_not_come_back(origin: int) -> None:
    """A leave may be queued before the joinlist is made and be delivered before the list is."""
    for position in range(80):
        bus = cluster(2)
        client = bus.libcpg(origin)
        client.join(b"g")
        bus.settle()
        bus.form([1, 2])
        done = bus.steps(position)
        client.die()
        bus.settle()
        assert [node.engine.status()["groups"] for node in bus.nodes.values()] == [{}, {}]
        if done < position:
            return
    raise AssertionError("the synchronisation never completed")


def test_sync_when_aborted_then_downs_are_told_though_the_node_is_back() -> None:
    """Node 3 restarts, and both changes fall into one outage for the others."""
    bus = cluster(3)
    survivor, victim = bus.libcpg(1), bus.libcpg(3, pid=42)
    survivor.join(b"g")
    victim.join(b"g")
    bus.settle()
    bus.crash(3, Engine(settings(3, 3)))
    bus.form([1, 2, 3])
    bus.steps(4)
    bus.form([1, 2, 3])
    bus.settle()
    reborn = bus.libcpg(3, pid=42)
    reborn.join(b"g")
    bus.settle()
    told = [(view.left, view.joined) for view in survivor.views[-2:]]
    assert told == [(((3, 42, 3),), ()), ((), ((3, 42, 1),))]
    downlists = [
        message
        for _, who, message in bus.sent
        if who == 1
        and message.group == header.GROUP_SERVICES
        and header.message_id(memoryview(bytes(message.payload))) == DOWNLIST
    ]
    assert len(downlists) >= 2


def test_sync_when_aborted_then_it_is_counted_and_marked() -> None:
    bus = cluster(2)
    bus.form([1, 2])
    bus.steps(3)
    bus.form([1, 2])
    bus.settle()
    node = bus.nodes[NodeId(1)]
    assert len(node.marked(Mark.SYNC_ABORTED)) == 1
    assert node.engine.status()["sync"] == {"state": "finished", "service": None, "aborted": 1}
