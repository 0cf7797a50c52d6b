"""QUORUM: tells local clients whether this partition is quorate, and who is in it.

Speaks:      requests 0-4 and events 3, 6, 7 of the quorum service; on the ring only barriers.
Counterpart: corosync exec/vsf_quorum.c.
Keeps:       without a provider the partition is always quorate and the type is "free".
"""

from collections.abc import Callable

from unisono.base.clients import Credentials
from unisono.base.errors import CsError
from unisono.base.ids import ClientId, NodeId
from unisono.base.marks import Mark
from unisono.services.cluster import Cluster
from unisono.wire.ipc import quorum as ipc
from unisono.wire.ipc.qb import encode_status, message_id
from unisono.wire.ipc.quorum import Request, Response
from unisono.wire.service.header import RingService


class Quorum:
    """The service: the verdict, the membership, and who tracks them."""

    service = RingService.QUORUM
    __slots__ = ("_cluster", "clients", "provided", "quorate", "members", "joined", "left")

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.clients: dict[ClientId, QuorumClient] = {}
        self.provided = cluster.settings.quorum.votequorum
        self.quorate = not self.provided
        self.members: tuple[NodeId, ...] = ()
        """Members of the last configuration that was agreed upon."""
        self.joined: tuple[NodeId, ...] = ()
        self.left: tuple[NodeId, ...] = ()

    @property
    def type(self) -> int:
        """Type of the provider."""
        return ipc.TYPE_SET if self.provided else ipc.TYPE_FREE

    def connect(self, client: ClientId, _credentials: Credentials) -> "QuorumClient":
        """A new connection."""
        self.clients[client] = QuorumClient(self._cluster, self, client)
        return self.clients[client]

    def set_quorate(self, quorate: bool) -> None:
        """The provider's verdict; every tracker hears of it."""
        self.quorate = quorate
        for client in self.clients.values():
            if client.tracks:
                client.tell_quorum()

    # -- synchronisation ---------------------------------------------------------------------------

    def sync_init(self, survivors: frozenset[NodeId]) -> None:
        """Nothing to prepare."""

    def sync_process(self) -> None:
        """Nothing to tell: the phase has barriers only."""

    def sync_activate(self) -> None:
        """The new membership, for trackers; without a provider that is the verdict as well."""
        members = self._cluster.members
        self.joined = tuple(node for node in members if node not in self.members)
        self.left = tuple(node for node in self.members if node not in members)
        self.members = members
        for client in self.clients.values():
            if client.tracks and client.model:
                client.tell_nodes(self.joined, self.left)
        if not self.provided:
            self.set_quorate(True)

    def sync_abort(self) -> None:
        """Nothing was told."""


class QuorumClient:
    """One connection."""

    __slots__ = ("_cluster", "_quorum", "_client", "_handlers", "tracks", "model")

    def __init__(self, cluster: Cluster, quorum: Quorum, client: ClientId) -> None:
        self._cluster = cluster
        self._quorum = quorum
        self._client = client
        self.tracks = False
        self.model = 0
        self._handlers: dict[int, Callable[[memoryview], bytes]] = {
            Request.GETQUORATE: self._on_getquorate,
            Request.TRACKSTART: self._on_trackstart,
            Request.TRACKSTOP: self._on_trackstop,
            Request.GETTYPE: self._on_gettype,
            Request.MODEL_GETTYPE: self._on_model_gettype,
        }

    def request(self, message: memoryview) -> None:
        """Answer one request. WireError disconnects the client."""
        ident = message_id(message)
        handler = self._handlers.get(ident)
        if handler is None:
            self._cluster.mark(Mark.CLIENT_REQUEST_UNKNOWN, self._client, ident)
            self._cluster.reply(self._client, encode_status(0, CsError.INVALID_PARAM))
        else:
            self._cluster.reply(self._client, handler(message))

    def gone(self) -> None:
        """The connection ended."""
        self._quorum.clients.pop(self._client, None)

    def _on_getquorate(self, _message: memoryview) -> bytes:
        return ipc.encode_getquorate_reply(self._quorum.quorate)

    def _on_gettype(self, _message: memoryview) -> bytes:
        return ipc.encode_gettype_reply(self._quorum.type)

    def _on_model_gettype(self, message: memoryview) -> bytes:
        model = ipc.decode_model_gettype(message)
        if model not in (0, 1):
            return ipc.encode_model_gettype_reply(self._quorum.type, CsError.INVALID_PARAM)
        self.model = model
        return ipc.encode_model_gettype_reply(self._quorum.type)

    def _on_trackstart(self, message: memoryview) -> bytes:
        flags = ipc.decode_trackstart(message)
        # The events of the current state come before the answer, even when that is a refusal.
        if flags & (ipc.TRACK_CURRENT | ipc.TRACK_CHANGES):
            if self.model:
                self.tell_nodes((), ())
            self.tell_quorum()
        error = CsError.OK
        if flags & (ipc.TRACK_CHANGES | ipc.TRACK_CHANGES_ONLY):
            error = CsError.EXIST if self.tracks else CsError.OK
            self.tracks = True
        return encode_status(Response.TRACKSTART, error)

    def _on_trackstop(self, _message: memoryview) -> bytes:
        self.tracks = False
        return encode_status(Response.TRACKSTOP, CsError.OK)

    def tell_quorum(self) -> None:
        """The event of the connection's model: the verdict and the members."""
        ring, members = self._cluster.ring, self._quorum.members
        if self.model:
            event = ipc.encode_v1_quorum(self._quorum.quorate, ring, members)
        else:
            event = ipc.encode_notification(self._quorum.quorate, ring.seq, members)
        self._cluster.notify(self._client, event)

    def tell_nodes(self, joined: tuple[NodeId, ...], left: tuple[NodeId, ...]) -> None:
        """The membership event of model 1."""
        members = self._quorum.members
        event = ipc.encode_v1_nodelist(self._cluster.ring, members, joined, left)
        self._cluster.notify(self._client, event)
