"""The recycled pid: what names made of pids do to a daemon, and that there need not be any.

    python -m tools.demos.recycled_pid [--engine corosync|unisono|both]      (as root, a minute)

On an island (pids up to 400, own /dev/shm, /tmp, /run and network) another user takes names that a
recorder could want, daemons are killed, and strangers come whose pids a daemon had. Corosync is
Debian's. The faults were found in 3.1.7 with libqb 2.0.6; the exit status is 3 if any was met.
"""

import argparse
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.life import listing
from tests.life.daemons import EXECUTIVE, Place
from tests.life.island import NOBODY, PIDS_MIN, inside, reap, take_next_pid
from tests.life.load import load
from tests.life.old_names import HEADERS, occupy

SECONDS_MAX = 20.0
SHARED = ("/dev/shm", "/tmp")  # noqa: S108  both are the island's own
STRANGERS = 100
KILLED = 3
QUORUM = """quorum {
    provider: corosync_votequorum
    expected_votes: 1
}
"""


class Engine:
    """One of the two, with a configuration for a ring of one."""

    def __init__(self, name: str) -> None:
        self.place = Place("/run/demo", more=QUORUM)
        self.program = ["corosync", "-c", str(self.place.config)]
        self.pid_file = Path("/run/corosync.pid")
        self.instance: Path | None = None
        if name == "unisono":
            self.instance = self.place.instance
            self.program = [*EXECUTIVE, *self.place.options()]
            self.pid_file = self.place.pid_file

    def run(self, *options: str, uid: int = 0) -> int:
        """The program to its end: its exit status, negative for a signal."""
        quiet = subprocess.DEVNULL
        who = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"] if uid else []
        ran = subprocess.run(
            [*who, *self.program, *options], stdin=quiet, stdout=quiet, stderr=quiet,
            timeout=SECONDS_MAX, check=False,
        )  # fmt: skip
        return ran.returncode

    def start(self) -> int:
        """A daemon in the background that says it is ready: its pid, 0 when there is none."""
        self.place.log.unlink(missing_ok=True)
        if self.run() != 0:
            return 0
        self.place.await_line("ready to provide service")
        return int(self.pid_file.read_text())

    def stop(self, pid: int, number: int = signal.SIGTERM) -> str:
        """End a daemon; how it ended."""
        os.kill(pid, number)
        return _ended(pid)

    def in_front(self) -> str:
        """Start in the foreground, stop: how that ended."""
        self.place.log.unlink(missing_ok=True)
        quiet = subprocess.DEVNULL
        with subprocess.Popen([*self.program, "-f"], stdout=quiet, stderr=quiet) as process:
            self.place.await_line("ready to provide service", pid=process.pid)
            process.terminate()
            return _told(process.wait(SECONDS_MAX))


def _ended(pid: int) -> str:
    watch = os.pidfd_open(pid)
    ended = select.select([watch], [], [], SECONDS_MAX)[0]
    os.close(watch)
    if not ended:
        os.kill(pid, signal.SIGKILL)
        return "does not end"
    return _told(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _told(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else str(status)


def _free() -> None:
    for directory in SHARED:
        for path in Path(directory).glob("*blackbox*"):
            path.unlink()


# -- the rows of the table -----------------------------------------------------------------------


def names_taken(engine: Engine) -> dict[str, str]:
    """Another user has made empty files with all the names."""
    occupy("file", PIDS_MIN, [HEADERS])
    try:
        started = _told(engine.run())
        if started == "0":
            engine.stop(_pid(engine))
        return {
            "names taken by another user: start": started,
            "names taken: start in front, stop": engine.in_front(),
            "names taken: -t": _told(engine.run("-t")),
        }
    finally:
        _free()


def _pid(engine: Engine) -> int:
    engine.place.await_line("ready to provide service")
    return int(engine.pid_file.read_text())


def killed(engine: Engine) -> dict[str, str]:
    """Daemons are killed; what they leave, and what the next process with their pid does."""
    pids = []
    for _ in range(KILLED):
        pid = engine.start()
        if not pid:
            return {f"{KILLED} daemons killed": "no start"}
        pids.append(pid)
        engine.stop(pid, signal.SIGKILL)
    left = [path for path in listing.files(*SHARED) if "blackbox" in path]
    size = sum(Path(path).stat().st_blocks * 512 for path in left)
    take_next_pid(pids[-1])
    probed = _told(engine.run("-t"))
    _free()
    return {
        f"{KILLED} daemons killed: left in shared places": (
            f"{len(left)} files, {size >> 20} MiB" if left else "none"
        ),
        "-t with the pid of a killed daemon": probed,
    }


def strangers(engine: Engine, count: int) -> dict[str, str]:
    """A daemon under load, and processes with pids of its ancestors."""
    take_next_pid(PIDS_MIN - 50)
    pid = engine.start()
    if not pid:
        return {"strangers": "no start"}
    named = [path for path in listing.files(*SHARED) if f"-{pid}-" in path]
    before = set(listing.files(*SHARED))
    ends: Counter[str] = Counter()
    began = time.monotonic()
    with load(engine.instance) as counts:
        for number in range(count):
            take_next_pid(PIDS_MIN - 50 + number % 2)
            option, uid = (("-v", "-t", "-f")[number % 3], (0, NOBODY)[number % 2])
            ends[f"{option}: {_told(engine.run(option, uid=uid))}"] += 1
            reap()
    seconds = time.monotonic() - began
    gone = before - set(listing.files(*SHARED))
    recorder = [path for path in gone if "blackbox" in path]
    return {
        "files named after the daemon's pid": str(len(named)) if named else "none",
        f"{count} strangers with its ancestors' pids": ", ".join(
            f"{end} ({times})" for end, times in sorted(ends.items())
        ),
        "its recorder's files gone": str(len(recorder)) if recorder else "none",
        "messages per second meanwhile": f"{counts['delivered'] / seconds:.0f}",
        "the daemon then": "alive" if Path(f"/proc/{pid}").exists() else "gone",
        "its end": engine.stop(pid),
    }


def scene(name: str, count: int) -> dict[str, str]:
    """All rows for one engine."""
    engine = Engine(name)
    return {**names_taken(engine), **killed(engine), **strangers(engine, count)}


def main() -> int:
    """Exit status 0 when no harm was met, 3 otherwise."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=("corosync", "unisono", "both"), default="both")
    parser.add_argument("--strangers", type=int, default=STRANGERS, choices=range(6, 3001))
    given = parser.parse_args()
    if os.geteuid():
        sys.exit("namespaces need root")
    names = ["corosync", "unisono"] if given.engine == "both" else [given.engine]
    if "corosync" in names and not shutil.which("corosync"):
        sys.exit("corosync is not installed")
    seconds = 60 + given.strangers
    columns = [
        inside(scene, name, given.strangers, pids=PIDS_MIN, seconds=seconds) for name in names
    ]
    rows = list(dict.fromkeys(row for column in columns for row in column))
    width = max(map(len, rows))
    print(" " * width, *(f"{name:<24}" for name in names), sep="  ")
    for row in rows:
        print(f"{row:<{width}}", *(f"{column.get(row, ''):<24}" for column in columns), sep="  ")
    return 3 if any(_is_harm(value) for column in columns for value in column.values()) else 0


def _is_harm(value: str) -> bool:
    return "SIG" in value or "MiB" in value or value in {"gone", "no start", "does not end"}


if __name__ == "__main__":
    sys.exit(main())
