"""Orders and questions: configuration versions, killing, the configuration map, node addresses."""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from tests.services.bus import Bus, Client, Node, cluster, settings
from unisono.base.clients import Credentials, Service, ShutDown
from unisono.base.errors import CsError
from unisono.base.group import Guarantee, Multicast
from unisono.base.ids import NodeId, Pid
from unisono.base.limits import ITERATIONS_PER_CLIENT_MAX
from unisono.base.marks import Mark
from unisono.config.settings import AccessSettings
from unisono.services import Engine, may_connect
from unisono.wire.ipc import cfg as cfg_ipc
from unisono.wire.ipc import cfg_status, cmap
from unisono.wire.ipc.qb import decode_status, encode_request
from unisono.wire.service import cfg as wire
from unisono.wire.service import cmap as cmap_wire
from unisono.wire.service.header import GROUP_SERVICES


def say(bus: Bus, origin: int, payload: bytes) -> None:
    bus.nodes[NodeId(origin)].queue.append(Multicast(GROUP_SERVICES, payload))
    bus.settle()


class Asking(Client):
    """A client that only asks."""

    def __init__(self, bus: Bus, node_id: int, service: Service) -> None:
        self.service = service
        super().__init__(bus, bus.nodes[NodeId(node_id)])

    def get(self, request: bytes) -> memoryview:
        reply = self.ask(request)
        assert reply is not None
        return memoryview(reply)


# -- configuration versions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "losers"),
    [
        ((7, 7, 7), []),
        ((7, 6, 7), [2]),
        ((7, 7, 9), [1, 2]),
        ((0, 7, 7), []),
        ((0, 0, 0), []),
        ((1, 2, 3), [1, 2]),
    ],
)
def test_versions_when_they_differ_then_the_highest_survives(
    versions: tuple[int, ...], losers: list[int]
) -> None:
    bus = cluster(3, version=lambda one: versions[one - 1])
    down = [node.id for node in bus.nodes.values() if node.shut_down is not None]
    assert down == losers
    for one in losers:
        shut_down = bus.nodes[NodeId(one)].shut_down
        assert shut_down is not None
        assert (shut_down.clean, shut_down.status) == (True, 255)
    marked = [node.id for node in bus.nodes.values() if node.marked(Mark.CONFIG_VERSION_MISMATCH)]
    assert bool(marked) == bool(losers)


def test_version_when_a_fresh_node_is_absorbed_then_it_is_checked_at_once() -> None:
    """Stock daemons check at the next change only, because the newcomer has no survivors."""
    bus = cluster(3)
    bus.crash(3, Engine(settings(3, 3, version=6)))
    bus.form([1, 2, 3])
    bus.settle()
    assert [node.shut_down is None for node in bus.nodes.values()] == [True, True, False]


def test_version_when_a_newer_node_returns_then_the_running_ones_go_on_beside_it() -> None:
    """A new version is rolled out node by node."""
    bus = cluster(3)
    bus.crash(3, Engine(settings(3, 3, version=8)))
    bus.form([1, 2, 3])
    bus.settle()
    assert [node.shut_down is None for node in bus.nodes.values()] == [True, True, True]
    assert bus.nodes[NodeId(1)].marked(Mark.CONFIG_VERSION_MISMATCH)


def test_version_when_told_at_run_time_then_the_map_shows_it_and_nobody_stops() -> None:
    bus = cluster(2)
    say(bus, 2, cmap_wire.encode_config_version(8, cmap_wire.REASON_NEW_CONFIG_VERSION))
    assert bus.nodes[NodeId(1)].shut_down is None
    entries = bus.nodes[NodeId(1)].engine._cmap.seen
    assert entries[NodeId(2)].config_version == 8


# -- orders ----------------------------------------------------------------------------------------


