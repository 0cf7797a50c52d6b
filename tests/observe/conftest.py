"""Logs that are closed again, their lines, and a syslog receiver of the test's own."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from unisono.config.settings import LoggingSettings
from unisono.observe.logs import Log

SILENT = LoggingSettings(to_stderr=False, to_syslog=False)
SECONDS_MAX = 10
"""How long a test waits for what happens within milliseconds."""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Kept(Log):
    """A log to a file whose lines can be read at any time."""

    path: Path

    def lines(self, path: Path | None = None) -> list[str]:
        assert self.flush(SECONDS_MAX)
        return (path or self.path).read_text().splitlines()


class Receiver:
    """Who reads /dev/log, elsewhere."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()

    def start(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.settimeout(SECONDS_MAX)

    def stop(self) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def read(self) -> str:
        return self.socket.recv(4096).decode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keep() -> Iterator[Callable[[Log], Log]]:
    """Closes a log when the test is over."""
    made: list[Log] = []

    def note(log: Log) -> Log:
        made.append(log)
        return log

    yield note
    for log in made:
        log.close()


@pytest.fixture
def make(tmp_path: Path, clock: Clock, keep: Callable[[Log], Log]) -> Callable[..., Kept]:
    """A log that writes to a file, unless told otherwise."""

    def factory(node_id: int = 0, **changes: object) -> Kept:
        settings = replace(SILENT, to_logfile=True, logfile=str(tmp_path / "log"))
        settings = replace(settings, **changes)
        log = Kept(settings, node_id=node_id, clock=clock, syslog_socket=str(tmp_path / "devlog"))
        log.path = Path(settings.logfile)
        keep(log)
        return log

    return factory


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Syslog of the test's own, where `make` looks for it."""
    made = Receiver(tmp_path / "devlog")
    yield made
    made.stop()
