"""Votes: majority, two nodes, waiting for all, what peers say, what clients of QUORUM are told."""

from itertools import combinations

import pytest

from tests.services.bus import Bus, Client, Node, cluster, settings
from unisono.base.clients import Service
from unisono.base.errors import CsError
from unisono.base.group import Multicast
from unisono.base.ids import NodeId
from unisono.base.marks import Mark
from unisono.config.settings import QuorumSettings
from unisono.services import Engine
from unisono.wire.ipc import quorum as ipc
from unisono.wire.ipc.qb import decode_status, encode_request, message_id
from unisono.wire.service import votequorum as wire
from unisono.wire.service.header import GROUP_SERVICES
from unisono.wire.service.votequorum import NodeFlag, NodeInfo

TWO_NODE = QuorumSettings(votequorum=True, expected_votes=2, two_node=True)
PATIENT = QuorumSettings(votequorum=True, wait_for_all=True)
NO_PROVIDER = QuorumSettings()


class QuorumClient(Client):
    """As libquorum speaks."""

    service = Service.QUORUM

    def __init__(self, bus: Bus, node_id: int, model: int = 0, track: bool = True) -> None:
        super().__init__(bus, bus.nodes[NodeId(node_id)])
        self.told: list[ipc.Notification | ipc.V1Quorum | ipc.V1Nodelist] = []
        if model:
            self.ask(ipc.encode_model_gettype(model))
        if track:
            self.ask(ipc.encode_trackstart(ipc.TRACK_CHANGES_ONLY))

    def on_event(self, message: bytes) -> None:
        view = memoryview(message)
        match message_id(view):
            case ipc.Response.NOTIFICATION:
                self.told.append(ipc.decode_notification(view))
            case ipc.Response.V1_QUORUM:
                self.told.append(ipc.decode_v1_quorum(view))
            case ipc.Response.V1_NODELIST:
                self.told.append(ipc.decode_v1_nodelist(view))
            case unknown:
                raise AssertionError(unknown)

    def status(self, request: bytes) -> int:
        reply = self.ask(request)
        assert reply is not None
        return decode_status(memoryview(reply))


def quorate(bus: Bus) -> list[bool]:
    return [node.engine.quorate for node in bus.nodes.values()]


def say(bus: Bus, origin: int, payload: bytes) -> None:
    bus.nodes[NodeId(origin)].queue.append(Multicast(GROUP_SERVICES, payload))
    bus.settle()


@pytest.mark.parametrize("nodes", range(1, 8))
def test_partition_when_of_any_size_then_only_a_majority_is_quorate(nodes: int) -> None:
    everyone = range(1, nodes + 1)
    for size in range(1, nodes + 1):
        for part in list(combinations(everyone, size))[:6]:
            bus = cluster(nodes)
            assert quorate(bus) == [True] * nodes
            rest = [one for one in everyone if one not in part]
            bus.form(part, rest) if rest else bus.form(part)
            bus.settle()
            expected = [(size if one in part else nodes - size) * 2 > nodes for one in everyone]
            assert quorate(bus) == expected
            bus.form(everyone)
            bus.settle()
            assert quorate(bus) == [True] * nodes


def test_node_when_it_starts_alone_then_it_is_not_quorate() -> None:
    bus = Bus([Node(1, Engine(settings(1, 3)))])
    bus.form([1])
    bus.settle()
    assert quorate(bus) == [False]


def test_two_nodes_when_one_goes_then_the_other_stays_quorate() -> None:
    bus = cluster(2, quorum=TWO_NODE)
    bus.form([1], [2])
    bus.settle()
    assert quorate(bus) == [True, True]


def test_patient_node_when_not_all_were_seen_then_it_waits_and_after_that_no_more() -> None:
    bus = Bus(Node(one, Engine(settings(one, 3, quorum=PATIENT))) for one in (1, 2, 3))
    bus.form([1, 2])
    bus.settle()
    assert quorate(bus) == [False, False, False]
    bus.form([1, 2, 3])
    bus.settle()
    assert quorate(bus) == [True] * 3
    bus.form([1, 2], [3])
    bus.settle()
    assert quorate(bus) == [True, True, False]