def test_killnode_when_a_client_orders_it_then_only_the_target_ends_at_once() -> None:
    bus = cluster(3)
    client = Asking(bus, 1, Service.CFG)
    assert decode_status(client.get(cfg_ipc.encode_killnode(9, b"why"))) == CsError.NOT_EXIST
    assert decode_status(client.get(cfg_ipc.encode_killnode(3, b"why"))) == CsError.OK
    assert [one.guarantee for one in client.node.queue] == [Guarantee.SAFE]
    bus.settle()
    assert bus.nodes[NodeId(1)].shut_down is bus.nodes[NodeId(2)].shut_down is None
    assert bus.nodes[NodeId(3)].shut_down == ShutDown("killed by node 1: why", False, 255)
    assert all(node.marked(Mark.NODE_KILLED) for node in bus.nodes.values())


def test_shutdown_when_a_node_says_it_then_only_that_node_ends_cleanly() -> None:
    bus = cluster(2)
    say(bus, 2, wire.encode_shutdown())
    assert bus.nodes[NodeId(1)].shut_down is None
    shut_down = bus.nodes[NodeId(2)].shut_down
    assert shut_down is not None
    assert (shut_down.clean, shut_down.status) == (True, 0)


@pytest.mark.parametrize(
    "payload",
    [
        wire.encode_ringreenable(2),
        wire.encode_crypto_reconfig(1),
    ],
)
def test_order_when_it_is_not_for_us_yet_then_it_is_marked(payload: bytes) -> None:
    bus = cluster(2)
    say(bus, 2, payload)
    assert bus.nodes[NodeId(1)].marked(Mark.SERVICE_ORDER_IGNORED)


# -- questions to CFG ------------------------------------------------------------------------------


def test_local_get_when_asked_then_the_node_id() -> None:
    client = Asking(cluster(2), 2, Service.CFG)
    assert cfg_ipc.decode_local_get_reply(client.get(cfg_ipc.encode_local_get())) == (1, 2)


@pytest.mark.parametrize(
    ("node_id", "error", "addresses"),
    [(0, CsError.OK, ["10.77.0.1"]), (2, CsError.OK, ["10.77.0.2"]), (9, CsError.NOT_EXIST, [])],
)
def test_addresses_when_asked_then_those_of_the_node(
    node_id: int, error: CsError, addresses: list[str]
) -> None:
    client = Asking(cluster(2), 1, Service.CFG)
    reply = cfg_ipc.decode_get_node_addrs_reply(client.get(cfg_ipc.encode_get_node_addrs(node_id)))
    assert reply.error == error
    assert reply.addresses == [ip_address(one).packed for one in addresses]


def test_status_when_asked_then_sizes_and_errors_are_the_daemons() -> None:
    bus = cluster(2)
    client = Asking(bus, 1, Service.CFG)
    rings = client.get(encode_request(cfg_ipc.Request.RINGSTATUSGET))
    assert len(rings) == 10_272
    assert bytes(rings[32:44]) == b"0 10.77.0.1\0"
    assert bytes(rings[2080:2083]) == b"OK\0"
    node = client.get(cfg_status.encode_node_status_get(2))
    assert len(node) == 4_200
    assert node[32] == 1
    assert bytes(node[48 + 256 : 48 + 256 + 10]) == b"10.77.0.2\0"
    bus.form([1])
    bus.settle()
    assert client.get(cfg_status.encode_node_status_get(2))[32] == 0
    unknown = client.get(cfg_status.encode_node_status_get(99))
    assert (len(unknown), decode_status(unknown)) == (32, CsError.FAILED_OPERATION)
    later = client.get(cfg_status.encode_node_status_get(1, 2))
    assert (len(later), decode_status(later)) == (32, CsError.NOT_SUPPORTED)


@pytest.mark.parametrize(
    ("request_id", "error"),
    [
        (1, CsError.NOT_SUPPORTED),
        (3, CsError.NOT_SUPPORTED),
        (4, CsError.ACCESS),
        (10, CsError.OK),
        (11, CsError.OK),
        (12, CsError.INVALID_PARAM),
    ],
)
def test_cfg_request_when_it_is_not_built_then_it_is_answered(
    request_id: int, error: CsError
) -> None:
    client = Asking(cluster(1), 1, Service.CFG)
    assert decode_status(client.get(encode_request(request_id, bytes(8)))) == error
    client.die()


