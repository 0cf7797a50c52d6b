"""Three `unisonod` on the loopback interface: an instance directory each, one key for the run."""

import os
import secrets
import signal
import socket
import subprocess
from pathlib import Path
from typing import Final

from unisono.base.errors import UnisonoError
from unisono.cli.main import find_program

PORT: Final = 5405
KEY_BYTES: Final = 256
NETWORKS_TRIED_MAX: Final = 100
STOP_SECONDS_MAX: Final = 5.0
LOG_LINES_SHOWN: Final = 12
TOKEN_MILLISECONDS: Final = 1_000
"""Corosync's default before 3.1; a failure is noticed in a few seconds, not in ten."""


def free_network(count: int) -> str:
    """A loopback network (its first three numbers) whose first `count` addresses nobody uses.

    Chosen by lot: a daemon that is down for a while must find its address free again.
    """
    for _ in range(NETWORKS_TRIED_MAX):
        network = f"127.{64 + secrets.randbelow(64)}.{secrets.randbelow(256)}."
        try:
            for index in range(count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind((f"{network}{index + 1}", PORT))
        except OSError:
            continue
        return network
    raise UnisonoError(f"no loopback network whose UDP port {PORT} is free")


def make_key(directory: Path) -> Path:
    """A fresh authkey for this run alone, in a file that nobody else can read."""
    path = directory / "authkey"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    return path


def configuration(count: int, network: str, key_file: Path) -> str:
    """The configuration that all daemons share; its transport is the one that is used by itself."""
    nodes = "".join(
        f"    node {{\n        ring0_addr: {network}{index + 1}\n"
        f"        name: node{index + 1}\n        nodeid: {index + 1}\n    }}\n"
        for index in range(count)
    )
    return (
        "totem {\n    version: 2\n    cluster_name: demo\n"
        f"    keyfile: {key_file}\n    token: {TOKEN_MILLISECONDS}\n"
        f"    interface {{\n        linknumber: 0\n        mcastport: {PORT}\n    }}\n}}\n"
        f"nodelist {{\n{nodes}}}\n"
        "logging {\n    to_syslog: no\n    to_stderr: yes\n}\n"
    )


class Daemon:
    """One `unisonod`, startable again after it was killed."""

    def __init__(self, directory: Path, index: int, text: str) -> None:
        self.node_id = index + 1
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(mode=0o700)
        self._file = directory / "corosync.conf"
        self._file.write_text(text)
        self._log = directory / "log"

    @property
    def pid(self) -> int:
        """Its process id, 0 while it does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else 0

    def start(self) -> None:
        """Start it; UnisonoError when the program is missing."""
        program = find_program("unisonod")
        if program is None:
            raise UnisonoError("unisonod is not installed")
        arguments = ["-f", "-c", str(self._file), "--instance", str(self.directory)]
        arguments += ["--node-id", str(self.node_id)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def check(self) -> None:
        """UnisonoError with the end of its log when it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise UnisonoError(
                f"daemon {self.node_id} ended with status {self._process.returncode}:\n"
                + self.log_end()
            )

    def log_end(self) -> str:
        """The last lines that it wrote."""
        if not self._log.exists():
            return ""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:])

    def kill(self) -> None:
        """SIGKILL: no goodbye, no cleaning up."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Leave the ring and end; killed if it takes too long."""
        if self._process is not None:
            stop_process(self._process)
            self._process = None


def stop_process(process: subprocess.Popen[bytes]) -> None:
    """End a child that was started here, gently first."""
    if process.poll() is None:
        os.kill(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
