"""The daemon's end of every simulated socket of one node.

Speaks:      frames with the streams, requests and effects with the simulated daemon; trace records.
Counterpart: the executive's doors; corosync exec/ipc_glue.c.
Keeps:       what a client wrote before its end is read before its end; a daemon that dies takes
             every connection with it; one process is in a group once.
"""

from collections.abc import Callable
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
from unisono.base.errors import CsError
from unisono.base.ids import ClientId, Pid
from unisono.base.limits import CLIENT_OUTPUT_BYTES_MAX, CLIENT_OUTPUT_BYTES_SLOW
from unisono.sim import trace
from unisono.sim.messages import key_of
from unisono.sim.node import SimulatedNode, Waiting
from unisono.testing.labels import Labels, connection_pid, take, true_pid, true_view
from unisono.testing.stream import Direction, Stream
from unisono.wire import native
from unisono.wire.block import decode_block

_PACE_DELAY_NS: Final = 1_000
"""The daemon looks at its clients' backlogs at the end of its turn."""


class Guest:
    """One connection as the daemon sees it."""

    def __init__(self, desk: "Desk", number: ClientId, pid: Pid) -> None:
        self.number = number
        self.pid = pid
        self.member = trace.Member(desk.node.node, pid)
        self.group: bytes | None = None
        """The group that was asked for, until it is left."""
        self.has_hung_up = False
        self._desk = desk
        self._is_member = False
        self._asked_members: set[int] = set()
        """Questions for members: their answers name processes."""
        self.stream: Stream

    # -- from the program --------------------------------------------------------------------------

    def request(self, frame: bytes) -> None:
        """A frame has arrived; the daemon reads it when it reads clients."""
        desk, size = self._desk, len(frame)
        if not desk.knows(self):
            return
        content = native.decode_to_daemon(memoryview(frame))
        payloads: list[bytes] = []
        if isinstance(content, native.Send):
            frame, payloads = desk.labels.put(content)
        elif isinstance(content, native.Join):
            if desk.is_inside(self, content.name):
                self.stream.was_read(size)
                self.stream.send(native.encode_reply(native.Kind.JOIN, CsError.EXIST))
                return
            self.group = content.name
        elif isinstance(content, native.Query) and content.what == native.What.MEMBERS:
            self._asked_members.add(content.request)

        def taken() -> None:
            self.stream.was_read(size)
            if isinstance(content, native.Join):
                desk.add(trace.ClientStarted(*desk.moment, self.member, content.name, True))
            elif isinstance(content, native.Send) and self.group is not None:
                for payload in payloads:
                    key = key_of(self.group, payload)
                    desk.add(
                        trace.GroupSent(*desk.moment, self.member, self.group, key, content.safe)
                    )

        desk.node.offer(Waiting(ClientRequest(self.number, memoryview(frame)), taken))

    def hang_up(self) -> None:
        """The program's end is closed; the daemon reads what came before, then the end."""
        if self._desk.knows(self):
            self.has_hung_up = True
            gone = ClientGone(self.number)
            self._desk.node.offer(Waiting(gone, lambda: self._desk.forget(self)))

    # -- from the daemon ---------------------------------------------------------------------------

    def tell(self, frame: memoryview) -> None:
        """A frame for the program: note it for the checkers, take the labels off."""
        content = native.decode_to_client(frame)
        data = bytes(frame)
        if isinstance(content, native.Block):
            data = self._tell_block(content)
        elif isinstance(content, native.View):
            data = self._tell_view(content)
        elif isinstance(content, native.Welcome):
            pid = true_pid(content.pid)
            data = native.encode_welcome(content.node_id, pid, content.ring, content.version)
        elif isinstance(content, native.Answer) and content.request in self._asked_members:
            self._asked_members.remove(content.request)
            view = true_view(native.decode_view_body(content.body))
            body = native.view_body(view.members, view.joined, view.left)
            data = native.encode_answer(content.request, body, content.error)
        self.stream.send(data)

    def _tell_block(self, block: native.Block) -> bytes:
        assert self.group is not None
        payloads = decode_block(block.block)
        sender = trace.Member(block.node_id, block.pid)
        for payload in payloads:
            key = key_of(self.group, payload)
            self._desk.add(
                trace.GroupDelivered(*self._desk.moment, self.member, self.group, sender, key)
            )
        return take(block, payloads)

    def _tell_view(self, view: native.View) -> bytes:
        assert self.group is not None
        members = tuple(trace.Member(*each[:2]) for each in view.members)
        joined, left = _with_reasons(view.joined), _with_reasons(view.left)
        desk = self._desk
        desk.add(trace.GroupViewed(*desk.moment, self.member, self.group, members, joined, left))
        if self.member in members:
            self._is_member = True
        elif self._is_member:
            self.end(died=False)
        plain = true_view(view)
        return native.encode_view(plain.members, plain.joined, plain.left)

    def end(self, *, died: bool) -> None:
        """It is no member any more."""
        if self.group is not None:
            desk, group, self.group = self._desk, self.group, None
            desk.add(trace.ClientEnded(*desk.moment, self.member, group, died))


