"""Notices to a service manager that the test plays."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from unisono.linux.notify import Notifier


@pytest.fixture(params=["file", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = str(tmp_path / "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.settimeout(5)
    listener.bind(name if request.param == "file" else "\0" + name)
    yield listener, name if request.param == "file" else "@" + name
    listener.close()


def test_notices_when_there_is_a_manager_then_it_hears_them(
    manager: tuple[socket.socket, str],
) -> None:
    listener, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("3 members\nREADY=0")
    notifier.alive()
    notifier.stopping()
    heard = [listener.recv(4096).decode() for _ in range(3)]
    assert heard == ["READY=1\nSTATUS=3 members READY=0", "WATCHDOG=1", "STOPPING=1"]


def test_environment_when_read_then_children_do_not_inherit_it() -> None:
    environ = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1", "A": "b"}
    Notifier(environ)
    assert environ == {"A": "b"}


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2500000"}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": str(os.getpid())}, 2.5),
        ({"WATCHDOG_USEC": "2500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_when_meant_for_this_process_then_known(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert Notifier(dict(environ)).watchdog_seconds == seconds


@pytest.mark.parametrize("name", ["", "relative", "/nobody/listens", "@nobody/listens"])
def test_notices_when_nobody_listens_then_nothing_happens(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("")
    notifier.stopping()


def test_notices_when_the_manager_is_full_then_they_do_not_wait(
    manager: tuple[socket.socket, str],
) -> None:
    _, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for _ in range(10_000):
        notifier.alive()
