"""A daemon of one node, as the tutorial starts it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from unisono import ClusterError, blocking
from unisono.cli.demo.daemons import free_network

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = ROOT / "docs" / "tutorial" / "one-node.conf"
START_SECONDS_MAX = 20.0


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
