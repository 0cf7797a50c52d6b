"""A client process in a laboratory host: commands down its stdin, JSON lines up its stdout.

Speaks:      the commands of cpg_node.c and py_node.py.
Keeps:       no threads; `feed()` reads what is there, the laboratory decides when to wait.
"""

import hashlib
import json
import os
import subprocess
from io import FileIO
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent.parent / "build" / "interop"
Event = dict[str, Any]


def build(source: Path = HERE / "cpg_node.c", *flags: str) -> Path:
    """Compile a libcpg program once per content of its source; returns the executable."""
    text = source.read_bytes() + (HERE / "crc32.h").read_bytes() + repr(flags).encode()
    target = BUILD / f"{source.stem}-{hashlib.sha256(text).hexdigest()[:16]}"
    if not target.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        draft = target.with_suffix(f".{os.getpid()}")
        argv = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{HERE}", "-o", str(draft)]
        subprocess.run([*argv, str(source), "-lcpg", *flags], check=True, timeout=120)
        draft.rename(target)
    return target


class CpgClient:
    """One member of a process group on one host, and what it has reported so far."""

    def __init__(self, node: int, argv: list[str]) -> None:
        self.node = node
        self.events: list[Event] = []
        self.sendings = 0
        self._partial = b""
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/", bufsize=0
        )
        assert self._process.stdin is not None
        assert isinstance(self._process.stdout, FileIO)
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)

    def fileno(self) -> int:
        return self._stdout.fileno()

    @property
    def pid(self) -> int:
        return self._process.pid

    def say(self, command: str) -> None:
        """Give one command."""
        self._stdin.write(command.encode() + b"\n")

    def send(self, count: int, size: int, gap_us: int = 0) -> None:
        """Have `count` messages of `size` bytes sent, then the end `has_finished` looks for."""
        self.sendings += 1
        self.say(f"send {count} {size} {gap_us}")

    def has_finished(self, sender: "CpgClient") -> bool:
        """Whether the end of the newest sending of `sender` was delivered here."""
        who = {"from": sender.node, "pid": sender.pid, "run": sender.sendings}
        return not sender.sendings or self.last("done", **who) is not None

    def feed(self) -> bool:
        """Take in what the process has printed; False once it has closed its output."""
        data = self._stdout.read(1 << 20)
        if data is None:
            return True
        *lines, self._partial = (self._partial + data).split(b"\n")
        self.events += [json.loads(line) for line in lines]
        return bool(data)

    def last(self, kind: str, **fields: object) -> Event | None:
        """The newest event of this kind with these fields."""
        return next(
            (
                event
                for event in reversed(self.events)
                if event["ev"] == kind and all(event.get(k) == v for k, v in fields.items())
            ),
            None,
        )

    def all(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["ev"] == kind]

    @property
    def view(self) -> set[int]:
        """Node ids of the process group's members, as last reported."""
        event = self.last("view")
        return {member[0] for member in event["members"]} if event else set()

    @property
    def ring(self) -> tuple[int, ...]:
        """Node ids of the ring, as last reported."""
        event = self.last("ring")
        return tuple(event["members"]) if event else ()

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self._process.kill()
        self.close()

    def close(self, timeout: float = 10) -> None:
        """End of file asks the client to leave and end; a client that does not is killed."""
        self._stdin.close()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout)
        self._stdout.close()
