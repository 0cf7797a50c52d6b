"""The native server: a stream of frames, gathered on the way out, cut on the way in, never read.

Speaks:      frames with a header of 8 bytes: u32 length of the whole, u8 kind, u8 flags, u16 zero.
Keeps:       a frame goes up whole or not at all; a length out of bounds ends that client; a full
             socket is the only back-pressure that a client needs.
"""

import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from errno import EACCES, EAGAIN, EMFILE, ENOSYS
from itertools import islice
from struct import Struct
from typing import Final

from unisono.base.clients import ClientRequest, Credentials
from unisono.base.errors import CsError, WireError
from unisono.base.group import Buffer
from unisono.base.ids import ClientId
from unisono.base.limits import BUSY_READ_BYTES, NATIVE_FRAME_BYTES_MAX
from unisono.base.marks import Mark
from unisono.ipc.connection import Connection, Owner
from unisono.ipc.server import Greeting, Server
from unisono.linux.credentials import peer_credentials
from unisono.wire import native

FRAME: Final = Struct("<IBBH")
"""Length of the whole frame, kind, flags, zero."""
assert FRAME.size == 8
_LENGTH: Final = Struct("<I")
_NOTHING: Final = memoryview(b"")
RECEIVE_BYTES: Final = 256 * 1024
"""Most that is read from one client before others have their turn (ours)."""
GATHER_PIECES_MAX: Final = 512
"""Pieces of one gathering write (ours; IOV_MAX is 1024)."""
_REFUSALS: Final = {
    EAGAIN: CsError.TRY_AGAIN,
    EACCES: CsError.ACCESS,
    EMFILE: CsError.NO_RESOURCES,
    ENOSYS: CsError.NOT_SUPPORTED,
}


class FrameCutter:
    """Bytes in, whole frames out; each frame is a view of bytes that nobody overwrites."""

    __slots__ = ("_at", "_have", "_need", "_parts", "_view")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._have = 0
        self._need = FRAME.size
        self._view = _NOTHING
        self._at = 0

    def feed(self, data: bytes) -> None:
        """Append what was received."""
        self._parts.append(data)
        self._have += len(data)

    def next(self) -> memoryview | None:
        """The next whole frame, or None; WireError for a length out of bounds."""
        if self._have < self._need:
            if not self._have:
                self._view = _NOTHING
                self._at = 0
            return None
        if self._parts:
            self._unite()
        view, at = self._view, self._at
        if self._have >= FRAME.size:
            length = _LENGTH.unpack_from(view, at)[0]
            if not FRAME.size <= length <= NATIVE_FRAME_BYTES_MAX:
                raise WireError(f"frame of {length} bytes")
            if length <= self._have:
                self._at = at + length
                self._have -= length
                self._need = FRAME.size
                return view[at : at + length]
            self._need = length
        self._keep()
        return None

    def _unite(self) -> None:
        """Make one view of what is left and what came since."""
        rest = self._view[self._at :]
        whole = self._parts[0] if not rest and len(self._parts) == 1 else None
        self._view = memoryview(whole if whole is not None else b"".join([rest, *self._parts]))
        self._parts.clear()
        self._at = 0

    def _keep(self) -> None:
        """Copy the beginning of an unfinished frame, so that it does not pin what came before."""
        self._view = memoryview(bytes(self._view[self._at :]))
        self._at = 0


class NativeGreeting(Greeting):
    """A peer of which the first frame is not complete yet."""

    __slots__ = ("credentials", "cutter", "first")

    def __init__(self, stream: socket.socket) -> None:
        super().__init__(stream)
        self.credentials = peer_credentials(stream)
        self.cutter = FrameCutter()
        self.first: memoryview | None = None

    def read(self) -> bool:
        """Take what came; True with the first whole frame."""
        data = self.stream.recv(RECEIVE_BYTES)
        if not data:
            raise WireError("the peer ended")
        self.cutter.feed(data)
        self.first = self.cutter.next()
        return self.first is not None


class NativeConnection(Connection):
    """A native client: frames up, frames down, in order."""

    __slots__ = ("_cutter", "_first", "_is_busy", "_output", "_waiting")

    def __init__(
        self, owner: Owner, greeting: NativeGreeting, client: ClientId, credentials: Credentials
    ) -> None:
        super().__init__(owner, greeting.stream, client, credentials)
        self._cutter = greeting.cutter
        self._first = greeting.first
        self._output: deque[Buffer] = deque()
        self._waiting = False
        self._is_busy = False

    def start(self) -> None:
        """Read frames; first those that came before we were stopped."""
        self.owner.loop.add_reader(self.stream, self._on_readable)
        self.owner.loop.call_soon(self._serve)

    def stop(self) -> None:
        """Do not read: the client's socket fills, and its sends wait."""
        self.owner.loop.remove_reader(self.stream)

    def reply(self, message: Buffer) -> None:
        """Send a frame after all that was queued before."""
        self._output.append(message)
        self.queued(len(message))
        self.flush_safely()

    def notify(self, pieces: Sequence[Buffer]) -> None:
        """Queue a frame, given as pieces; the server flushes at the end of its turn."""
        self._output.extend(pieces)
        self.queued(sum(map(len, pieces)))

    def flush(self) -> None:
        """Send until the socket is full."""
        output = self._output
        while output:
            batch = list(islice(output, GATHER_PIECES_MAX))
            try:
                count = self.stream.sendmsg(batch, [], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                self._wait_for_room(True)
                return
            self.output_bytes -= count
            while output and count >= len(output[0]):
                count -= len(output.popleft())
            if count:
                output[0] = memoryview(output[0])[count:]
        self._wait_for_room(False)

    def close(self) -> None:
        """Close the socket."""
        self.owner.loop.remove_reader(self.stream)
        self.owner.loop.remove_writer(self.stream)
        self.stream.close()

    def _wait_for_room(self, wait: bool) -> None:
        if wait == self._waiting:
            return
        self._waiting = wait
        if wait:
            self.owner.loop.add_writer(self.stream, self.flush_safely)
        else:
            self.owner.loop.remove_writer(self.stream)

    def _on_readable(self) -> None:
        if self._is_busy:
            os.sched_yield()
        try:
            data = self.stream.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.fail(Mark.CLIENT_GONE, "closed its connection")
            return
        self._is_busy = len(data) >= BUSY_READ_BYTES
        self._cutter.feed(data)
        self._serve()

    def _serve(self) -> None:
        """Pass frames up until none is whole, or we are stopped, or the client is gone."""
        submit = self.owner.handler.submit
        self.owner.begin_turn()
        try:
            while self.may_serve():
                frame = self._first or self._cutter.next()
                if frame is None:
                    break
                self._first = None
                submit(ClientRequest(self.client, frame))
        except WireError as reason:
            self.fail(Mark.CLIENT_MALFORMED, str(reason))
        finally:
            self.owner.end_turn()


class NativeServer(Server[NativeGreeting]):
    """The server of native clients: `NativeServer(Service.NATIVE, endpoint, handler)`."""

    _credentials = False

    def _greet(self, stream: socket.socket) -> NativeGreeting:
        return NativeGreeting(stream)

    def _welcome(self, greeting: NativeGreeting) -> None:
        peer, stream = greeting.credentials, greeting.stream
        code = self._refusal(peer)
        if not code:
            self._adopt(NativeConnection(self, greeting, self._next_client(), peer))
            return
        self._refused(peer, code)
        error = _REFUSALS.get(code, CsError.LIBRARY)
        with suppress(OSError):
            stream.send(native.encode_reply(native.Kind.HELLO, error), socket.MSG_NOSIGNAL)
        stream.close()
