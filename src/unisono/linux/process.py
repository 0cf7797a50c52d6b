"""The process itself: becoming a daemon, the pid file, privileges and priority.

Speaks:      fork(2), setsid(2), fcntl(2) locks, setpriority(2), sched_setscheduler(2), pidfds.
Counterpart: corosync exec/main.c, corosync_tty_detach and corosync_flock.
Keeps:       the pid file is written only through the descriptor that holds its lock; a stale file
             never blocks, and another one's is never removed; the parent's exit status tells
             whether the daemon came up, and a signal to the parent reaches the daemon.
"""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import stat
import sys
from collections.abc import Iterable
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


class NoNullDevice(UnisonoError):
    """/dev/null cannot be opened: there is nowhere to leave the starter's streams for."""


def hold_signals(numbers: Iterable[signal.Signals]) -> None:
    """Let these signals wait: what is being made or removed now is not left half done."""
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)


def release_signals(numbers: Iterable[signal.Signals]) -> None:
    """Take these signals again, those that have waited first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)


class ReadyPipe:
    """The daemon's line to the process that started it; used once."""

    __slots__ = ("_descriptor", "_null")

    def __init__(self, descriptor: int, null: int) -> None:
        """`null` is the null device, open: later there may be none."""
        self._descriptor = descriptor
        self._null = null

    def tell(self, status: int, text: str = "") -> None:
        """Let the starter print `text` and end with `status`; detach from its streams."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):  # the starter may be gone
            os.write(self._descriptor, bytes([status]) + text.encode()[:_PIPE_TEXT_BYTES_MAX])
        os.close(self._descriptor)
        self._descriptor = -1
        for stream in (0, 1, 2):
            os.dup2(self._null, stream)
        os.close(self._null)


def daemonise(directory: str) -> ReadyPipe:
    """Fork twice, leave the session, work in `directory`; only the daemon returns.

    The starter waits until the daemon says how it went and exits with that status; a daemon that
    dies before it has said so counts as status 1. Call before any event loop exists, and with
    signals held: the starter takes them again, the daemon has to. NoNullDevice; OSError, also in
    the process between the two, when a fork is refused: its exit status is then the starter's.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError as error:
        raise NoNullDevice(f"cannot open {os.devnull}: {error.strerror}") from error
    read_end, write_end = os.pipe()
    ours, theirs = socket.socketpair()
    if (between := os.fork()) != 0:
        os.close(write_end)
        theirs.close()
        _await_daemon(between, read_end, ours)
    os.close(read_end)
    ours.close()
    os.setsid()
    if (daemon := os.fork()) != 0:
        # The number is the daemon's as long as we, its parent, live; the descriptor is for ever.
        with contextlib.suppress(OSError):  # without it the starter cannot stop the daemon
            socket.send_fds(theirs, [b"d"], [os.pidfd_open(daemon)])
        os._exit(0)  # the session leader ends: the daemon can never get a terminal again
    theirs.close()
    os.chdir(directory)
    return ReadyPipe(write_end, null)


def _await_daemon(between: int, read_end: int, line: socket.socket) -> NoReturn:
    failure = os.waitstatus_to_exitcode(os.waitpid(between, 0)[1])
    daemon = socket.recv_fds(line, 1, 1)[1]
    answer, is_interrupted = _hear(read_end, daemon)
    status = answer[0] if answer else abs(failure) or 1
    text = answer[1:].decode(errors="replace")
    if is_interrupted and not status:
        status, text = 1, "unisonod: interrupted while starting"
    elif not answer and not failure:
        text = "the daemon died at start"
    if text:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    os._exit(status)


def _hear(read_end: int, daemon: list[int]) -> tuple[bytes, bool]:
    """All that the daemon says, and whether somebody wanted to stop us: that is passed on to it."""
    answer = bytearray()
    is_interrupted = False
    while len(answer) <= 2 * _PIPE_TEXT_BYTES_MAX:
        try:
            release_signals(signal.valid_signals())
            chunk = os.read(read_end, _PIPE_TEXT_BYTES_MAX)
        except KeyboardInterrupt:
            is_interrupted = True
            with contextlib.suppress(ProcessLookupError):
                for each in daemon:
                    signal.pidfd_send_signal(each, signal.SIGTERM)
            continue
        if not chunk:
            break
        answer += chunk
    return bytes(answer), is_interrupted


class PidFile:
    """A locked file that holds this process's id as long as it lives."""

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str) -> None:
        """Lock and write `path`; AlreadyRunning when another process holds it, OSError otherwise.

        POSIX locks do not survive fork(2): create it in the daemon, not before.
        """
        self.path = path
        self._descriptor = _open_locked(path)
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except OSError:
            self.remove()
            raise

    def remove(self) -> None:
        """Unlink while the lock is still held, then let go; a file that took its place stays."""
        with contextlib.suppress(OSError):
            if _is_same_file(self._descriptor, self.path):
                os.unlink(self.path)
        os.close(self._descriptor)


def _open_locked(path: str) -> int:
    for _ in range(_LOCK_ATTEMPTS_MAX):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PID_FILE_MODE)
        try:
            _lock(descriptor, path)
            if _is_same_file(descriptor, path):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last holder unlinked it between our open and our lock
    raise AlreadyRunning(f"{path} is being replaced all the time")


def _lock(descriptor: int, path: str) -> None:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        raise AlreadyRunning(
            f"{path} is locked: another instance is running (pid {holder or 'unknown'})"
        ) from error


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
            # Threads and processes that we start are not the ring: theirs is the usual class.
            policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
            os.sched_setscheduler(0, policy, os.sched_param(highest))
        elif os.getpriority(os.PRIO_PROCESS, 0) > NICE_WANTED:
            os.setpriority(os.PRIO_PROCESS, 0, NICE_WANTED)
    except OSError as error:
        return f"{'SCHED_RR' if real_time else f'nice {NICE_WANTED}'}: {error.strerror}"
    return ""
