"""A burglar: recorded traffic, and the authkey that was stolen afterwards.

Speaks:      `Burglar(authkey, cluster).rob(recorded)` -> what could be opened; `more` are secrets
             that a burglar cannot have, with which the same code opens everything.
Keeps:       tries every value that follows from authkey and traffic in every place where a key is
             needed: as ephemeral secret, as shared secret, as session key, as sender key.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unisono.base.errors import WireError
from unisono.base.ids import NodeId
from unisono.crypto.cookies import is_first_mac
from unisono.crypto.keys import ClusterKeys, derive, group_key
from unisono.crypto.noise import Handshake, Secrets
from unisono.wire.ust.handshake import (
    MAC_BYTES,
    Answer,
    Payload,
    decode_answer,
    decode_hello,
    decode_payload,
)
from unisono.wire.ust.header import (
    HEADER_BYTES,
    Flag,
    Header,
    PacketType,
    decode_header,
    encode_nonce,
)
from unisono.wire.ust.pieces import PIECE_HEADER_BYTES, decode_piece
from unisono.wire.ust.records import Key, Record, decode_records

KEY_BYTES = 32


class SharedSecret:
    """Stands in for an ephemeral key of which only the result of the exchange is guessed."""

    def __init__(self, result: bytes) -> None:
        self._result = result

    def exchange(self, _: X25519PublicKey) -> bytes:
        return self._result


@dataclass
class Loot:
    """How many packets of each type there were and were opened, and what was in them."""

    seen: dict[PacketType, int] = field(default_factory=lambda: dict.fromkeys(PacketType, 0))
    opened: dict[PacketType, int] = field(default_factory=lambda: dict.fromkeys(PacketType, 0))
    genuine_macs: int = 0
    frames: list[bytes] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)


@dataclass
class Greeting:
    """A recorded HELLO, read with the stolen authkey."""

    initiator: NodeId
    responder: NodeId
    payload: Payload
    state: Handshake


class Burglar:
    """One burglary."""

    def __init__(self, authkey: bytes, cluster: str, more: Iterable[bytes] = ()) -> None:
        self.keys = derive(authkey, cluster)
        self._cluster = cluster
        self._guesses = dict.fromkeys(more)
        self._guesses |= dict.fromkeys(_obvious(authkey, self.keys))
        self._greetings: list[Greeting] = []
        self._sessions: dict[tuple[int, NodeId], AESGCM] = {}
        self._sender_keys: dict[tuple[NodeId, int], AESGCM] = {}
        self.loot = Loot()

    def rob(self, recorded: Iterable[bytes]) -> Loot:
        """Open what can be opened of these packets."""
        packets: dict[PacketType, list[tuple[Header, bytes]]] = {kind: [] for kind in PacketType}
        for packet in dict.fromkeys(recorded):
            header = decode_header(packet)
            packets[header.type].append((header, packet))
            self.loot.seen[header.type] += 1
        for header, packet in packets[PacketType.HELLO]:
            self._rob_hello(header, packet)
        for header, packet in packets[PacketType.ANSWER]:
            self._rob_answer(header, packet)
        for header, packet in packets[PacketType.PAIR]:
            self._rob_pair(header, packet)
        for header, packet in _wholes(packets[PacketType.GROUP]):
            self._rob_group(header, packet)
        return self.loot

    # -- handshakes --------------------------------------------------------------------------------

    def _rob_hello(self, header: Header, packet: bytes) -> None:
        hello = decode_hello(packet)
        self._check_mac(packet)
        ends = header.sender.to_bytes(4, "big") + hello.destination.to_bytes(4, "big")
        prologue = b"unisono/ust1\0" + self._cluster.encode() + b"\0" + ends + self.keys.kid
        state = Handshake(initiator=False, psk=self.keys.psk, prologue=prologue)
        payload, _ = decode_payload(state.read(hello.noise))
        self.loot.opened[PacketType.HELLO] += 1
        self._greetings.append(Greeting(header.sender, hello.destination, payload, state))
        self._guess(hello.noise[:KEY_BYTES], payload.boot * 2, payload.boot + bytes(16))
        self._guess(state._ck, state._h)

    def _rob_answer(self, header: Header, packet: bytes) -> None:
        answer = decode_answer(packet)
        self._check_mac(packet)
        self._guess(answer.noise[:KEY_BYTES])
        for greeting in self._greetings:
            if (greeting.initiator, greeting.payload.session) == (
                answer.destination,
                answer.session,
            ):
                self._finish(greeting, answer)

    def _finish(self, greeting: Greeting, answer: Answer) -> None:
        """Try to be the initiator that receives this ANSWER."""
        for state in self._pretenders(greeting):
            try:
                payload, grant = decode_payload(state.read(answer.noise))
            except WireError:
                continue
            self.loot.opened[PacketType.ANSWER] += 1
            secrets: Secrets = state.split()
            self._sessions[payload.session, greeting.initiator] = AESGCM(secrets.send)
            self._sessions[greeting.payload.session, greeting.responder] = AESGCM(secrets.receive)
            if grant is not None:
                self._learn(greeting.responder, grant.generation, grant.key)
            return

    def _pretenders(self, greeting: Greeting) -> Iterator[Handshake]:
        """The initiator's state after its HELLO, with every guess in the place of its secret."""
        for guess in self._guesses:
            for secret in (X25519PrivateKey.from_private_bytes(guess), SharedSecret(guess)):
                state = greeting.state.copy()
                state._initiator = True
                state._ephemeral = secret  # type: ignore[assignment]  # a stand-in
                yield state

    def _check_mac(self, packet: bytes) -> None:
        mac = packet[-2 * MAC_BYTES : -MAC_BYTES]
        self.loot.genuine_macs += is_first_mac(self.keys, packet[: -2 * MAC_BYTES], mac)

    # -- sessions and frames -----------------------------------------------------------------------

    def _rob_pair(self, header: Header, packet: bytes) -> None:
        known = self._sessions.get((header.key, header.sender))
        body = _first_opened([known] if known else self._as_keys(), header, packet)
        if body is None:
            return
        self.loot.opened[PacketType.PAIR] += 1
        for record in decode_records(body):
            self.loot.records.append(record)
            if isinstance(record, Key):
                self._learn(header.sender, record.generation, record.key)

    def _rob_group(self, header: Header, packet: bytes) -> None:
        known = self._sender_keys.get((header.sender, header.key))
        keys = [known] if known else self._as_sender_keys(header)
        frame = _first_opened(keys, header, packet)
        if frame is not None:
            self.loot.opened[PacketType.GROUP] += 1
            self.loot.frames.append(frame)

    def _learn(self, sender: NodeId, generation: int, secret: bytes) -> None:
        self._sender_keys[sender, generation] = AESGCM(group_key(secret, sender, generation))

    def _guess(self, *values: bytes) -> None:
        self._guesses |= dict.fromkeys(values)

    def _as_keys(self) -> list[AESGCM]:
        return [AESGCM(guess) for guess in self._guesses]

    def _as_sender_keys(self, header: Header) -> list[AESGCM]:
        secrets = [group_key(guess, header.sender, header.key) for guess in self._guesses]
        return [*map(AESGCM, secrets), *self._as_keys()]


