"""A stand-in for the daemon: one node, the native stream over a real socket, one total order.

It keeps CPG's rules (join completes with its view, own messages come back, a dead client leaves
with reason PROCDOWN) and can misbehave on request: be busy, refuse, die, cut frames, not read.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Self, TypeVar

from unisono.base.errors import CsError, WireError
from unisono.base.ids import NodeId, Pid, RingId, RingSeq
from unisono.client.values import Reason
from unisono.linux.credentials import peer_credentials
from unisono.wire import native
from unisono.wire.block import decode_block
from unisono.wire.native import Member

RECEIVE_BYTES = 256 * 1024
T = TypeVar("T")


class Client:
    """One connection."""

    def __init__(self, writer: asyncio.StreamWriter, pid: Pid) -> None:
        self.writer = writer
        self.pid = pid
        self.group: bytes | None = None
        self.rings = False

    def send(self, *pieces: bytes | memoryview) -> None:
        if not self.writer.is_closing():
            self.writer.writelines(pieces)


class FakeDaemon:
    """Serves `directory`/unisono.sock while its context lasts, and again after `restart`."""

    def __init__(self, directory: Path, *, node_id: int = 1, distinct_pids: bool = False) -> None:
        self.path = directory / "unisono.sock"
        self.node_id = NodeId(node_id)
        self.ring = RingId(NodeId(node_id), RingSeq(4))
        self.pids = count(1001) if distinct_pids else None
        """Give each connection a pid of its own, so that one process may be several members."""
        self.busy_hellos = 0
        """So many more greetings are answered TRY_AGAIN."""
        self.busy = 0
        """So many more joins and leaves are answered TRY_AGAIN."""
        self.refuse_hello: CsError | None = None
        self.version = native.VERSION
        self.reading = asyncio.Event()
        self.reading.set()
        self.echo_limit: int | None = None
        """Unread output of a client above which nothing is read from it."""
        self.blocks: list[bytes] = []
        """Every block that was ordered, as it came."""
        self.frames: list[native.ToDaemon] = []
        """Every frame but SEND, as it came."""
        self.clients: list[Client] = []
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.die()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path, limit=RECEIVE_BYTES)

    async def die(self) -> None:
        """As by SIGKILL: every connection and the listener are gone."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        self.path.unlink(missing_ok=True)
        for client in self.clients:
            client.writer.transport.abort()
        self.clients.clear()
        self.reading.set()
        while self._serving:
            await asyncio.wait(self._serving)

    # -- what tests make happen --------------------------------------------------------------------

    def change_ring(self, members: Iterable[int] = (1,)) -> None:
        """The ring below changed."""
        self.ring = RingId(self.ring.rep, RingSeq(self.ring.seq + 4))
        for client in self.clients:
            if client.group is not None and client.rings:
                client.send(native.encode_ring(self.ring, list(members)))

    def say(self, data: bytes) -> None:
        """Send raw bytes to every client."""
        for client in self.clients:
            client.send(data)

    def members(self, group: bytes) -> list[Member]:
        return sorted(
            Member(self.node_id, client.pid) for client in self.clients if client.group == group
        )

    # -- serving -----------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        credentials = peer_credentials(writer.get_extra_info("socket"))
        pid = credentials.pid if self.pids is None else Pid(next(self.pids))
        client = Client(writer, pid)
        self.clients.append(client)
        try:
            await self._read(reader, client)
        except (WireError, ConnectionError):
            pass
        finally:
            if client in self.clients:
                self.clients.remove(client)
                self._depart(client, Reason.PROCDOWN)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, client: Client) -> None:
        stream = b""
        while chunk := await reader.read(RECEIVE_BYTES):
            stream += chunk
            frames, used = native.split_frames(memoryview(stream))
            for frame in frames:
                self._on_frame(client, native.decode_to_daemon(frame))
            stream = stream[used:]
            await self.reading.wait()
            if self.echo_limit is not None:
                client.writer.transport.set_write_buffer_limits(high=self.echo_limit)
                await client.writer.drain()

    def _on_frame(self, client: Client, frame: native.ToDaemon) -> None:
        if isinstance(frame, native.Send):
            self._order(client, frame.block)
            return
        self.frames.append(frame)
        match frame:
            case native.Hello():
                self._greet(client)
            case native.Join(name, rings):
                answer = self._join(client, name, rings)
                client.send(native.encode_reply(native.Kind.JOIN, answer))
                if answer == CsError.OK:
                    self._announce_join(client)
            case native.Leave():
                answer = self._try()
                client.send(native.encode_reply(native.Kind.LEAVE, answer))
                if answer == CsError.OK:
                    self._depart(client, Reason.LEAVE, to=[client])
            case native.Query(request, native.What.STATUS, _):
                status = json.dumps({"node_id": self.node_id, "clients": len(self.clients)})
                client.send(native.encode_answer(request, status.encode()))
            case native.Query(request, native.What.MEMBERS, name):
                client.send(native.encode_answer(request, native.view_body(self.members(name))))
            case native.Query(request):
                client.send(native.encode_answer(request, error=CsError.NOT_SUPPORTED))

    def _greet(self, client: Client) -> None:
        refusal = self.refuse_hello
        if self.busy_hellos:
            self.busy_hellos -= 1
            refusal = CsError.TRY_AGAIN
        if refusal:
            client.send(native.encode_reply(native.Kind.HELLO, refusal))
            client.writer.close()
            return
        client.send(native.encode_welcome(self.node_id, client.pid, self.ring, self.version))

    def _try(self) -> CsError:
        if self.busy:
            self.busy -= 1
            return CsError.TRY_AGAIN
        return CsError.OK

    def _join(self, client: Client, name: bytes, rings: bool) -> CsError:
        if Member(self.node_id, client.pid) in self.members(name):
            return CsError.EXIST
        answer = self._try()
        if answer == CsError.OK:
            client.group, client.rings = name, rings
        return answer

    def _announce_join(self, client: Client) -> None:
        assert client.group is not None
        joined = [Member(self.node_id, client.pid, Reason.JOIN)]
        self._notify(client.group, native.encode_view(self.members(client.group), joined, []))
        if client.rings:
            client.send(native.encode_ring(self.ring, [self.node_id]))

    def _depart(self, client: Client, reason: Reason, to: Iterable[Client] = ()) -> None:
        group, client.group = client.group, None
        if group is None:
            return
        left = [Member(self.node_id, client.pid, reason)]
        view = native.encode_view(self.members(group), [], left)
        self._notify(group, view)
        for other in to:
            other.send(view)

    def _order(self, client: Client, block: memoryview) -> None:
        if client.group is None:
            return
        payload = bytes(block)
        self.blocks.append(payload)
        header = native.block_header(self.node_id, client.pid, len(payload))
        self._notify(client.group, header, payload)

    def _notify(self, group: bytes, *pieces: bytes) -> None:
        for client in self.clients:
            if client.group == group:
                client.send(*pieces)

    @property
    def messages(self) -> list[bytes]:
        """Every message that was ordered."""
        return [message for block in self.blocks for message in decode_block(block)]


