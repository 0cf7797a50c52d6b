"""An island: processes, mounts, network and shared memory that nobody else sees, for one scene.

Speaks:      `inside(scene, ...)`: a function of a test module is run there, its result is here.
Counterpart: unshare(1), mount(2), pid_namespaces(7).
Keeps:       the scene is process 1: when it ends, or whoever waits for it, the kernel ends all
             others. Its pids can be few, or chosen, so that they recur.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
NOBODY: Final = 65_534
PIDS_MIN: Final = 400
"""The kernel keeps the first 300 for itself once the numbers have gone round."""
SECONDS_MAX: Final = 55.0
PRIVATE: Final = ("/tmp", "/dev/shm", "/run", "/root", "/var/lib/corosync", "/var/log/corosync")
"""In root's home may be the interpreter: on the island, others can reach it."""
_RESULT: Final = "result: "
_PIDS_FILE: Final = Path("/proc/sys/kernel/pid_max")
_LAST_PID: Final = Path("/proc/sys/kernel/ns_last_pid")
_OWN_PID_MAX: Final = (6, 14)
"""Since that kernel each pid namespace has a pid_max of its own; before, it is the whole host's."""
READ_ONLY: Final = 1
NO_EXECUTION: Final = 8
AGAIN: Final = 32
_MS_BIND: Final = 4096
_MNT_DETACH: Final = 2
_libc: Final = ctypes.CDLL(None, use_errno=True)


class Stranded(Exception):
    """The scene failed; what it wrote."""


def inside(
    scene: Callable[..., Any], *arguments: Any, pids: int = 0, seconds: float = SECONDS_MAX
) -> Any:
    """What `scene(*arguments)` returns on an island; with `pids`, no pid is larger than that."""
    kinds = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "--ipc"]
    command = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        *kinds,
        "--propagation",
        "private",
        "--",
    ]
    program = [sys.executable, "-B", "-m", "tests.life.island", _module_of(scene), scene.__name__]
    paths = [str(ROOT / "src"), str(ROOT)]
    ran = subprocess.run(
        [*command, *program, json.dumps([pids, *arguments])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ":".join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    for line in ran.stdout.splitlines():
        if line.startswith(_RESULT):
            return json.loads(line.removeprefix(_RESULT))
    raise Stranded(f"exit status {ran.returncode}\n{ran.stdout[-8000:]}{ran.stderr[-8000:]}")


def _module_of(scene: Callable[..., Any]) -> str:
    """Where it can be imported from, also when its module was run by hand."""
    specification = getattr(sys.modules[scene.__module__], "__spec__", None)
    return specification.name if specification is not None else scene.__module__


# -- on the island -------------------------------------------------------------------------------


def mount(
    kind: str, target: str, options: str = "", *, source: str = "island", flags: int = 0
) -> None:
    """Mount a new file system of `kind`, or bind `source` when `kind` is empty. OSError."""
    flags |= 0 if kind else _MS_BIND
    given = [each.encode() or None for each in (source, target, kind)]
    if _libc.mount(*given, flags, options.encode() or None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def unmount(target: str, *, lazily: bool = False) -> None:
    """Take the uppermost file system off `target`, `lazily` also when it is in use. OSError."""
    if _libc.umount2(target.encode(), _MNT_DETACH if lazily else 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def _furnish() -> None:
    """Directories of its own; what lies below them and is needed stays where it is."""
    places = {Path(path) for path in (ROOT, sys.prefix, sys.base_prefix)}
    # What lies below another one comes with it.
    needed = [str(path) for path in places if places.isdisjoint(path.parents)]
    held = {path: os.open(path, os.O_PATH) for path in needed if path.startswith(PRIVATE)}
    for directory in filter(os.path.isdir, PRIVATE):
        mount("tmpfs", directory, "mode=1777" if directory in PRIVATE[:2] else "mode=755")
    for path, descriptor in held.items():
        os.makedirs(path)
        mount("", path, source=f"/proc/self/fd/{descriptor}")
        os.close(descriptor)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def pids_are_countable() -> bool:
    """Whether this kernel lets a namespace have few pids without changing the host's."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor.split("-")[0])) >= _OWN_PID_MAX


def limit_pids(count: int) -> None:
    """Let pids recur soon: none is above `count`, or each is chosen by `take_next_pid`."""
    if pids_are_countable():
        _PIDS_FILE.write_text(str(count))
    elif not _LAST_PID.exists():
        raise Stranded("this kernel can neither limit pids nor choose them")


def take_next_pid(pid: int) -> None:
    """Let the next process have this pid, if it is free."""
    if _LAST_PID.exists():
        _LAST_PID.write_text(str(pid - 1))
    else:
        use_pids_up_to(pid)


def use_pids_up_to(pid: int) -> None:
    """The same where pids cannot be chosen: processes come and go until it is next."""
    for _ in range(2 * PIDS_MIN):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        if child == pid - 1:
            return
    raise Stranded(f"pid {pid - 1} is never given out")


def reap() -> None:
    """Bury the orphans that have ended: process 1 inherits them."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def main() -> None:
    """Run the scene that the arguments name."""
    module, name, arguments = sys.argv[1:]
    pids, *rest = json.loads(arguments)
    signal.signal(signal.SIGINT, lambda *_: None)  # a program that is begun here has the default
    try:
        _furnish()
        if pids:
            limit_pids(pids)
        result = getattr(import_module(module), name)(*rest)
    except BaseException:  # noqa: BLE001  whatever it is, the test shows it
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    print(f"\n{_RESULT}{json.dumps(result)}", flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
