"""The shared-memory transport: three rings, and one byte on the stream for each chunk.

Speaks:      requests in the request ring, replies in the response ring, events in the event ring.
Counterpart: libqb lib/ipc_shm.c, lib/ipcs.c.
Keeps:       one wake-up takes many requests, one `send` of n bytes announces n events.
"""

import socket
from collections import deque
from contextlib import suppress
from typing import Final

from unisono.base.clients import Credentials
from unisono.base.errors import WireError
from unisono.base.ids import ClientId
from unisono.base.marks import Mark
from unisono.ipc.connection import Owner, QbConnection
from unisono.ipc.directory import ConnectionDirectory, owner_of
from unisono.ipc.ring import Consumer, Producer, Ring, RingBroken, create_ring
from unisono.wire.ipc import qb
from unisono.wire.ipc.shm import FLOW_CRITICAL, FLOW_OPEN

REQUESTS_PER_TURN_MAX: Final = 128
"""Requests taken from one client before others have their turn (ours)."""
_WAKE_BYTES: Final = memoryview(bytes(4_096))


class ShmConnection(QbConnection):
    """A client over shared memory."""

    __slots__ = (
        "_debt",
        "_directory",
        "_events",
        "_in_debt",
        "_owed",
        "_replies",
        "_requests",
        "_rings",
        "_taken",
    )

    def __init__(
        self,
        owner: Owner,
        stream: socket.socket,
        client: ClientId,
        credentials: Credentials,
        message_bytes_max: int,
    ) -> None:
        """Create its directory and files; OSError, with nothing left behind, when that fails."""
        super().__init__(owner, stream, client, credentials, message_bytes_max)
        files_owner = owner_of(credentials)
        self._directory = ConnectionDirectory(credentials, stream.fileno())
        self._rings: list[Ring] = []
        try:
            for path in self.paths:
                ring = create_ring(
                    self._directory.fd, path.decode(), message_bytes_max, files_owner
                )
                self._rings.append(ring)
            self._directory.hand_over(files_owner)
        except OSError:
            self._release()
            raise
        self._requests = Consumer(self._rings[0])
        self._replies = Producer(self._rings[1])
        self._events = Producer(self._rings[2])
        self._owed = 0
        self._taken: deque[memoryview] = deque()
        self._debt = 0
        self._in_debt = False

    @property
    def kind(self) -> int:
        """SHM."""
        return qb.SHM

    @property
    def paths(self) -> tuple[bytes, bytes, bytes]:
        """Base names of the request, response and event ring."""
        base, name = self._directory.path, self.owner.service.name.lower()
        request, response, event = (
            f"{base}/qb-{channel}-{name}".encode() for channel in ("request", "response", "event")
        )
        return request, response, event

    def start(self) -> None:
        """Read requests; first those whose bytes came before we were stopped."""
        self.owner.loop.add_reader(self.stream, self._on_stream)
        self._set_flow(FLOW_OPEN)
        if self._owed or self._taken:
            self.owner.loop.call_soon(self._serve)

    def stop(self) -> None:
        """Do not read; the client library refuses multicasts meanwhile."""
        self.owner.loop.remove_reader(self.stream)
        self._set_flow(FLOW_CRITICAL)

    def flush(self) -> None:
        """Events, then replies, as far as their rings have room."""
        if self.events:
            count = self._events.put(self.events)
            self.sent(self.events, count)
            if count:
                self._debt += count
                self._pay()
        if self.replies:
            self.sent(self.replies, self._replies.put(self.replies))
        if self.events or self.replies:
            self.owner.retry(self)

    def close(self) -> None:
        """Stop reading, tell the client by the reference counts, remove the files."""
        self.owner.loop.remove_reader(self.stream)
        self.owner.loop.remove_writer(self.stream)
        for ring in self._rings:
            with suppress(RingBroken):
                ring.set_reference_count(0)
        self._release()
        self.stream.close()

    # -- inside ----------------------------------------------------------------------------------

    def _release(self) -> None:
        for ring in self._rings:
            ring.close()
        self._directory.remove()

    def _set_flow(self, level: int) -> None:
        try:
            self._rings[0].set_flow_control(level)
        except WireError as reason:
            self.fail(Mark.CLIENT_MALFORMED, str(reason))

    def _on_stream(self) -> None:
        try:
            count = len(self.stream.recv(REQUESTS_PER_TURN_MAX))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if not count:
            self.fail(Mark.CLIENT_GONE, "closed its connection")
            return
        self._owed += count
        self._serve()

    def _serve(self) -> None:
        """Pass up the requests for which bytes came, until done, stopped or gone."""
        owner, taken = self.owner, self._taken
        owner.begin_turn()
        try:
            while self.alive and not owner.paused:
                if not taken:
                    if not self._owed:
                        break
                    taken.extend(self._requests.take(self._owed))
                    self._owed -= len(taken)
                self.submit(taken.popleft())
        except WireError as reason:
            self.fail(Mark.CLIENT_MALFORMED, str(reason))
        finally:
            owner.end_turn()

    def _pay(self) -> None:
        """Send one byte for each event that was committed; the rest when the stream has room."""
        with suppress(BlockingIOError):
            self._debt -= self.stream.send(_WAKE_BYTES[: self._debt], socket.MSG_NOSIGNAL)
        if self._debt and not self._in_debt:
            self._in_debt = True
            self.owner.loop.add_writer(self.stream, self._on_writable)
        elif self._in_debt and not self._debt:
            self._in_debt = False
            self.owner.loop.remove_writer(self.stream)

    def _on_writable(self) -> None:
        try:
            self._pay()
        except OSError as reason:
            self.fail(Mark.CLIENT_GONE, str(reason))
