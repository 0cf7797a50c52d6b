"""ust: the sockets, the clock and the timer of the secure transport's machine.

Speaks:      the machine's five verbs; UDP, one socket per link of this node.
Counterpart: libknet's handle and its threads.
Keeps:       after each call the machine is drained until it has nothing more to say; what it says
             to the ring while the ring is speaking waits for the loop's next turn.
Never:       looks into a packet (secure).
"""

import asyncio
import errno
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeAlias

from unisono.base.errors import ConfigError
from unisono.base.group import Buffer, Marked, SendAll, SendTo
from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.base.limits import ROUTES_REMEMBERED_MAX, TURN_ROUNDS_MAX
from unisono.base.marks import Mark as MarkId
from unisono.config.settings import LinkSettings, NodeSettings, Settings
from unisono.linux.sockets import SocketAddress
from unisono.secure.events import (
    Adopted,
    Arrived,
    Begin,
    Effect,
    Farewell,
    KeyTold,
    PathLimit,
    Paused,
    PeerGone,
    Replan,
    Request,
    Transmit,
    Unreachable,
    Way,
)
from unisono.secure.plan import plan_of
from unisono.transport.link import Link, Read
from unisono.transport.port import Mark, Receive, TransportCounters
from unisono.transport.sender import Sender

LOOK_SECONDS: Final = 10.0
"""How often the devices are asked for their MTU, and links are tried that could not be opened."""
_NEVER: Final = 1 << 63
Told: TypeAlias = Callable[[Adopted | KeyTold], None]
"""Takes what concerns keys."""
Route: TypeAlias = tuple[Sender, list[SocketAddress]]


class Machine(Protocol):
    """What is driven here; `secure.machine.Secure` is one."""

    def submit(self, request: Request, now: Nanos) -> object:
        """Take a request."""

    def receive(
        self, batch: Sequence[Buffer], source: str, node: NodeId | None, link: int, now: Nanos
    ) -> None:
        """Take the packets of one read, all from one source."""

    def expire(self, now: Nanos) -> None:
        """Do what is due."""

    def deadline(self) -> Nanos | None:
        """When something will be due."""

    def drain(self) -> list[Effect]:
        """What is to be done."""

    def status(self, now: Nanos) -> dict[str, object]:
        """Plain values for people."""


