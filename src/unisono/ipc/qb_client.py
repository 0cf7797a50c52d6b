"""A libqb client connection, both transports: connect, call, send, receive events.

Speaks:      the client's half of libqb IPC, to our daemon or to a stock Corosync.
Counterpart: libqb lib/ipcc.c, ipc_setup.c, ipc_shm.c, ipc_socket.c.
Keeps:       the server is who the kernel says: uid 0, our own, or one that the caller named; one
             call at a time; a call that timed out ends the connection, for its answer may come.
"""

import os
import select
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Sequence
from contextlib import suppress
from errno import EACCES, EAGAIN, EMFILE, ENOSYS
from pathlib import Path
from typing import Final

from unisono.base.clients import Credentials
from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError, WireError
from unisono.base.group import Buffer
from unisono.base.limits import IPC_MESSAGE_BYTES_MAX, IPC_MESSAGE_BYTES_MIN
from unisono.ipc.endpoint import Endpoint, abstract_address, datagram_socket
from unisono.ipc.ring import Consumer, Producer, Ring, RingBroken, open_ring
from unisono.linux.credentials import (
    pass_credentials,
    peer_credentials,
    receive_with_credentials,
)
from unisono.linux.semaphore import Semaphore
from unisono.wire.ipc import qb
from unisono.wire.ipc.shm import CONTROL, CONTROL_FLOW_AT, FLOW_AT, FLOW_CLOSED, SEMAPHORE_AT

CONNECT_SECONDS: Final = 5.0
"""How long `connect` waits for the daemon's answer, unless told otherwise (ours)."""
CALL_SECONDS: Final = 30.0
"""How long `call` waits for a reply, unless told otherwise (ours; libcpg waits for ever)."""
_SLICE_SECONDS: Final = 0.25
"""How often a waiting call looks whether the daemon still lives."""
_EVENTS_PER_READ_MAX: Final = 64
_CONNECTED: Final = 2
"""Reference count of the request ring without which libqb does not send."""
_REFUSALS: Final = {
    EAGAIN: CsError.TRY_AGAIN,
    EACCES: CsError.ACCESS,
    ENOSYS: CsError.NOT_SUPPORTED,
    EMFILE: CsError.LIBRARY,
}


def connect(
    endpoint: Endpoint,
    *,
    message_bytes_max: int = IPC_MESSAGE_BYTES_MAX,
    timeout_seconds: float = CONNECT_SECONDS,
    server_uids: Collection[int] = (),
) -> "QbClient":
    """Connect to a libqb server; blocks up to `timeout_seconds`.

    ConnectionLost when no daemon answers; ClusterError TRY_AGAIN (not ready), ACCESS, NOT_SUPPORTED
    as it says; SECURITY when the server is neither root, nor us, nor one of `server_uids`.
    """
    try:
        stream = endpoint.connect(timeout_seconds)
    except OSError as reason:
        raise ConnectionLost(f"{endpoint}: {reason.strerror or reason}") from reason
    try:
        reply, server = _shake_hands(stream, message_bytes_max, timeout_seconds)
        for uid in (server.uid, peer_credentials(stream).uid):
            if uid not in {0, os.geteuid(), *server_uids}:
                raise ClusterError(CsError.SECURITY, f"{endpoint} is served by uid {uid}")
        if reply.error:
            code = _REFUSALS.get(-reply.error, CsError.LIBRARY)
            raise ClusterError(code, f"{endpoint}: {os.strerror(abs(reply.error))}")
        stream.setblocking(False)
        return _open_transport(stream, reply, server)
    except (OSError, WireError) as reason:
        stream.close()
        raise ConnectionLost(f"{endpoint}: {reason}") from reason
    except BaseException:
        stream.close()
        raise


def _shake_hands(
    stream: socket.socket, message_bytes_max: int, timeout_seconds: float
) -> tuple[qb.ConnectReply, Credentials]:
    """Send the connect request, receive the reply with its sender's credentials."""
    end = time.monotonic() + timeout_seconds
    server: Credentials | None = None
    pass_credentials(stream, True)
    stream.sendall(qb.encode_connect_request(max(message_bytes_max, IPC_MESSAGE_BYTES_MIN)))
    data = b""
    while len(data) < qb.CONNECT_REPLY.size:
        stream.settimeout(max(end - time.monotonic(), 0.001))
        part, sender = receive_with_credentials(stream, qb.CONNECT_REPLY.size - len(data))
        if not part:
            raise WireError("the daemon closed the connection")
        if sender is None or sender != (server or sender):
            raise ClusterError(CsError.SECURITY, "the reply is not of one sender")
        server = sender
        data += part
    pass_credentials(stream, False)
    assert server is not None
    return qb.decode_connect_reply(memoryview(data)), server


def _open_transport(
    stream: socket.socket, reply: qb.ConnectReply, server: Credentials
) -> "QbClient":
    size = reply.message_bytes_max
    if not IPC_MESSAGE_BYTES_MIN <= size <= 64 * IPC_MESSAGE_BYTES_MAX:
        raise WireError(f"the daemon agrees to messages of {size} bytes")
    if reply.kind == qb.SHM:
        return ShmClient(stream, reply, server)
    if reply.kind == qb.SOCKET:
        return SocketClient(stream, reply, server)
    raise ClusterError(CsError.NOT_SUPPORTED, f"transport of type {reply.kind}")


