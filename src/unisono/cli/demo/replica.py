"""The process of one replica: joins the group, keeps the state, feeds its share of the input.

Speaks:      one JSON object a line on standard output (`event` says what it is), one word a line on
             standard input: `feed`, `finish`, `check N N N`. Ends when its input ends.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import unisono
from unisono.cli.demo.source import Item, read_items
from unisono.cli.demo.store import Replica, encode_set

GROUP: Final = "unisono-demo"
REPORT_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 0.05
BATCH_ITEMS_MAX: Final = 64
BATCH_BYTES_MAX: Final = 128 * 1024
WINDOW_ITEMS: Final = 2_048
WINDOW_BYTES: Final = 2 * 1024 * 1024
"""A feeder is at most two of these ahead of what has come back to it in the order."""
COMMAND_BYTES_MAX: Final = 4_096


def report(event: str, **fields: Any) -> None:
    """Tell the director; the time is the machine's monotonic clock, in nanoseconds."""
    line = json.dumps({"event": event, "at": time.monotonic_ns(), **fields})
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Process:
    """One replica, through as many connections as it takes."""

    def __init__(self, instance: Path, index: int, count: int, items: Sequence[Item]) -> None:
        self.instance = instance
        self.index = index
        self.count = count
        self.items = items[index::count]
        self.replica: Replica | None = None
        self.ring = ""
        self.nodes: Sequence[int] = ()
        self.feeding = asyncio.Event()
        self.finishing = False
        self.finished: int | None = None
        """Number of the last operation that this feeder will ever send, once it is known."""
        self.totals: list[int] | None = None
        """Numbers of the last operation of each feeder, once the director knows them."""
        self.changed = asyncio.Event()
        """Set whenever the state moved on; each waiter clears it before it looks again."""
        self.is_founder = index == 0
        """Whether the next state may be an empty one: only the first member's first."""

    # -- the director's words ----------------------------------------------------------------------

    async def obey(self) -> None:
        """Carry the director's commands out until it closes the pipe."""
        reader = asyncio.StreamReader(COMMAND_BYTES_MAX)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: protocol, sys.stdin
        )
        try:
            while line := await reader.readline():
                word, *numbers = line.decode().split()
                if word == "feed":
                    self.feeding.set()
                elif word == "finish":
                    self.finishing = True
                elif word == "check":
                    self.totals = [int(number) for number in numbers]
                    self.changed.set()
        finally:
            transport.close()

    async def tell(self) -> None:
        """Report the state again and again."""
        while True:
            if (replica := self.replica) is not None:
                report(
                    "state",
                    ring=self.ring,
                    nodes=list(self.nodes),
                    members=[member.node_id for member in replica.members],
                    synced=replica.is_synced,
                    keys=len(replica.entries),
                    applied=replica.applied,
                )
            await asyncio.sleep(REPORT_SECONDS)

    # -- life in the group -------------------------------------------------------------------------

    async def live(self) -> None:
        """Be a member until the check is done; a lost daemon is waited for."""
        while True:
            try:
                await self._connect()
            except* unisono.ClusterError as reasons:
                if self.replica is not None:
                    report("lost", reason=str(reasons.exceptions[0]))
                    self.replica, self.ring, self.nodes = None, "", ()
                await asyncio.sleep(RETRY_SECONDS)

    async def _connect(self) -> None:
        async with (
            unisono.connect(self.instance) as node,
            node.group(GROUP, rings=True) as group,
        ):
            self.replica = replica = Replica(group.me, self.count, founder=self.is_founder)
            self.is_founder = False
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._feed(group, replica))
                tasks.create_task(self._send(group, replica))
                tasks.create_task(self._check(replica))
                await self._receive(group, replica)

    async def _receive(self, group: unisono.Group, replica: Replica) -> None:
        async for event in group.batches():
            was_synced = replica.is_synced
            match event:
                case unisono.Batch(sender=sender, payloads=payloads):
                    for data in payloads:
                        replica.message(sender, bytes(data))
                case unisono.View(members=members):
                    replica.view(members)
                    report("view", members=[member.node_id for member in members])
                case unisono.Ring(ring_id=ring, members=nodes):
                    self.ring, self.nodes = str(ring), nodes
                    report("ring", ring=self.ring, members=list(nodes))
            if replica.is_synced and not was_synced:
                report("synced", bytes=replica.received_bytes, keys=len(replica.entries))
            self.changed.set()

    async def _until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def _send(self, group: unisono.Group, replica: Replica) -> None:
        while True:
            await self._until(lambda: replica.has_outgoing)
            while (data := replica.take()) is not None:
                await group.send(data)
                await asyncio.sleep(0)
            self.changed.set()

    async def _feed(self, group: unisono.Group, replica: Replica) -> None:
        await self.feeding.wait()
        await self._until(lambda: replica.is_synced)
        number = replica.applied[self.index]
        before = number
        while not self._is_last(number):
            start, size = number, 0
            while number - start < WINDOW_ITEMS and size < WINDOW_BYTES:
                # A newcomer that waits for the state goes first.
                await self._until(lambda: not replica.is_giving)
                batch = self._batch(number)
                await group.send_many(batch)
                await asyncio.sleep(0)
                number += len(batch)
                size += sum(map(len, batch))
                if self._is_last(number):
                    break
            # While this window is under way, the one before it comes back.
            confirmed, before = before, number
            await self._until(lambda: replica.applied[self.index] >= confirmed)  # noqa: B023  # awaited here
        self.finished = number
        await self._until(lambda: replica.applied[self.index] >= number)
        report("finished", number=number)

    def _is_last(self, number: int) -> bool:
        """Whether the feeder ends behind `number`: at the end of a whole round of its input."""
        if self.finished is not None:
            return number >= self.finished
        return not self.items or (self.finishing and number > 0 and number % len(self.items) == 0)

    def _batch(self, number: int) -> list[bytes]:
        """The operations behind `number`, up to the end of the round."""
        batch: list[bytes] = []
        size = 0
        while len(batch) < BATCH_ITEMS_MAX and size < BATCH_BYTES_MAX:
            key, value = self.items[number % len(self.items)]
            number += 1
            batch.append(encode_set(self.index, number, key, value))
            size += len(value)
            if number % len(self.items) == 0:
                break
        return batch

    async def _check(self, replica: Replica) -> None:
        await self._until(
            lambda: (
                self.totals is not None
                and replica.is_synced
                and all(
                    have >= want for have, want in zip(replica.applied, self.totals, strict=True)
                )
            )
        )
        report(
            "checked",
            digest=replica.state_digest(),
            order=replica.chain.hex(),
            applied=replica.applied,
            gaps=replica.gaps,
            keys=len(replica.entries),
        )


async def _main(process: Process) -> None:
    tasks = [asyncio.create_task(process.live()), asyncio.create_task(process.tell())]
    try:
        await process.obey()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def main() -> int:
    """Run one replica."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--instance", type=Path, required=True)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--input", type=Path)
    arguments = parser.parse_args()
    items = read_items(arguments.input)
    asyncio.run(_main(Process(arguments.instance, arguments.index, arguments.count, items)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
