"""Cost of the server's side of the libcpg path, in microseconds of processor time a message.

Usage: python -m tests.ipc.measure
"""

import asyncio
import itertools
import os
import select
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from unisono.base.clients import ClientRequest, Service
from unisono.ipc.endpoint import instance_endpoint
from unisono.ipc.qb import QbServer
from unisono.ipc.qb_client import ShmClient, connect
from unisono.wire.ipc import cpg

MESSAGES = 100_000
NAME = b"measured"


def timed(count: int, work: Callable[[], None]) -> float:
    """Microseconds of this process per message."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / count * 1e6


class Loop:
    """Delivers each multicast to its sender: the least that a daemon does."""

    def __init__(self) -> None:
        self.server: QbServer
        self.headers = cpg.DeliverHeaders(NAME)
        self.deliver = True

    def submitted(self) -> None:
        pass

    def admit(self, *_: object) -> int:
        return 0

    def submit(self, request: object) -> None:
        if type(request) is not ClientRequest:
            return
        if request.message[0] == cpg.Request.LOCAL_GET:
            self.server.reply(request.client, cpg.encode_local_get_reply(1))
            return
        _, payload = cpg.decode_mcast(request.message)
        if self.deliver:
            header = self.headers.header(1, 2, len(payload))
            self.server.notify(request.client, [header, payload])


def child(path: str, size: int, batch: int, ready: int, deliver: bool) -> None:
    """The client, in a process of its own: batches of requests, then as many events."""
    with connect(instance_endpoint(Path(path), "cpg")) as client:
        assert isinstance(client, ShmClient)
        os.write(ready, b"x")
        request = cpg.encode_mcast(bytes(size))
        for _ in range(MESSAGES // batch):
            drive(client, request, batch, deliver)
    os._exit(0)


def drive(client: ShmClient, request: bytes, batch: int, deliver: bool) -> None:
    client._requests.put([(len(request), (request,))] * batch)
    client._stream.send(bytes(batch))
    for _ in range(batch if deliver else 0):
        while client.read_event() is None:
            select.select([client], [], [])
    if not deliver:
        client.call(cpg.encode_local_get())


async def measure(directory: str, size: int, batch: int, deliver: bool) -> float:
    """Microseconds of the server per message, both its directions."""
    handler = Loop()
    handler.deliver = deliver
    server = QbServer(
        Service.CPG,
        instance_endpoint(Path(directory), "cpg"),
        "shm",
        handler,
        numbers=itertools.count(1),
    )
    handler.server = server
    server.start()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.nice(5)
        child(directory, size, batch, write, deliver)
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.add_reader(read, done.set_result, None)
    await done
    loop.remove_reader(read)
    start = time.process_time()
    while server.clients:
        await asyncio.sleep(0.01)
    spent = time.process_time() - start
    os.waitpid(pid, 0)  # noqa: ASYNC222  it has ended, or the server would have a client
    os.close(read)
    os.close(write)
    server.close()
    return spent / (MESSAGES // batch * batch) * 1e6


def codecs() -> None:
    """The pure parts."""
    message = memoryview(cpg.encode_mcast(bytes(64)))
    headers = cpg.DeliverHeaders(NAME)
    field = cpg.encode_name(NAME)

    def decode() -> None:
        for _ in range(MESSAGES):
            cpg.decode_mcast(message)

    def remembered() -> None:
        for _ in range(MESSAGES):
            headers.header(1, 2, 64)

    def packed() -> None:
        for _ in range(MESSAGES):
            cpg.deliver_header(field, 1, 2, 64)

    print(f"decode MCAST              {timed(MESSAGES, decode):6.2f} us")
    print(f"DELIVER header remembered {timed(MESSAGES, remembered):6.2f} us")
    print(f"DELIVER header packed     {timed(MESSAGES, packed):6.2f} us")


def main() -> None:
    codecs()
    for size in (64, 1_000, 10_000):
        for batch in (1, 10, 50):
            with tempfile.TemporaryDirectory() as directory:
                both = asyncio.run(measure(directory, size, batch, True))
            with tempfile.TemporaryDirectory() as directory:
                requests = asyncio.run(measure(directory, size, batch, False))
            print(
                f"{size:6} B, {batch:3} a wake-up: in {requests:6.2f} us, in and out {both:6.2f} us"
            )


if __name__ == "__main__":
    main()
