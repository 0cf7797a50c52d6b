"""The program's end of a simulated socket: what asyncio calls a transport.

Speaks:      asyncio's transport interface to the door's protocol; frames and bytes to the desk.
Counterpart: unix(7) stream sockets, and asyncio's buffers before and behind them.
Keeps:       each direction in order and a little late; who does not read is told so to the writer.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from unisono.wire.native import split_frames

SOCKET_BYTES: Final = 212_992
"""What a socket takes before writes are refused: net.core.wmem_default of Linux."""
WRITE_HIGH_BYTES: Final = 64 * 1024
"""asyncio's high-water mark, unless the protocol sets its own."""


class Direction:
    """One direction: what enters leaves in order, after a delay."""

    __slots__ = ("_at", "_draw_arrival_ns", "_free_at")

    def __init__(self, at: Callable[..., None], draw_arrival_ns: Callable[[], int]) -> None:
        self._at = at
        self._draw_arrival_ns = draw_arrival_ns
        self._free_at = 0

    def pass_on(self, call: Callable[..., None], *arguments: Any) -> None:
        """Let `call(*arguments)` happen at the other end."""
        self._free_at = max(self._free_at, self._draw_arrival_ns())
        self._at(self._free_at, call, *arguments)


class Stream(asyncio.Transport):
    """A connected stream. `to_daemon(frame)` and `hang_up()` are called at the daemon's end."""

    def __init__(
        self,
        protocol: asyncio.Protocol,
        there: Direction,
        back: Direction,
        to_daemon: Callable[[bytes], None],
        hang_up: Callable[[], None],
    ) -> None:
        super().__init__()
        self.unwanted_bytes = 0
        """Bytes that the daemon has written and the program does not read."""
        self._protocol = protocol
        self._there = there
        self._back = back
        self._to_daemon = to_daemon
        self._hang_up = hang_up
        self._rest = b""
        self._unread_bytes = 0
        self._high, self._low = WRITE_HIGH_BYTES, WRITE_HIGH_BYTES // 4
        self._is_full = False
        self._is_closing = False
        self._is_lost = False
        self._is_ended = False
        self._arrived: deque[bytes | None] = deque()
        self._is_paused = False

    # -- what the protocol calls -------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes; frames leave as soon as they are whole."""
        if self._is_closing:
            return
        if self._is_ended:
            self._break()
            return
        stream = self._rest + bytes(data)
        frames, used = split_frames(memoryview(stream))
        self._rest = stream[used:]
        for frame in frames:
            self._unread_bytes += len(frame)
            self._there.pass_on(self._to_daemon, bytes(frame))
        self._watch_room()

    def get_write_buffer_size(self) -> int:
        """Bytes that the socket did not take."""
        return max(0, self._unread_bytes - SOCKET_BYTES)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When to pause the protocol's writing, and when to let it go on."""
        self._high = WRITE_HIGH_BYTES if high is None else high
        self._low = self._high // 4 if low is None else low

    def is_closing(self) -> bool:
        """Whether it was closed, by us or by the daemon."""
        return self._is_closing

    def pause_reading(self) -> None:
        """Leave what comes in the socket."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Go on reading."""
        self._is_paused = False
        # As a loop does: what is there is read in a later turn.
        self._back.pass_on(self._read)

    def close(self) -> None:
        """End the connection; what was written still arrives."""
        if not self._is_closing:
            self._is_closing = True
            self._there.pass_on(self._hang_up)
            self._back.pass_on(self._lose)

    def abort(self) -> None:
        """End the connection at once; here nothing waits that could be thrown away."""
        self.close()

    def kill(self) -> None:
        """The process is dead: to the daemon as by `close`, on this side at once."""
        self.close()
        self._lose()

    # -- from the daemon ---------------------------------------------------------------------------

    def was_read(self, size: int) -> None:
        """The daemon has read so many bytes."""
        self._unread_bytes -= size
        self._watch_room()

    def send(self, data: bytes) -> None:
        """The daemon writes."""
        self.unwanted_bytes += len(data)
        self._back.pass_on(self._arrive, data)

    def end(self) -> None:
        """The daemon closes, or is gone: what it wrote before still arrives."""
        self._back.pass_on(self._arrive, None)

    def _arrive(self, data: bytes | None) -> None:
        self._arrived.append(data)
        self._is_ended = data is None
        self._read()
        if self._is_ended and self._is_full and not self._is_closing:
            self._break()

    def _break(self) -> None:
        """Nobody reads at the other end: who writes learns it, though it may not read."""
        self._is_closing = True
        self._back.pass_on(self._lose)

    def _read(self) -> None:
        while self._arrived and not self._is_paused and not self._is_closing:
            data = self._arrived.popleft()
            if data is None:
                self._is_closing = True
                self._lose()
            else:
                self.unwanted_bytes -= len(data)
                self._protocol.data_received(data)

    def _lose(self) -> None:
        self.unwanted_bytes = 0
        if not self._is_lost:
            self._is_lost = True
            self._protocol.connection_lost(None)

    def _watch_room(self) -> None:
        size = self.get_write_buffer_size()
        if self._is_lost:
            return
        if not self._is_full and size > self._high:
            self._is_full = True
            self._protocol.pause_writing()
        elif self._is_full and size <= self._low:
            self._is_full = False
            self._protocol.resume_writing()
