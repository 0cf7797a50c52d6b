"""One client of a server: what every transport has in common.

Speaks:      requests up, replies and events down, each a whole message.
Counterpart: libqb lib/ipcs.c, struct qb_ipcs_connection.
Keeps:       replies in order, events in order; unread output is bounded in bytes.
"""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from unisono.base.clients import ClientRequest, Credentials, Service
from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.base.ids import ClientId
from unisono.base.limits import CLIENT_OUTPUT_BYTES_MAX
from unisono.base.marks import Mark
from unisono.ipc.handler import Handler
from unisono.ipc.ring import Message
from unisono.wire.ipc import qb


class Owner(Protocol):
    """What a connection needs of its server."""

    handler: Handler
    loop: asyncio.AbstractEventLoop
    paused: bool
    service: Service

    def drop(self, connection: "Connection", mark: Mark, reason: str) -> None:
        """End the connection; nothing of it is called afterwards."""
        ...

    def retry(self, connection: "Connection") -> None:
        """Call `flush` again in some milliseconds."""
        ...

    def begin_turn(self) -> None:
        """Requests follow, and `end_turn` after them: until then no flush need be scheduled."""
        ...

    def end_turn(self) -> None:
        """Flush every connection that has new events, and tell the handler."""
        ...

    def mark(self, mark: Mark, connection: "Connection", reason: str) -> None:
        """Tell the recorder about a client."""
        ...


class Connection(ABC):
    """A connected client. `client` is its number for the rest of the daemon."""

    __slots__ = ("alive", "client", "credentials", "output_bytes", "owner", "stream")

    def __init__(
        self, owner: Owner, stream: socket.socket, client: ClientId, credentials: Credentials
    ) -> None:
        self.owner = owner
        self.stream = stream
        self.client = client
        self.credentials = credentials
        self.alive = True
        self.output_bytes = 0

    @abstractmethod
    def start(self) -> None:
        """Begin to read requests, or go on."""

    @abstractmethod
    def stop(self) -> None:
        """Stop reading requests."""

    @abstractmethod
    def reply(self, message: Buffer) -> None:
        """Answer the oldest request, after every event that was queued before."""

    @abstractmethod
    def notify(self, pieces: Sequence[Buffer]) -> None:
        """Queue an event; the server flushes at the end of its turn."""

    @abstractmethod
    def flush(self) -> None:
        """Hand as much output to the client as it takes now; WireError or OSError drops it."""

    @abstractmethod
    def close(self) -> None:
        """Release everything, the client's files too."""

    def flush_safely(self) -> None:
        """`flush`, and drop the client if it broke its side."""
        if not self.alive:
            return
        try:
            self.flush()
        except WireError as reason:
            self.fail(Mark.CLIENT_MALFORMED, str(reason))
        except OSError as reason:
            self.fail(Mark.CLIENT_GONE, str(reason))

    def fail(self, mark: Mark, reason: str) -> None:
        """End this connection."""
        self.owner.drop(self, mark, reason)

    def queued(self, length: int) -> None:
        """Count `length` bytes of new output; drop the client that leaves too much unread."""
        self.output_bytes += length
        if self.output_bytes > CLIENT_OUTPUT_BYTES_MAX:
            self.fail(Mark.CLIENT_TOO_SLOW, f"{self.output_bytes} bytes of output unread")

    def may_serve(self) -> bool:
        """Whether requests may be passed up now; look again after each, for its effects."""
        return self.alive and not self.owner.paused


class QbConnection(Connection):
    """A client that speaks libqb: replies and events travel apart, messages have libqb's header."""

    __slots__ = ("events", "message_bytes_max", "replies")

    def __init__(
        self,
        owner: Owner,
        stream: socket.socket,
        client: ClientId,
        credentials: Credentials,
        message_bytes_max: int,
    ) -> None:
        super().__init__(owner, stream, client, credentials)
        self.message_bytes_max = message_bytes_max
        self.events: deque[Message] = deque()
        self.replies: deque[Message] = deque()

    @property
    @abstractmethod
    def paths(self) -> tuple[bytes, bytes, bytes]:
        """The three path fields of the connect reply."""

    @property
    @abstractmethod
    def kind(self) -> int:
        """The connection type in the connect reply."""

    def reply(self, message: Buffer) -> None:
        """Answer the oldest request, after every event that was queued before."""
        length = len(message)
        self.replies.append((length, (message,)))
        self.queued(length)
        self.flush_safely()

    def notify(self, pieces: Sequence[Buffer]) -> None:
        """Queue an event; the server flushes at the end of its turn."""
        length = sum(map(len, pieces))
        if length > self.message_bytes_max:
            self.fail(Mark.CLIENT_MALFORMED, f"event of {length} bytes, agreed maximum is smaller")
            return
        self.events.append((length, pieces))
        self.queued(length)

    def submit(self, message: memoryview) -> None:
        """Check the header of one request and pass it up, or drop the client."""
        length = len(message)
        if length < qb.REQUEST_HEADER.size:
            self.fail(Mark.CLIENT_MALFORMED, f"request of {length} bytes")
            return
        ident, size = qb.REQUEST_HEADER.unpack_from(message)
        if size != length:
            if not qb.REQUEST_HEADER.size <= size < length:
                self.fail(Mark.CLIENT_MALFORMED, f"request of {length} bytes claims {size}")
                return
            message = message[:size]
        if ident == qb.DISCONNECT:
            self.fail(Mark.CLIENT_GONE, "asked to be disconnected")
            return
        self.owner.handler.submit(ClientRequest(self.client, message))

    def sent(self, queue: deque[Message], count: int) -> None:
        """The first `count` messages of a queue are with the client now."""
        for _ in range(count):
            self.output_bytes -= queue.popleft()[0]
