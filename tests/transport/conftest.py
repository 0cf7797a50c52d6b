"""A network namespace of its own for what loopback cannot show."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

CLONE_NEWNET = 0x40000000
Enter = Callable[[], AbstractContextManager[None]]


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Name of a namespace with `ring0`: 10.77.0.1-3/24, fd77::1-3/64, and loopback."""
    name = f"unisono-transport-{os.getpid()}"
    run("ip", "netns", "add", name)
    try:
        inside = ("ip", "-n", name)
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "link", "add", "ring0", "type", "veth", "peer", "name", "ring1")
        for device in ("ring0", "ring1"):
            run(*inside, "link", "set", device, "up")
        run(*inside, "neigh", "add", "10.77.0.200", "lladdr", "02:00:00:00:00:09", "dev", "ring0")
        for last in (1, 2, 3):
            run(*inside, "addr", "add", f"10.77.0.{last}/24", "dev", "ring0")
            run(*inside, "addr", "add", f"fd77::{last}/64", "dev", "ring0", "nodad")
        yield name
    finally:
        run("ip", "netns", "del", name)


@pytest.fixture
def enter(namespace: str) -> Enter:
    """A context in which this thread opens its sockets inside the namespace."""

    @contextmanager
    def entered() -> Iterator[None]:
        libc = ctypes.CDLL(None, use_errno=True)
        home_path, away_path = Path("/proc/self/ns/net"), Path(f"/run/netns/{namespace}")
        with home_path.open() as home, away_path.open() as away:
            assert libc.setns(away.fileno(), CLONE_NEWNET) == 0
            try:
                yield
            finally:
                assert libc.setns(home.fileno(), CLONE_NEWNET) == 0

    return entered