def _with_reasons(members: list[native.Member]) -> tuple[tuple[trace.Member, int], ...]:
    return tuple((trace.Member(node, pid), reason) for node, pid, reason in members)


class Desk:
    """All connections of one node."""

    def __init__(
        self, node: SimulatedNode, labels: Labels, draw_arrival_ns: Callable[[], int]
    ) -> None:
        self.node = node
        self.labels = labels
        self._draw_arrival_ns = draw_arrival_ns
        self._numbers = count(1)
        self._guests: dict[ClientId, Guest] = {}
        self._ordinals: dict[Pid, int] = {}
        self._is_slow = False
        self._looks = False
        node.desk = self

    # -- for processes -----------------------------------------------------------------------------

    def connect(self, pid: Pid) -> Stream:
        """A new connection of the process `pid`; there must be a daemon."""
        at = self.node.world.scheduler.at
        ordinal = self._ordinals[pid] = self._ordinals.get(pid, -1) + 1
        guest = Guest(self, ClientId(next(self._numbers)), connection_pid(pid, ordinal))
        there, back = (Direction(at, self._draw_arrival_ns) for _ in range(2))
        guest.stream = Stream(there, back, guest.request, guest.hang_up)
        self._guests[guest.number] = guest
        credentials = Credentials(guest.pid, 0, 0)
        waiting = Waiting(ClientConnected(guest.number, Service.NATIVE, credentials))
        there.pass_on(self._offer_if_known, guest, waiting)
        return guest.stream

    def _offer_if_known(self, guest: Guest, waiting: Waiting) -> None:
        if self.knows(guest):
            self.node.offer(waiting)

    # -- for connections ---------------------------------------------------------------------------

    @property
    def moment(self) -> tuple[int, trace.Process]:
        """Now, and the life of the daemon: how every record begins."""
        return self.node.world.scheduler.now, self.node.who

    def add(self, record: trace.Record) -> None:
        """One record for the checkers."""
        self.node.world.trace.add(record)

    def knows(self, guest: Guest) -> bool:
        """Whether the daemon that took this connection still has it."""
        return guest.number in self._guests

    def is_inside(self, guest: Guest, group: bytes) -> bool:
        """Whether another connection of the same process is in the group, or about to be."""
        pid = true_pid(guest.pid)
        return any(
            other is not guest
            and other.group == group
            and not other.has_hung_up
            and true_pid(other.pid) == pid
            for other in self._guests.values()
        )

    def forget(self, guest: Guest) -> None:
        """The connection is over."""
        self._guests.pop(guest.number, None)
        guest.end(died=True)

    # -- for the daemon ----------------------------------------------------------------------------

    def carry(self, effect: Reply | Notify | Disconnect) -> None:
        """An effect of the engine for a client; for one that is gone it is nothing."""
        guest = self._guests.get(effect.client)
        if guest is None:
            return
        match effect:
            case Reply():
                guest.tell(memoryview(effect.message))
            case Notify():
                guest.tell(memoryview(b"".join(effect.pieces)))
                if guest.stream.unwanted_bytes > CLIENT_OUTPUT_BYTES_MAX:
                    self._disconnect(guest)
                self._look_soon()
            case Disconnect():
                self._disconnect(guest)

    def _disconnect(self, guest: Guest) -> None:
        self.forget(guest)
        guest.stream.end()
        self.node.tell(ClientGone(guest.number))

    def daemon_gone(self) -> None:
        """The daemon died: so do its connections."""
        guests, self._guests = self._guests, {}
        self._is_slow = False
        for guest in guests.values():
            guest.end(died=True)
            guest.stream.end()

    def _look_soon(self) -> None:
        unread = sum(guest.stream.unwanted_bytes for guest in self._guests.values())
        if not self._looks and (self._is_slow or unread > CLIENT_OUTPUT_BYTES_SLOW):
            self._looks = True
            self.node.world.scheduler.after(_PACE_DELAY_NS, self._pace)

    def _pace(self) -> None:
        """Hold the ring back while programs leave much unread; let it go at half of that."""
        self._looks = False
        unread = sum(guest.stream.unwanted_bytes for guest in self._guests.values())
        is_slow = unread > CLIENT_OUTPUT_BYTES_SLOW // (2 if self._is_slow else 1)
        if is_slow is not self._is_slow:
            self._is_slow = is_slow
            self.node.pace(is_slow)
        if is_slow:
            self._looks = True
            self.node.world.scheduler.after(1000 * _PACE_DELAY_NS, self._pace)
