"""The wiring, with real sockets, real machines and real clients in one process."""

import asyncio
import json
import socket

import pytest

import unisono
from tests.executive.places import LOOP
from unisono.base.clients import Credentials, Service, ShutDown
from unisono.base.errors import ConfigError
from unisono.base.ids import Pid
from unisono.base.marks import Mark
from unisono.executive import ring_store
from unisono.executive.node import STATUS_RING_STORE
from unisono.executive.ring_store import RingStore

SECONDS_MAX = 20


async def test_node_when_alone_forms_a_ring_of_itself(ring):
    ring.start(1)
    await ring.until_agreed(1)
    assert ring.nodes[1].texts(Mark.VIEW_INSTALLED) == [
        "A new membership (1.5) was formed. Members joined: 1"
    ]
    facts = ring.nodes[1].facts()
    assert (facts["state"], facts["ring"], facts["members"]) == ("operational", "1.5", [1])
    assert RingStore(str(ring.path(1)), 1).load() == 5


async def test_node_when_started_again_never_repeats_a_ring_id(ring):
    ring.start(1)
    await ring.until_agreed(1)
    ring.nodes[1].close()
    ring.start(1)
    await ring.until_agreed(1)
    assert ring.nodes[1].facts()["ring"] == "1.a"


async def test_three_nodes_form_one_ring_and_agree(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    assert len({node.facts()["ring"] for node in ring.nodes.values()}) == 1
    assert all(node.facts()["native"] for node in ring.nodes.values())


async def test_clients_of_three_nodes_receive_the_same_messages_in_the_same_order(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    count = 200

    async def talk(number: int) -> list[bytes]:
        received: list[bytes] = []
        async with unisono.connect(instance=ring.path(number)) as node, node.group("g") as group:
            events = aiter(group)
            async for event in events:
                if isinstance(event, unisono.View) and len(event.members) == 3:
                    break
            for index in range(count):
                size = 40_000 if index % 50 == 0 else 10
                await group.send(b"%d:%d " % (number, index) + bytes(size))
            async for event in events:
                if isinstance(event, unisono.Message):
                    received.append(bytes(event.data))
                    if len(received) == 3 * count:
                        break
            return received

    async with asyncio.timeout(SECONDS_MAX):
        orders = await asyncio.gather(*(talk(number) for number in (1, 2, 3)))
    assert orders[0] == orders[1] == orders[2]
    for number in (1, 2, 3):
        own = [data.split()[0] for data in orders[0] if data.startswith(b"%d:" % number)]
        assert own == [b"%d:%d" % (number, index) for index in range(count)]


async def test_stop_when_clean_leaves_without_a_token_timeout(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    lost = ring.nodes[1].counters.of(Mark.TOKEN_LOST)  # while the ring formed
    ring.nodes[3].stop("Node was shut down by a signal")
    assert await ring.nodes[3].stopped == 0
    ring.nodes[3].close()
    await ring.until_agreed(1, 2)
    assert ring.nodes[1].texts(Mark.VIEW_INSTALLED)[-1].endswith("formed. Members left: 3")
    assert ring.nodes[1].counters.of(Mark.TOKEN_LOST) == lost


async def test_node_that_vanishes_is_left_out_and_joins_again(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    ring.nodes[2].close()
    await ring.until_agreed(1, 3)
    assert sum(ring.nodes[number].counters.of(Mark.TOKEN_LOST) for number in (1, 3)) > 0
    ring.start(2)
    await ring.until_agreed(1, 2, 3)


async def test_status_when_asked_tells_what_ring_and_transport_did(ring):
    ring.start(1)
    await ring.until_agreed(1)
    async with unisono.connect(instance=ring.path(1)) as node:
        status = await node.status()
    daemon = status["daemon"]
    assert daemon["state"] == "operational"
    assert daemon["transport"]["kind"] == "udpu"
    assert daemon["marks"]["view_installed"] == 1
    json.dumps(ring.nodes[1].facts())


async def test_admit_refuses_strangers_always_and_everybody_while_the_ring_changes(ring):
    node = ring.make(1)
    root, stranger = Credentials(Pid(1), 0, 0), Credentials(Pid(1), 12345, 12345)
    assert node.admit(Service.CPG, root) == 11
    assert node.admit(Service.CPG, stranger) == 13
    node.start()
    await ring.until_agreed(1)
    assert node.admit(Service.CPG, root) == 0
    assert node.admit(Service.CPG, stranger) == 13


async def test_start_when_the_address_is_in_use_raises_and_leaves_nothing_open(ring):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((f"{LOOP}.0.1", ring.settings(1).transport.port))
        with pytest.raises(ConfigError, match="Address already in use"):
            ring.start(1)
    assert not (ring.path(1) / "unisono.sock").exists()


async def test_start_when_another_daemon_serves_the_instance_raises(ring):
    ring.start(1)
    other = ring.make(2)
    other.close()
    ring.path(2).joinpath("cpg").symlink_to(ring.path(1) / "cpg")
    with pytest.raises(ConfigError, match="cannot listen for clients"):
        ring.start(2)


async def test_ring_sequence_when_it_cannot_be_stored_stops_the_node(ring, monkeypatch):
    node = ring.make(1)

    def refuse(_store: RingStore, seq: int) -> None:
        raise ring_store.RingStoreError(f"cannot store {seq}")

    monkeypatch.setattr(RingStore, "store", refuse)
    node.start()
    async with asyncio.timeout(SECONDS_MAX):
        assert await node.stopped == STATUS_RING_STORE
    assert not node.texts(Mark.VIEW_INSTALLED)


async def test_shut_down_ordered_by_a_service_ends_with_its_status(ring):
    ring.start(1)
    await ring.until_agreed(1)
    ring.nodes[1]._on_end(ShutDown("killed", clean=False, status=255))
    async with asyncio.timeout(SECONDS_MAX):
        assert await ring.nodes[1].stopped == 255


async def test_failure_of_a_machine_ends_the_node_at_once(ring):
    ring.start(1)
    await ring.until_agreed(1)
    node = ring.nodes[1]
    node._turn._engine = None  # the next look at the machines raises
    async with asyncio.timeout(SECONDS_MAX):
        assert await node.stopped == 15
