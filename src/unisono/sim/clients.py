"""Clients: simulated processes in closed groups, through libcpg's door and through ours.

Speaks:      CPG IPC messages (wire.ipc.cpg) and native frames (wire.native), as real clients do.
Counterpart: corosync lib/cpg.c; our own client library.
Keeps:       one group a client; a client sends only while it is a member, and dies with its daemon.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from unisono.base.clients import (
    ClientConnected,
    ClientGone,
    ClientRequest,
    Credentials,
    Disconnect,
    Notify,
    Reply,
    Service,
)
from unisono.base.errors import CsError, WireError
from unisono.base.ids import ClientId, NodeId, Pid
from unisono.config.settings import NodeSettings, QuorumSettings, Settings, TransportSettings
from unisono.sim import trace
from unisono.sim.checkers import Violation
from unisono.sim.messages import Mint, key_of
from unisono.sim.node import SimulatedNode, Waiting
from unisono.sim.workload import ClientAction
from unisono.wire import native
from unisono.wire.block import decode_block, encode_block
from unisono.wire.ipc import cpg
from unisono.wire.ipc.qb import decode_status, message_id

_FIRST_PID: Final = 1_000
UNREAD_BYTES_SLOW: Final = 32 * 1024
"""Unread bytes of one client above which the daemon slows the ring down: far below what it allows
(CLIENT_OUTPUT_BYTES_SLOW), because runs are short."""


def engine_settings(
    node: NodeId, nodes: Sequence[NodeId], *, votequorum: bool, config_version: int = 0
) -> Settings:
    """The settings of one daemon, equal at all nodes but for its own id."""
    return Settings(
        node_id=node,
        nodes=tuple(NodeSettings(each, f"node{each}", (f"10.0.0.{each}",)) for each in nodes),
        transport=TransportSettings("udpu", ""),
        quorum=QuorumSettings(votequorum=votequorum, expected_votes=len(nodes)),
        config_version=config_version,
    )


class SimulatedClient:
    """One client process; `member` is its name in its group."""

    def __init__(
        self,
        desk: "ClientDesk",
        number: ClientId,
        member: trace.Member,
        group: bytes,
        is_native: bool,
    ) -> None:
        self.number = number
        self.member = member
        self.group = group
        self.is_native = is_native
        self.joined = False
        self.leaving = False
        self.dozing = False
        self.unread_bytes = 0
        self._desk = desk
        self._pieces: dict[trace.Member, list[bytes]] = {}
        self._unsent: deque[tuple[list[bytes], bool]] = deque()

    def open(self) -> None:
        """Connect and join."""
        credentials = Credentials(Pid(self.member.pid), 0, 0)
        service = Service.NATIVE if self.is_native else Service.CPG
        self._desk.ask(ClientConnected(self.number, service, credentials))
        if self.is_native:
            self._request(native.encode_hello())
            self._request(native.encode_join(self.group))
        else:
            self._request(cpg.encode_join(self.group, self.member.pid))

    def send(self, payloads: list[bytes], *, safe: bool) -> None:
        """Send to the group: one block natively, one request each through libcpg."""
        if self.leaving:
            return
        if not self.joined or self.dozing:
            self._unsent.append((payloads, safe))
        elif self.is_native:
            frame = native.encode_send(encode_block(payloads), safe=safe)
            self._request(frame, payloads, safe)
        else:
            guarantee = cpg.GUARANTEE_SAFE if safe else cpg.GUARANTEE_AGREED
            for payload in payloads:
                self._request(cpg.encode_mcast(payload, guarantee), [payload], safe)

    def doze(self, nanoseconds: int) -> None:
        """Do not read for so long; what the daemon writes meanwhile stays in the socket."""
        if not self.dozing:
            self.dozing = True
            self._desk.call_later(nanoseconds, self.wake)

    def wake(self) -> None:
        """Read what has come, and go on; the dead do not wake."""
        if not self.dozing or self.number not in self._desk.clients:
            return
        self.dozing = False
        self.unread_bytes = 0
        self._desk.look_at_readers()
        self._send_unsent()

    def leave(self) -> None:
        """Leave the group, then go."""
        if self.joined and not self.leaving:
            self.leaving = True
            if self.is_native:
                self._request(native.encode_leave())
            else:
                self._request(cpg.encode_leave(self.group, self.member.pid))

    def _request(self, message: bytes, payloads: Sequence[bytes] = (), safe: bool = False) -> None:
        def taken() -> None:
            for payload in payloads:
                self._desk.sent(self, key_of(self.group, payload), safe)

        self._desk.ask(ClientRequest(self.number, memoryview(message)), taken)

    # -- from the daemon --------------------------------------------------------------------------

    def reply(self, message: memoryview) -> None:
        """The answer to a JOIN or a LEAVE must be OK; WELCOME needs nothing."""
        if self.is_native:
            frame = native.decode_to_client(message)
            error = frame.error if isinstance(frame, native.Reply) else CsError.OK
        else:
            error = decode_status(message)
        if error != CsError.OK:
            raise Violation("client replies", self._desk.now, f"client {self.member}: {error}")

    def notify(self, message: memoryview) -> None:
        """A delivery or a change of the group."""
        if self.is_native:
            self._notify_native(message)
        else:
            self._notify_libcpg(message)

    def _notify_native(self, message: memoryview) -> None:
        match native.decode_to_client(message):
            case native.Block(node_id, pid, block):
                with contextlib.suppress(WireError):  # as the library does, at every member alike
                    for payload in decode_block(block):
                        self._delivered(trace.Member(node_id, pid), payload)
            case native.View(members, joined, left):
                self._viewed(members, joined, left)
            case _:
                pass

    def _notify_libcpg(self, message: memoryview) -> None:
        match message_id(message):
            case cpg.Response.DELIVER:
                event = cpg.decode_deliver(message)
                self._delivered(trace.Member(event.node_id, event.pid), event.payload)
            case cpg.Response.PARTIAL_DELIVER:
                self._assemble(cpg.decode_partial_deliver(message))
            case cpg.Response.CONFCHG:
                change = cpg.decode_confchg(message)
                self._viewed(change.members, change.joined, change.left)
            case _:
                pass

    def _assemble(self, part: cpg.PartialDeliver) -> None:
        sender = trace.Member(part.node_id, part.pid)
        if part.fragment == cpg.Fragment.FIRST:
            self._pieces[sender] = []
        pieces = self._pieces.get(sender)
        if pieces is None:
            return
        pieces.append(bytes(part.payload))
        if part.fragment == cpg.Fragment.LAST:
            self._delivered(sender, b"".join(self._pieces.pop(sender)))

    def _delivered(self, sender: trace.Member, payload: bytes | memoryview) -> None:
        self._desk.delivered(self, sender, key_of(self.group, payload))

    def _viewed(
        self,
        members: Sequence[native.Member | cpg.Member],
        joined: Sequence[native.Member | cpg.Member],
        left: Sequence[native.Member | cpg.Member],
    ) -> None:
        now = tuple(trace.Member(*each[:2]) for each in members)
        self._desk.viewed(self, now, _with_reasons(joined), _with_reasons(left))
        if self.member in now and not self.joined:
            self.joined = True
            self._send_unsent()
        elif self.leaving and self.member not in now:
            self._desk.end(self, died=False)

    def _send_unsent(self) -> None:
        while self._unsent and self.joined and not self.dozing:
            payloads, safe = self._unsent.popleft()
            self.send(payloads, safe=safe)


def _with_reasons(
    members: Sequence[native.Member | cpg.Member],
) -> tuple[tuple[trace.Member, int], ...]:
    return tuple((trace.Member(*each[:2]), each[2]) for each in members)


class ClientDesk:
    """All client processes of one node."""

    def __init__(self, node: SimulatedNode) -> None:
        self._node = node
        self._numbers = count(1)
        self._pids = count(_FIRST_PID)
        self.clients: dict[ClientId, SimulatedClient] = {}
        self._is_slow = False
        node.desk = self

    @property
    def now(self) -> int:
        """Virtual time."""
        return self._node.world.scheduler.now

    # -- for the workload -------------------------------------------------------------------------

    def open(self, group: bytes, *, is_native: bool) -> SimulatedClient | None:
        """Start a client that joins `group`, if a daemon runs."""
        if not self._node.running:
            return None
        member = trace.Member(self._node.node, next(self._pids))
        client = SimulatedClient(self, ClientId(next(self._numbers)), member, group, is_native)
        self.clients[client.number] = client
        self._add(trace.ClientStarted(self.now, self._node.who, member, group, is_native))
        client.open()
        return client

    def pick(self, choice: int) -> SimulatedClient | None:
        """One of the clients, by any number."""
        clients = list(self.clients.values())
        return clients[choice % len(clients)] if clients else None

    def die(self, client: SimulatedClient) -> None:
        """SIGKILL for the client: what the daemon has not read is lost."""
        self._node.withdraw(client.number)
        self.end(client, died=True)

    def do(self, action: ClientAction, mint: Mint) -> None:
        """One step of a plan."""
        client = self.pick(action.choice)
        if action.verb == "open":
            self.open(action.group, is_native=action.is_native)
        elif client is None:
            return
        elif action.verb in ("send", "die_sending"):
            client.send([mint.make(size) for size in action.sizes], safe=action.safe)
            if action.verb == "die_sending":
                self.die(client)
        elif action.verb == "doze":
            client.doze(action.doze_ns)
        elif action.verb == "leave":
            client.leave()
        else:
            self.die(client)

    def wake_all(self) -> None:
        """Everybody reads again."""
        for client in list(self.clients.values()):
            if client.dozing:
                client.wake()

    # -- for the clients --------------------------------------------------------------------------

    def ask(
        self, request: ClientConnected | ClientRequest, taken: Callable[[], None] | None = None
    ) -> None:
        """Write a request for the daemon."""
        self._node.offer(Waiting(request, taken))

    def end(self, client: SimulatedClient, *, died: bool) -> None:
        """The process is gone; the daemon hears of it."""
        if self.clients.pop(client.number, None) is not None:
            self._add(
                trace.ClientEnded(self.now, self._node.who, client.member, client.group, died)
            )
            self._node.tell(ClientGone(client.number))
            self.look_at_readers()

    def sent(self, client: SimulatedClient, key: int, safe: bool) -> None:
        """The daemon read a message."""
        who = self._node.who
        self._add(trace.GroupSent(self.now, who, client.member, client.group, key, safe))

    def delivered(self, client: SimulatedClient, sender: trace.Member, key: int) -> None:
        """A client got a message."""
        who = self._node.who
        self._add(trace.GroupDelivered(self.now, who, client.member, client.group, sender, key))

    def viewed(
        self,
        client: SimulatedClient,
        members: tuple[trace.Member, ...],
        joined: tuple[tuple[trace.Member, int], ...],
        left: tuple[tuple[trace.Member, int], ...],
    ) -> None:
        """A client got a view."""
        who, member, group = self._node.who, client.member, client.group
        self._add(trace.GroupViewed(self.now, who, member, group, members, joined, left))

    def call_later(self, nanoseconds: int, call: Callable[[], None]) -> None:
        """Ask to be called."""
        self._node.world.scheduler.after(nanoseconds, call)

    def look_at_readers(self) -> None:
        """Tell the daemon whether one of its clients is far behind."""
        slow = any(each.unread_bytes > UNREAD_BYTES_SLOW for each in self.clients.values())
        if slow is not self._is_slow:
            self._is_slow = slow
            # Not at once: the daemon may be in the middle of writing to a client.
            self.call_later(0, lambda: self._node.pace(self._is_slow))

    # -- for the node -----------------------------------------------------------------------------

    def carry(self, effect: Reply | Notify | Disconnect) -> None:
        """An effect of the engine for a client; for one that is gone it is nothing."""
        client = self.clients.get(effect.client)
        if client is None:
            return
        if client.dozing and isinstance(effect, Notify):
            client.unread_bytes += sum(map(len, effect.pieces))
            self.look_at_readers()
        match effect:
            case Reply():
                client.reply(memoryview(effect.message))
            case Notify():
                client.notify(memoryview(b"".join(effect.pieces)))
            case Disconnect():
                raise Violation("client replies", self.now, f"disconnected: {effect.reason}")

    def daemon_gone(self) -> None:
        """The daemon died: its clients give up."""
        self._is_slow = False
        for client in list(self.clients.values()):
            self.end(client, died=True)

    def _add(self, record: trace.Record) -> None:
        self._node.world.trace.add(record)
