"""A listening server and its clients, whatever they speak: accepting, limits, pausing, ending.

Counterpart: libqb lib/ipcs.c; corosync exec/ipc_glue.c.
Keeps:       a peer that stops at any byte of its greeting costs one socket for five seconds;
             limits by user and in all; ClientGone comes once for each ClientConnected, in a later
             turn of the loop.
"""

import asyncio
import itertools
import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from errno import EMFILE, ENFILE
from typing import ClassVar, Final, Generic, TypeVar

from unisono.base.clients import ClientConnected, ClientGone, Credentials, Service
from unisono.base.errors import WireError
from unisono.base.group import Buffer, Marked
from unisono.base.ids import ClientId
from unisono.base.limits import CLIENTS_MAX, CLIENTS_PER_UID_MAX, HANDSHAKE_SECONDS_MAX
from unisono.base.marks import Mark
from unisono.ipc.connection import Connection
from unisono.ipc.endpoint import Endpoint
from unisono.ipc.handler import Handler, ignore_mark

ACCEPTS_PER_TURN_MAX: Final = 16
GREETINGS_MAX: Final = 256
"""Peers that have not greeted yet (ours): one more ends the oldest, so silence blocks nobody."""
RETRY_SECONDS: Final = (0.001, 0.002, 0.005)
"""Pauses between attempts to hand over what a client has no room for."""
ACCEPT_PAUSE_SECONDS: Final = 0.5
"""How long nobody is accepted after the process ran out of descriptors."""


class Greeting(ABC):
    """A peer that has connected and not yet said who it is, or what it wants."""

    __slots__ = ("stream", "timer")

    def __init__(self, stream: socket.socket) -> None:
        self.stream = stream
        self.timer: asyncio.TimerHandle | None = None

    @abstractmethod
    def read(self) -> bool:
        """Take what came; True once it is complete. WireError or OSError ends the peer."""


_Greeting = TypeVar("_Greeting", bound=Greeting)


