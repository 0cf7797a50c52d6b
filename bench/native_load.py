"""Load and latency of a process group through our own client: the same job as cpg_load.c.

    native_load.py batches|events tput MEMBERS SENDERS IS_SENDER SIZE SECONDS COUNT GROUP
    native_load.py batches|events ping MEMBERS SENDERS IS_SENDER SIZE GAP_US  COUNT GROUP

`batches` sends with send_many and receives with batches(); `events` sends and receives one by one.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from struct import Struct
from zlib import crc32

import unisono

HEAD = Struct("<IIQ")
CHECKED = 1024
BATCH_BYTES = 32_768
WARM_UP = 20


class Load:
    """One member of the group."""

    def __init__(self, group: unisono.Group, node: int, size: int, ends_wanted: int) -> None:
        self.group, self.node, self.size = group, node, size
        self.ends_left = ends_wanted
        self.members = 0
        self.delivered = self.crc = self.first_ns = self.last_ns = 0
        self.tail = bytes(size - HEAD.size)
        self.changed = asyncio.Event()
        self.own: asyncio.Future[int] | None = None

    def say(self, kind: str, **fields: object) -> None:
        print(json.dumps({"ev": kind, **fields}), flush=True)

    # -- receiving --------------------------------------------------------------------------------

    def count(self, data: bytes, sender: unisono.Member) -> None:
        """Take one message."""
        self.crc = crc32(data if len(data) <= CHECKED else data[:CHECKED], self.crc)
        if len(data) == HEAD.size:
            self.ends_left -= 1
            return
        self.last_ns = time.monotonic_ns()
        if not self.delivered:
            self.first_ns = self.last_ns
        self.delivered += 1
        if self.own and sender == self.group.me:
            self.own.set_result(self.last_ns - HEAD.unpack_from(data)[2])
            self.own = None

    def count_all(self, batch: unisono.Batch) -> None:
        """Take a batch; the end of a sender's messages can only be its last."""
        payloads = batch.payloads
        if self.own or len(payloads[-1]) == HEAD.size:
            for data in payloads:
                self.count(data, batch.sender)
            return
        if not self.delivered:
            self.first_ns = time.monotonic_ns()
        crc = self.crc
        if self.size <= CHECKED:
            for data in payloads:
                crc = crc32(data, crc)
        else:
            for data in payloads:
                crc = crc32(data[:CHECKED], crc)
        self.crc = crc
        self.delivered += len(payloads)
        self.last_ns = time.monotonic_ns()

    def see(self, event: object) -> None:
        """Take anything else."""
        if isinstance(event, unisono.View):
            self.members = len(event.members)
            self.changed.set()

    async def receive_batches(self) -> None:
        async for event in self.group.batches():
            if isinstance(event, unisono.Batch):
                self.count_all(event)
                if not self.ends_left:
                    return
            else:
                self.see(event)

    async def receive_events(self) -> None:
        count = self.count
        async for event in self.group:
            if isinstance(event, unisono.Message):
                count(event.data, event.sender)
                if not self.ends_left:
                    return
            else:
                self.see(event)

    # -- sending ----------------------------------------------------------------------------------

    async def send_batches(self, goes_on: Callable[[int], bool]) -> None:
        per_batch, sent = max(1, BATCH_BYTES // self.size), 0
        pack, node, tail = HEAD.pack, self.node, self.tail
        while goes_on(sent):
            now = time.monotonic_ns()
            payloads = [pack(node, seq, now) + tail for seq in range(sent, sent + per_batch)]
            await self.group.send_many(payloads)
            sent += per_batch
            await asyncio.sleep(0)

    async def send_events(self, goes_on: Callable[[int], bool]) -> None:
        pack, node, tail, send = HEAD.pack, self.node, self.tail, self.group.send
        per_turn, sent = max(1, BATCH_BYTES // self.size), 0
        while goes_on(sent):
            now = time.monotonic_ns()
            for seq in range(sent, sent + per_turn):
                await send(pack(node, seq, now) + tail)
            sent += per_turn
            await asyncio.sleep(0)

    async def ping(self, gap_s: float, count: int) -> None:
        took = []
        for seq in range(count + WARM_UP):
            self.own = asyncio.get_running_loop().create_future()
            own = self.own
            await self.group.send(HEAD.pack(self.node, seq, time.monotonic_ns()) + self.tail)
            took.append(await own / 1000)
            if gap_s:
                await asyncio.sleep(gap_s)
        took = sorted(took[WARM_UP:])
        self.say(
            "ping", p50_us=round(took[count // 2], 1), p99_us=round(took[count * 99 // 100], 1)
        )


async def read_line() -> str:
    """One line of standard input, or nothing at its end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()

    def on_readable() -> None:
        loop.remove_reader(0)
        future.set_result(os.read(0, 4096).decode())

    loop.add_reader(0, on_readable)
    return await future


async def main(style: str, mode: str, *rest: str) -> None:
    members, senders, is_sender, size = map(int, rest[:4])
    pace, count, name = float(rest[4]), int(rest[5]), rest[6]
    async with unisono.connect(timeout=60) as node, node.group(name) as group:
        load = Load(group, node.node_id, size, senders)
        receive = load.receive_batches if style == "batches" else load.receive_events
        receiving = asyncio.create_task(receive())
        while load.members < members:
            load.changed.clear()
            await load.changed.wait()
        load.say("ready", node=node.node_id)
        start = int((await read_line()).split()[1])
        await asyncio.sleep(max(0, start - time.monotonic_ns()) / 1e9)
        if is_sender and mode == "ping":
            await load.ping(pace / 1e6, count)
        elif is_sender:
            end = start + int(pace * 1e9)
            send = load.send_batches if style == "batches" else load.send_events
            await send(
                (lambda sent: sent < count) if count else lambda _: time.monotonic_ns() < end
            )
        if is_sender:
            await group.send(HEAD.pack(node.node_id, 0, 0))
        await asyncio.wait_for(receiving, 90)
        used = resource.getrusage(resource.RUSAGE_SELF)
        load.say(
            "result",
            delivered=load.delivered,
            bytes=load.delivered * size,
            crc=f"{load.crc:08x}",
            span_s=(load.last_ns - load.first_ns) / 1e9,
            cpu_s=round(used.ru_utime + used.ru_stime, 3),
        )
        await read_line()


asyncio.run(main(*sys.argv[1:]))
