"""The process itself: becoming a daemon, the pid file, privileges and priority.

Speaks:      fork(2), setsid(2), fcntl(2) locks, setpriority(2), sched_setscheduler(2).
Counterpart: corosync exec/main.c, corosync_tty_detach and corosync_flock.
Keeps:       the pid file is written only through the descriptor that holds its lock; a stale file
             never blocks; the parent's exit status tells whether the daemon came up.
"""

import contextlib
import fcntl
import os
import sys
from typing import Final, NoReturn

from unisono.base.errors import UnisonoError

PID_FILE_MODE: Final = 0o640
NICE_WANTED: Final = -15
_LOCK_ATTEMPTS_MAX: Final = 10
_PIPE_TEXT_BYTES_MAX: Final = 4096


class AlreadyRunning(UnisonoError):
    """Another daemon holds the lock of the pid file."""


def is_privilege_raised() -> bool:
    """Whether the program runs set-uid or set-gid: the environment cannot be trusted then."""
    return os.getuid() != os.geteuid() or os.getgid() != os.getegid()


class ReadyPipe:
    """The daemon's line to the process that started it; used once."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def tell(self, status: int, text: str = "") -> None:
        """Let the starter print `text` and end with `status`; detach from its streams."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):  # the starter may be gone
            os.write(self._descriptor, bytes([status]) + text.encode()[:_PIPE_TEXT_BYTES_MAX])
        os.close(self._descriptor)
        self._descriptor = -1
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        os.close(null)


def daemonise(directory: str) -> ReadyPipe:
    """Fork twice, leave the session, work in `directory`; only the daemon returns.

    The starter waits until the daemon says how it went and exits with that status; a daemon that
    dies before it has said so counts as status 1. Call before any event loop exists.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    read_end, write_end = os.pipe()
    if os.fork() != 0:
        os.close(write_end)
        _await_daemon(read_end)
    os.close(read_end)
    os.setsid()
    if os.fork() != 0:  # the session leader ends: the daemon can never get a terminal again
        os._exit(0)
    os.chdir(directory)
    return ReadyPipe(write_end)


def _await_daemon(read_end: int) -> NoReturn:
    os.wait()
    answer = bytearray()
    while chunk := os.read(read_end, _PIPE_TEXT_BYTES_MAX):
        answer += chunk
        if len(answer) > 2 * _PIPE_TEXT_BYTES_MAX:
            break
    status = answer[0] if answer else 1
    text = answer[1:].decode(errors="replace") or ("" if answer else "the daemon died at start")
    if text:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    os._exit(status)


class PidFile:
    """A locked file that holds this process's id as long as it lives."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str) -> None:
        """Lock and write `path`; AlreadyRunning when another process holds it, OSError otherwise.

        POSIX locks do not survive fork(2): create it in the daemon, not before.
        """
        self.path = path
        self._descriptor = _open_locked(path)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)

    def remove(self) -> None:
        """Unlink while the lock is still held, then let go."""
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        os.close(self._descriptor)


def _open_locked(path: str) -> int:
    for _ in range(_LOCK_ATTEMPTS_MAX):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PID_FILE_MODE)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise AlreadyRunning(
                f"{path} is locked: another instance is running (pid {holder or 'unknown'})"
            ) from error
        if _is_same_file(descriptor, path):
            return descriptor
        os.close(descriptor)  # its last holder unlinked it between our open and our lock
    raise AlreadyRunning(f"{path} is being replaced all the time")


def _is_same_file(descriptor: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def raise_priority(*, real_time: bool) -> str:
    """Ask for nice -15, or for SCHED_RR when `real_time`; empty when granted, else the reason."""
    try:
        if real_time:
            highest = os.sched_get_priority_max(os.SCHED_RR)
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(highest))
        elif os.getpriority(os.PRIO_PROCESS, 0) > NICE_WANTED:
            os.setpriority(os.PRIO_PROCESS, 0, NICE_WANTED)
    except OSError as error:
        return f"{'SCHED_RR' if real_time else f'nice {NICE_WANTED}'}: {error.strerror}"
    return ""
