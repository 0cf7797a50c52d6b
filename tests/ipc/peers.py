"""A server in a process of its own, and a client that speaks libqb by hand, byte by byte."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unisono.ipc.endpoint import instance_endpoint
from unisono.ipc.qb_client import QbClient, connect
from unisono.wire.ipc import qb

SERVER = Path(__file__).with_name("local_cpg.py")
SECONDS_MAX = 40.0


class Served:
    """The running server; `report` is there after it has ended."""

    def __init__(self, process: "subprocess.Popen[str]", instance: Path) -> None:
        self.process = process
        self.instance = instance
        self.report: dict[str, Any] = {}

    def connect(self, service: str = "cpg") -> QbClient:
        return connect(instance_endpoint(self.instance, service))

    def stream(self, service: str = "cpg") -> socket.socket:
        return instance_endpoint(self.instance, service).connect(5.0)

    def directories(self) -> list[str]:
        """What the server has in /dev/shm."""
        pattern = f"qb-{self.process.pid}-*"
        return sorted(path.name for path in Path("/dev/shm").glob(pattern))

    def descriptors(self) -> int:
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())

    def await_directories(self, count: int) -> None:
        """Wait until so many connections have files."""
        end = time.monotonic() + SECONDS_MAX
        while len(self.directories()) != count:
            assert time.monotonic() < end, self.directories()
            time.sleep(0.002)

    def await_descriptors(self, count: int) -> None:
        """Wait until the server holds so many descriptors."""
        end = time.monotonic() + SECONDS_MAX
        while self.descriptors() != count:
            assert time.monotonic() < end, (self.descriptors(), count)
            time.sleep(0.002)


@contextmanager
def serving(
    instance: Path | None, kind: str, *options: str, survives: bool = True
) -> Iterator[Served]:
    """The server of local_cpg.py; it must survive what the test does.

    Without an instance directory it has libqb's abstract names: only in a network namespace.
    """
    command = [sys.executable, str(SERVER), kind, *options]
    if instance is not None:
        command += ["--instance", str(instance)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        served = Served(process, instance or Path())
        yield served
        if not survives:
            return
        assert process.poll() is None, "the server died"
        out, _ = process.communicate("", timeout=SECONDS_MAX)
        assert process.returncode == 0
        served.report = json.loads(out)
        assert served.directories() == []
    finally:
        process.stdin.close()
        process.stdout.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def shake_hands(stream: socket.socket, wish: int = 1 << 20) -> qb.ConnectReply:
    """The client's half of the set-up; leaves the transport alone."""
    stream.sendall(qb.encode_connect_request(wish))
    return receive_reply(stream)


def receive_reply(stream: socket.socket) -> qb.ConnectReply:
    data = stream.recv(qb.CONNECT_REPLY.size, socket.MSG_WAITALL)
    return qb.decode_connect_reply(memoryview(data))
