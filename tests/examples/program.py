"""A program under test: what it is told, and what it says."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS_MAX = 20.0


class Program:
    """An example in a process of its own. `say` types a line, `expect` waits for one."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.said: list[str] = []
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    @property
    def pid(self) -> int:
        return self.process.pid

    def say(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def expect(self, wanted: str) -> str:
        """The next line that contains `wanted`; earlier ones are passed over."""
        end = time.monotonic() + SECONDS_MAX
        while True:
            line = self._next_line(end)
            self.said.append(line)
            if wanted in line:
                return line

    def _next_line(self, end: float) -> str:
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._rest:
            ready, _, _ = select.select([descriptor], [], [], max(end - time.monotonic(), 0))
            more = os.read(descriptor, 65_536) if ready else b""
            if not more:
                raise AssertionError(f"said only {self.said}; {self._complaint()}")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def _complaint(self) -> str:
        self.process.kill()
        return self.process.communicate()[1].decode()

    def finish(self) -> str:
        """End its input; what else it said. It must end well."""
        out, err = self.process.communicate(timeout=SECONDS_MAX)
        assert (self.process.returncode, err) == (0, b""), err.decode()
        return (self._rest + out).decode()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