class QbClient(ABC):
    """A connection. Not for use by several threads at once; `close` it, or use it in `with`."""

    __slots__ = ("_closed", "_stream", "message_bytes_max", "server")

    def __init__(self, stream: socket.socket, reply: qb.ConnectReply, server: Credentials) -> None:
        self._stream = stream
        self._closed = False
        self.message_bytes_max = reply.message_bytes_max
        self.server = server
        """The kernel's word on who serves."""

    # -- what users call -------------------------------------------------------------------------

    @abstractmethod
    def fileno(self) -> int:
        """Descriptor that is readable when an event may be there; after it, read until None."""

    @abstractmethod
    def liveness_fileno(self) -> int:
        """Descriptor of the stream, which shows POLLHUP (and EOF) when the daemon ends."""

    @abstractmethod
    def try_send(self, pieces: Sequence[Buffer]) -> bool:
        """Send one request; False when there is no room now. ConnectionLost, UsageError."""

    @abstractmethod
    def read_event(self) -> bytes | None:
        """The next event, or None when there is none now; never blocks. ConnectionLost."""

    @abstractmethod
    def read_reply(self, timeout_seconds: float = 0.0) -> bytes | None:
        """The reply to the oldest request, or None when it has not come. ConnectionLost."""

    @property
    @abstractmethod
    def flow_control(self) -> int:
        """The daemon's word: 0 send freely; 1 nothing may be sent; 2 no CPG multicasts now."""

    def send_request(self, pieces: Sequence[Buffer]) -> None:
        """Send one request that has no reply, or whose reply `read_reply` takes.

        ClusterError TRY_AGAIN when there is no room or flow control forbids everything.
        """
        if self.flow_control == FLOW_CLOSED or not self.try_send(pieces):
            raise ClusterError(CsError.TRY_AGAIN, "the daemon takes no more now")

    def call(self, request: Buffer, timeout_seconds: float = CALL_SECONDS) -> bytes:
        """Send a request and wait for its reply; blocks the thread.

        ClusterError TIMEOUT ends the connection: a late reply would answer the next call.
        """
        self.send_request((request,))
        reply = self.read_reply(timeout_seconds)
        if reply is None:
            self.close()
            raise ClusterError(CsError.TIMEOUT, "the daemon did not answer")
        return reply

    def close(self) -> None:
        """End the connection; twice is harmless."""
        if not self._closed:
            self._closed = True
            self._release()
            with suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)
            self._stream.close()

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, by us or because the daemon went away."""
        return self._closed

    def __enter__(self) -> "QbClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- for the transports ----------------------------------------------------------------------

    @abstractmethod
    def _release(self) -> None:
        """Release what is the transport's."""

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionLost("the connection is closed")

    def _check_size(self, pieces: Sequence[Buffer]) -> int:
        length = sum(map(len, pieces))
        if length > self.message_bytes_max:
            raise UsageError(f"request of {length} bytes; at most {self.message_bytes_max}")
        return length

    def _lost(self, what: str) -> ConnectionLost:
        self.close()
        return ConnectionLost(what)

    def _has_hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._stream, 0)
        return bool(poll.poll(0))

    def _check_alive(self) -> None:
        """ConnectionLost when the stream has hung up."""
        if self._has_hung_up():
            raise self._lost("the daemon went away")


