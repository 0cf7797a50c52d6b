"""The group port: all that an ordering layer and the services above it say to each other.

Speaks:      requests down (`Multicast`, `SyncFinished`, `Leave`), events up (`Delivered`,
             `ConfigurationChanged`).
Counterpart: corosync exec/totempg.h (totempg_groups_*); paper "The Totem Single-Ring Ordering
             and Membership Protocol", section 2.
Keeps:       totem and services never import each other; both import this.
"""

from enum import Enum, IntEnum
from typing import TypeAlias

from unisono.base.event import event
from unisono.base.ids import NodeId, RingId, Seq
from unisono.base.marks import Mark

Buffer: TypeAlias = bytes | bytearray | memoryview


class Guarantee(IntEnum):
    """Delivery guarantee of a multicast: agreed order, or agreed order and held by every member."""

    AGREED = 0
    SAFE = 1


class ConfigurationKind(Enum):
    """Extended virtual synchrony announces a transitional configuration before each regular one."""

    TRANSITIONAL = "transitional"
    REGULAR = "regular"


class Submitted(Enum):
    """Answer of a machine to a request: taken for certain, or refused because a queue is full."""

    ACCEPTED = "accepted"
    FULL = "full"


# -- requests, services to the ordering layer -------------------------------------------------


@event
class Multicast:
    """Send `payload` to every member that listens to the process group `group`."""

    group: bytes
    payload: Buffer
    guarantee: Guarantee = Guarantee.AGREED


@event
class SyncFinished:
    """The services agree after the change to `ring`: application messages may flow again.

    `native` is True when every member of the ring is known to be Unisono; the same at all members.
    """

    native: bool
    ring: RingId


@event
class Leave:
    """Leave the ring cleanly; the machine answers with `Left`."""


@event
class Silent:
    """The daemon on `node` is known to be gone: form the next ring without it, at once."""

    node: NodeId


@event
class Pace:
    """Slow the ring down (or stop doing so) because a local reader is behind."""

    slow: bool


# -- events, the ordering layer to services -----------------------------------------------------


@event
class Delivered:
    """A message in agreed (or safe) order: `seq` on `ring` is the packet that completed it."""

    origin: NodeId
    group: bytes
    payload: memoryview
    ring: RingId
    seq: Seq


@event
class ConfigurationChanged:
    """A configuration is installed. `ring` is the new regular ring, for both kinds."""

    kind: ConfigurationKind
    ring: RingId
    members: tuple[NodeId, ...]
    left: tuple[NodeId, ...]
    joined: tuple[NodeId, ...]


# -- effects that drivers carry out -------------------------------------------------------------


@event
class SendTo:
    """Send one datagram to the node `target` (a token)."""

    target: NodeId
    datagram: bytes


@event
class SendAll:
    """Send each datagram, in order, to every other configured node, never to the sender."""

    datagrams: list[bytes]


@event
class StoreRingSeq:
    """Store the ring sequence durably before any later effect of the same list is carried out."""

    seq: int


@event
class Marked:
    """Something noteworthy happened: feeds the flight recorder, the counters and the tests."""

    mark: Mark
    a: int = 0
    b: int = 0
    text: str = ""


@event
class Left:
    """The machine said its goodbye and will not speak again."""


@event
class Discard:
    """Throw away what waits unread in the sockets: it was queued while this process was paused."""
