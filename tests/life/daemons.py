"""Daemons and probes on an island: `unisonod` as a program, and as a fork of a loaded one.

Keeps:       a fork runs the real `main` with the arguments, as the given user, and exits with its
             status; it saves what an exec costs, the 100 to 250 ms of loading Python, so that
             thousands are affordable. Where that matters, the same is done by exec.
"""

import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import unisono.blocking
from unisono.cli.main import main as umbrella
from unisono.executive.main import main as unisonod

SECONDS_MAX = 20.0
STATUS_BROKEN = 70
CONFIG = """\
totem {{
    version: 2
    transport: udpu
    token: 1000
    interface {{
        linknumber: 0
        mcastport: {port}
    }}
}}
nodelist {{
{nodes}}}
logging {{
    to_stderr: {to_stderr}
    to_syslog: no
    to_logfile: yes
    logfile: {log}
}}
{more}"""
NODE = "    node {{\n        nodeid: {number}\n        ring0_addr: 127.0.0.{number}\n    }}\n"
EXECUTIVE = [sys.executable, "-B", "-m", "unisono.executive"]
UMBRELLA = [sys.executable, "-B", "-m", "unisono.cli.main"]


class Ran(NamedTuple):
    """How a command went."""

    status: int
    output: str
    pid: int


def forked(arguments: Sequence[str], *, uid: int = 0, tool: bool = False) -> Ran:
    """`unisonod` (or `unisono`) with these arguments in a fork of this process, to its end."""
    read_end, write_end = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        _become(write_end, uid)
        leave_with(partial(umbrella if tool else unisonod, list(arguments)))
    os.close(write_end)
    output = bytearray()
    while chunk := os.read(read_end, 65_536):
        output += chunk
    os.close(read_end)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Ran(status, output.decode(errors="replace"), pid)


def begin_fork(arguments: Sequence[str], stream: int) -> int:
    """`unisonod` in a fork and process group of its own, which speaks to `stream`; its pid."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setpgid(0, 0)
        _become(os.dup(stream), 0)
        leave_with(partial(unisonod, list(arguments)))
    with suppress(OSError):  # the child may have done it, and ended
        os.setpgid(pid, pid)
    return pid


def _become(stream: int, uid: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (stream, 1), (stream, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(stream)
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def leave_with(program: Callable[[], int]) -> NoReturn:
    """In a fork: run this and end with what it returns, nothing of the parent's is run then."""
    status = STATUS_BROKEN
    try:
        status = program()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001  whatever it is, the test shows it
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(status)


class Place:
    """One daemon's configuration, instance directory and log."""

    def __init__(
        self, directory: str, *, node: int = 1, nodes: int = 1, port: int = 26_500, more: str = ""
    ) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        self.instance = self.directory / "instance"
        self.log = self.directory / "log"
        self.config = self.directory / "corosync.conf"
        self.node = node
        listed = "".join(NODE.format(number=number) for number in range(1, nodes + 1))
        values = {"port": port, "nodes": listed, "log": self.log, "more": more, "to_stderr": "no"}
        self.config.write_text(CONFIG.format(**values))

    def options(self, *more: str) -> list[str]:
        where = ["-c", str(self.config), "--instance", str(self.instance)]
        return [*where, "--node-id", str(self.node), *more]

    def execute(self, *options: str, uid: int = 0) -> Ran:
        """`unisonod` by exec, to its end."""
        who = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        with subprocess.Popen(
            [*who, *EXECUTIVE, *self.options(*options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            output = process.communicate(timeout=SECONDS_MAX)[0]
        return Ran(process.returncode, output, process.pid)

    def probe(self, *options: str, uid: int = 0) -> Ran:
        """`unisonod` in a fork, to its end."""
        return forked(self.options(*options), uid=uid)

    @property
    def pid_file(self) -> Path:
        return self.instance / "unisonod.pid"

    def start(self, *, by_exec: bool = False) -> "Daemon":
        """A daemon in the background, ready, with a new log."""
        self.log.unlink(missing_ok=True)
        ran = self.execute() if by_exec else self.probe()
        assert ran.status == 0, (ran, self.log.read_text() if self.log.exists() else "")
        return Daemon(int(self.pid_file.read_text()))

    def start_in_front(self, *options: str) -> "Daemon":
        """A daemon in the foreground, a child of ours, ready; started by exec."""
        self.log.unlink(missing_ok=True)
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            [*EXECUTIVE, *self.options("-f", *options)], stdin=quiet, stdout=quiet, stderr=quiet
        )
        process.returncode = 0  # this object is not asked again: Daemon waits for the process
        self.await_line("ready to provide service", pid=process.pid)
        return Daemon(process.pid)

    def await_line(self, text: str, *, pid: int = 0, count: int = 1) -> None:
        """Until the log says it, `count` times in all; fails when process `pid` ends before."""
        end = time.monotonic() + SECONDS_MAX
        while not self.log.exists() or self.log.read_text().count(text) < count:
            assert time.monotonic() < end, self.log.read_text() if self.log.exists() else "no log"
            if pid and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.005)
        assert text in self.log.read_text(), self.log.read_text()

    def status(self) -> dict[str, Any]:
        """What the daemon says of itself."""
        with unisono.blocking.connect(instance=self.instance, protocol="native") as node:
            return node.status()


class Daemon:
    """A running daemon that this process inherits, or started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._watch = os.pidfd_open(pid)

    @property
    def is_alive(self) -> bool:
        return not select.select([self._watch], [], [], 0)[0]

    @property
    def children(self) -> list[int]:
        with open(f"/proc/{self.pid}/task/{self.pid}/children") as file:
            return [int(number) for number in file.read().split()]

    def send(self, number: int) -> None:
        signal.pidfd_send_signal(self._watch, number)

    def wait(self, seconds: float = SECONDS_MAX) -> int:
        """Exit status, or the negative signal; the process is buried."""
        ended = select.select([self._watch], [], [], seconds)[0]
        assert ended, f"process {self.pid} still runs after {seconds} s"
        os.close(self._watch)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.send(number)
        return self.wait()
