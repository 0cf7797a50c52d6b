"""The directory of dumps: each is written whole under a new name, and the oldest make room.

A dump has a second file beside it with the same entries for libqb's tools; both go together.

Speaks:      open(2) O_TMPFILE, link(2) through /proc/self/fd, fsync(2).
Counterpart: libqb lib/log_blackbox.c; corosync's fdata files, whose names can be foreseen.
Keeps:       nobody but the owner reads a dump; no name is ever opened for writing twice; a file
             that is not ours is not touched.
"""

import os
import re
import stat
import time
from contextlib import suppress
from typing import Final

from unisono.base.limits import FLIGHT_DUMPS_BYTES_MAX, FLIGHT_DUMPS_MAX

MODE: Final = 0o600
_NAME: Final = re.compile(r"flight-\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{16}\.dump")
_ENDING: Final = ".dump"
_ENDING_FOR_LIBQB: Final = ".qb"
_DRAFT: Final = re.compile(r"\.flight-[0-9a-f]{32}\.draft")
_NANOS: Final = 1_000_000_000


def write_dump(directory: int, data: bytes) -> str:
    """Put `data` into the directory that is open as `directory`; the new file's name. OSError."""
    seconds, nanos = divmod(time.time_ns(), _NANOS)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    name = f"flight-{stamp}.{nanos // 1000:06d}Z-{os.urandom(8).hex()}{_ENDING}"
    _write(directory, name, data)
    return name


def write_for_libqb(directory: int, dump: str, data: bytes) -> str:
    """Put what libqb's tools read beside the dump of that name; its own name. OSError."""
    name = _beside(dump)
    _write(directory, name, data)
    return name


def _beside(dump: str) -> str:
    return dump.removesuffix(_ENDING) + _ENDING_FOR_LIBQB


def _write(directory: int, name: str, data: bytes) -> None:
    try:
        draft = os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, MODE, dir_fd=directory)
    except OSError:  # not every file system has files without a name
        _write_named(directory, name, data)
    else:
        try:
            _fill(draft, data)
            source = f"/proc/self/fd/{draft}"
            os.link(source, name, dst_dir_fd=directory, follow_symlinks=True)
        except OSError:  # no /proc here
            _write_named(directory, name, data)
        finally:
            os.close(draft)
    os.fsync(directory)


def _write_named(directory: int, name: str, data: bytes) -> None:
    draft = f".flight-{os.urandom(16).hex()}.draft"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, MODE, dir_fd=directory)
    try:
        _fill(descriptor, data)
        os.link(draft, name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(descriptor)
        os.unlink(draft, dir_fd=directory)


def _fill(descriptor: int, data: bytes) -> None:
    os.fchmod(descriptor, MODE)
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def list_dumps(directory: int) -> list[tuple[str, int]]:
    """Name and size of each dump, oldest first, by the times in their names.

    What stands beside it for libqb counts in the size.
    """
    sizes = ((name, _size(directory, name)) for name in os.listdir(directory))
    return sorted(
        (name, size + (_size(directory, _beside(name)) or 0))
        for name, size in sizes
        if size is not None and _NAME.fullmatch(name)
    )


def _size(directory: int, name: str) -> int | None:
    """Of a regular file; None when there is none of that name."""
    with suppress(FileNotFoundError):
        about = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISREG(about.st_mode):
            return about.st_size
    return None


def prune_dumps(
    directory: int,
    newest: str,
    *,
    count_max: int = FLIGHT_DUMPS_MAX,
    bytes_max: int = FLIGHT_DUMPS_BYTES_MAX,
) -> list[str]:
    """Remove the oldest dumps above either bound, never `newest`; the names removed.

    A clock that was set back makes the newest look old: it is kept all the same.
    """
    others = dict(list_dumps(directory))
    kept, total = 1, others.pop(newest)
    removed = []
    for name, size in reversed(others.items()):
        if kept < count_max and total + size <= bytes_max:
            kept, total = kept + 1, total + size
            continue
        for each in (_beside(name), name):
            with suppress(FileNotFoundError):
                os.unlink(each, dir_fd=directory)
        removed.append(name)
    for name in os.listdir(directory):
        if _DRAFT.fullmatch(name):  # one keeper writes here at a time: its writer is dead
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
    return removed