class UstTransport:
    """The Transport for `transport: ust`."""

    __slots__ = (
        "_armed_ns", "_aside", "_carry", "_clock", "_closed", "_gone", "_links", "_look_timer",
        "_loop", "_machine", "_mark", "_me", "_nodes", "_on_failure", "_pause_ns", "_receive",
        "_routes", "_timer", "_told", "_unopened", "counters",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        receive: Receive,
        *,
        mark: Mark,
        loop: asyncio.AbstractEventLoop,
        machine: Machine,
        gone: Callable[[NodeId], None],
        told: Told,
        on_failure: Callable[[Exception], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Bind, read and greet; ConfigError when no link can be opened.

        `gone` hears of daemons that are known to have ended; `on_failure` of what the machine
        could not foresee, after which this transport is closed.
        """
        self.counters = TransportCounters()
        self._receive = receive
        self._mark = mark
        self._loop = loop
        self._machine = machine
        self._gone = gone
        self._told = told
        self._on_failure = on_failure
        self._clock = clock
        self._nodes = {node.node_id: node for node in settings.nodes}
        self._me = settings.node_id
        self._pause_ns = settings.ring.token_timeout_ns // 2
        self._closed = False
        self._timer: asyncio.Handle | None = None
        self._armed_ns = _NEVER
        self._look_timer: asyncio.TimerHandle | None = None
        self._aside: list[Arrived | PeerGone | Adopted | KeyTold] = []
        self._routes: dict[tuple[Way, ...], list[Route]] = {}
        self._carry: dict[type, Callable[[Any], None]] = {
            Transmit: self._on_transmit,
            Arrived: self._on_arrived,
            PeerGone: self._on_peer_gone,
            Adopted: self._on_adopted,
            KeyTold: self._told,
            Marked: self._mark,
        }
        self._links: dict[int, Link] = {}
        assert settings.transport.secure is not None
        own = self._nodes[self._me]
        self._unopened = [
            how for how in settings.transport.secure.links if _address(own, how.number)
        ]
        try:
            self._open_links()
            self._send(Begin())
        except BaseException:
            self.close()
            raise
        self._look_timer = loop.call_later(LOOK_SECONDS, self._look)

    # -- the port ----------------------------------------------------------------------------------

    def send_to(self, node: NodeId, datagram: bytes) -> None:
        """Send to one node; see Transport."""
        if node not in self._nodes:
            self.counters.send_errors += 1
            self._mark(Marked(MarkId.TARGET_UNKNOWN, node))
            return
        self._send(SendTo(node, datagram))

    def send_all(self, datagrams: Sequence[bytes]) -> None:
        """Send to every other node; see Transport."""
        self._send(SendAll(datagrams if isinstance(datagrams, list) else list(datagrams)))

    def discard_unread(self) -> int:
        """Drop what waits in the sockets; see Transport."""
        return sum(link.discard() for link in self._links.values())

    def farewell(self) -> None:
        """Tell the peers that this daemon ends; see Transport."""
        self._send(Farewell())

    def status(self) -> dict[str, object]:
        """What the machine says of itself; to each link of a peer its MTU is added (bytes)."""
        status = self._machine.status(Nanos(self._clock()))
        peers: Any = status.get("peers", ())
        for peer in peers:
            for entry in peer["links"]:
                link = self._links.get(entry["link"])
                entry["mtu"] = link.mtu_of(entry["room"]) if link is not None else 0
        rooms = {str(number): link.room for number, link in self._links.items()}
        return {**status, "device_bytes": rooms}

    def readdress(self, node: NodeId, link: int, address: str) -> None:
        """A node other than this one has another address on that link; see Transport."""
        found = self._links.get(link)
        if found is not None and node != self._me and node in self._nodes:
            found.readdress(node, address)
            self._routes.clear()

    def reconfigure(self, settings: Settings) -> None:
        """Other nodes, links' priorities and times; see Transport."""
        before, self._nodes = self._nodes, {node.node_id: node for node in settings.nodes}
        self._pause_ns = settings.ring.token_timeout_ns // 2
        for number, link in self._links.items():
            for node_id, there in self._nodes.items():
                known = before.get(node_id)
                is_same = known is not None and _address(known, number) == _address(there, number)
                if node_id != self._me and not is_same:
                    link.readdress(node_id, _address(there, number))
        self._routes.clear()
        self._send(Replan(plan_of(settings)))  # a goodbye goes to where the node was
        for link in self._links.values():
            for node in before.keys() - self._nodes.keys():
                link.forget(node)
        self._routes.clear()

    def submit(self, request: Request) -> None:
        """Give the machine a request of the executive (`Tell`, `KeysChanged`)."""
        self._send(request)

    def close(self) -> None:
        """Close every socket; see Transport."""
        self._closed = True
        for timer in (self._timer, self._look_timer):
            if timer is not None:
                timer.cancel()
        for link in self._links.values():
            link.close()
        self._aside.clear()

    # -- the links ---------------------------------------------------------------------------------

    def _open_links(self) -> None:
        """Open those whose addresses are there; ConfigError when there is none, or it is in use."""
        refused: ConfigError | None = None
        for how in list(self._unopened):
            try:
                link = self._links[how.number] = self._open(how)
            except ConfigError as error:
                refused = refused or error
                cause = error.__cause__
                if not isinstance(cause, OSError) or cause.errno != errno.EADDRNOTAVAIL:
                    raise
                self._mark(Marked(MarkId.LINK_NOT_OPENED, how.number, text=str(error)))
                continue
            self._unopened.remove(how)
            self._routes.clear()
            self._machine.submit(PathLimit(how.number, link.room), Nanos(self._clock()))
        if refused is not None and not self._links:
            raise refused

    def _open(self, how: LinkSettings) -> Link:
        return Link(
            how.number,
            _address(self._nodes[self._me], how.number),
            how.port,
            {
                number: _address(node, how.number)
                for number, node in self._nodes.items()
                if number != self._me
            },
            take=self._received,
            hint=self._hinted,
            limit=self._limited,
            counters=self.counters,
            mark=self._mark,
            loop=self._loop,
        )

    def _look(self) -> None:
        self._look_timer = self._loop.call_later(LOOK_SECONDS, self._look)
        for link in self._links.values():
            link.look()
        if self._unopened:
            try:
                self._open_links()
            except ConfigError as error:
                self._mark(
                    Marked(MarkId.LINK_NOT_OPENED, self._unopened[0].number, text=str(error))
                )
            self._attempt(self._drain)

    # -- what happens ------------------------------------------------------------------------------

    def _received(self, reads: list[Read], link: int) -> None:
        """What one wake-up brought."""
        if self._closed:
            return
        try:
            now = Nanos(self._clock())
            if now - self._armed_ns > self._pause_ns:
                self._on_pause(now)
            receive = self._machine.receive
            for packets, source, node in reads:
                receive(packets, source, node, link, now)
            self._drain(now)
        except Exception as error:  # noqa: BLE001  nothing may go on half done
            self._fail(error)

    def _hinted(self, node: NodeId, link: int) -> None:
        self._submit_safely(Unreachable(node, link))

    def _limited(self, link: int, room: int) -> None:
        self._submit_safely(PathLimit(link, room))

    def _submit_safely(self, request: Request) -> None:
        """From the loop: nobody above could answer for an error."""
        self._attempt(lambda now: self._submit(request, now))

    def _attempt(self, what: Callable[[Nanos], None]) -> None:
        if self._closed:
            return
        try:
            what(Nanos(self._clock()))
        except Exception as error:  # noqa: BLE001  as above
            self._fail(error)

    def _submit(self, request: Request, now: Nanos) -> None:
        self._machine.submit(request, now)
        self._drain(now)

    def _send(self, request: Request) -> None:
        """Perhaps in the middle of the ring's turn: it is not spoken to before that has ended."""
        if self._closed:
            return
        now = Nanos(self._clock())
        self._machine.submit(request, now)
        for _ in range(TURN_ROUNDS_MAX):
            effects = self._machine.drain()
            if not effects:
                break
            for effect in effects:
                if isinstance(effect, Transmit):
                    self._on_transmit(effect)
                elif isinstance(effect, Marked):
                    self._mark(effect)
                else:
                    self._set_aside(effect)
        self._arm(now)

    def _set_aside(self, effect: Arrived | PeerGone | Adopted | KeyTold) -> None:
        if not self._aside:
            self._loop.call_soon(self._attempt, self._drain)
        self._aside.append(effect)

    def _fail(self, error: Exception) -> None:
        self.close()
        self._on_failure(error)

    # -- effects -----------------------------------------------------------------------------------

    def _drain(self, now: Nanos) -> None:
        """Carry out what the machine wants until it wants nothing more, then set the timer."""
        drain, carry = self._machine.drain, self._carry
        if self._aside:
            waiting, self._aside = self._aside, []
            for late in waiting:
                carry[type(late)](late)
        for _ in range(TURN_ROUNDS_MAX):
            effects = drain()
            if not effects:
                break
            for effect in effects:
                carry[type(effect)](effect)
        else:
            self._loop.call_soon(self._attempt, self._drain)
        if not self._closed:
            self._arm(now)

    def _on_transmit(self, effect: Transmit) -> None:
        routes = self._routes.get(effect.ways)
        if routes is None:
            routes = self._find_routes(effect.ways)
        for sender, addresses in routes:
            sender.send_each(effect.packets, addresses)

    def _find_routes(self, ways: tuple[Way, ...]) -> list[Route]:
        """Addresses by link; a way that leads nowhere is left out."""
        found: dict[int, list[SocketAddress]] = {}
        for node, number in ways:
            link = self._links.get(number)
            address = link.target(node) if link is not None else None
            if address is None:
                self.counters.send_errors += 1
            else:
                found.setdefault(number, []).append(address)
        if len(self._routes) >= ROUTES_REMEMBERED_MAX:
            self._routes.clear()
        routes = [(self._links[number].sender, addresses) for number, addresses in found.items()]
        self._routes[ways] = routes
        return routes

    def _on_arrived(self, effect: Arrived) -> None:
        self._receive(effect.frames, effect.node)

    def _on_peer_gone(self, effect: PeerGone) -> None:
        self._watch(effect.node, is_present=False)
        self._gone(effect.node)

    def _on_adopted(self, effect: Adopted) -> None:
        self._watch(effect.node, is_present=True)
        self._told(effect)

    def _watch(self, node: NodeId, *, is_present: bool) -> None:
        """Links that are opened later begin with the next session."""
        for link in self._links.values():
            link.watch(node, is_present=is_present)

    # -- time --------------------------------------------------------------------------------------

    def _arm(self, now: Nanos) -> None:
        """One timer, never later than the next deadline; one that comes too early costs a look."""
        due = self._machine.deadline()
        if due is None:
            return
        if self._timer is not None:
            if self._armed_ns <= due:
                return
            self._timer.cancel()
        self._armed_ns = max(due, now)
        if due <= now:
            self._timer = self._loop.call_soon(self._on_timer)
        else:
            self._timer = self._loop.call_at(due / SECOND, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._attempt(self._expire)

    def _expire(self, now: Nanos) -> None:
        if now - self._armed_ns > self._pause_ns:
            self._on_pause(now)
        self._armed_ns = _NEVER
        self._machine.expire(now)
        self._drain(now)

    def _on_pause(self, now: Nanos) -> None:
        """The timer is that late: this process stood still."""
        self._armed_ns = now
        self._machine.submit(Paused(), now)


def _address(node: NodeSettings, link: int) -> str:
    """The node's numeric address on a link, "" where it has none."""
    return node.addresses[link] if link < len(node.addresses) else ""
