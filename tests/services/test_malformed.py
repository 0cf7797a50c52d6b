"""Whatever a peer or a client sends, no handler raises, and the node goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.services.bus import Bus, Client, cluster
from unisono.base.clients import ClientRequest, Service
from unisono.base.group import Delivered
from unisono.base.ids import Nanos, NodeId, Pid, Seq
from unisono.base.marks import Mark
from unisono.wire import native as stream
from unisono.wire.ipc import cfg as cfg_ipc
from unisono.wire.ipc import cmap, quorum
from unisono.wire.ipc import cpg as cpg_ipc
from unisono.wire.service import cfg, cpg, native, sync, votequorum
from unisono.wire.service import cmap as cmap_wire
from unisono.wire.service.header import (
    GROUP_NATIVE,
    GROUP_SERVICES,
    GROUP_SYNC,
    HEADER,
    make_id,
)

HEADERS = cpg.McastHeaders(b"g", 77, 2)


def messages(bus: Bus) -> dict[str, tuple[bytes, bytes]]:
    """One good message for every handler: its group and its bytes."""
    ring = bus.nodes[NodeId(1)].ring
    assert ring is not None
    services = {
        "cmap": cmap_wire.encode_config_version(7, 0),
        "ringreenable": cfg.encode_ringreenable(2),
        "killnode": cfg.encode_killnode(cfg.KillNode(NodeId(2), b"why")),
        "shutdown": cfg.encode_shutdown(),
        "reload": cfg.encode_reload_config(2),
        "crypto": cfg.encode_crypto_reconfig(1),
        "procjoin": cpg.encode_procjoin(b"g", 77, 1),
        "procleave": cpg.encode_procleave(b"g", 77, 2),
        "joinlist": cpg.encode_joinlist([cpg.Process(b"g", Pid(77))]),
        "downlist": cpg.encode_downlist(2, [1]),
        "mcast": HEADERS.header(5) + b"hello",
        "partial": HEADERS.partial_header(5, 5, 1) + b"hello",
        "nodeinfo": votequorum.encode_nodeinfo(votequorum.NodeInfo(NodeId(2), 1, 3, 1)),
        "reconfigure": votequorum.encode_reconfigure(votequorum.Reconfigure(NodeId(2), 1, 2)),
        "qdevice_reg": votequorum.encode_qdevice_reg(votequorum.QdeviceReg(1, b"x")),
        "qdevice_rename": votequorum.encode_qdevice_reconfigure(
            votequorum.QdeviceReconfigure(b"x", b"y")
        ),
    }
    found = {name: (GROUP_SERVICES, payload) for name, payload in services.items()}
    found["barrier"] = GROUP_SYNC, sync.encode_barrier(ring)
    found["service_build"] = GROUP_SYNC, sync.encode_service_build(ring, [0, 2])
    found["hello"] = GROUP_NATIVE, native.encode_hello(ring)
    found["block"] = GROUP_NATIVE, native.encode_block(b"g", 77, b"\x01\0\0\0\x01\0\0\0x")
    return found


def ready() -> Bus:
    """Two nodes; libcpg and native members of the group here, one of the peer's."""
    bus = cluster(2)
    for client in (bus.libcpg(1), bus.native(1), bus.libcpg(2, pid=77)):
        client.join(b"g")
    bus.settle()
    return bus


BUS = ready()
MESSAGES = messages(BUS)


def feed(bus: Bus, group: bytes, payload: bytes, origin: int = 2) -> None:
    node = bus.nodes[NodeId(1)]
    assert node.ring is not None
    node.engine.receive(
        Delivered(NodeId(origin), group, memoryview(payload), node.ring, Seq(1)), Nanos(0)
    )
    node.engine.drain()


@pytest.mark.parametrize("name", MESSAGES)
def test_message_when_cut_at_every_byte_then_nothing_raises_and_it_is_marked(name: str) -> None:
    bus = ready()
    group, payload = messages(bus)[name]
    step = 1 if len(payload) < 400 else 11
    for length in range(0, len(payload), step):
        feed(bus, group, payload[:length])
    counters = bus.nodes[NodeId(1)].engine._cluster.counters
    assert counters[Mark.SERVICE_MESSAGE_MALFORMED] > 0
    feed(bus, group, payload)


