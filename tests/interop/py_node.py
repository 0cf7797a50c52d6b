"""What cpg_node.c does, with our own client: same commands, same JSON lines, same rolling CRC.

py_node.py PROTOCOL GROUP        protocol: native, qb or auto
"""

import asyncio
import json
import os
import sys
import time
from struct import Struct
from zlib import crc32

import unisono

HEAD = Struct("<IHHIIII")
MAGIC = 0x554E4953
DATA, DONE, MARK = 1, 2, 3
WORD = 0xFFFF_FFFF


def filler(node: int, seq: int, size: int) -> bytes:
    """The payload behind the head that cpg_node expects."""
    left = size - HEAD.size
    seed = node * 2654435761 ^ seq * 40503
    words = [(seed ^ i * 2246822519) & WORD for i in range(-(-left // 4))]
    return Struct(f"<{len(words)}I").pack(*[word ^ word >> 15 for word in words])[:left]


class Node:
    """One member of the group, and what it has counted since the last mark."""

    def __init__(self, group: unisono.Group, node: int) -> None:
        self.group, self.node = group, node
        self.crc = self.count = self.bytes = self.gaps = self.run = 0
        self.next: dict[object, tuple[int, int]] = {}

    def say(self, kind: str, **fields: object) -> None:
        tally = {"count": self.count, "bytes": self.bytes, "crc": f"{self.crc:08x}", "bad": 0}
        tally |= {"gaps": self.gaps, "t": time.monotonic_ns()}
        print(json.dumps({"ev": kind, **fields, **tally}), flush=True)

    # -- receiving --------------------------------------------------------------------------------

    async def receive(self) -> None:
        async for event in self.group:
            match event:
                case unisono.Message(sender=sender, data=data):
                    self.on_message(sender, data)
                case unisono.View():
                    self.on_view(event)
                case unisono.Ring(ring_id=ring_id, members=members):
                    self.say("ring", rep=ring_id.rep, seq=ring_id.seq, members=list(members))
                case _:
                    self.say("gap")

    def on_view(self, view: unisono.View) -> None:
        self.say(
            "view",
            members=[[*member, 0] for member in view.members],
            left=[[*member, int(reason)] for member, reason in view.left.items()],
            joined=[[*member, int(reason)] for member, reason in view.joined.items()],
        )

    def on_message(self, sender: unisono.Member, data: bytes) -> None:
        _, kind, run, seq, _, _, _ = HEAD.unpack_from(data)
        if kind == MARK:
            self.say("mark", **{"from": sender.node_id}, label=data[HEAD.size :].decode())
            self.crc = self.count = self.bytes = self.gaps = 0
            return
        expected = self.next.get(sender, (0, 0))
        self.gaps += seq != (expected[1] if expected[0] == run else 0)
        self.next[sender] = (run, seq + 1)
        if kind == DONE:
            self.say("done", **{"from": sender.node_id}, pid=sender.pid, run=run)
            return
        self.crc = crc32(data, crc32(sender.node_id.to_bytes(4, "little"), self.crc))
        self.count += 1
        self.bytes += len(data)

    # -- sending ----------------------------------------------------------------------------------

    def head(self, kind: int, seq: int, size: int) -> bytes:
        return HEAD.pack(MAGIC, kind, self.run, seq, size, self.node, 0)

    async def send(self, count: int, size: int, gap_us: int = 0) -> None:
        self.run += 1
        for seq in range(count):
            await self.group.send(self.head(DATA, seq, size) + filler(self.node, seq, size))
            await asyncio.sleep(gap_us / 1e6)
        await self.group.send(self.head(DONE, count, HEAD.size))

    async def obey(self, line: str) -> None:
        word, _, rest = line.partition(" ")
        if word == "send":
            await self.send(*map(int, rest.split()))
        elif word == "mark":
            await self.group.send(self.head(MARK, 0, 0) + rest.encode())
        elif word == "report":
            self.say("report", sent=0)


async def main(protocol: str, name: str) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with unisono.connect(protocol=protocol, timeout=60) as daemon:
        async with daemon.group(name, rings=True) as group:
            node = Node(group, daemon.node_id)
            node.say("connected", node=daemon.node_id, pid=os.getpid(), protocol=daemon.protocol)
            receiving = asyncio.create_task(node.receive())
            while line := await lines.readline():
                await node.obey(line.decode().strip())
        await receiving


asyncio.run(main(*sys.argv[1:]))
