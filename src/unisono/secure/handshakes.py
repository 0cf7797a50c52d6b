"""Handshakes: those with one peer that are under way, as the one who greets and as the one greeted.

Speaks:      HELLO and ANSWER packets out; sessions that work once the peer has confirmed them.
Keeps:       nothing that fails, is replayed or comes too late changes what was there before; at
             most PENDING_MAX sessions wait for their confirmation.
Never:       decides which session is used (peer), computes a key agreement (crypto.noise).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from unisono.base.errors import WireError
from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.crypto.cookies import COOKIE_LIFETIME_NS, first_mac, open_cookie, second_mac
from unisono.crypto.keys import ClusterKeys
from unisono.crypto.noise import Handshake
from unisono.crypto.sender_keys import OwnKey
from unisono.secure.context import Context
from unisono.secure.session import Session
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

OWN_HELLO_NS: Final = SECOND
"""For so long the lower node id stands by its own HELLO when both have sent one."""
PENDING_MAX: Final = 4
"""Handshakes with one peer that wait for their confirmation."""
_EPHEMERAL_BYTES: Final = 32


@dataclass(slots=True)
class Greeting:
    """A HELLO on its way, and the handshake that waits for its answer."""

    handshake: Handshake
    keys: ClusterKeys
    index: int
    mac1: bytes
    begun: Nanos


@dataclass(slots=True)
class Pending:
    """A HELLO that was answered and not yet confirmed."""

    noise: bytes
    answer: bytes
    """Said again when the same HELLO comes over another link."""
    session: Session


class Handshakes:
    """All with `node`."""

    __slots__ = ("_context", "_cookie", "_greeting", "_node", "_pending")

    def __init__(self, context: Context, node: NodeId) -> None:
        self._context = context
        self._node = node
        self._pending: dict[int, Pending] = {}
        """By our number for the session: a replayed HELLO fills one place only."""
        self._greeting: Greeting | None = None
        self._cookie: tuple[bytes, Nanos] | None = None

    # -- as the one who greets ---------------------------------------------------------------------

    def begin(self, now: Nanos) -> bytes:
        """A new HELLO; an answer to an earlier one comes too late from now on."""
        context = self._context
        keys = context.ring.active
        handshake = self._handshake(keys, initiator=True)
        index = context.new_index()
        payload = encode_payload(self._payload(index))
        noise = handshake.write(context.entropy(_EPHEMERAL_BYTES), payload)
        packet = encode_hello(self._header(PacketType.HELLO, keys), self._node, noise)
        packet, mac1 = self._finished(packet, keys, now)
        self._greeting = Greeting(handshake, keys, index, mac1, now)
        return packet

    def read(self, answer: Answer, now: Nanos) -> tuple[Session, KeyGrant]:
        """What an ANSWER to our HELLO offers; nothing changes before `accept`. WireError."""
        greeting = self._greeting
        if greeting is None or answer.session != greeting.index:
            raise WireError("ANSWER to nothing that was asked")
        # A forged answer must not spoil the handshake for the genuine one.
        handshake = greeting.handshake.copy()
        peer, grant = decode_payload(handshake.read(answer.noise))
        if grant is None:
            raise WireError("ANSWER without a key")
        return self._session(greeting.index, peer, handshake, greeting.keys, now), grant

    def accept(self, session: Session) -> None:
        """The session of an ANSWER is to be used: it may be addressed from now on."""
        self._greeting = None
        self._context.sessions[session.index] = self._node, session

    def on_cookie(self, cookie: Cookie, now: Nanos) -> None:
        """The peer is under load: show its cookie with the next HELLO. WireError."""
        greeting = self._greeting
        if greeting is None:
            raise WireError("COOKIE for nothing that was asked")
        opened = open_cookie(greeting.keys, cookie, greeting.mac1)
        self._cookie = opened, Nanos(now + COOKIE_LIFETIME_NS)

    # -- as the one who is greeted -----------------------------------------------------------------

    def respond(self, hello: Hello, keys: ClusterKeys, own: OwnKey, now: Nanos) -> bytes | None:
        """The ANSWER to a HELLO whose MACs were checked, None if ours has precedence. WireError.

        It grants `own`, our sender key.
        """
        greeting = self._greeting
        # A peer that was down while keys changed may not have the one that ours was made with.
        is_common = keys.kid == self._context.ring.active.kid
        if greeting is not None and is_common and self._context.me < self._node:
            if now - greeting.begun < OWN_HELLO_NS:
                return None
        for pending in self._pending.values():
            if pending.noise == hello.noise:
                return pending.answer
        answer = self._answer(hello, keys, own, now)
        self._greeting = None
        return answer

    def _answer(self, hello: Hello, keys: ClusterKeys, own: OwnKey, now: Nanos) -> bytes:
        context = self._context
        handshake = self._handshake(keys, initiator=False)
        peer, grant = decode_payload(handshake.read(hello.noise))
        if grant is not None:
            raise WireError("HELLO with a key")
        index = context.new_index()
        payload = encode_payload(
            self._payload(index), KeyGrant(own.generation, own.secret, own.next_counter)
        )
        noise = handshake.write(context.entropy(_EPHEMERAL_BYTES), payload)
        session = self._session(index, peer, handshake, keys, now)
        if len(self._pending) >= PENDING_MAX:
            self._drop(next(iter(self._pending)))
        header = self._header(PacketType.ANSWER, keys)
        packet = encode_answer(header, self._node, peer.session, noise)
        answer, _ = self._finished(packet, keys, now)
        self._pending[index] = Pending(hello.noise, answer, session)
        context.sessions[index] = self._node, session
        return answer

    def is_pending(self, session: Session) -> bool:
        """Whether the session waits for its confirmation, which is anything that opens in it."""
        return session.index in self._pending

    def confirm(self, session: Session) -> None:
        """The peer has confirmed this one: it is to be used."""
        del self._pending[session.index]

    def drop(self, is_obsolete: Callable[[Session], bool]) -> None:
        """Forget those that wait for their confirmation in vain."""
        for index, pending in list(self._pending.items()):
            if is_obsolete(pending.session):
                self._drop(index)

    def _drop(self, index: int) -> None:
        del self._pending[index]
        self._context.sessions.pop(index, None)

    # -- both --------------------------------------------------------------------------------------

    def _handshake(self, keys: ClusterKeys, *, initiator: bool) -> Handshake:
        context = self._context
        ends = (context.me, self._node) if initiator else (self._node, context.me)
        return Handshake(
            initiator=initiator,
            psk=keys.psk,
            prologue=context.prologue(keys, *ends),
            static_keys=context.static_keys.get(self._node),
        )

    def _session(
        self, index: int, peer: Payload, done: Handshake, keys: ClusterKeys, now: Nanos
    ) -> Session:
        context = self._context
        return Session(context.me, context.cipher, index, peer, done.split(), keys.kid, now)

    def _payload(self, index: int) -> Payload:
        return Payload(self._context.boot, index, 0, self._context.config_version, 0)

    def _header(self, kind: PacketType, keys: ClusterKeys) -> Header:
        return Header(kind, 0, int.from_bytes(keys.kid, "big"), self._context.me, 0, 0)

    def _finished(self, packet: bytes, keys: ClusterKeys, now: Nanos) -> tuple[bytes, bytes]:
        """A handshake packet with its MACs; and the first of them."""
        cookie = self._cookie
        if cookie is not None and cookie[1] <= now:
            cookie = self._cookie = None
        mac1 = first_mac(keys, packet)
        packet += mac1
        return packet + second_mac(cookie[0] if cookie else None, packet), mac1
