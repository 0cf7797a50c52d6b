"""Peer: the sessions with one other node, from the first greeting to the renewal two minutes later.

Speaks:      `on_hello`, `on_answer`, `on_cookie`, `on_pair`; packets for the peer in `packets`,
             what is noteworthy in `news`.
Counterpart: WireGuard, section 6 of its paper (timers); Noise for the handshake itself.
Keeps:       a session that works is replaced by a confirmed one only; a handshake that fails, is
             replayed or is never answered changes nothing but a counter.
"""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final

from unisono.base.errors import WireError
from unisono.base.group import Marked
from unisono.base.ids import MS, SECOND, Nanos, NodeId
from unisono.base.marks import Mark
from unisono.crypto.keys import ClusterKeys
from unisono.crypto.sender_keys import OwnKey, PeerKeys
from unisono.secure.context import Context
from unisono.secure.events import Adopted
from unisono.secure.handshakes import Handshakes
from unisono.secure.session import (
    SALT_BYTES,
    SESSION_LINGER_NS,
    SESSION_OLD_NS,
    SESSION_RENEW_NS,
    Session,
)
from unisono.secure.telling import Telling
from unisono.wire.ust.handshake import Answer, Cookie, Hello, Payload
from unisono.wire.ust.records import Key, KeyAck, Record

HELLO_RETRY_NS_MIN: Final = 100 * MS
HELLO_RETRY_NS_MAX: Final = SECOND
HELLO_GONE_NS: Final = 2 * SECOND
"""To a daemon that has ended: the next one greets us, and its kernel's few ICMP answers a second
are worth more when that one ends."""
SILENCE_NS: Final = 3 * SECOND
"""A peer that was not heard for so long is greeted anew."""
ALIVE_NS: Final = 300 * MS
"""A peer that was heard within this time has not been started anew meanwhile."""
TWICE_NS: Final = 60 * SECOND
"""Between two complaints about two daemons with one node id."""
KEY_LINGER_NS: Final = 10 * SECOND
"""How long frames of an older sender key are read after the first of a newer one."""


class Reach(Enum):
    """Over which links a packet goes."""

    EVERY = "every"
    BACK = "back"
    """The one over which the packet came that it answers."""
    BEST = "best"


