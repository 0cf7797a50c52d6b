"""The common header: 24 bytes in clear, authenticated with whatever follows.

Speaks:      `Header.encode`, `decode_header`.
Keeps:       what is not a header of this version raises WireError.
"""

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final, NamedTuple

from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.base.ids import NodeId

MAGIC: Final = 0x55
VERSION: Final = 1
TAG_BYTES: Final = 16
"""Bytes that sealing adds."""
_LAYOUT: Final = Struct(">BBHIIIQ")
HEADER_BYTES: Final = 24
assert _LAYOUT.size == HEADER_BYTES


class PacketType(IntEnum):
    """Low half of the second byte."""

    HELLO = 1
    ANSWER = 2
    COOKIE = 4
    PAIR = 5
    GROUP = 6


class Flag(IntFlag):
    """Flags of a GROUP packet."""

    PIECE = 1
    """The body is a piece of a frame that was sealed as a whole; alone it proves nothing."""
    SEALED_PIECE = 2
    """The body is a piece that was sealed by itself."""
    ADDRESSED = 4
    """For one node, whose id the seal covers: nobody else can open it."""


_GROUP: Final = VERSION << 4 | PacketType.GROUP
_KNOWN_FLAGS: Final = {PacketType.GROUP: int(Flag.PIECE | Flag.SEALED_PIECE | Flag.ADDRESSED)}
"""As numbers: the complement of a Flag knows only the flags that there are."""
_PIECES: Final = int(Flag.PIECE | Flag.SEALED_PIECE)
"""These two exclude each other."""
_TYPES: Final = {int(kind): kind for kind in PacketType}


class Header(NamedTuple):
    """One packet's header; the nonce of its seal is salt and counter."""

    type: PacketType
    flags: int
    key: int
    """kid of the authkey (HELLO, ANSWER, COOKIE); the receiver's session index (PAIR);
    the sender key's generation (GROUP)."""
    sender: NodeId
    salt: int
    counter: int

    def encode(self) -> bytes:
        """24 bytes."""
        first = VERSION << 4 | self.type
        return _LAYOUT.pack(
            MAGIC, first, self.flags, self.key, self.sender, self.salt, self.counter
        )


def is_group(packet: Buffer) -> bool:
    """Whether it begins as a GROUP packet of this version does, and has a whole header."""
    return len(packet) >= HEADER_BYTES and packet[0] == MAGIC and packet[1] == _GROUP


def encode_nonce(salt: int, counter: int) -> bytes:
    """12 bytes for the AEAD."""
    return salt.to_bytes(4, "big") + counter.to_bytes(8, "big")


def decode_header(packet: Buffer) -> Header:
    """The header of a packet; WireError."""
    if len(packet) < HEADER_BYTES:
        raise WireError(f"packet of {len(packet)} bytes has no header")
    magic, first, flags, key, sender, salt, counter = _LAYOUT.unpack_from(packet)
    if magic != MAGIC or first >> 4 != VERSION:
        raise WireError(f"packet begins with {magic:#04x} {first:#04x}")
    kind = _TYPES.get(first & 0x0F)
    if kind is None:
        raise WireError(f"packet of type {first & 0x0F}")
    if flags & ~_KNOWN_FLAGS.get(kind, 0) or flags & _PIECES == _PIECES:
        raise WireError(f"packet of type {kind} with flags {flags:#x}")
    return Header(kind, flags, key, NodeId(sender), salt, counter)