class Server(ABC, Generic[_Greeting]):
    """A server. Call `start` inside a running asyncio loop; `close` when done."""

    _credentials: ClassVar[bool]
    """Whether accepted streams tell the sender of each message (SO_PASSCRED)."""

    def __init__(
        self,
        service: Service,
        endpoint: Endpoint,
        handler: Handler,
        *,
        numbers: Iterator[int] | None = None,
        marks: Callable[[Marked], None] = ignore_mark,
        clients_max: int = CLIENTS_MAX,
        clients_per_uid_max: int = CLIENTS_PER_UID_MAX,
        handshake_seconds_max: float = HANDSHAKE_SECONDS_MAX,
    ) -> None:
        """`numbers` gives client numbers, to be shared by all servers of a daemon."""
        self.service = service
        self.endpoint = endpoint
        self.handler = handler
        self.paused = False
        self.loop: asyncio.AbstractEventLoop
        self._numbers = numbers if numbers is not None else itertools.count(1)
        self._marks = marks
        self._clients_max = clients_max
        self._clients_per_uid_max = clients_per_uid_max
        self._handshake_seconds_max = handshake_seconds_max
        self._listener: socket.socket | None = None
        self._greetings: dict[_Greeting, None] = {}
        self._clients: dict[ClientId, Connection] = {}
        self._by_uid: Counter[int] = Counter()
        self._dirty: dict[Connection, None] = {}
        self._flush_soon = False
        self._stuck: dict[Connection, None] = {}
        self._retry_timer: asyncio.TimerHandle | None = None
        self._retry_step = 0

    # -- what a kind of server adds --------------------------------------------------------------

    @abstractmethod
    def _greet(self, stream: socket.socket) -> _Greeting:
        """Prepare an accepted, non-blocking stream; OSError ends it."""

    @abstractmethod
    def _welcome(self, greeting: _Greeting) -> None:
        """The greeting is complete: `_adopt` a connection, or refuse and close the stream."""

    # -- what the owner calls --------------------------------------------------------------------

    def start(self) -> None:
        """Listen; OSError when the address cannot be had."""
        self.loop = asyncio.get_running_loop()
        self._listener = self.endpoint.listen(credentials=self._credentials)
        self.loop.add_reader(self._listener, self._on_accept)

    def reply(self, client: ClientId, message: Buffer) -> None:
        """Answer the oldest unanswered request of `client`; nothing if it is gone."""
        connection = self._clients.get(client)
        if connection is not None:
            connection.reply(message)

    def notify(self, client: ClientId, pieces: Sequence[Buffer]) -> None:
        """Queue an event for `client`; pieces are gathered and must not change afterwards."""
        connection = self._clients.get(client)
        if connection is None:
            return
        connection.notify(pieces)
        self._dirty[connection] = None
        if not self._flush_soon:
            self._flush_soon = True
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Hand over all queued events now; done by itself at the end of the loop's turn."""
        self._flush_soon = False
        if self._dirty:
            dirty, self._dirty = self._dirty, {}
            for connection in dirty:
                connection.flush_safely()

    def disconnect(self, client: ClientId, reason: str) -> None:
        """End a client that broke the protocol; first it gets what it can take."""
        connection = self._clients.get(client)
        if connection is not None:
            connection.flush_safely()
            self.drop(connection, Mark.CLIENT_MALFORMED, reason)

    def pause(self) -> None:
        """Read no more requests until `resume`; libcpg refuses multicasts with TRY_AGAIN."""
        if not self.paused:
            self.paused = True
            for connection in list(self._clients.values()):
                if connection.alive:
                    connection.stop()

    def resume(self) -> None:
        """Read requests again."""
        if self.paused:
            self.paused = False
            for connection in list(self._clients.values()):
                if connection.alive:
                    connection.start()

    @property
    def output_bytes(self) -> int:
        """The largest amount of output that one client has not taken yet."""
        return max((c.output_bytes for c in self._clients.values()), default=0)

    @property
    def clients(self) -> int:
        """Connected clients."""
        return len(self._clients)

    def close(self) -> None:
        """Stop listening and end every client, without ClientGone. Twice is harmless."""
        if self._listener is not None:
            self.loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
            self.endpoint.withdraw()
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        for greeting in list(self._greetings):
            self._end_greeting(greeting)
        connections, self._clients = list(self._clients.values()), {}
        for connection in connections:
            connection.alive = False
            connection.close()

    # -- what connections call -------------------------------------------------------------------

    def drop(self, connection: Connection, mark: Mark, reason: str) -> None:
        """End a connection and tell the handler in a later turn of the loop."""
        if not connection.alive:
            return
        connection.alive = False
        uid = connection.credentials.uid
        self._by_uid[uid] -= 1
        if not self._by_uid[uid]:
            del self._by_uid[uid]
        del self._clients[connection.client]
        self._dirty.pop(connection, None)
        self._stuck.pop(connection, None)
        connection.close()
        self.mark(mark, connection, reason)
        self.loop.call_soon(self.handler.submit, ClientGone(connection.client))

    def begin_turn(self) -> None:
        """Requests follow, and `end_turn` after them: until then no flush need be scheduled."""
        self._flush_soon = True

    def end_turn(self) -> None:
        """The requests of one reading have been passed up."""
        self.flush()
        self.handler.submitted()

    def retry(self, connection: Connection) -> None:
        """Flush this connection again soon: its ring was full."""
        self._stuck[connection] = None
        if self._retry_timer is None:
            pause = RETRY_SECONDS[self._retry_step]
            self._retry_step = min(self._retry_step + 1, len(RETRY_SECONDS) - 1)
            self._retry_timer = self.loop.call_later(pause, self._on_retry)

    def mark(self, mark: Mark, connection: Connection, reason: str) -> None:
        """Tell the recorder about a client."""
        self._marks(Marked(mark, connection.client, self.service, reason))

    # -- what a kind of server uses --------------------------------------------------------------

    def _refusal(self, peer: Credentials) -> int:
        """0, or the errno with which to refuse this peer."""
        full = len(self._clients) >= self._clients_max
        if full or self._by_uid[peer.uid] >= self._clients_per_uid_max:
            return EMFILE
        return self.handler.admit(self.service, peer)

    def _refused(self, peer: Credentials, code: int) -> None:
        self._marks(Marked(Mark.CLIENT_REFUSED, code, self.service, f"uid {peer.uid}"))

    def _adopt(self, connection: Connection) -> None:
        """Announce a connection and begin to read it."""
        peer = connection.credentials
        self._clients[connection.client] = connection
        self._by_uid[peer.uid] += 1
        self.mark(Mark.CLIENT_CONNECTED, connection, f"pid {peer.pid} uid {peer.uid}")
        self.handler.submit(ClientConnected(connection.client, self.service, peer))
        if connection.alive:
            if self.paused:
                connection.stop()
            else:
                connection.start()

    def _next_client(self) -> ClientId:
        return ClientId(next(self._numbers))

    # -- inside ----------------------------------------------------------------------------------

    def _on_retry(self) -> None:
        self._retry_timer = None
        stuck, self._stuck = self._stuck, {}
        before = sum(connection.output_bytes for connection in stuck)
        for connection in stuck:
            connection.flush_safely()
        if sum(connection.output_bytes for connection in stuck) < before:
            self._retry_step = 0

    def _on_accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN_MAX):
            if self._listener is None:
                return
            try:
                stream, _ = self._listener.accept()
            except OSError as reason:
                if reason.errno in (EMFILE, ENFILE):
                    self._pause_accepting(self._listener)
                return
            if len(self._greetings) >= GREETINGS_MAX:
                self._end_greeting(next(iter(self._greetings)))
            stream.setblocking(False)
            try:
                self._await_greeting(self._greet(stream))
            except OSError:
                stream.close()

    def _await_greeting(self, greeting: _Greeting) -> None:
        self._greetings[greeting] = None
        greeting.timer = self.loop.call_later(
            self._handshake_seconds_max, self._end_greeting, greeting
        )
        self.loop.add_reader(greeting.stream, self._on_greeting, greeting)

    def _pause_accepting(self, listener: socket.socket) -> None:
        """Without descriptors the listener stays readable: look away for a while, do not spin."""
        self.loop.remove_reader(listener)

        def again() -> None:
            if self._listener is listener:
                self.loop.add_reader(listener, self._on_accept)

        self.loop.call_later(ACCEPT_PAUSE_SECONDS, again)

    def _on_greeting(self, greeting: _Greeting) -> None:
        try:
            if not greeting.read():
                return
        except BlockingIOError:
            return
        except (OSError, WireError):
            self._end_greeting(greeting)
            return
        self._forget_greeting(greeting)
        self._welcome(greeting)

    def _forget_greeting(self, greeting: _Greeting) -> None:
        del self._greetings[greeting]
        self.loop.remove_reader(greeting.stream)
        if greeting.timer is not None:
            greeting.timer.cancel()

    def _end_greeting(self, greeting: _Greeting) -> None:
        self._forget_greeting(greeting)
        greeting.stream.close()
