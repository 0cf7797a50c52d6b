"""The libqb server of one service: shakes hands and gives each client its transport.

Speaks:      connect request (24 bytes) and connect reply (12328 bytes).
Counterpart: libqb lib/ipc_setup.c.
Keeps:       who a client is comes from the kernel, with the very bytes of its request; a message
             size beyond the product's bounds is clamped; the reply names no address of ours.
"""

import secrets
import socket
from collections.abc import Callable, Iterator
from errno import EACCES, EMFILE, EPERM
from typing import Final

from unisono.base.clients import Credentials, Service
from unisono.base.errors import WireError
from unisono.base.group import Marked
from unisono.base.limits import (
    CLIENTS_MAX,
    CLIENTS_PER_UID_MAX,
    HANDSHAKE_SECONDS_MAX,
    IPC_MESSAGE_BYTES_MAX,
    IPC_MESSAGE_BYTES_MIN,
)
from unisono.ipc.datagram import SocketConnection
from unisono.ipc.endpoint import Endpoint
from unisono.ipc.handler import Handler, ignore_mark
from unisono.ipc.server import Greeting, Server
from unisono.ipc.shm import ShmConnection
from unisono.linux.credentials import pass_credentials, receive_with_credentials
from unisono.wire.ipc import qb

SHM: Final = "shm"
SOCKET: Final = "socket"


class QbGreeting(Greeting):
    """A peer of which the connect request is not complete yet."""

    __slots__ = ("_data", "credentials", "wish")

    def __init__(self, stream: socket.socket) -> None:
        super().__init__(stream)
        self.credentials: Credentials | None = None
        self.wish = 0
        self._data = b""

    def read(self) -> bool:
        """Take a part of the request; WireError for a peer that ended, or is two."""
        room = qb.CONNECT_REQUEST.size - len(self._data)
        data, peer = receive_with_credentials(self.stream, room)
        if not data or peer is None or peer != (self.credentials or peer):
            raise WireError("the peer ended, or changed its credentials")
        self.credentials = peer
        self._data += data
        if len(self._data) < qb.CONNECT_REQUEST.size:
            return False
        self.wish = qb.decode_connect_request(memoryview(self._data))
        return True


class QbServer(Server[QbGreeting]):
    """A libqb server: `kind` is "shm" or "socket"."""

    _credentials = True

    def __init__(
        self,
        service: Service,
        endpoint: Endpoint,
        kind: str,
        handler: Handler,
        *,
        numbers: Iterator[int] | None = None,
        marks: Callable[[Marked], None] = ignore_mark,
        clients_max: int = CLIENTS_MAX,
        clients_per_uid_max: int = CLIENTS_PER_UID_MAX,
        handshake_seconds_max: float = HANDSHAKE_SECONDS_MAX,
    ) -> None:
        super().__init__(
            service,
            endpoint,
            handler,
            numbers=numbers,
            marks=marks,
            clients_max=clients_max,
            clients_per_uid_max=clients_per_uid_max,
            handshake_seconds_max=handshake_seconds_max,
        )
        self._transport = {SHM: ShmConnection, SOCKET: SocketConnection}[kind]

    def _greet(self, stream: socket.socket) -> QbGreeting:
        # Inherited from the listener: set here it would miss what came before accept() returned.
        return QbGreeting(stream)

    def _welcome(self, greeting: QbGreeting) -> None:
        peer, stream = greeting.credentials, greeting.stream
        assert peer is not None
        code = self._refusal(peer) or self._connect(stream, peer, greeting.wish)
        if code:
            self._refused(peer, code)
            refusal = qb.ConnectReply(-code, 0, 0, 0, b"", b"", b"")
            _send_whole(stream, qb.encode_connect_reply(refusal))
            stream.close()

    def _connect(self, stream: socket.socket, peer: Credentials, wish: int) -> int:
        """Make the connection; 0, or the errno of why it cannot be made."""
        size = min(max(wish, IPC_MESSAGE_BYTES_MIN), IPC_MESSAGE_BYTES_MAX)
        try:
            connection = self._transport(self, stream, self._next_client(), peer, size)
        except OSError as reason:
            return EACCES if reason.errno == EPERM else reason.errno or EMFILE
        token = secrets.randbits(63)
        answer = qb.ConnectReply(0, connection.kind, size, token, *connection.paths)
        if not _send_whole(stream, qb.encode_connect_reply(answer)):
            connection.close()
            return 0
        pass_credentials(stream, False)
        self._adopt(connection)
        return 0


def _send_whole(stream: socket.socket, message: bytes) -> bool:
    """Send a connect reply in one piece, as libqb's clients read it."""
    try:
        return stream.send(message, socket.MSG_NOSIGNAL) == len(message)
    except OSError:
        return False
