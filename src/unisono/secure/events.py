"""Events: what the owner asks of the secure transport, and what it must carry out.

Speaks:      requests for `Secure.submit`, effects from `Secure.drain`.
Keeps:       a way is a node and a link; which address that is, the owner knows.
"""

from collections.abc import Sequence
from typing import TypeAlias

from unisono.base.event import event
from unisono.base.group import Buffer, Marked, SendAll, SendTo
from unisono.base.ids import NodeId
from unisono.secure.plan import SecurePlan
from unisono.wire.ust.records import Record, Rotate

Way: TypeAlias = tuple[NodeId, int]
"""A node, and the number of the link to it."""

# -- requests -----------------------------------------------------------------------------------


@event
class Begin:
    """The sockets are open: greet everybody."""


@event
class Farewell:
    """This daemon ends now, on purpose: tell everybody, then say nothing more."""


@event
class Unreachable:
    """The kernel was told that nobody listens there: a hint that anybody can forge."""

    node: NodeId
    link: int


@event
class PathLimit:
    """The interface of the link takes UDP payloads of at most so many bytes."""

    link: int
    bytes: int


@event
class Paused:
    """This process stood still, perhaps as a machine that was rolled back: use fresh keys."""


@event
class Tell:
    """Send this record to the node in its session; without a session it is dropped."""

    node: NodeId
    record: Record


@event
class KeysChanged:
    """The keyring of the context was changed: greet with the active key from now on."""


@event
class Replan:
    """Other nodes, links or priorities hold from now on."""

    plan: SecurePlan


Request: TypeAlias = (
    SendTo
    | SendAll
    | Begin
    | Farewell
    | Unreachable
    | PathLimit
    | Paused
    | Tell
    | KeysChanged
    | Replan
)

# -- effects ------------------------------------------------------------------------------------


@event
class Transmit:
    """Send every packet, in order, over every way."""

    ways: tuple[Way, ...]
    packets: Sequence[bytes]
    """Several of one size as a Run."""


@event
class Arrived:
    """Authentic datagrams of a node, new and in order."""

    node: NodeId
    frames: list[Buffer]


@event
class PeerGone:
    """The daemon on the node has ended: it said so, or its port is closed and it is silent."""

    node: NodeId


@event
class Adopted:
    """A new session with the node is in use; its handshake was made with the authkey `kid`."""

    node: NodeId
    kid: bytes
    is_new_life: bool
    """Whether the peer's daemon was started since the last session."""


@event
class KeyTold:
    """A peer tells of an authkey, in its session."""

    node: NodeId
    record: Rotate


Effect: TypeAlias = Transmit | Arrived | PeerGone | Adopted | KeyTold | Marked
