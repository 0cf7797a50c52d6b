"""Targets: where bytes of the log end up: standard error, files, syslog.

Keeps:       a target never raises: it says how many lines are out and what is wrong.
Never:       is called by the ring's thread (observe.writer).
"""

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from unisono.linux.appending import append, is_at, is_writable_within, open_for_appending

_STANDARD_ERROR: Final = 2


class Written(NamedTuple):
    """How many lines are out, the first ones, and what people should know, or nothing."""

    lines: int
    trouble: str = ""


class Target(Protocol):
    """What a writer writes to."""

    @property
    def name(self) -> str:
        """What people call it."""

    def write(self, lines: Sequence[bytes], patience_seconds: float) -> Written:
        """Write lines; wait no longer than that where waiting can be bounded."""

    def reopen(self) -> str:
        """Look whether another file is meant now; what is wrong, or nothing."""

    def close(self) -> None:
        """Let go."""


class _Stream:
    """Lines behind each other on one descriptor; a line that was torn does not tear the next."""

    __slots__ = ("_torn",)

    def __init__(self) -> None:
        self._torn = False

    def _append(self, descriptor: int, lines: Sequence[bytes], patience: float) -> Written:
        mend = b"\n" if self._torn else b""
        data = mend + b"".join(lines)
        done, error = append(descriptor, data, patience)
        if error is None:
            self._torn = False
            return Written(len(lines))
        if done:
            self._torn = data[done - 1] != ord("\n")
        whole = data[len(mend) : done].count(b"\n")
        return Written(whole, f"loses lines: {error.strerror}")


class StandardError(_Stream):
    """Descriptor 2, whatever it leads to at the moment."""

    __slots__ = ()
    name = "standard error"

    def write(self, lines: Sequence[bytes], patience_seconds: float) -> Written:
        """See Target; a pipe that nobody empties blocks."""
        if (
            sys.__stderr__ is None
        ):  # it was closed at start: whoever has the number now is not meant
            return Written(0)
        return self._append(_STANDARD_ERROR, lines, patience_seconds)

    def reopen(self) -> str:
        """It cannot be another one."""
        return ""

    def close(self) -> None:
        """It is not ours to close."""


class LogFile(_Stream):
    """A file that may be moved away at any time: `path` is looked at before lines are written.

    Another `path` makes it another file, as soon as that can be opened.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self._descriptor = -1

    @property
    def name(self) -> str:
        """Its path."""
        return self.path

    def open(self) -> None:
        """Open it now. OSError."""
        self._descriptor = open_for_appending(self.path)

    def write(self, lines: Sequence[bytes], patience_seconds: float) -> Written:
        """See Target."""
        trouble = self.reopen()
        if self._descriptor < 0:
            return Written(0, trouble)
        written = self._append(self._descriptor, lines, patience_seconds)
        return Written(written.lines, written.trouble or trouble)

    def reopen(self) -> str:
        """Change to the file that `path` leads to now; keep the one that is open if that fails."""
        if self._descriptor >= 0 and is_at(self._descriptor, self.path):
            return ""
        try:
            descriptor = open_for_appending(self.path)
        except OSError as error:
            kept = "; the file before stays in use" if self._descriptor >= 0 else ""
            return f"cannot be opened: {error.strerror}{kept}"
        self.close()
        self._descriptor = descriptor
        self._torn = False
        return ""

    def close(self) -> None:
        """See Target."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):  # what a full or lost file system says at the end
                os.close(self._descriptor)
            self._descriptor = -1


class Syslog:
    """The local syslog socket; connected when there is a line, again when it was restarted."""

    __slots__ = ("_path", "_socket", "_was_there")
    name = "syslog"

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: socket.socket | None = None
        self._was_there = False

    def write(self, lines: Sequence[bytes], patience_seconds: float) -> Written:
        """See Target; a receiver that is full is waited for once."""
        for count, line in enumerate(lines):
            try:
                self._send(line, patience_seconds)
            except OSError as error:
                # A host without syslog is nothing to complain about: the other targets remain.
                reason = f"loses lines: {error.strerror}" if self._was_there else ""
                return Written(count, reason)
        return Written(len(lines))

    def reopen(self) -> str:
        """Connections are renewed where that shows to be necessary."""
        return ""

    def close(self) -> None:
        """See Target."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, line: bytes, patience: float) -> None:
        if self._socket is not None:
            try:
                self._send_or_wait(self._socket, line, patience)
                return
            except BlockingIOError:
                raise
            except OSError:  # the receiver was restarted
                self.close()
        self._socket = self._connected()
        self._was_there = True
        self._send_or_wait(self._socket, line, patience)

    @staticmethod
    def _send_or_wait(sock: socket.socket, line: bytes, patience: float) -> None:
        try:
            sock.send(line)
        except BlockingIOError:
            if not is_writable_within(sock.fileno(), patience):
                raise
            sock.send(line)

    def _connected(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        return sock
