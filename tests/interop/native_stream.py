"""A member of a group that sends as fast as it may, or listens, and says what it delivers.

native_stream.py GROUP MEMBERS SIZE|0      a line `NANOSECONDS BYTES` every tenth of a second
"""

import asyncio
import sys
import time

import unisono

TICK_SECONDS = 0.1
BATCH_BYTES = 32_768


async def tell(delivered: list[int]) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        print(time.monotonic_ns(), delivered[0], flush=True)


async def send(group: unisono.Group, size: int) -> None:
    payloads = [bytes(size)] * max(BATCH_BYTES // size, 1)
    while True:
        await group.send_many(payloads)


async def main(name: str, members: int, size: int) -> None:
    delivered = [0]
    present = 0
    tasks: list[asyncio.Task[None]] = []
    async with (
        unisono.connect(protocol="native", timeout=30) as daemon,
        daemon.group(name) as group,
    ):
        async for batch in group.batches():
            if isinstance(batch, unisono.Batch):
                delivered[0] += sum(map(len, batch.payloads))
            elif isinstance(batch, unisono.View):
                present = len(batch.members)
            if present == members and not tasks:
                tasks.append(asyncio.create_task(tell(delivered)))
                if size:
                    tasks.append(asyncio.create_task(send(group, size)))


asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