class ThreadedDaemon:
    """The fake daemon in a thread of its own, for clients that block."""

    def __init__(self, daemon: FakeDaemon, loop: asyncio.AbstractEventLoop) -> None:
        self.daemon = daemon
        self._loop = loop

    def run(self, call: Callable[[FakeDaemon], T]) -> T:
        """Call in the daemon's thread and wait."""

        async def do() -> T:
            return call(self.daemon)

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)

    def wait(self, call: Callable[[FakeDaemon], Awaitable[None]]) -> None:
        """Run a coroutine of the daemon in its thread and wait."""

        async def do() -> None:
            await call(self.daemon)

        asyncio.run_coroutine_threadsafe(do(), self._loop).result(10)


@contextmanager
def daemon_in_thread(directory: Path, *, distinct_pids: bool = False) -> Iterator[ThreadedDaemon]:
    """A fake daemon for blocking clients and for other processes."""
    ready = threading.Event()
    running: list[ThreadedDaemon] = []
    finished: list[asyncio.Event] = []

    async def serve() -> None:
        finished.append(asyncio.Event())
        async with FakeDaemon(directory, distinct_pids=distinct_pids) as daemon:
            running.append(ThreadedDaemon(daemon, asyncio.get_running_loop()))
            ready.set()
            await finished[0].wait()

    thread = threading.Thread(target=asyncio.run, args=[serve()], name="fake-daemon")
    thread.start()
    assert ready.wait(10)
    try:
        yield running[0]
    finally:
        running[0]._loop.call_soon_threadsafe(finished[0].set)
        thread.join(10)
