"""What members tell each other about authkeys, in the order of the ring: fingerprints, never keys.

Speaks:      the body of a native ring message of kind keyring: an order (8 bytes), or what a node
             holds (20 bytes, and 4 for each retired key).
Counterpart: none, this format is ours; Serf's key ring for the meaning (install, use, remove).
Keeps:       no byte of a key is ever in here.
"""

from enum import IntEnum
from struct import Struct
from typing import Final

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.limits import KEYS_RETIRED_MAX

KID_BYTES: Final = 4
_ORDER: Final = Struct("<B3x4s")
_HELD: Final = Struct("<BBHI4s4s4s")
assert _ORDER.size == 8
assert _HELD.size == 20
_KIND_HELD: Final = 64
_HAS_NEXT: Final = 1
_HAS_PREVIOUS: Final = 2
_NO_KID: Final = bytes(KID_BYTES)


class Order(IntEnum):
    """What an operator wants of all nodes."""

    INSTALL = 1
    """Hold this key as the next one: accept it."""
    USE = 2
    """Begin with the next key from here on, and accept the former one."""
    REMOVE = 3
    """Accept this key no more, ever."""


@event
class Ordered:
    """An order about the key of fingerprint `kid`."""

    order: Order
    kid: bytes


@event
class Held:
    """What the sender has on its disk, as fingerprints."""

    serial: int
    """Grows with each that a daemon sends: an older one that comes later counts no more."""
    active: bytes
    next: bytes | None
    previous: bytes | None
    retired: tuple[bytes, ...]

    @property
    def accepted(self) -> tuple[bytes, ...]:
        """The keys with which the node opens handshakes."""
        return tuple(kid for kid in (self.active, self.next, self.previous) if kid is not None)


def encode_ordered(message: Ordered) -> bytes:
    """The body of an order."""
    return _ORDER.pack(message.order, message.kid)


def encode_held(held: Held) -> bytes:
    """The body that tells what a node holds."""
    flags = _HAS_NEXT * (held.next is not None) | _HAS_PREVIOUS * (held.previous is not None)
    kids = held.active, held.next or _NO_KID, held.previous or _NO_KID
    head = _HELD.pack(_KIND_HELD, flags, len(held.retired), held.serial, *kids)
    return head + b"".join(held.retired)


def decode_keyring(body: Buffer) -> Ordered | Held:
    """Either of them; WireError."""
    if len(body) == _ORDER.size:
        number, kid = _ORDER.unpack(body)
        if number not in Order.__members__.values():
            raise WireError(f"order {number} about a key")
        return Ordered(Order(number), kid)
    if len(body) < _HELD.size or body[0] != _KIND_HELD:
        raise WireError(f"keyring message of {len(body)} bytes")
    _, flags, count, serial, active, next_kid, previous = _HELD.unpack_from(body)
    rest = bytes(body[_HELD.size :])
    if count > KEYS_RETIRED_MAX or len(rest) != count * KID_BYTES:
        raise WireError(f"keyring message of {len(body)} bytes with {count} retired keys")
    return Held(
        serial,
        active,
        next_kid if flags & _HAS_NEXT else None,
        previous if flags & _HAS_PREVIOUS else None,
        tuple(rest[at : at + KID_BYTES] for at in range(0, len(rest), KID_BYTES)),
    )
