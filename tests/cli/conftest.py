"""A daemon of one node, as the tutorial starts it, and two on the secure transport."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.scrapes import await_pair
from unisono import ClusterError, blocking
from unisono.cli.demo.daemons import Daemon, configuration, free_network, make_key

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "docs" / "tutorial" / "one-node.conf"
START_SECONDS_MAX = 20.0
QUORUM = "quorum {\n    provider: corosync_votequorum\n}\n"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Path]:
    """Directory of a running daemon."""
    directory = tmp_path / "one"
    program = Path(sys.executable).with_name("unisonod")
    text = tmp_path / "one.conf"
    text.write_text(CONFIGURATION.read_text().replace("127.0.0.", free_network(1)))
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [program, "-f", "-c", text, "--instance", directory], stdout=log, stderr=log
        )
        try:
            _await_start(directory, daemon, tmp_path / "log")
            yield directory
        finally:
            daemon.terminate()
            assert daemon.wait(START_SECONDS_MAX) == 0


def _await_start(directory: Path, daemon: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(int(START_SECONDS_MAX / 0.05)):
        try:
            with blocking.connect(directory, timeout=START_SECONDS_MAX) as node:
                node.status()
        except ClusterError:
            try:
                daemon.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(log.read_text())
        else:
            return
    pytest.fail(f"the daemon does not answer\n{log.read_text()}")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Path]:
    """Directory of the first of two daemons on the secure transport that see each other."""
    text = configuration(2, free_network(2), make_key(tmp_path)) + QUORUM
    daemons = [Daemon(tmp_path / f"n{index}", index, text) for index in range(2)]
    with ExitStack() as stack:
        for daemon in daemons:
            stack.callback(daemon.stop)
            daemon.start()
        await_pair(tmp_path / "n0")
        yield tmp_path / "n0"
