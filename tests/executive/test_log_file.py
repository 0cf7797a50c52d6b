"""The log of a daemon as a process: whose lines they are, in the foreground and behind it."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.executive.conftest import SECONDS_MAX, Host


def await_gone(pid: int) -> None:
    end = time.monotonic() + SECONDS_MAX
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize("mode", ["foreground", "background"])
def test_log_file_when_written_then_every_line_has_the_pid_of_the_pid_file(
    host: Host, tmp_path: Path, mode: str
) -> None:
    """BB16."""
    log = tmp_path / "log"
    text = host.config.read_text()
    targets = f"to_logfile: yes\n    logfile: {log}\n    to_syslog: no"
    host.config.write_text(text.replace("to_syslog: no", targets))
    options = ["-f"] if mode == "foreground" else []
    starter = subprocess.Popen(host.command(*options), stderr=subprocess.PIPE, text=True)
    assert starter.stderr is not None
    if mode == "background":
        first = starter.communicate(timeout=SECONDS_MAX)[1]
    else:
        first = starter.stderr.readline()
        while "ready to provide service" not in starter.stderr.readline():
            assert starter.poll() is None
    assert "starting up" in first.splitlines()[0]
    pid_file = host.instance / "unisonod.pid"
    pid = int(pid_file.read_text())
    host.started.append(pid)
    os.kill(pid, signal.SIGTERM)
    if mode == "foreground":
        starter.communicate(timeout=SECONDS_MAX)
    await_gone(pid)
    pids = set(re.findall(r"\[(\d+)\] \S+ unisonod ", log.read_text()))
    assert pids == {str(pid)}
    assert "Node was shut down by a signal" in log.read_text()
