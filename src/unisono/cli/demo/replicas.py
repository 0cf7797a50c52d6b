"""The replica processes as the director sees them: what each said last, and what it has said."""

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from unisono.base.errors import UnisonoError
from unisono.cli.demo.daemons import stop_process

READ_BYTES: Final = 64 * 1024
LINE_BYTES_MAX: Final = 1024 * 1024


class ReplicaProcess:
    """One child and its latest report."""

    def __init__(self, instance: Path, index: int, count: int, source: Path | None) -> None:
        self.node_id = index + 1
        self.state: dict[str, Any] = {}
        """Fields of the last report of its state; empty before the first and while disconnected."""
        self._log = instance / "replica.log"
        arguments = ["--instance", str(instance), "--index", str(index), "--count", str(count)]
        if source is not None:
            arguments += ["--input", str(source.resolve())]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "unisono.cli.demo.replica", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input = self._process.stdin
        self._output = self._process.stdout
        self._partial = b""

    def fileno(self) -> int:
        """Readable when it has said something."""
        return self._output.fileno()

    def order(self, words: str) -> None:
        """Send it a command; UnisonoError when it is gone."""
        try:
            self._input.write(words.encode() + b"\n")
            self._input.flush()
        except BrokenPipeError:
            raise UnisonoError(self._why()) from None

    def read(self) -> Iterator[dict[str, Any]]:
        """Reports that wait, after `fileno` was readable; UnisonoError when it is gone."""
        data = os.read(self.fileno(), READ_BYTES)
        if not data or len(self._partial) > LINE_BYTES_MAX:
            raise UnisonoError(self._why())
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if report["event"] == "state":
                self.state = report
            elif report["event"] == "lost":
                self.state = {}
            yield report

    def stop(self) -> None:
        """End it."""
        self._input.close()
        stop_process(self._process)
        self._output.close()

    def _why(self) -> str:
        text = self._log.read_text(errors="replace").strip()
        return f"replica {self.node_id} ended unexpectedly:\n{text[-2000:]}"


def reports(
    replicas: list[ReplicaProcess], seconds: float
) -> Iterator[tuple[ReplicaProcess, dict[str, Any]]]:
    """What the replicas say within `seconds`; ends early after the first that say something."""
    with selectors.DefaultSelector() as selector:
        for replica in replicas:
            selector.register(replica, selectors.EVENT_READ, replica)
        for key, _ in selector.select(seconds):
            for report in key.data.read():
                yield key.data, report