class Peer:
    """One other node of the configuration."""

    def __init__(self, context: Context, node: NodeId, now: Nanos) -> None:
        self.node = node
        self.keys = PeerKeys(context.cipher, context.me, node, KEY_LINGER_NS)
        self.packets: list[tuple[Reach, bytes]] = []
        """What is to be sent to the peer; the owner takes it."""
        self.news: list[Adopted | Marked] = []
        """What the owner should know; it takes it."""
        self.current: Session | None = None
        self.telling = Telling()
        self.heard_at: Nanos | None = None
        self.boot = b""
        """Which life of the peer's daemon the current session is with."""
        self._context = context
        self._former: Session | None = None
        self._handshakes = Handshakes(context, node)
        self._retry_ns = HELLO_RETRY_NS_MIN
        self._greet_at: Nanos | None = now
        self._renew_at: Nanos | None = None
        self._alarm_at: Nanos | None = None
        self._twice_at = Nanos(0)

    # -- the owner's wishes ------------------------------------------------------------------------

    def share(self, keys: Sequence[OwnKey], now: Nanos) -> None:
        """Tell these sender keys to the peer, now and until it says that it has them."""
        self.telling.share(keys)
        self._tell_keys(now)

    def has_key(self, generation: int) -> bool:
        """Whether the peer can open our frames of this generation."""
        return self.telling.has(generation)

    def greet(self, now: Nanos) -> None:
        """The daemon there has ended. Greet at the next `expire`, lest it has not; then rarely."""
        self.heard_at = None
        self._greet_at = now
        self._retry_ns = HELLO_GONE_NS

    def renew(self, now: Nanos) -> None:
        """Make a new session at the next `expire`."""
        self._renew_at = now

    def tell(self, records: Iterable[Record]) -> bytes | None:
        """A packet with these records, None while there is no session."""
        return None if self.current is None else self.seal(self.current, records)

    def seal(self, session: Session, records: Iterable[Record]) -> bytes:
        """A packet with these records in that session."""
        return session.seal(records, self._context.entropy(SALT_BYTES))

    @property
    def deadline(self) -> Nanos | None:
        """When `expire` has something to do."""
        former = self._former.read_until if self._former is not None else None
        dues = (
            self._greet_at,
            self._silent_at,
            self._renew_at,
            self._alarm_at,
            self.telling.again_at,
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
        if self._alarm_at is not None and self._alarm_at <= now:
            self._alarm_at = None
            self.news.append(Marked(Mark.SESSION_OLD, self.node))
        if self.telling.again_at is not None and self.telling.again_at <= now:
            self._tell_keys(now)
        former = self._former
        if former is not None and former.read_until is not None and former.read_until <= now:
            self._former = None
            self._forget(former)
        self.keys.expire(now)

    # -- handshakes --------------------------------------------------------------------------------

    def on_hello(self, hello: Hello, keys: ClusterKeys, own: OwnKey, now: Nanos) -> None:
        """A HELLO whose MACs were checked: answer, unless ours has precedence. WireError."""
        answer = self._handshakes.respond(hello, keys, own, now)
        if answer is not None:
            self.packets.append((Reach.BACK, answer))

    def _is_second_life(self, peer: Payload, now: Nanos) -> bool:
        """Whether another daemon has this node id: of two, the one that is there stays."""
        if not self.boot or peer.boot == self.boot or self.heard_at is None:
            return False
        if now - self.heard_at >= ALIVE_NS:
            return False
        if now >= self._twice_at:
            self._twice_at = Nanos(now + TWICE_NS)
            self.news.append(Marked(Mark.NODE_ID_TWICE, self.node))
        return True

    def on_answer(self, answer: Answer, now: Nanos) -> None:
        """An ANSWER whose first MAC was checked; WireError unless it answers our HELLO."""
        session, grant = self._handshakes.read(answer, now)
        if self._is_second_life(session.peer, now):
            raise WireError(f"node id {self.node} is in use by another life")
        self._handshakes.accept(session)
        self._adopt(session, now)
        self.keys.learn(grant.generation, grant.key, grant.next_counter)
        self.packets.append((Reach.BEST, self.seal(session, [KeyAck(grant.generation)])))
        self._tell_keys(now)

    def on_cookie(self, cookie: Cookie, now: Nanos) -> None:
        """The peer is under load: show its cookie with the next HELLO. WireError."""
        self._handshakes.on_cookie(cookie, now)

    def heard(self, now: Nanos) -> None:
        """Something of the peer opened: its present session is good."""
        self.heard_at = now
        if self.current is not None:
            self._greet_at = None
            self._retry_ns = HELLO_RETRY_NS_MIN

    def on_pair(self, session: Session, records: list[Record], now: Nanos) -> list[Record] | None:
        """Records that opened in `session`: handles those about keys, returns the others.

        None when they are not to be believed: another daemon of this node id is there.
        """
        if self._handshakes.is_pending(session):
            if self._is_second_life(session.peer, now):
                return None
            self._handshakes.confirm(session)
            self._adopt(session, now)
            self._tell_keys(now)
        self.heard(now)
        others: list[Record] = []
        for record in records:
            if isinstance(record, Key):
                if session is not self.current:  # it may have been held back
                    continue
                self.keys.learn(record.generation, record.key, record.next_counter)
                self.packets.append((Reach.BEST, self.seal(session, [KeyAck(record.generation)])))
            elif isinstance(record, KeyAck):
                self.telling.on_ack(record.generation)
            else:
                others.append(record)
        return others

    def need_key(self, generation: int) -> None:
        """The peer lacks a key that somebody named: tell it again if it is one of ours."""
        if self.current is not None and (keys := self.telling.again(generation)):
            self.packets.append((Reach.BEST, self.seal(self.current, keys)))

    # -- inside ------------------------------------------------------------------------------------

    def _greet(self, now: Nanos) -> None:
        """A new HELLO, and the time of the next one: for ever, while nobody answers."""
        self._begin(now)
        spread = self._context.entropy(1)[0] * self._retry_ns // 1024
        self._greet_at = Nanos(now + self._retry_ns + spread)
        self._retry_ns = max(self._retry_ns, min(2 * self._retry_ns, HELLO_RETRY_NS_MAX))

    def _begin(self, now: Nanos) -> None:
        self.packets.append((Reach.EVERY, self._handshakes.begin(now)))
        if self._greet_at is None:
            self._greet_at = Nanos(now + self._retry_ns)

    def _adopt(self, session: Session, now: Nanos) -> None:
        """A confirmed session takes over."""
        context = self._context
        is_new_life = session.peer.boot != self.boot
        if is_new_life:
            self.boot = session.peer.boot
            self._forget_life()
        self.keys.trust_anew()
        # A late confirmation must not bring an older one back.
        self._handshakes.drop(lambda pending: pending.born <= session.born)
        if self._former is not None:
            self._forget(self._former)
        self._former = self.current
        if self._former is not None:
            self._former.read_until = Nanos(now + SESSION_LINGER_NS)
        self.current = session
        self.heard(now)
        self._alarm_at = Nanos(now + SESSION_OLD_NS)
        self._renew_at = None
        if context.me < self.node:
            spread = (context.entropy(1)[0] - 128) * SESSION_RENEW_NS // 1280
            self._renew_at = Nanos(now + SESSION_RENEW_NS + spread)
        self.news.append(Adopted(self.node, session.kid, is_new_life))

    def _forget_life(self) -> None:
        """Nothing of the daemon before is believed any more."""
        self.keys.forget()
        self.telling.forget()
        if self.current is not None:
            self._forget(self.current)
            self.current = None
        self._handshakes.drop(lambda pending: pending.peer.boot != self.boot)

    def _tell_keys(self, now: Nanos) -> None:
        if self.current is None:
            self.telling.again_at = None
            return
        if lacking := self.telling.tell(now):
            self.packets.append((Reach.BEST, self.seal(self.current, lacking)))

    def _forget(self, session: Session) -> None:
        self._context.sessions.pop(session.index, None)