def test_patient_node_when_it_restarts_into_a_quorate_partition_then_it_need_not_wait() -> None:
    bus = cluster(3, quorum=PATIENT)
    bus.form([1, 2], [3])
    bus.settle()
    bus.crash(2, Engine(settings(2, 3, quorum=PATIENT)))
    bus.form([1], [2])
    bus.settle()
    assert quorate(bus) == [False, False, False]
    bus = cluster(4, quorum=PATIENT)
    bus.crash(4, Engine(settings(4, 4, quorum=PATIENT)))
    bus.form([1, 2, 3])
    bus.settle()
    bus.crash(1, Engine(settings(1, 4, quorum=PATIENT)))
    bus.form([1, 2, 3])
    bus.settle()
    assert [bus.nodes[NodeId(one)].engine.quorate for one in (1, 2, 3)] == [True] * 3


def test_nodeinfo_when_sent_then_flags_tell_the_first_sync_and_the_quorum() -> None:
    bus = cluster(3)
    told: list[tuple[int, int]] = []
    for _, origin, message in bus.sent:
        view = memoryview(bytes(message.payload))
        if message.group == GROUP_SERVICES and view[:4] == wire.NODEINFO.to_bytes(4, "little"):
            info = wire.decode_nodeinfo(view)
            if info.node_id:
                assert info.node_id == origin
                told.append((origin, info.flags))
    first, both = int(NodeFlag.FIRST), int(NodeFlag.FIRST | NodeFlag.QUORATE)
    # As real daemons do: at the start, and again in the phase, quorate by the others' first word.
    assert told == [(1, first), (2, first), (3, first), (1, both), (2, both), (3, both)]
    bus.sent.clear()
    bus.form([1, 2])
    bus.settle()
    own = [
        wire.decode_nodeinfo(memoryview(bytes(message.payload))).flags
        for _, who, message in bus.sent
        if who == 1 and bytes(message.payload[:4]) == wire.NODEINFO.to_bytes(4, "little")
    ]
    assert own == [int(NodeFlag.QUORATE), 0]


def test_nodeinfo_when_a_minority_is_left_then_it_does_not_claim_to_be_quorate() -> None:
    bus = cluster(3)
    bus.sent.clear()
    bus.form([1], [2, 3])
    bus.settle()
    flags = [
        wire.decode_nodeinfo(memoryview(bytes(message.payload))).flags
        for _, who, message in bus.sent
        if who == 1 and bytes(message.payload[:4]) == wire.NODEINFO.to_bytes(4, "little")
    ]
    assert flags == [0, 0]


def test_nodeinfo_when_it_names_another_node_then_it_is_ignored() -> None:
    bus = cluster(3)
    say(bus, 2, wire.encode_nodeinfo(NodeInfo(NodeId(3), 100, 300, 1)))
    votes = bus.nodes[NodeId(1)].engine.status()["votes"]
    assert votes == {"expected": 3, "total": 3, "quorum": 2}
    assert bus.nodes[NodeId(1)].marked(Mark.SERVICE_ORDER_IGNORED)


def test_reconfigure_when_expected_votes_change_then_quorum_moves_at_all() -> None:
    bus = cluster(3)
    clients = [QuorumClient(bus, one) for one in (1, 2, 3)]
    change = wire.Reconfigure(NodeId(1), 7, wire.Parameter.EXPECTED_VOTES)
    say(bus, 1, wire.encode_reconfigure(change))
    assert quorate(bus) == [False] * 3
    say(bus, 2, wire.encode_reconfigure(wire.Reconfigure(NodeId(2), 2, 1)))
    assert quorate(bus) == [True] * 3
    for client in clients:
        verdicts = [one.quorate for one in client.told if isinstance(one, ipc.Notification)]
        assert verdicts == [False, True]
    # A smaller cluster is what a newcomer must believe as well.
    bus.crash(3, Engine(settings(3, 3)))
    bus.form([1], [2], [3])
    bus.settle()
    bus.form([1, 2, 3])
    bus.settle()
    assert quorate(bus) == [True] * 3


def test_reconfigure_when_votes_of_a_node_change_then_they_count() -> None:
    bus = cluster(3)
    say(bus, 1, wire.encode_reconfigure(wire.Reconfigure(NodeId(2), 5, wire.Parameter.NODE_VOTES)))
    votes = bus.nodes[NodeId(3)].engine.status()["votes"]
    assert votes == {"expected": 3, "total": 7, "quorum": 4}


def test_reconfigure_when_waiting_is_cancelled_then_majority_is_enough() -> None:
    bus = Bus(Node(one, Engine(settings(one, 3, quorum=PATIENT))) for one in (1, 2))
    bus.form([1, 2])
    bus.settle()
    assert quorate(bus) == [False, False]
    say(bus, 1, wire.encode_reconfigure(wire.Reconfigure(NodeId(1), 0, 3)))
    assert quorate(bus) == [True, True]


