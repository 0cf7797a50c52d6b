"""The native stream under asyncio: a socket that the loop watches and nobody else touches.

Keeps:       a reader that does not read stops the socket, not the memory; what the daemon wrote
             before its end is received, though sending failed first; nothing is copied on its way
             out but messages that share a block.
See:         `unisono.testing.stream` is the socket where daemons are simulated.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from unisono.aio.waiters import Waiters
from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.base.limits import (
    CLIENT_INBOX_BYTES_MAX,
    CLIENT_UNREAD_SECONDS_MAX,
    CLIENT_UNSENT_BYTES_MAX,
)
from unisono.client.core import Added
from unisono.client.native import NativeCore

_T = TypeVar("_T")


class Socket(Protocol):
    """What a connection does with its socket, which never blocks; the loop can watch it."""

    def fileno(self) -> int:
        """The descriptor that the loop watches."""
        ...

    def recv_into(self, buffer: memoryview, /) -> int:
        """Read what is there; 0 at the end; BlockingIOError, OSError."""
        ...

    def sendmsg(
        self, pieces: Sequence[Buffer], ancillary: Sequence[tuple[int, int, Buffer]], flags: int, /
    ) -> int:
        """Send what finds room; BlockingIOError, OSError."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


class NativeConnection:
    """The native stream on a connected socket."""

    __slots__ = (
        "_due",
        "_full",
        "_is_open",
        "_paused",
        "_socket",
        "_waiters",
        "_watches_room",
        "add",
        "add_many",
        "core",
    )

    def __init__(self, stream: Socket) -> None:
        self.core = NativeCore()
        self.add: Callable[[Buffer, bool], Added] = self.core.add
        self.add_many = self.core.add_many
        self._waiters = Waiters()
        self._socket = stream
        self._is_open = True
        self._paused = True
        self._full = False
        """Too much is unsent: senders wait until a quarter of it is left."""
        self._watches_room = False
        self._due = False
        self._pause(False)

    # -- for the session ---------------------------------------------------------------------------

    def order(self, do: Callable[[], _T]) -> _T:
        """Let the core queue something; alone with it where there are threads."""
        return do()

    def flush_soon(self) -> bool:
        """Send everything at the end of this turn of the loop; False: wait in `flush` first."""
        if not self._due:
            self._due = True
            self._waiters.loop.call_soon(self._flush_all)
        return not self._full

    async def flush(self, deadline: float | None = None) -> None:
        """Send what is complete; waits while too much is unsent. ConnectionLost."""
        self._send()
        if self._full:
            await self._wait_for_room(deadline)
        self.core.check()

    async def progress(self, seen: int, deadline: float | None) -> None:
        """Until the core's version differs from `seen`, or perhaps earlier."""
        if self._paused:
            self._resume()
        if self.core.version == seen:
            await self._waiters.wait(deadline)

    def close(self) -> None:
        """End the connection; what the socket takes at once is still sent."""
        self.core.finish()
        self._fill_socket()
        self._end("closed")

    async def _wait_for_room(self, deadline: float | None) -> None:
        core, loop = self.core, self._waiters.loop
        taken, start = core.taken_bytes, loop.time()
        while self._full:
            core.check_read(taken, loop.time() - start)
            self._resume()
            await self._waiters.wait(deadline, CLIENT_UNREAD_SECONDS_MAX)

    def _resume(self) -> None:
        if self._paused and self.core.inbox_bytes < CLIENT_INBOX_BYTES_MAX // 2:
            self._pause(False)

    def _pause(self, pause: bool) -> None:
        if self._is_open:
            self._paused = pause
            if pause:
                self._waiters.loop.remove_reader(self._socket)
            else:
                self._waiters.loop.add_reader(self._socket, self._on_readable)

    def _end(self, reason: str) -> None:
        self.core.fail(reason)
        self._full = False
        if self._is_open:
            self._is_open = False
            loop = self._waiters.loop
            loop.remove_reader(self._socket)
            loop.remove_writer(self._socket)
            self._socket.close()
        self._waiters.wake()

    # -- sending -----------------------------------------------------------------------------------

    def _flush_all(self) -> None:
        self._due = False
        self.core.finish()
        self._send()

    def _send(self) -> None:
        """Send what finds room; nothing does while the socket is watched for room."""
        if not self._watches_room:
            self._fill_socket()
        self._look_at_rest()

    def _on_room(self) -> None:
        self._fill_socket()
        self._look_at_rest()

    def _fill_socket(self) -> None:
        core = self.core
        try:
            while core.unsent_bytes and self._is_open:
                core.sent(self._socket.sendmsg(core.output(), (), socket.MSG_NOSIGNAL))
        except BlockingIOError:
            self._watch_room(True)
        except OSError as reason:
            self._read_rest()
            self._end(str(reason))
        else:
            self._watch_room(False)

    def _watch_room(self, watch: bool) -> None:
        if watch is self._watches_room or not self._is_open:
            return
        self._watches_room = watch
        if watch:
            self._waiters.loop.add_writer(self._socket, self._on_room)
        else:
            self._waiters.loop.remove_writer(self._socket)

    def _look_at_rest(self) -> None:
        """Let senders wait, or go on, by what the socket did not take."""
        unsent = self.core.unsent_bytes
        if not self._full:
            # Not less than the bound at which the core refuses: who is refused must wait.
            self._full = self._is_open and unsent >= CLIENT_UNSENT_BYTES_MAX
        elif unsent <= CLIENT_UNSENT_BYTES_MAX // 4:
            self._full = False
            self._waiters.wake()

    # -- receiving ---------------------------------------------------------------------------------

    def _on_readable(self) -> None:
        self._receive()
        if self.core.inbox_bytes > CLIENT_INBOX_BYTES_MAX and not self._paused:
            self._pause(True)

    def _receive(self) -> bool:
        """Read once; False when nothing is there, or nothing will come any more."""
        try:
            count = self._socket.recv_into(self.core.room())
            if not count:
                self._end("the daemon closed the connection")
            elif self.core.received(count):
                self._waiters.wake()
        except BlockingIOError:
            return False
        except OSError as reason:
            self._end(str(reason))
        except WireError as reason:
            self._end(f"the daemon broke the protocol: {reason}")
        return self._is_open

    def _read_rest(self) -> None:
        """Receive what the daemon wrote before its end, at most what the socket holds."""
        while self._is_open and self._receive():
            pass