def _obvious(authkey: bytes, keys: ClusterKeys) -> Iterator[bytes]:
    """What anybody would try who has an authkey."""
    yield from (keys.psk, keys.mac1, keys.cookie, keys.kid * 8)
    yield from (bytes([value]) * KEY_BYTES for value in range(4))
    yield b"\x09" + bytes(KEY_BYTES - 1)
    yield sha256(authkey).digest()
    yield from (authkey[at : at + KEY_BYTES] for at in range(0, len(authkey) - KEY_BYTES + 1, 8))


def _first_opened(keys: Sequence[AESGCM], header: Header, packet: bytes) -> bytes | None:
    nonce = encode_nonce(header.salt, header.counter)
    for key in keys:
        try:
            return key.decrypt(nonce, packet[HEADER_BYTES:], packet[:HEADER_BYTES])
        except InvalidTag:
            continue
    return None


def _wholes(packets: Sequence[tuple[Header, bytes]]) -> Iterator[tuple[Header, bytes]]:
    """Frames that were cut into pieces put together again; incomplete ones are left out."""
    pieces: dict[tuple[bytes, int], dict[int, bytes]] = {}
    for header, packet in packets:
        if not header.flags & Flag.PIECE:
            yield header, packet
            continue
        piece = decode_piece(packet[HEADER_BYTES:])
        there = pieces.setdefault((packet[:HEADER_BYTES], piece.frame), {})
        there[piece.number] = packet[HEADER_BYTES + PIECE_HEADER_BYTES :]
        if len(there) == piece.pieces:
            body = b"".join(there[number] for number in range(piece.pieces))
            yield header, packet[:HEADER_BYTES] + body