@pytest.mark.parametrize(
    "payload",
    [
        wire.encode_reconfigure(wire.Reconfigure(NodeId(1), 0, 99)),
        wire.encode_reconfigure(wire.Reconfigure(NodeId(99), 4, 2)),
        wire.encode_qdevice_reg(wire.QdeviceReg(1, b"device")),
        wire.encode_qdevice_reconfigure(wire.QdeviceReconfigure(b"a", b"b")),
    ],
)
def test_order_when_it_cannot_be_obeyed_then_it_is_marked(payload: bytes) -> None:
    bus = cluster(3)
    say(bus, 1, payload)
    assert bus.nodes[NodeId(2)].marked(Mark.SERVICE_ORDER_IGNORED)
    assert quorate(bus) == [True] * 3


# -- clients ---------------------------------------------------------------------------------------


def test_client_when_it_tracks_then_each_change_is_told_in_its_model() -> None:
    bus = cluster(3)
    old, new = QuorumClient(bus, 1, 0), QuorumClient(bus, 1, 1)
    bus.form([1], [2, 3])
    bus.settle()
    ring = bus.nodes[NodeId(1)].ring
    assert ring is not None
    assert old.told == [ipc.Notification(False, ring.seq, [NodeId(1)])]
    assert new.told == [
        ipc.V1Nodelist(ring, [NodeId(1)], [], [NodeId(2), NodeId(3)]),
        ipc.V1Quorum(False, ring, [NodeId(1)]),
    ]
    bus.form([1, 2, 3])
    bus.settle()
    nodes = [NodeId(1), NodeId(2), NodeId(3)]
    ring = bus.nodes[NodeId(1)].ring
    assert ring is not None
    assert old.told[1:] == [ipc.Notification(True, ring.seq, nodes)]
    assert new.told[2:] == [
        ipc.V1Nodelist(ring, nodes, nodes[1:], []),
        ipc.V1Quorum(True, ring, nodes),
    ]


@pytest.mark.parametrize("model", [0, 1])
def test_trackstart_when_current_is_asked_then_events_come_even_if_it_exists(model: int) -> None:
    bus = cluster(2)
    client = QuorumClient(bus, 2, model, track=False)
    assert client.status(ipc.encode_trackstart(3)) == CsError.OK
    assert client.status(ipc.encode_trackstart(3)) == CsError.EXIST
    assert len(client.told) == 2 * (1 + model)
    assert client.status(ipc.encode_trackstop()) == CsError.OK
    assert client.status(ipc.encode_trackstop()) == CsError.OK
    bus.form([1], [2])
    bus.settle()
    assert len(client.told) == 2 * (1 + model)


@pytest.mark.parametrize(("quorum", "kind"), [(NO_PROVIDER, ipc.TYPE_FREE), (None, ipc.TYPE_SET)])
def test_type_when_asked_then_it_tells_whether_there_is_a_provider(
    quorum: QuorumSettings | None, kind: int
) -> None:
    client = QuorumClient(cluster(1, quorum=quorum), 1)
    reply = client.ask(ipc.encode_gettype())
    assert reply is not None
    assert ipc.decode_gettype_reply(memoryview(reply)) == (CsError.OK, kind)
    reply = client.ask(ipc.encode_getquorate())
    assert reply is not None
    assert ipc.decode_getquorate_reply(memoryview(reply)) == (CsError.OK, True)
    assert client.status(ipc.encode_model_gettype(9)) == CsError.INVALID_PARAM


def test_client_when_there_is_no_provider_then_changes_are_told_as_quorate() -> None:
    bus = cluster(2, quorum=NO_PROVIDER)
    client = QuorumClient(bus, 1)
    bus.form([1], [2])
    bus.settle()
    ring = bus.nodes[NodeId(1)].ring
    assert ring is not None
    assert client.told == [ipc.Notification(True, ring.seq, [NodeId(1)])]


def test_client_when_gone_then_nobody_is_told() -> None:
    bus = cluster(2)
    client = QuorumClient(bus, 1)
    client.die()
    bus.form([1], [2])
    bus.settle()
    assert client.told == []


def test_request_when_unknown_then_invalid_and_votequorum_not_supported() -> None:
    bus = cluster(1)
    client = QuorumClient(bus, 1)
    assert client.status(encode_request(77)) == CsError.INVALID_PARAM
    QuorumClient.service = Service.VOTEQUORUM
    try:
        other = QuorumClient(bus, 1, track=False)
    finally:
        QuorumClient.service = Service.QUORUM
    assert other.status(encode_request(0, bytes(8))) == CsError.NOT_SUPPORTED
    other.die()
