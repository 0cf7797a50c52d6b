"""The brakes: a full ring pauses clients, a slow client holds the ring, nothing is lost."""

import asyncio
import gc
import socket

from unisono.base.group import Delivered, Multicast
from unisono.base.marks import Mark
from unisono.executive.collector import COLLECT_OBJECTS_MIN, IDLE_DATAGRAMS_PER_CHECK, IdleCollector
from unisono.wire import native
from unisono.wire.block import encode_block

SECONDS_MAX = 30


async def test_multicast_when_the_ring_refuses_it_waits_in_order_and_clients_with_it(ring):
    ring.start(1)
    await ring.until_agreed(1)
    node = ring.nodes[1]
    turn, flow = node._turn, node._turn.flow
    delivered = []
    done = asyncio.Event()

    def spy(effect: Delivered, _now: int) -> None:
        if effect.group == b"test":
            delivered.append(effect.payload[0])
            if len(delivered) == 20:
                done.set()

    turn._carry[Delivered] = spy
    for number in range(20):
        flow.multicast(
            Multicast(b"test", bytes([number]) * (20 if number % 2 else 900_000)), turn._clock()
        )
    assert flow.refused > 0
    assert node.facts()["clients_paused"]
    turn.run()
    async with asyncio.timeout(SECONDS_MAX):
        await done.wait()
    assert delivered == list(range(20))
    await node.until(lambda: not node.facts()["clients_paused"])
    assert flow.refused == 0


async def test_client_when_it_does_not_read_holds_the_ring_until_it_does(ring):
    ring.start(1)
    await ring.until_agreed(1)
    node = ring.nodes[1]
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lazy:
        lazy.setblocking(False)
        async with asyncio.timeout(SECONDS_MAX):
            await loop.sock_connect(lazy, str(ring.path(1) / "unisono.sock"))
            await loop.sock_sendall(lazy, native.encode_hello() + native.encode_join(b"g"))
            message = native.encode_send(encode_block([bytes(100_000)]))
            for _ in range(60):
                await loop.sock_sendall(lazy, message)
            await node.until(lambda: node.counters.of(Mark.RING_SLOWED) == 1)
            assert node.facts()["ring_slowed"]
            assert node._totem._slow
            received = 0
            while received < 60 * 100_000:
                received += len(await loop.sock_recv(lazy, 1 << 20))
            await node.until(lambda: node.counters.of(Mark.RING_UNSLOWED) == 1)
            assert not node._totem._slow


async def test_collector_collects_when_idle_and_not_under_load():
    work = 0
    collector = IdleCollector(asyncio.get_running_loop(), lambda: work)
    collector.start()
    try:
        assert not gc.isenabled()
        kept = [[] for _ in range(COLLECT_OBJECTS_MIN + 1_000)]
        work = IDLE_DATAGRAMS_PER_CHECK + 1
        assert not collector.check()
        work += 10
        assert collector.check()
        assert not collector.check()  # nothing new
        del kept
    finally:
        collector.stop()
    assert gc.isenabled()