# -- the configuration map -------------------------------------------------------------------------


def value(client: Asking, key: bytes) -> object:
    reply = cmap.decode_get_reply(client.get(cmap.encode_get(key, 256)))
    assert reply.error == CsError.OK
    return reply.type, cmap.decode_value(reply.type, reply.value)


@pytest.mark.parametrize(
    ("key", "kind", "expected"),
    [
        (b"totem.version", 6, 2),
        (b"totem.cluster_name", 11, "totlab"),
        (b"totem.transport", 11, "udpu"),
        (b"totem.config_version", 8, 7),
        (b"nodelist.node.1.nodeid", 6, 2),
        (b"nodelist.node.1.name", 11, "node2"),
        (b"nodelist.node.1.ring0_addr", 11, "10.77.0.2"),
        (b"nodelist.node.1.quorum_votes", 6, 1),
        (b"nodelist.local_node_pos", 6, 0),
        (b"runtime.config.totem.token", 6, 3000),
        (b"runtime.config.totem.consensus", 6, 3600),
        (b"runtime.members.2.ip", 11, "r(0) ip(10.77.0.2) "),
        (b"runtime.members.2.join_count", 6, 1),
        (b"runtime.members.2.status", 11, "joined"),
        (b"runtime.members.2.config_version", 8, 7),
        (b"runtime.votequorum.this_node_id", 6, 1),
        (b"quorum.provider", 11, "corosync_votequorum"),
    ],
)
def test_map_when_a_key_is_read_then_type_and_value_are_the_daemons(
    key: bytes, kind: int, expected: object
) -> None:
    assert value(Asking(cluster(2), 1, Service.CMAP), key) == (kind, expected)


def test_map_when_a_member_goes_and_comes_then_its_keys_tell() -> None:
    bus = cluster(2)
    client = Asking(bus, 1, Service.CMAP)
    bus.form([1], [2])
    bus.settle()
    assert value(client, b"runtime.members.2.status") == (11, "left")
    bus.form([1, 2])
    bus.settle()
    assert value(client, b"runtime.members.2.status") == (11, "joined")
    assert value(client, b"runtime.members.2.join_count") == (6, 2)


def test_map_when_a_member_restarts_within_one_change_then_its_join_is_counted() -> None:
    bus = cluster(2)
    client = Asking(bus, 1, Service.CMAP)
    bus.crash(2, Engine(settings(2, 2)))
    bus.form([1, 2])
    bus.settle()
    assert value(client, b"runtime.members.2.join_count") == (6, 2)


def test_get_when_the_buffer_is_none_short_or_missing_then_as_the_daemon() -> None:
    client = Asking(cluster(1), 1, Service.CMAP)
    probe = client.get(cmap.encode_get(b"totem.cluster_name", 0))
    assert (len(probe), cmap.decode_get_reply(probe).value_bytes) == (40, 7)
    exact = client.get(cmap.encode_get(b"totem.cluster_name", 64))
    assert (len(exact), cmap.decode_get_reply(exact).value) == (104, b"totlab\0")
    short = client.get(cmap.encode_get(b"totem.cluster_name", 2))
    assert (len(short), decode_status(short[:40])) == (40, CsError.INVALID_PARAM)
    missing = client.get(cmap.encode_get(b"no.such.key", 64))
    assert (len(missing), decode_status(missing)) == (40, CsError.NOT_EXIST)


