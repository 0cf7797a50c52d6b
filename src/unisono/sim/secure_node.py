"""A simulated node with the secure transport between its ring and the network.

Speaks:      packets over several links, hints of closed ports, keys that an operator changes; the
             facts of the secure layer for those who listen.
Counterpart: the executive with transport `ust`; transport/ust.py.
Keeps:       packets that came while the loop was busy are read together, by link and sender, as a
             socket gives them; effects are carried out one by one, in order.
Never:       decides anything: what to break and when comes from faults.
"""

import gc
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from unisono.base.group import Left, SendAll, SendTo, Silent
from unisono.base.ids import MS, NodeId
from unisono.config.settings import RingSettings
from unisono.crypto.sender_keys import CIPHERS
from unisono.secure.context import Context, Keyring
from unisono.secure.events import (
    Adopted,
    Arrived,
    Begin,
    Farewell,
    KeysChanged,
    KeyTold,
    PathLimit,
    Paused,
    PeerGone,
    Transmit,
    Unreachable,
    Way,
)
from unisono.secure.machine import Secure
from unisono.sim import trace
from unisono.sim.armour import CLUSTER, Armour, Vault
from unisono.sim.fabric import Fabric
from unisono.sim.network import Inlet
from unisono.sim.node import INBOX_BYTES_MAX, READ_PER_WAKE_MAX, GroupMachine, SimulatedNode, World
from unisono.sim.notary import Notary

READ_NS: Final = 20_000
"""From the arrival of a packet to the moment when the loop reads what has come."""
HINT_PAUSE_NS: Final = 20 * MS
"""A kernel does not answer every packet for a closed port."""
_SHARED: Final = (AESGCM, ChaCha20Poly1305)
"""Ciphers have no state of their own; they cannot be copied, and need not be."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a packet seems to come from; `node` is None for an address that is nobody's."""

    node: NodeId | None
    link: int
    address: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Numbers of authkeys: with which to greet, and with which to be greeted besides (0: none)."""

    active: int = 1
    next: int = 0
    previous: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of them."""
        return tuple(each for each in (self.active, self.next, self.previous) if each)


