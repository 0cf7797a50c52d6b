"""Cluster: what every service of this node shares, and the one way out for what they want done.

Keeps:       effects stay in the order in which the services asked for them.
Never:       decides anything.
"""

from typing import Final, Protocol, TypeAlias

from unisono.base.clients import (
    Disconnect,
    DumpAsked,
    Notify,
    ReopenLogs,
    Reply,
    ShutDown,
)
from unisono.base.group import Buffer, Guarantee, Marked, Multicast, SyncFinished
from unisono.base.ids import NO_RING, ClientId, NodeId, RingId
from unisono.base.keyring import KeyringAsked, KeyringDelivered, KeyringView
from unisono.base.marks import Mark
from unisono.config.reload import ReadConfiguration, SettingsChanged
from unisono.config.settings import Settings
from unisono.wire.service.header import GROUP_SERVICES

Effect: TypeAlias = (
    Multicast
    | SyncFinished
    | Reply
    | Notify
    | Disconnect
    | ShutDown
    | Marked
    | KeyringView
    | KeyringDelivered
    | KeyringAsked
    | DumpAsked
    | ReopenLogs
    | ReadConfiguration
    | SettingsChanged
)
STATUS_FATAL: Final = 255
"""Exit status of a daemon that was killed by an order, or has the wrong configuration version."""


class Connection(Protocol):
    """One local client, as the engine sees it."""

    def request(self, message: memoryview) -> None:
        """Answer one message; WireError disconnects the client."""
        ...

    def gone(self) -> None:
        """The client is no more."""
        ...


class SyncPart(Protocol):
    """A service that takes part in the synchronisation after a configuration change."""

    @property
    def service(self) -> int:
        """Its number on the ring; phases run in ascending order."""
        ...

    def sync_init(self, survivors: frozenset[NodeId]) -> None:
        """A regular configuration came; `survivors` stayed with us since the one before."""
        ...

    def sync_process(self) -> None:
        """This service's phase begins: tell the others what they must know."""
        ...

    def sync_activate(self) -> None:
        """Every member's messages of this phase are delivered."""
        ...

    def sync_abort(self) -> None:
        """The configuration is no more; forget what was told in it. Called in every phase."""
        ...


class Cluster:
    """Shared state of the services of one node."""

    __slots__ = (
        "settings",
        "node_id",
        "ring",
        "members",
        "native",
        "native_ring",
        "effects",
        "counters",
        "has_keyring",
        "owner",
    )

    def __init__(self, settings: Settings, owner: int = 0) -> None:
        self.settings = settings
        self.owner = owner
        """The daemon's own effective uid."""
        self.node_id = settings.node_id
        self.ring: RingId = NO_RING
        """The regular configuration installed last."""
        self.members: tuple[NodeId, ...] = ()
        """Its members, ascending."""
        self.native = False
        """Whether every member is Unisono, as the last complete synchronisation found."""
        self.native_ring: RingId = NO_RING
        """The ring on which private blocks are valid; the last one that was found all-native."""
        self.effects: list[Effect] = []
        self.counters: dict[Mark, int] = {}
        self.has_keyring = settings.transport.secure is not None
        """Whether there are authkeys, and somebody who takes effects about them."""

    def mark(self, mark: Mark, a: int = 0, b: int = 0, text: str = "") -> None:
        """Count and emit a mark."""
        self.counters[mark] = self.counters.get(mark, 0) + 1
        self.effects.append(Marked(mark, a, b, text))

    def multicast(self, payload: Buffer, guarantee: Guarantee = Guarantee.AGREED) -> None:
        """Send a service message to every member."""
        self.effects.append(Multicast(GROUP_SERVICES, payload, guarantee))

    def reply(self, client: ClientId, message: Buffer) -> None:
        """Answer the client's oldest unanswered request."""
        self.effects.append(Reply(client, message))

    def notify(self, client: ClientId, message: Buffer) -> None:
        """Tell the client something that it did not ask for just now."""
        self.effects.append(Notify(client, [message]))
