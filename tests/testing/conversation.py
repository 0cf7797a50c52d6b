"""Small programs that the tests of the simulated cluster run on it."""

import asyncio

import unisono
from unisono import Gap, Message, View
from unisono.client.values import Event
from unisono.testing import Process


async def collect(group: unisono.Group, events: list[Event]) -> None:
    """Append every event of the group until it is left."""
    async for event in group:
        events.append(event)


async def listen(instance: Process, events: list[Event], *, reconnect: bool = True) -> None:
    """A program that joins "x" and notes what it receives, until its daemon is lost."""
    async with unisono.connect(instance, reconnect=reconnect) as node, node.group("x") as group:
        await collect(group, events)


async def chatter(instance: Process, events: list[Event], count: int, pause: float) -> None:
    """As `listen`, and says `count` things from the first second on."""
    async with unisono.connect(instance, reconnect=True) as node, node.group("x") as group:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(collect(group, events))
            await asyncio.sleep(1)
            for number in range(count):
                await group.send(b"%s:%d" % (str(instance).encode(), number))
                await asyncio.sleep(pause)
            await asyncio.sleep(30)
            listening.cancel()


def contents(events: list[Event]) -> list[bytes]:
    """What was said."""
    return [event.data for event in events if isinstance(event, Message)]


def views(events: list[Event]) -> list[tuple[int, ...]]:
    """The node ids of each view."""
    return [tuple(m.node_id for m in event.members) for event in events if isinstance(event, View)]


def gaps(events: list[Event]) -> int:
    """How often the daemon was lost and found."""
    return sum(isinstance(event, Gap) for event in events)