class SecureNode(SimulatedNode):
    """One machine whose daemon speaks over the secure transport."""

    def __init__(
        self,
        node: NodeId,
        world: World,
        settings: RingSettings,
        make_group: Callable[[NodeId], GroupMachine],
        *,
        fabric: Fabric,
        armour: Armour,
        vault: Vault,
        seed: str,
        lives_before: int = 0,
    ) -> None:
        super().__init__(node, world, settings, make_group, lives_before=lives_before)
        self.fabric = fabric
        self.armour = armour
        self.vault = vault
        self.secure: Secure | None = None
        self.keys = Keys()
        """What the operator has put there; a running daemon may have been told."""
        self.frames_sent = 0
        """Frames that the ring gave away, one for each target."""
        self.hint: Callable[[NodeId, NodeId, int], None] = _say_nothing
        """Tell a sender that this node's port on a link is closed."""
        self._seed = seed
        self._context: Context | None = None
        self._notary: Notary | None = None
        self._image: tuple[Secure, Context] | None = None
        """What a snapshot of the machine kept."""
        self._is_reading = False
        self._read_ns = READ_NS
        self._hinted: dict[tuple[NodeId, int], int] = {}
        self._paused_at = 0
        self._is_sending_all = False
        self._is_ring_touched = False
        self._accept: Inlet = self._hand_on
        self._carriers |= {
            Transmit: self._transmit,
            Arrived: self._arrived,
            PeerGone: self._peer_gone,
            Adopted: self._nothing,
            KeyTold: self._nothing,
        }
        ears = world.trace.ears
        self._trustees = ears(trace.Entrusted)
        self._accepters = ears(trace.Accepted)
        self._packeteers = ears(trace.PacketSent)
        fabric.attach(node, self.arrive_over)

    # -- what happens to the machine --------------------------------------------------------------

    def start(self, *, keep_store: bool = True, stores_back: int = 0) -> None:
        """Start the daemon, with the keys that the operator has put there."""
        who = trace.Process(self.node, self.who.life + 1)
        self._make_secure(who)
        self._is_reading = False
        self._image = None
        super().start(keep_store=keep_store, stores_back=stores_back)
        for link in range(self.armour.links):
            self.ask(PathLimit(link, self.armour.interface_bytes))
        self.ask(Begin())

    def _make_secure(self, who: trace.Process) -> None:
        book, clock = self.world.trace, self.world.scheduler
        random = Random(f"{self._seed}/entropy/{who.node}/{who.life}")
        notary = self._notary = Notary(
            who, book, lambda: clock.now, random, CIPHERS[self.armour.cipher]
        )
        vault = self.vault
        self._context = Context(
            self.node,
            CLUSTER,
            self._keyring(),
            notary.cipher,
            notary.entropy,
            random.randbytes(16),
            static_keys=vault.static_keys(self.node) if self.armour.has_node_keys else {},
        )
        listed = {node: vault.places[node] for node in (*self.known, self.node)}
        plan = self.armour.plan(self.node, listed)
        self.secure = Secure(plan, self._context, self._clock.now)
        self._tell_keys(who)

    def _keyring(self) -> Keyring:
        keys, find = self.keys, self.vault.keys
        return Keyring(
            find(keys.active),
            find(keys.next) if keys.next else None,
            find(keys.previous) if keys.previous else None,
        )

    def _tell_keys(self, who: trace.Process) -> None:
        book, numbers = self.world.trace, self.keys.numbers
        if book.ears(trace.Secret):
            for what, key in self.vault.secrets(numbers):
                book.tell(trace.Secret(who, what, key))
        kids = frozenset(self.vault.keys(number).kid for number in numbers)
        book.tell(trace.KeysHeld(self._now, who, kids))

    def crash(self) -> None:
        """The daemon is gone, and with it every session."""
        self.secure = None
        super().crash()

    def set_keys(self, keys: Keys, *, live: bool) -> None:
        """The operator changes the keys: for the next start, and for a daemon that is told."""
        self.keys = keys
        context = self._context
        if live and self.secure is not None and context is not None and not self.paused:
            ring = self._keyring()
            held = context.ring
            held.active, held.next, held.previous = ring.active, ring.next, ring.previous
            self._tell_keys(self.who)
            self.ask(KeysChanged())

    def ask(self, request: Any) -> None:
        """Submit a request to the secure machine, and carry out what comes of it."""
        if self.secure is not None and not self.paused:
            self.secure.submit(request, self._clock.now)
            self._carry_secure()
            if not self._carrying:
                self._carry()

    def unreachable(self, node: NodeId, link: int) -> None:
        """The kernel was told that nobody listens at that node's port."""
        self.ask(Unreachable(node, link))

    def limit_path(self, link: int, size: int) -> None:
        """The interface of the link takes UDP payloads of this size at most from now on."""
        self.ask(PathLimit(link, size))

    @property
    def more_parts(self) -> dict[str, object]:
        """The machine below the ring."""
        return {"secure transport": self.secure}

    # -- pauses and snapshots ---------------------------------------------------------------------

    def pause(self, *, clock_too: bool = False) -> None:
        """Stop the process; with `clock_too` it will not notice."""
        if not self.paused:
            self._paused_at = self._clock.now
        super().pause(clock_too=clock_too)

    def resume(self) -> None:
        """Let the process go on; one that sees that it stood still says so before it reads."""
        if self.paused and self.secure is not None:
            self._clock.run()
            if self._clock.now - self._paused_at > self.settings.token_timeout_ns // 2:
                self.secure.submit(Paused(), self._clock.now)
        super().resume()

    def snapshot(self) -> None:
        """Keep what the secure machine knows now."""
        if self.secure is not None:
            self._image = self._copy((self.secure, self._context))

    def roll_back(self, *, noticed: bool) -> None:
        """The secure machine knows again what it knew at the snapshot; entropy goes on."""
        if self._image is None or self.secure is None or self.paused:
            return
        self.secure, self._context = self._copy(self._image)
        if self._notary is not None:
            self._notary.forget()
        self.world.trace.tell(trace.RolledBack(self._now, self.who, noticed))
        if noticed:
            self.ask(Paused())
        self._clock_changed()

    def _copy(self, image: Any) -> Any:
        """A copy of everything but ciphers and the notary."""
        memo: dict[int, Any] = {}
        level: list[object] = [image]
        seen: set[int] = set()
        while level:
            fresh = [each for each in level if id(each) not in seen and not isinstance(each, type)]
            seen.update(map(id, fresh))
            memo.update((id(each), each) for each in fresh if isinstance(each, _SHARED))
            level = gc.get_referents(*(each for each in fresh if not _leads_out(each)))
        return deepcopy(image, memo)

    # -- what comes in ----------------------------------------------------------------------------

    def arrive_over(self, packet: bytes, source: NodeId, link: int) -> None:
        """One packet from the network."""
        self.arrive_from(packet, Origin(source, link, self.vault.address(source, link)))

    def arrive_from(self, packet: bytes, origin: Origin) -> None:
        """One packet from wherever it seems to come."""
        if self.totem is None:
            self._refuse(origin)
            return
        if self._inbox_bytes + len(packet) > INBOX_BYTES_MAX:
            return
        self._inbox.append((packet, origin))
        self._inbox_bytes += len(packet)
        if self.paused:
            return
        if self._cost_ns:
            self._work_later()
        elif not self._is_reading:
            self._is_reading = True
            self.world.scheduler.after(self._read_ns, self._read_all, self.who.life)

    def _refuse(self, origin: Origin) -> None:
        """The host is there, the daemon is not."""
        node, now = origin.node, self._now
        if node is None or node == self.node:
            return
        last = self._hinted.get((node, origin.link), -HINT_PAUSE_NS)
        if now - last >= HINT_PAUSE_NS:
            self._hinted[node, origin.link] = now
            self.hint(node, self.node, origin.link)

    def _read_all(self, life: int) -> None:
        if life != self.who.life or self.totem is None:
            return
        self._is_reading = False
        if not self.paused and not self._cost_ns:
            self._catch_up()

    def _read(self, datagram: bytes, source: Any) -> None:
        """One read of a socket: this packet, and those behind it from the same address."""
        secure, notary, inbox = self.secure, self._notary, self._inbox
        if secure is None or notary is None:
            return
        batch = [datagram]
        while inbox and len(batch) < READ_PER_WAKE_MAX and inbox[0][1] == source:
            batch.append(self._take()[0])
        notary.opened.clear()
        self._is_ring_touched = False
        secure.receive(batch, source.address, source.node, source.link, self._clock.now)
        self._carry_secure()
        if self._is_ring_touched:
            self._carry()

    def _catch_up(self) -> None:
        while True:
            for _ in range(min(READ_PER_WAKE_MAX, len(self._inbox))):
                if self._inbox:
                    self._read(*self._take())
            self._expire_due()
            if not self._inbox or self.paused:
                return

    def wiretap(self, wrap: Callable[[Inlet], Inlet]) -> None:
        """Put something before the door through which the ring's datagrams come."""
        self._accept = wrap(self._accept)

    # -- the wiring -------------------------------------------------------------------------------

    def _carry_secure(self) -> None:
        """The secure machine's effects, in order, at once; what the ring makes of them waits."""
        while (secure := self.secure) is not None:
            effects = secure.drain()
            if not effects:
                return
            for effect in effects:
                if self.secure is not secure:
                    return
                self._carry_one(effect)

    def _due(self) -> int | None:
        due = super()._due()
        secure = self.secure.deadline() if self.secure is not None else None
        return secure if due is None or (secure is not None and secure < due) else due

    def _expire_due(self) -> None:
        secure = self.secure
        if secure is not None:
            now = self._clock.now
            due = secure.deadline()
            if due is not None and due <= now:
                secure.expire(now)
                self._carry_secure()
        super()._expire_due()

    # -- one carrier per effect -------------------------------------------------------------------

    def _send_to(self, effect: SendTo) -> None:
        self._tap.passed(effect.datagram)
        self.frames_sent += 1
        self._entrust(effect.target, [effect.datagram])
        self._submit(effect)

    def _send_all(self, effect: SendAll) -> None:
        self._tap.sent(effect.datagrams)
        self.frames_sent += len(effect.datagrams) * (len(self.world.members) - 1)
        self._entrust(NodeId(0), effect.datagrams)
        self._is_sending_all = True
        self._submit(effect)
        self._is_sending_all = False

    def _submit(self, effect: SendTo | SendAll) -> None:
        if self.secure is not None:
            self.secure.submit(effect, self._clock.now)
            self._carry_secure()

    def _entrust(self, target: NodeId, frames: Sequence[bytes]) -> None:
        for listener in self._trustees:
            for frame in frames:
                listener(trace.Entrusted(self._now, self.who, target, frame))

    def _transmit(self, effect: Transmit) -> None:
        copies = [(way, packet) for way in effect.ways for packet in effect.packets]
        if self._is_sending_all and self.crash_in_send is not None:
            skips, choice = self.crash_in_send
            if not skips:
                self._put_some(copies, len(effect.packets), choice)
                return
            self.crash_in_send = (skips - 1, choice)
        for way, packet in copies:
            self._put(way, packet)

    def _put_some(self, copies: list[tuple[Way, bytes]], count: int, choice: int) -> None:
        """The first few: way by way, or packet by packet; then the daemon dies."""
        if choice & 1:
            copies = [copy for first in range(count) for copy in copies[first::count]]
        for way, packet in copies[: (choice >> 1) % (len(copies) or 1)]:
            self._put(way, packet)
        self.crash()

    def _put(self, way: Way, packet: bytes) -> None:
        target, link = way
        for listener in self._packeteers:
            listener(trace.PacketSent(self._now, self.who, target, link, packet))
        self.fabric.send(self.node, target, link, packet)

    def _arrived(self, effect: Arrived) -> None:
        for frame in effect.frames:
            if self.totem is None:
                return
            self._accept(bytes(frame), effect.node)

    def _hand_on(self, datagram: bytes, source: NodeId) -> None:
        """A frame that the secure transport vouches for goes to the ring."""
        totem, notary = self.totem, self._notary
        assert totem is not None
        assert notary is not None
        if self._accepters:
            seal = notary.seal_of(datagram)
            for listener in self._accepters:
                listener(trace.Accepted(self._now, self.who, source, datagram, seal))
        self._tap.read(datagram)
        self._is_ring_touched = True
        totem.receive(datagram, source, self._clock.now)

    def _peer_gone(self, effect: PeerGone) -> None:
        self._is_ring_touched = True
        if self.totem is not None:
            self.totem.submit(Silent(effect.node), self._clock.now)

    def _nothing(self, effect: Adopted | KeyTold) -> None:
        """For the operator's tools."""

    def _leave_done(self, effect: Left) -> None:
        if self.secure is not None:
            self.secure.submit(Farewell(), self._clock.now)
            self._carry_secure()
        super()._leave_done(effect)


def _say_nothing(source: NodeId, node: NodeId, link: int) -> None:
    """For a host that is down with its daemon."""


def _leads_out(each: object) -> bool:
    return isinstance(each, Notary | partial) or callable(each)
