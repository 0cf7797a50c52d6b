"""HELLO, ANSWER and COOKIE: what two nodes say before they have a session.

Speaks:      encode_* and decode_* of the three; the payloads inside the Noise messages.
Counterpart: WireGuard's messages 1 to 3, for the two MACs and the cookie.
Keeps:       sizes are fixed, so a wrong one is refused before anything is computed.
"""

from struct import Struct
from typing import Final, NamedTuple

from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.base.ids import NodeId
from unisono.wire.ust.header import HEADER_BYTES, TAG_BYTES, Header

MAC_BYTES: Final = 16
BOOT_BYTES: Final = 16
SENDER_KEY_BYTES: Final = 32
_KEY_BYTES: Final = 32
_DESTINATION: Final = Struct(">I")
_PAYLOAD: Final = Struct(">16sIIQQ")
_ANSWER_KEY: Final = Struct(">I32sQ")
_ANSWER: Final = Struct(">II")
_COOKIE: Final = Struct(">12s32s")
assert _PAYLOAD.size == 40
assert _ANSWER_KEY.size == 44
NOISE_HELLO_BYTES: Final = _KEY_BYTES + _PAYLOAD.size + TAG_BYTES
NOISE_ANSWER_BYTES: Final = _KEY_BYTES + _PAYLOAD.size + _ANSWER_KEY.size + TAG_BYTES
HELLO_BYTES: Final = HEADER_BYTES + _DESTINATION.size + NOISE_HELLO_BYTES + 2 * MAC_BYTES
ANSWER_BYTES: Final = HEADER_BYTES + _ANSWER.size + NOISE_ANSWER_BYTES + 2 * MAC_BYTES
COOKIE_BYTES: Final = HEADER_BYTES + _COOKIE.size
NO_MAC: Final = bytes(MAC_BYTES)
assert (HELLO_BYTES, ANSWER_BYTES, COOKIE_BYTES) == (148, 196, 68)


class Payload(NamedTuple):
    """What each side tells of itself inside its Noise message (40 bytes)."""

    boot: bytes
    """16 random bytes, one draw for each start of the daemon."""
    session: int
    """The number by which the peer shall address this session."""
    capabilities: int
    config_version: int
    wall_ms: int
    """Wall clock in milliseconds, for the log and nothing else."""


class KeyGrant(NamedTuple):
    """A sender key inside an ANSWER (44 bytes)."""

    generation: int
    key: bytes
    next_counter: int


class Hello(NamedTuple):
    """A HELLO; `noise` is message 1."""

    destination: NodeId
    noise: bytes
    mac1: bytes
    mac2: bytes


class Answer(NamedTuple):
    """An ANSWER to the initiator's `session`; `noise` is message 2."""

    destination: NodeId
    session: int
    noise: bytes
    mac1: bytes
    mac2: bytes


class Cookie(NamedTuple):
    """A COOKIE: the sealed cookie, bound to the MAC of the message that it answers."""

    nonce: bytes
    sealed: bytes


def encode_hello(header: Header, destination: NodeId, noise: bytes) -> bytes:
    """A HELLO without its two MACs, which cover all of this."""
    return header.encode() + _DESTINATION.pack(destination) + noise


def encode_answer(header: Header, destination: NodeId, session: int, noise: bytes) -> bytes:
    """An ANSWER without its two MACs."""
    return header.encode() + _ANSWER.pack(destination, session) + noise


def encode_cookie(header: Header, nonce: bytes, sealed: bytes) -> bytes:
    """A whole COOKIE: a 12-byte nonce, a 16-byte cookie with its tag."""
    return header.encode() + _COOKIE.pack(nonce, sealed)


def decode_hello(packet: Buffer) -> Hello:
    """The parts of a HELLO; WireError unless it has 148 bytes."""
    data = _whole(packet, HELLO_BYTES)
    (destination,) = _DESTINATION.unpack_from(data, HEADER_BYTES)
    noise, mac1, mac2 = _tail(data, HEADER_BYTES + _DESTINATION.size)
    return Hello(NodeId(destination), noise, mac1, mac2)


def decode_answer(packet: Buffer) -> Answer:
    """The parts of an ANSWER; WireError unless it has 196 bytes."""
    data = _whole(packet, ANSWER_BYTES)
    destination, session = _ANSWER.unpack_from(data, HEADER_BYTES)
    noise, mac1, mac2 = _tail(data, HEADER_BYTES + _ANSWER.size)
    return Answer(NodeId(destination), session, noise, mac1, mac2)


def decode_cookie(packet: Buffer) -> Cookie:
    """The parts of a COOKIE; WireError unless it has 68 bytes."""
    return Cookie(*_COOKIE.unpack_from(_whole(packet, COOKIE_BYTES), HEADER_BYTES))


def encode_payload(payload: Payload, grant: KeyGrant | None = None) -> bytes:
    """The payload of a HELLO, or with a grant that of an ANSWER."""
    return _PAYLOAD.pack(*payload) + (b"" if grant is None else _ANSWER_KEY.pack(*grant))


def decode_payload(data: bytes) -> tuple[Payload, KeyGrant | None]:
    """What a peer told of itself; WireError for any other size."""
    if len(data) == _PAYLOAD.size:
        return Payload(*_PAYLOAD.unpack(data)), None
    if len(data) == _PAYLOAD.size + _ANSWER_KEY.size:
        grant = KeyGrant(*_ANSWER_KEY.unpack_from(data, _PAYLOAD.size))
        return Payload(*_PAYLOAD.unpack_from(data)), grant
    raise WireError(f"handshake payload of {len(data)} bytes")


def _whole(packet: Buffer, size: int) -> bytes:
    if len(packet) != size:
        raise WireError(f"handshake packet of {len(packet)} bytes instead of {size}")
    return bytes(packet)


def _tail(data: bytes, start: int) -> tuple[bytes, bytes, bytes]:
    end = len(data) - 2 * MAC_BYTES
    return data[start:end], data[end : end + MAC_BYTES], data[end + MAC_BYTES :]