def iterate(client: Asking, prefix: bytes) -> list[bytes]:
    _, handle = cmap.decode_iter_init_reply(client.get(cmap.encode_iter_init(prefix)))
    keys = []
    for _ in range(1_000):
        entry = cmap.decode_iter_next_reply(client.get(cmap.encode_iter_next(handle)))
        if entry.error != CsError.OK:
            assert entry.error == CsError.NO_SECTIONS
            break
        keys.append(entry.key)
    for error in (CsError.OK, CsError.BAD_HANDLE):
        assert decode_status(client.get(cmap.encode_iter_finalize(handle))) == error
    last = cmap.decode_iter_next_reply(client.get(cmap.encode_iter_next(handle)))
    assert last.error == CsError.BAD_HANDLE
    return keys


def test_iteration_when_a_prefix_is_given_then_ascending_keys_below_it() -> None:
    client = Asking(cluster(2), 1, Service.CMAP)
    keys = iterate(client, b"nodelist.node.")
    assert len(keys) == 8
    assert keys == sorted(keys)
    assert iterate(client, b"nosuchprefix.") == []
    assert set(keys) < set(iterate(client, b""))


def test_map_when_switched_then_statistics_are_empty_and_unknown_maps_do_not_exist() -> None:
    client = Asking(cluster(1), 1, Service.CMAP)
    switch: Callable[[int], int] = lambda which: decode_status(
        client.get(cmap.encode_set_current_map(which))
    )
    _, handle = cmap.decode_iter_init_reply(client.get(cmap.encode_iter_init(b"")))
    assert switch(1) == CsError.BAD_OPERATION
    client.get(cmap.encode_iter_finalize(handle))
    assert switch(2) == CsError.NOT_EXIST
    assert switch(1) == CsError.OK
    assert iterate(client, b"") == []
    assert switch(0) == CsError.OK
    assert iterate(client, b"totem.version") == [b"totem.version"]


def test_iterations_when_too_many_are_open_then_no_resources() -> None:
    client = Asking(cluster(1), 1, Service.CMAP)
    errors = [
        cmap.decode_iter_init_reply(client.get(cmap.encode_iter_init(b"")))[0]
        for _ in range(ITERATIONS_PER_CLIENT_MAX + 1)
    ]
    assert errors[-2:] == [CsError.OK, CsError.NO_RESOURCES]


@pytest.mark.parametrize(
    ("request_id", "error"),
    [
        (0, CsError.NOT_SUPPORTED),
        (1, CsError.NOT_SUPPORTED),
        (3, CsError.NOT_SUPPORTED),
        (10, CsError.INVALID_PARAM),
    ],
)
def test_map_when_a_change_is_asked_then_it_is_not_supported(
    request_id: int, error: CsError
) -> None:
    client = Asking(cluster(1), 1, Service.CMAP)
    assert decode_status(client.get(encode_request(request_id, bytes(280)))) == error
    client.die()


def test_key_when_too_long_then_the_answer_says_so() -> None:
    client = Asking(cluster(1), 1, Service.CMAP)
    too_long = (300).to_bytes(2, "little") + bytes(262)
    reply = client.get(encode_request(cmap.Request.GET, too_long + bytes(8)))
    assert decode_status(reply) == CsError.NAME_TOO_LONG
    reply = client.get(encode_request(cmap.Request.ITER_INIT, too_long))
    assert decode_status(reply) == CsError.NAME_TOO_LONG


# -- access ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uid", "gid", "allowed"),
    [
        (0, 1000, True),
        (1000, 0, True),
        (1000, 1000, False),
        (500, 1000, True),
        (1000, 600, True),
        (600, 500, False),
    ],
)
def test_access_when_ids_are_given_then_root_and_rules_decide(
    uid: int, gid: int, allowed: bool
) -> None:
    access = AccessSettings(uids=frozenset([500]), gids=frozenset([600]))
    assert may_connect(Credentials(Pid(1), uid, gid), access) is allowed


def test_node_when_it_never_was_in_a_ring_then_status_says_so() -> None:
    status = Node(1, Engine(settings(1))).engine.status()
    assert status["members"] == []
    assert status["sync"] == {"state": "waiting", "service": None, "aborted": 0}
