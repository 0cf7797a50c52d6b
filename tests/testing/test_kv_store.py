"""The replicas of examples/kv_store.py on a simulated cluster, with everything that breaks."""

import asyncio
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

import unisono
from examples import kv_store
from unisono import Member
from unisono.testing import Cluster, Process

NODES = 3


class Seat:
    """The blocking group that the store expects, over an asyncio group: one event at a time."""

    def __init__(self, group: unisono.Group) -> None:
        self.group = group
        self.unsent: list[bytes] = []
        self.given: list[Any] = []
        self.store = kv_store.Store(self)

    @property
    def me(self) -> Member:
        return self.group.me

    @property
    def members(self) -> tuple[Member, ...]:
        return self.group.members

    def send(self, data: bytes) -> None:
        self.unsent.append(data)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.given)

    async def give(self, event: Any) -> None:
        self.given = [event]
        self.store.run()
        unsent, self.unsent = self.unsent, []
        for data in unsent:
            await self.group.send(data)


async def replica(instance: Process, seats: dict[int, Seat], random: Random) -> None:
    """One copy, and somebody who types."""
    async with unisono.connect(instance, reconnect=True) as node:
        async with node.group("kv-store") as group:
            seat = seats[instance.node] = Seat(group)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(type_commands(seat, random))
                async for event in group:
                    await seat.give(event)


async def type_commands(seat: Seat, random: Random) -> None:
    for number in range(60):
        await asyncio.sleep(random.random())
        if seat.store.ready.is_set():
            command = ["set", str(random.randrange(9)), f"{seat.me}:{number}"]
            await seat.group.send(kv_store.json.dumps(["do", *command]).encode())


async def storm(c: Cluster, random: Random) -> None:
    """Half a minute in which everything breaks now and then."""
    for _ in range(8):
        await asyncio.sleep(random.random() * 8)
        node = random.randint(1, NODES)
        match random.randrange(6):
            case 0:
                c.crash(node)
            case 1:
                c.partition([node], [each for each in c.nodes if each != node])
            case 2:
                c.pause(node)
            case 3:
                c.weather(loss=0.02, duplicate=0.02, reorder=0.1)
            case _:
                for each in c.nodes:
                    c.start(each)
                    c.resume(each)
                c.heal()
    c.heal()
    c.weather(loss=0.0, duplicate=0.0, reorder=0.0)
    for each in c.nodes:
        c.start(each)
        c.resume(each)


@pytest.mark.parametrize("seed", range(12))
def test_replicas_when_everything_breaks_then_all_hold_the_same(seed: int) -> None:
    c, random = Cluster(NODES, seed=seed), Random(f"{seed}/kv-store")
    seats: dict[int, Seat] = {}

    async def main() -> None:
        for node in c.nodes:
            c.spawn(node, replica, seats, Random(f"{seed}/{node}"))
            await asyncio.sleep(random.random())
        await storm(c, random)
        await asyncio.sleep(90)

    c.run(main())
    copies = [seat.store.data for seat in seats.values()]
    assert len(copies) == NODES
    assert None not in copies
    assert copies[0] == copies[1] == copies[2]
