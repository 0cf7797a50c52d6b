"""The directory of one libqb connection in /dev/shm, and the sweeping of what dead daemons left.

Speaks:      `qb-<server pid>-<client pid>-<fd>-unisono.<pid namespace>.<start>.<random>`.
Counterpart: libqb lib/ipc_setup.c (handle_new_connection, remove_tempdir), lib/ipcs.c.
Keeps:       removal goes by descriptor and by our own file names, so that a client that replaces
             the directory (it owns it) cannot make us unlink anything else.
"""

import contextlib
import os
import re
import secrets
import stat
from functools import cache
from pathlib import Path
from typing import Final

from unisono.base.clients import Credentials

SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108  libqb's place for its rings
DIRECTORY_MODE: Final = 0o770
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SERVICE: Final = r"[a-z0-9]{1,32}"
_OURS: Final = re.compile(
    r"qb-(?P<pid>[0-9]{1,10})-[0-9]{1,10}-[0-9]{1,10}"
    r"-unisono\.(?P<space>[0-9a-f]{1,16})\.(?P<start>[0-9a-f]{1,16})\.[0-9a-f]{8}"
)
_FILE: Final = re.compile(
    rf"qb-(?:control-{_SERVICE}|(?:request|response|event)-{_SERVICE}-(?:header|data))"
)
SWEEP_MAX: Final = 65_536
"""Entries of /dev/shm that one sweep looks at (ours)."""


class ConnectionDirectory:
    """One connection's directory, held open from creation until `remove`."""

    __slots__ = ("fd", "path")

    def __init__(self, peer: Credentials, setup_fd: int) -> None:
        """Create it, still ours alone; OSError when /dev/shm is full or missing."""
        self.path = (
            f"{SHARED_MEMORY}/qb-{os.getpid()}-{peer.pid}-{setup_fd}"
            f"-unisono.{_identity(os.getpid())}.{secrets.token_hex(4)}"
        )
        Path(self.path).mkdir(0o700)
        try:
            self.fd = os.open(self.path, _OPEN_DIRECTORY)
        except OSError:
            Path(self.path).rmdir()
            raise

    def hand_over(self, owner: tuple[int, int] | None) -> None:
        """Give the finished directory to the client: `owner` is (uid, gid), None keeps ours."""
        if owner is not None:
            os.fchown(self.fd, *owner)
        os.fchmod(self.fd, DIRECTORY_MODE)

    def remove(self) -> None:
        """Remove our files and the directory; whatever fails is left behind. Call once."""
        _empty(self.fd)
        os.close(self.fd)
        with contextlib.suppress(OSError):
            Path(self.path).rmdir()


def owner_of(peer: Credentials) -> tuple[int, int] | None:
    """To whom a connection's files go: None when the client is what we are."""
    if (peer.uid, peer.gid) == (os.geteuid(), os.getegid()):
        return None
    return peer.uid, peer.gid


def sweep(shared_memory: str = SHARED_MEMORY) -> list[str]:
    """Remove the directories of our dead predecessors; the names of those removed.

    Only names of our own form count, made in our pid namespace by a process that is gone (its
    pid is free, or the process that has it now started at another time).
    """
    removed: list[str] = []
    with contextlib.suppress(OSError), os.scandir(shared_memory) as entries:
        for _, entry in zip(range(SWEEP_MAX), entries, strict=False):
            match = _OURS.fullmatch(entry.name)
            if match and _is_dead(match) and _remove_stale(entry.path):
                removed.append(entry.name)
    return removed


def _is_dead(match: re.Match[str]) -> bool:
    if int(match["space"], 16) != _pid_namespace():
        return False
    return _start_time(int(match["pid"])) != int(match["start"], 16)


def _remove_stale(path: str) -> bool:
    try:
        fd = os.open(path, _OPEN_DIRECTORY)
    except OSError:
        return False
    try:
        _empty(fd)
        Path(path).rmdir()
    except OSError:
        return False
    finally:
        os.close(fd)
    return True


def _empty(fd: int) -> None:
    """Unlink the files of a connection (regular files of our naming) in an open directory."""
    with contextlib.suppress(OSError):
        for name in os.listdir(fd):
            if not _FILE.fullmatch(name):
                continue
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=fd)


@cache
def _identity(pid: int) -> str:
    """What tells this process from all others, as it stands in our names."""
    return f"{_pid_namespace():x}.{_start_time(pid):x}"


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino


def _start_time(pid: int) -> int:
    """Start of a process in clock ticks since boot (proc(5), stat, field 22); -1 if it is dead."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1
    fields = status.rpartition(")")[2].split()
    return -1 if fields[0] in "ZX" else int(fields[19])
