"""The keyring port: what the ring and the operators say to the rotation of authkeys.

Speaks:      effects of the services, in the ring's order: `KeyringView`, `KeyringDelivered`,
             `KeyringAsked`.
Keeps:       services and secure never import each other; both import this.
"""

from unisono.base.clients import Credentials
from unisono.base.event import event
from unisono.base.ids import ClientId, NodeId


@event
class KeyringView:
    """A regular configuration was installed."""

    members: tuple[NodeId, ...]


@event
class KeyringDelivered:
    """A message about authkeys, at its place in the order; `body` as in wire.service.keyring."""

    origin: NodeId
    body: bytes


@event
class KeyringAsked:
    """A local client shows or changes authkeys; the fields are those of the KEYRING frame."""

    client: ClientId
    credentials: Credentials
    request: int
    verb: int
    is_forced: bool
    timeout_ms: int
    argument: bytes

    def __repr__(self) -> str:
        return f"KeyringAsked({self.client}, {self.verb}, {len(self.argument)} bytes)"
