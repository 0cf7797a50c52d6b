"""The program's end of a simulated socket: what the door reads, writes and lets the loop watch.

Speaks:      a non-blocking socket's calls to the door; frames and bytes to the desk.
Counterpart: unix(7) stream sockets, and a loop that looks at them.
Keeps:       each direction in order and a little late; who does not read is told so to the writer.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from unisono.base.group import Buffer
from unisono.wire.native import split_frames

SOCKET_BYTES: Final = 212_992
"""What a socket takes before writes are refused: net.core.wmem_default of Linux."""
Watcher: TypeAlias = Callable[[], object] | None


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


class Stream:
    """A connected stream. `to_daemon(frame)` and `hang_up()` are called at the daemon's end."""

    def __init__(
        self,
        there: Direction,
        back: Direction,
        to_daemon: Callable[[bytes], None],
        hang_up: Callable[[], None],
    ) -> None:
        self.unwanted_bytes = 0
        """Bytes that the daemon has written and the program does not read."""
        self.is_closed = False
        """The program's end is closed, by itself or because the process was killed."""
        self._there = there
        self._back = back
        self._to_daemon = to_daemon
        self._hang_up = hang_up
        self._rest = b""
        self._unread_bytes = 0
        self._arrived: deque[memoryview] = deque()
        self._is_ended = False
        self._on_readable: Watcher = None
        self._on_room: Watcher = None

    # -- what the door calls -----------------------------------------------------------------------

    def fileno(self) -> int:
        """No descriptor: only the virtual loop can watch it."""
        return -1

    def recv_into(self, buffer: memoryview, /) -> int:
        """Read what has arrived with one write of the daemon; 0 at the end."""
        if not self._arrived:
            if self._is_ended:
                return 0
            raise BlockingIOError
        data = self._arrived.popleft()
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        if count < len(data):
            self._arrived.appendleft(data[count:])
        self.unwanted_bytes -= count
        return count

    def sendmsg(self, pieces: Sequence[Buffer], _ancillary: object, _flags: int, /) -> int:
        """Send what finds room; frames leave as soon as they are whole."""
        if self._is_ended:
            raise BrokenPipeError("the daemon has closed the connection")
        room = SOCKET_BYTES - self._unread_bytes
        if room <= 0:
            raise BlockingIOError
        data = b"".join(pieces)[:room]
        stream = self._rest + data
        frames, used = split_frames(memoryview(stream))
        # The daemon reads the beginning of a frame at once: it takes no room.
        self._rest = stream[used:]
        for frame in frames:
            self._unread_bytes += len(frame)
            self._there.pass_on(self._to_daemon, bytes(frame))
        return len(data)

    def close(self) -> None:
        """End the connection; what was written still arrives."""
        self._on_readable = self._on_room = None
        if not self.is_closed:
            self.is_closed = True
            self.unwanted_bytes = 0
            self._there.pass_on(self._hang_up)

    # -- what the loop and the process call --------------------------------------------------------

    def watch_input(self, call: Watcher) -> None:
        """Call it whenever something has arrived, until told otherwise."""
        self._on_readable = call
        if call is not None and (self._arrived or self._is_ended):
            # As a loop does: what is there is read in a later turn.
            self._back.pass_on(self._look)

    def watch_room(self, call: Watcher) -> None:
        """Call it whenever there is room to write, until told otherwise."""
        self._on_room = call
        if call is not None and self._has_room():
            self._back.pass_on(self._look)

    def kill(self) -> None:
        """The process is dead: to the daemon as by `close`, on this side the end at once."""
        if not self.is_closed:
            self.is_closed = self._is_ended = True
            self._arrived.clear()
            self.unwanted_bytes = 0
            self._there.pass_on(self._hang_up)
            self._look()

    # -- from the daemon ---------------------------------------------------------------------------

    def was_read(self, size: int) -> None:
        """The daemon has read so many bytes."""
        self._unread_bytes -= size
        if self._on_room is not None and self._has_room():
            self._back.pass_on(self._look)

    def send(self, data: bytes) -> None:
        """The daemon writes."""
        if not self.is_closed:
            self.unwanted_bytes += len(data)
            self._back.pass_on(self._arrive, data)

    def end(self) -> None:
        """The daemon closes, or is gone: what it wrote before still arrives."""
        self._back.pass_on(self._arrive, None)

    def _arrive(self, data: bytes | None) -> None:
        if self.is_closed:
            return
        if data is None:
            self._is_ended = True
        else:
            self._arrived.append(memoryview(data))
        self._look()

    def _has_room(self) -> bool:
        """Whether a loop would say so: as soon as three quarters are free, or nobody reads."""
        return self._is_ended or self._unread_bytes * 4 <= SOCKET_BYTES

    def _look(self) -> None:
        """Call who watches, as long as there is something for them."""
        while self._on_readable is not None and (self._arrived or self._is_ended):
            self._on_readable()
        if self._on_room is not None and self._has_room():
            self._on_room()
