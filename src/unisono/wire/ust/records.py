"""Records: what two nodes tell each other inside a session, several in one packet.

Speaks:      u8 kind, u8 zero, u16 length, body; `encode_records`, `decode_records`.
Keeps:       known kinds have their exact size; unknown kinds are skipped, so that a newer peer may
             say more than we understand.
"""

from collections.abc import Iterable
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from unisono.base.errors import WireError
from unisono.base.group import Buffer

_HEAD: Final = Struct(">BBH")
assert _HEAD.size == 4
RECORDS_MAX: Final = 64
"""Records of one packet."""


class Kind(IntEnum):
    """Kinds of record."""

    PAD = 0
    KEY = 1
    KEY_ACK = 2
    NEED_KEY = 3
    ROTATE = 4
    PING = 5
    PONG = 6
    BYE = 7
    SPOILED = 8


class Pad(NamedTuple):
    """Nothing, of some size: makes a probe as large as it has to be."""

    size: int


class Key(NamedTuple):
    """The sender's key of one generation, from `next_counter` on, for `lifetime_ms`."""

    generation: int
    key: bytes
    next_counter: int
    lifetime_ms: int


class KeyAck(NamedTuple):
    """The key of this generation has arrived."""

    generation: int


class NeedKey(NamedTuple):
    """A frame of this generation came, and its key is not known here."""

    generation: int


class Rotate(NamedTuple):
    """A piece of an authkey for all nodes, under its kid: the operator's rotation.

    `piece` stands at byte `start` of `size`: the largest key would not fit into one datagram.
    """

    is_active: bool
    """Whether handshakes begin with it; else it is the next one, to be accepted."""
    kid: bytes
    size: int
    start: int
    piece: bytes


class Ping(NamedTuple):
    """Is the way over `link` open, and for packets of this size? `time_ns` is the asker's own."""

    link: int
    time_ns: int


class Pong(NamedTuple):
    """The answer to a Ping, over the same link."""

    link: int
    time_ns: int


class Bye(NamedTuple):
    """The sender's daemon ends now, on purpose."""


class Spoiled(NamedTuple):
    """So many of the receiver's frames did not open although all their pieces had come."""

    frames: int


Record: TypeAlias = Pad | Key | KeyAck | NeedKey | Rotate | Ping | Pong | Bye | Spoiled
_LAYOUTS: Final[dict[Kind, Struct]] = {
    Kind.KEY: Struct(">I32sQI"),
    Kind.KEY_ACK: Struct(">I"),
    Kind.NEED_KEY: Struct(">I"),
    Kind.PING: Struct(">BQ"),
    Kind.PONG: Struct(">BQ"),
    Kind.BYE: Struct(""),
    Kind.SPOILED: Struct(">I"),
}
_CLASSES: Final[dict[Kind, type[Record]]] = {
    Kind.KEY: Key,
    Kind.KEY_ACK: KeyAck,
    Kind.NEED_KEY: NeedKey,
    Kind.PING: Ping,
    Kind.PONG: Pong,
    Kind.BYE: Bye,
    Kind.SPOILED: Spoiled,
}
_KINDS: Final = {record: kind for kind, record in _CLASSES.items()}
_KNOWN: Final = {int(kind) for kind in Kind}
_ROTATE: Final = Struct(">?3x4sHH")
assert _ROTATE.size == 12
ROTATE_PIECE_BYTES_MAX: Final = 1_024
"""Fits, sealed, into a datagram of SECURE_ROOM_BYTES_MIN."""


def encode_records(records: Iterable[Record]) -> bytes:
    """The body of a PAIR packet, before it is sealed."""
    return b"".join(map(_encode, records))


def _encode(record: Record) -> bytes:
    if isinstance(record, Pad):
        kind, body = Kind.PAD, bytes(record.size)
    elif isinstance(record, Rotate):
        kind, body = Kind.ROTATE, _ROTATE.pack(*record[:-1]) + record.piece
    else:
        kind = _KINDS[type(record)]
        body = _LAYOUTS[kind].pack(*record)
    return _HEAD.pack(kind, 0, len(body)) + body


def decode_records(body: Buffer) -> list[Record]:
    """The records of an opened PAIR packet, those of unknown kinds left out; WireError."""
    records: list[Record] = []
    at, end = 0, len(body)
    for _ in range(RECORDS_MAX):
        if at == end:
            return records
        if at + _HEAD.size > end:
            raise WireError(f"record head of {end - at} bytes")
        number, zero, length = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        if zero or at + length > end:
            raise WireError(f"record of kind {number}: {length} of {end - at} bytes, {zero} not 0")
        if number in _KNOWN:
            records.append(_decode(Kind(number), bytes(body[at : at + length])))
        at += length
    if at != end:
        raise WireError(f"more than {RECORDS_MAX} records")
    return records


def _decode(kind: Kind, body: bytes) -> Record:
    if kind is Kind.PAD:
        return Pad(len(body))
    if kind is Kind.ROTATE:
        return _decode_rotate(body)
    layout = _LAYOUTS[kind]
    if len(body) != layout.size:
        raise WireError(f"{kind.name} of {len(body)} bytes instead of {layout.size}")
    return _CLASSES[kind](*layout.unpack(body))


def _decode_rotate(body: bytes) -> Rotate:
    length = len(body) - _ROTATE.size
    if not 0 < length <= ROTATE_PIECE_BYTES_MAX:
        raise WireError(f"ROTATE of {len(body)} bytes")
    is_active, kid, size, start = _ROTATE.unpack_from(body)
    if start + length > size:
        raise WireError(f"ROTATE of {length} bytes at {start} of {size}")
    return Rotate(is_active, kid, size, start, body[_ROTATE.size :])


def rotate_records(kid: bytes, authkey: bytes, *, is_active: bool) -> list[Rotate]:
    """The authkey in pieces, each for a packet of its own."""
    step, size = ROTATE_PIECE_BYTES_MAX, len(authkey)
    return [
        Rotate(is_active, kid, size, start, authkey[start : start + step])
        for start in range(0, size, step)
    ]
