"""What the client library costs, beside a fake daemon in another process.

    python -m tests.client.measure [MESSAGES]

Prints microseconds of this process's CPU for each message, and round trips of one message.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import unisono
import unisono.blocking
from tests.client.fake_daemon import FakeDaemon
from unisono.client.values import Batch

PAYLOAD = bytes(64)
PINGS = 2_000


async def _serve(directory: Path) -> None:
    async with FakeDaemon(directory, distinct_pids=True):
        await asyncio.Event().wait()


def serve(directory: str) -> None:
    asyncio.run(_serve(Path(directory)))


async def send_each(group: unisono.Group, count: int) -> None:
    send = group.send
    for _ in range(count):
        await send(PAYLOAD)


async def send_lists(group: unisono.Group, count: int) -> None:
    payloads = [PAYLOAD] * 1_000
    for _ in range(count // 1_000):
        await group.send_many(payloads)


async def receive_each(group: unisono.Group, count: int) -> None:
    async for event in group:
        if type(event) is unisono.Message:
            count -= 1
            if not count:
                return


async def receive_batches(group: unisono.Group, count: int) -> None:
    async for event in group.batches():
        if isinstance(event, Batch):
            count -= len(event.payloads)
            if count <= 0:
                return


async def start_peer(directory: str, work: str, count: int) -> asyncio.subprocess.Process:
    """Let another process join and do `work`, so that only the measured side costs CPU here."""
    code = (
        "import asyncio, unisono; from tests.client import measure\n"
        "async def main():\n"
        f"    async with unisono.connect({directory!r}) as node, node.group('g') as group:\n"
        "        print(flush=True)\n"
        f"        await measure.{work}(group, {count})\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def cost(
    directory: str, work: Callable[[unisono.Group, int], Awaitable[None]], peer: str, count: int
) -> None:
    async with unisono.connect(directory) as node, node.group("g") as group:
        other = await start_peer(directory, peer, count)
        start, cpu = time.perf_counter(), time.process_time()
        if work in (send_each, send_lists):
            # Own messages come back; they are read by the other task so that nothing fills up.
            drop = asyncio.create_task(receive_batches(group, count))
            await work(group, count)
            await drop
        else:
            await work(group, count)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        await other.wait()
    print(f"{work.__name__:20} {cpu / count * 1e6:7.3f} us CPU  {count / wall / 1e3:8.0f} k/s")


async def ping(directory: str) -> None:
    async with unisono.connect(directory) as node, node.group("g") as group:
        await group.next()
        times = []
        for _ in range(PINGS):
            start = time.perf_counter()
            await group.send(PAYLOAD)
            await group.next()
            times.append(time.perf_counter() - start)
        report("ping asyncio", times)


def ping_blocking(directory: str) -> None:
    with unisono.blocking.connect(directory) as node, node.group("g") as group:
        group.next()
        times = []
        for _ in range(PINGS):
            start = time.perf_counter()
            group.send(PAYLOAD)
            group.next()
            times.append(time.perf_counter() - start)
        report("ping blocking", times)


def report(name: str, times: list[float]) -> None:
    times.sort()
    half, most = times[len(times) // 2], times[-len(times) // 100]
    print(f"{name:20} p50 {half * 1e6:.0f} us, p99 {most * 1e6:.0f} us")


def in_memory(count: int) -> None:
    """The core alone: no socket, no loop."""
    from tests.client.test_native_core import drain, feed, joined
    from unisono.client.core import Added
    from unisono.wire import native
    from unisono.wire.block import encode_block

    core, full = joined(), Added.FULL
    start = time.process_time()
    for _ in range(count):
        if core.add(PAYLOAD) is full:
            drain(core, everything=False)
    print(f"{'core add':20} {(time.process_time() - start) / count * 1e6:7.3f} us CPU")
    payloads = [PAYLOAD] * 1_000
    start = time.process_time()
    for _ in range(count // 1_000):
        core.add_many(payloads, 0)
        drain(core)
    print(f"{'core add_many':20} {(time.process_time() - start) / count * 1e6:7.3f} us CPU")
    stream = b"".join(
        native.encode_block_frame(2, 9, encode_block([PAYLOAD] * 480)) for _ in range(7)
    )
    start, seen = time.process_time(), 0
    while seen < count:
        feed(core, stream)
        while (item := core.take()) is not None:
            seen += len(item.payloads)  # type: ignore[union-attr]  # there are only batches
    print(f"{'core receive, take':20} {(time.process_time() - start) / seen * 1e6:7.3f} us CPU")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    in_memory(count)
    with tempfile.TemporaryDirectory() as directory:
        daemon = multiprocessing.get_context("spawn").Process(target=serve, args=[directory])
        daemon.start()
        while not (Path(directory) / "unisono.sock").exists():
            time.sleep(0.01)
        try:
            asyncio.run(cost(directory, send_each, "receive_batches", count))
            asyncio.run(cost(directory, send_lists, "receive_batches", count))
            asyncio.run(cost(directory, receive_each, "send_lists", count))
            asyncio.run(cost(directory, receive_batches, "send_lists", count))
            asyncio.run(ping(directory))
            ping_blocking(directory)
        finally:
            daemon.terminate()
            daemon.join()


if __name__ == "__main__":
    main()
