"""Peer: the sessions with one other node, from the first HELLO to the renewal two minutes later.

Speaks:      `on_hello`, `on_answer`, `on_cookie`, `on_pair`; packets for the peer in `packets`.
Counterpart: WireGuard, section 6 of its paper (timers); Noise for the handshake itself.
Keeps:       a session that works is replaced by a confirmed one only; a handshake that fails, is
             replayed or is never answered changes nothing but a counter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from unisono.base.errors import WireError
from unisono.base.ids import MS, SECOND, Nanos, NodeId
from unisono.crypto.cookies import COOKIE_LIFETIME_NS, first_mac, open_cookie, second_mac
from unisono.crypto.keys import ClusterKeys
from unisono.crypto.noise import Handshake
from unisono.crypto.sender_keys import OwnKey, PeerKeys
from unisono.secure.context import Context
from unisono.secure.session import SESSION_LINGER_NS, SESSION_RENEW_NS, Session
from unisono.wire.ust.handshake import (
    Answer,
    Cookie,
    Hello,
    KeyGrant,
    Payload,
    decode_payload,
    encode_answer,
    encode_hello,
    encode_payload,
)
from unisono.wire.ust.header import Header, PacketType
from unisono.wire.ust.records import Key, KeyAck, Record

HELLO_RETRY_NS_MIN: Final = 100 * MS
HELLO_RETRY_NS_MAX: Final = SECOND
OWN_HELLO_NS: Final = SECOND
"""For so long the lower node id stands by its own HELLO when both have sent one."""
SILENCE_NS: Final = 3 * SECOND
"""A peer that was not heard for so long is greeted anew."""
PENDING_MAX: Final = 4
"""Handshakes with one peer that wait for their confirmation."""
KEY_RETRY_NS: Final = 100 * MS
KEY_LINGER_NS: Final = 10 * SECOND
"""How long frames of an older sender key are read after the first of a newer one."""
KEY_LIFETIME_MS: Final = 3_600_000


@dataclass(slots=True)
class Greeting:
    """A HELLO on its way, and the handshake that waits for its answer."""

    handshake: Handshake
    keys: ClusterKeys
    index: int
    mac1: bytes
    begun: Nanos


class Peer:
    """One other node of the configuration."""

    def __init__(self, context: Context, node: NodeId, now: Nanos) -> None:
        self.node = node
        self.keys = PeerKeys(context.cipher, node, KEY_LINGER_NS)
        self.packets: list[bytes] = []
        """What is to be sent to the peer; the owner takes it."""
        self.current: Session | None = None
        self.acked_generation = 0
        """The newest of our sender keys that the peer has."""
        self.heard_at: Nanos | None = None
        self.boot = b""
        """Which life of the peer's daemon the current session is with."""
        self._context = context
        self._former: Session | None = None
        self._pending: dict[int, Session] = {}
        """Answered and not yet confirmed, by our number: a replayed HELLO fills one place only."""
        self._greeting: Greeting | None = None
        self._cookie: tuple[bytes, Nanos] | None = None
        self._own: OwnKey | None = None
        self._retry_ns = HELLO_RETRY_NS_MIN
        self._greet_at: Nanos | None = now
        self._renew_at: Nanos | None = None
        self._key_at: Nanos | None = None

    # -- the owner's wishes ------------------------------------------------------------------------

    def share(self, own: OwnKey, now: Nanos) -> None:
        """Tell this sender key to the peer, now and until it says that it has it."""
        self._own = own
        self._tell_key(now)

    def tell(self, records: Iterable[Record]) -> bytes | None:
        """A packet with these records, None while there is no session."""
        return None if self.current is None else self.current.seal(records)

    @property
    def deadline(self) -> Nanos | None:
        """When `expire` has something to do."""
        former = self._former.read_until if self._former is not None else None
        dues = (
            self._greet_at,
            self._silent_at,
            self._renew_at,
            self._key_at,
            former,
            self.keys.deadline,
        )
        return min((due for due in dues if due is not None), default=None)

    @property
    def _silent_at(self) -> Nanos | None:
        """When a peer with a session must be greeted anew if nothing is heard until then."""
        if self.heard_at is None or self._greet_at is not None:
            return None
        return Nanos(self.heard_at + SILENCE_NS)

    def expire(self, now: Nanos) -> None:
        """Do what is due."""
        silent_at = self._silent_at
        if silent_at is not None and silent_at <= now:
            self._greet_at = now
        if self._greet_at is not None and self._greet_at <= now:
            self._greet(now)
        if self._renew_at is not None and self._renew_at <= now:
            self._renew_at = None
            self._begin(now)
        if self._key_at is not None and self._key_at <= now:
            self._tell_key(now)
        former = self._former
        if former is not None and former.read_until is not None and former.read_until <= now:
            self._former = None
            self._forget(former)
        self.keys.expire(now)

    # -- handshakes --------------------------------------------------------------------------------

    def on_hello(self, hello: Hello, keys: ClusterKeys, own: OwnKey, now: Nanos) -> None:
        """A HELLO whose MACs were checked: answer, unless ours has precedence. WireError."""
        greeting = self._greeting
        if greeting is not None and self._context.me < self.node:
            if now - greeting.begun < OWN_HELLO_NS:
                return
        context = self._context
        handshake = self._handshake(keys, initiator=False)
        peer, grant = decode_payload(handshake.read(hello.noise))
        if grant is not None:
            raise WireError("HELLO with a key")
        index = context.new_index()
        payload = encode_payload(
            self._payload(index), KeyGrant(own.generation, own.secret, own.next_counter)
        )
        noise = handshake.write(context.entropy(32), payload)
        session = Session(context.me, index, peer, handshake.split(), now, confirmed=False)
        if len(self._pending) >= PENDING_MAX:
            self._forget(self._pending.pop(next(iter(self._pending))))
        self._pending[index] = session
        context.sessions[index] = self.node, session
        if greeting is not None:
            self._greeting = None
        header = self._header(PacketType.ANSWER, keys)
        self._post(encode_answer(header, self.node, peer.session, noise), keys, now)

    def on_answer(self, answer: Answer, now: Nanos) -> None:
        """An ANSWER whose first MAC was checked; WireError unless it answers our HELLO."""
        greeting = self._greeting
        if greeting is None or answer.session != greeting.index:
            raise WireError("ANSWER to nothing that was asked")
        # A forged answer must not spoil the handshake for the genuine one.
        handshake = greeting.handshake.copy()
        peer, grant = decode_payload(handshake.read(answer.noise))
        if grant is None:
            raise WireError("ANSWER without a key")
        self._greeting = None
        session = Session(
            self._context.me, greeting.index, peer, handshake.split(), now, confirmed=True
        )
        self._context.sessions[greeting.index] = self.node, session
        self._adopt(session, now)
        self.keys.learn(grant.generation, grant.key, grant.next_counter)
        self.packets.append(session.seal([KeyAck(grant.generation)]))
        self._tell_key(now)

    def on_cookie(self, cookie: Cookie, now: Nanos) -> None:
        """The peer is under load: show its cookie with the next HELLO. WireError."""
        greeting = self._greeting
        if greeting is None:
            raise WireError("COOKIE for nothing that was asked")
        opened = open_cookie(greeting.keys, cookie, greeting.mac1)
        self._cookie = opened, Nanos(now + COOKIE_LIFETIME_NS)

    def heard(self, now: Nanos) -> None:
        """Something of the peer opened: its present session is good."""
        self.heard_at = now
        if self.current is not None:
            self._greet_at = None
            self._retry_ns = HELLO_RETRY_NS_MIN

    def on_pair(self, session: Session, records: list[Record], now: Nanos) -> list[Record]:
        """Records that opened in `session`: handles those about keys, returns the others."""
        self.heard(now)
        if self._pending.pop(session.index, None) is not None:
            session.is_confirmed = True
            self._adopt(session, now)
            self._tell_key(now)
        others: list[Record] = []
        for record in records:
            if isinstance(record, Key):
                self.keys.learn(record.generation, record.key, record.next_counter)
                self.packets.append(session.seal([KeyAck(record.generation)]))
            elif isinstance(record, KeyAck):
                self._on_ack(record)
            else:
                others.append(record)
        return others

    def need_key(self, now: Nanos) -> None:
        """The peer lacks our key: tell it at once."""
        self.acked_generation = 0
        self._tell_key(now)

    # -- inside ------------------------------------------------------------------------------------

    def _greet(self, now: Nanos) -> None:
        """A new HELLO, and the time of the next one: for ever, while nobody answers."""
        self._begin(now)
        spread = self._context.entropy(1)[0] * self._retry_ns // 1024
        self._greet_at = Nanos(now + self._retry_ns + spread)
        self._retry_ns = min(2 * self._retry_ns, HELLO_RETRY_NS_MAX)

    def _begin(self, now: Nanos) -> None:
        context = self._context
        keys = context.ring.active
        handshake = self._handshake(keys, initiator=True)
        index = context.new_index()
        noise = handshake.write(context.entropy(32), encode_payload(self._payload(index)))
        packet = encode_hello(self._header(PacketType.HELLO, keys), self.node, noise)
        mac1 = self._post(packet, keys, now)
        self._greeting = Greeting(handshake, keys, index, mac1, now)
        if self._greet_at is None:
            self._greet_at = Nanos(now + self._retry_ns)

    def _handshake(self, keys: ClusterKeys, *, initiator: bool) -> Handshake:
        context = self._context
        ends = (context.me, self.node) if initiator else (self.node, context.me)
        return Handshake(
            initiator=initiator,
            psk=keys.psk,
            prologue=context.prologue(keys, *ends),
            static_keys=context.static_keys.get(self.node),
        )

    def _payload(self, index: int) -> Payload:
        return Payload(self._context.boot, index, 0, self._context.config_version, 0)

    def _header(self, kind: PacketType, keys: ClusterKeys) -> Header:
        return Header(kind, 0, int.from_bytes(keys.kid, "big"), self._context.me, 0, 0)

    def _post(self, packet: bytes, keys: ClusterKeys, now: Nanos) -> bytes:
        """Queue a handshake packet with its MACs; returns the first."""
        cookie = self._cookie
        if cookie is not None and cookie[1] <= now:
            cookie = self._cookie = None
        mac1 = first_mac(keys, packet)
        packet += mac1
        self.packets.append(packet + second_mac(cookie[0] if cookie else None, packet))
        return mac1

    def _adopt(self, session: Session, now: Nanos) -> None:
        """A confirmed session takes over."""
        context = self._context
        if session.peer.boot != self.boot:
            self.boot = session.peer.boot
            self.keys.forget()
        self.acked_generation = 0
        if self._former is not None:
            self._forget(self._former)
        self._former = self.current
        if self._former is not None:
            self._former.read_until = Nanos(now + SESSION_LINGER_NS)
        self.current = session
        self.heard(now)
        self._renew_at = None
        if context.me < self.node:
            spread = (context.entropy(1)[0] - 128) * SESSION_RENEW_NS // 1280
            self._renew_at = Nanos(now + SESSION_RENEW_NS + spread)

    def _tell_key(self, now: Nanos) -> None:
        own, session = self._own, self.current
        if own is None or session is None or self.acked_generation >= own.generation:
            self._key_at = None
            return
        key = Key(own.generation, own.secret, own.next_counter, KEY_LIFETIME_MS)
        self.packets.append(session.seal([key]))
        self._key_at = Nanos(now + KEY_RETRY_NS)

    def _on_ack(self, ack: KeyAck) -> None:
        if self._own is not None and ack.generation == self._own.generation:
            self.acked_generation = ack.generation
            self._key_at = None

    def _forget(self, session: Session) -> None:
        self._context.sessions.pop(session.index, None)
