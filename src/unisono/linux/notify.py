"""Notices to the service manager: ready, stopping, alive.

Speaks:      sd_notify(3)'s protocol: lines in one datagram to the socket named by NOTIFY_SOCKET.
Counterpart: corosync exec/main.c, sd_notify; libsystemd, which this replaces.
Keeps:       a manager that does not listen is none of our business: nothing raises, nothing waits.
"""

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Final

_SOCKET: Final = "NOTIFY_SOCKET"
_WATCHDOG_US: Final = "WATCHDOG_USEC"
_WATCHDOG_PID: Final = "WATCHDOG_PID"
_US_PER_SECOND: Final = 1_000_000


class Notifier:
    """The line to the manager that started this process, if there is one."""

    __slots__ = ("_address", "watchdog_seconds")

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        """Takes the variables out of `environ`: they are not meant for children of ours."""
        self._address = environ.pop(_SOCKET, "")
        pid = environ.pop(_WATCHDOG_PID, "")
        microseconds = environ.pop(_WATCHDOG_US, "")
        is_ours = pid in {"", str(os.getpid())}
        self.watchdog_seconds: float | None = None
        """`alive` must be said at least that often, or the manager ends this process."""
        if is_ours and microseconds.isdecimal() and int(microseconds):
            self.watchdog_seconds = int(microseconds) / _US_PER_SECOND

    def ready(self, status: str) -> None:
        """Started up; `status` is a sentence for people."""
        self._tell("READY=1", f"STATUS={status}")

    def stopping(self) -> None:
        """Beginning to end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """The loop turns."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One sentence for people."""
        self._tell(f"STATUS={text}")

    def _tell(self, *lines: str) -> None:
        if self._address[:1] not in {"/", "@"}:
            return
        # An abstract name begins with a zero byte, which an environment cannot hold.
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        text = "\n".join(line.replace("\n", " ") for line in lines)
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock,
        ):
            sock.sendto(text.encode(), address)