@given(
    name=st.sampled_from(sorted(MESSAGES)),
    changes=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8),
    origin=st.sampled_from([1, 2, 3, 0, 0xFFFF_FFFF]),
    cut=st.booleans(),
)
def test_message_when_spoiled_then_nothing_raises(
    name: str, changes: list[tuple[int, int]], origin: int, cut: bool
) -> None:
    bus = ready()
    group, payload = messages(bus)[name]
    spoiled = bytearray(payload)
    for at, byte in changes:
        spoiled[at % len(spoiled)] = byte
    if cut:
        bus.form([1, 2])
        bus.steps(6)
    feed(bus, group, bytes(spoiled), origin)
    feed(bus, group, bytes(spoiled), origin)


@given(st.binary(max_size=600), st.sampled_from([GROUP_SERVICES, GROUP_SYNC, GROUP_NATIVE, b"x"]))
def test_message_when_random_then_nothing_raises(payload: bytes, group: bytes) -> None:
    feed(BUS, group, payload)


@pytest.mark.parametrize(
    "ident",
    [make_id(2, 7), make_id(2, 4), make_id(4, 0), make_id(6, 1), make_id(64, 0), -1, 0x7FFFFFFF],
)
def test_message_when_service_or_handler_is_unknown_then_it_is_counted(ident: int) -> None:
    bus = ready()
    counters = bus.nodes[NodeId(1)].engine._cluster.counters
    feed(bus, GROUP_SERVICES, HEADER.pack(ident, 16))
    assert counters[Mark.SERVICE_MESSAGE_UNKNOWN] == 1


REQUESTS: dict[Service, list[bytes]] = {
    Service.CPG: [
        cpg_ipc.encode_join(b"g", 1001),
        cpg_ipc.encode_leave(b"g", 1001),
        cpg_ipc.encode_mcast(b"hello"),
        cpg_ipc.encode_membership_get(b"g"),
        cpg_ipc.encode_iteration_initialize(3),
        cpg_ipc.encode_iteration_initialize(2, b"g"),
        cpg_ipc.encode_iteration_next(1),
        cpg_ipc.encode_iteration_finalize(1),
        cpg_ipc.encode_partial_mcast(cpg_ipc.PartialMcast(2, 5, 1, memoryview(b"hello"))),
    ],
    Service.CFG: [
        cfg_ipc.encode_killnode(2, b"why"),
        cfg_ipc.encode_get_node_addrs(1),
        cfg_ipc.encode_tryshutdown(0),
    ],
    Service.CMAP: [
        cmap.encode_get(b"totem.version", 16),
        cmap.encode_iter_init(b"t"),
        cmap.encode_iter_next(1),
        cmap.encode_set_current_map(1),
    ],
    Service.QUORUM: [quorum.encode_trackstart(3), quorum.encode_model_gettype(1)],
    Service.VOTEQUORUM: [quorum.encode_trackstart(3)],
    Service.NATIVE: [
        stream.encode_join(b"g", rings=True),
        stream.encode_send(b"\x01\0\0\0\x01\0\0\0x"),
        stream.encode_query(1, 2, b"g"),
        stream.encode_hello(),
        stream.encode_leave(),
    ],
}


@pytest.mark.parametrize("service", REQUESTS)
@given(data=st.data())
def test_request_when_spoiled_or_cut_then_nothing_raises(
    service: Service, data: st.DataObject
) -> None:
    class Anybody(Client):
        def on_event(self, message: bytes) -> None: ...

    Anybody.service = service
    client = Anybody(BUS, BUS.nodes[NodeId(1)])
    engine = client.node.engine
    for _ in range(data.draw(st.integers(1, 4))):
        request = bytearray(data.draw(st.sampled_from(REQUESTS[service])))
        for at, byte in data.draw(
            st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=5)
        ):
            request[at % len(request)] = byte
        if data.draw(st.booleans()):
            request = request[: data.draw(st.integers(0, len(request)))]
        engine.submit(ClientRequest(client.id, memoryview(request)), Nanos(0))
        engine.drain()
    client.die()
    BUS.settle()