class ShmClient(QbClient):
    """Over shared memory."""

    __slots__ = ("_debt", "_events", "_read", "_replies", "_requests", "_rings", "_semaphore")

    def __init__(self, stream: socket.socket, reply: qb.ConnectReply, server: Credentials) -> None:
        """Open the rings; OSError or WireError when they are not as agreed."""
        super().__init__(stream, reply, server)
        self._rings: list[Ring] = []
        try:
            for path in (reply.request, reply.response, reply.event):
                self._rings.append(open_ring(path.decode(), reply.message_bytes_max))
                self._rings[-1].set_reference_count(_CONNECTED)
        except (OSError, WireError):
            self._release()
            raise
        request, response, event = self._rings
        self._requests = Producer(request)
        self._replies = Consumer(response)
        self._semaphore = Semaphore(response.words.address + SEMAPHORE_AT)
        self._events = Consumer(event)
        self._read: deque[memoryview] = deque()
        self._debt = 0

    def fileno(self) -> int:
        """The stream: a byte for each event."""
        return self._stream.fileno()

    def liveness_fileno(self) -> int:
        """The stream as well."""
        return self._stream.fileno()

    @property
    def flow_control(self) -> int:
        """0, 1 or 2."""
        self._check_open()
        try:
            return self._rings[0].load(FLOW_AT)
        except RingBroken as reason:
            raise self._lost(str(reason)) from reason

    def try_send(self, pieces: Sequence[Buffer]) -> bool:
        """Send one request; False when the ring, or the stream for its byte, is full."""
        self._check_open()
        length = self._check_size(pieces)
        if self._debt and not self._pay():
            return False
        try:
            if not self._requests.put([(length, pieces)]):
                self._check_alive()
                return False
        except RingBroken as reason:
            raise self._lost(str(reason)) from reason
        self._debt += 1
        self._pay()
        return True

    def read_event(self) -> bytes | None:
        """The next event."""
        self._check_open()
        if not self._read:
            if self._debt:
                self._pay()
            try:
                count = len(self._stream.recv(_EVENTS_PER_READ_MAX))
            except BlockingIOError:
                return None
            except OSError as reason:
                raise self._lost(str(reason)) from reason
            if not count:
                raise self._lost("the daemon went away")
            self._fetch(count)
        return bytes(self._read.popleft())

    def read_reply(self, timeout_seconds: float = 0.0) -> bytes | None:
        """The reply to the oldest request."""
        self._check_open()
        if self._debt:
            self._pay()
        end = time.monotonic() + timeout_seconds
        while not self._semaphore.try_wait():
            if self._has_hung_up():
                if self._semaphore.try_wait():
                    break  # it answered, then it ended
                raise self._lost("the daemon went away")
            left = end - time.monotonic()
            if left <= 0:
                return None
            if self._semaphore.timed_wait(min(left, _SLICE_SECONDS)):
                break
        try:
            return bytes(self._replies.take(1, counted=False)[0])
        except RingBroken as reason:
            raise self._lost(str(reason)) from reason

    def _release(self) -> None:
        for ring in self._rings:
            ring.close()
        self._rings.clear()

    def _fetch(self, count: int) -> None:
        """Take the events for which `count` bytes came."""
        try:
            while count:
                events = self._events.take(count)
                self._read.extend(events)
                count -= len(events)
        except RingBroken as reason:
            raise self._lost(str(reason)) from reason

    def _pay(self) -> bool:
        """Send the bytes that announce requests; whether all are sent."""
        try:
            self._debt -= self._stream.send(bytes(self._debt), socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except OSError as reason:
            raise self._lost(str(reason)) from reason
        return not self._debt


class SocketClient(QbClient):
    """Over datagrams."""

    __slots__ = ("_control_fd", "_control_path", "_event", "_request", "_sockets")

    def __init__(self, stream: socket.socket, reply: qb.ConnectReply, server: Credentials) -> None:
        """Bind our names and connect to the daemon's; OSError when that fails."""
        super().__init__(stream, reply, server)
        base = reply.response.decode()
        self._control_path = reply.request.decode()
        self._control_fd = os.open(self._control_path, os.O_RDWR | os.O_CLOEXEC)
        self._sockets: list[socket.socket] = []
        try:
            for _ in range(2):
                self._sockets.append(datagram_socket(reply.message_bytes_max))
            self._request, self._event = self._sockets
            self._request.bind(abstract_address(f"{base}-response"))
            self._request.connect(abstract_address(f"{base}-request"))
            self._event.bind(abstract_address(f"{base}-event"))
            self._event.connect(abstract_address(f"{base}-event-tx"))
        except OSError:
            self._release()
            raise

    def fileno(self) -> int:
        """The event socket; it does not show the end of the daemon, `liveness_fileno` does."""
        return self._event.fileno()

    def liveness_fileno(self) -> int:
        """The stream."""
        return self._stream.fileno()

    @property
    def flow_control(self) -> int:
        """0, 1 or 2."""
        self._check_open()
        raw = os.pread(self._control_fd, CONTROL.size, 0)
        if len(raw) < CONTROL.size:
            raise self._lost("control file is truncated")
        return int.from_bytes(raw[CONTROL_FLOW_AT : CONTROL_FLOW_AT + 4], "little")

    def try_send(self, pieces: Sequence[Buffer]) -> bool:
        """Send one request; False when the socket is full."""
        self._check_open()
        self._check_size(pieces)
        try:
            self._request.sendmsg(pieces, [], socket.MSG_NOSIGNAL)
        except BlockingIOError:
            self._check_alive()
            return False
        except OSError as reason:
            raise self._lost(str(reason)) from reason
        return True

    def read_event(self) -> bytes | None:
        """The next event."""
        self._check_open()
        event = self._receive(self._event)
        if event is None:
            self._check_alive()
        return event

    def read_reply(self, timeout_seconds: float = 0.0) -> bytes | None:
        """The reply to the oldest request."""
        self._check_open()
        reply = self._receive(self._request)
        if reply is None and timeout_seconds > 0:
            poll = select.poll()
            poll.register(self._request, select.POLLIN)
            poll.register(self._stream, 0)
            poll.poll(timeout_seconds * 1_000)
            reply = self._receive(self._request)
        if reply is None:
            self._check_alive()
        return reply

    def _receive(self, sock: socket.socket) -> bytes | None:
        try:
            return sock.recv(self.message_bytes_max)
        except BlockingIOError:
            return None
        except OSError as reason:
            raise self._lost(str(reason)) from reason

    def _release(self) -> None:
        for sock in self._sockets:
            sock.close()
        os.close(self._control_fd)
        with suppress(OSError):
            Path(self._control_path).unlink()
            Path(self._control_path).parent.rmdir()
