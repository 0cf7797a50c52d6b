"""Appending: files and streams that lines are added to, as descriptors.

Speaks:      open(2) with O_APPEND, write(2), poll(2).
Keeps:       a pipe without a reader cannot hold up its opening; what was written is always known.
"""

import os
import select
import time
from typing import Final

FILE_MODE: Final = 0o640
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC | os.O_NONBLOCK


def open_for_appending(path: str) -> int:
    """Descriptor of `path`, made when it is not there. OSError."""
    return os.open(path, _FLAGS, FILE_MODE)


def is_at(descriptor: int, path: str) -> bool:
    """Whether the open file is still the one that `path` leads to."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def append(descriptor: int, data: bytes, patience_seconds: float) -> tuple[int, OSError | None]:
    """Write all of `data`; bytes written, and why not all of them.

    A descriptor that blocks does so; one that does not is waited for, `patience_seconds` at most.
    """
    view = memoryview(data)
    done = 0
    end = time.monotonic() + patience_seconds
    while done < len(data):
        try:
            done += os.write(descriptor, view[done:])
        except BlockingIOError as error:
            if not is_writable_within(descriptor, end - time.monotonic()):
                return done, error
        except OSError as error:
            return done, error
    return done, None


def is_writable_within(descriptor: int, seconds: float) -> bool:
    """Whether there is room, now or before `seconds` are over."""
    if seconds <= 0:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))
