"""Engine: the machine that holds all services of one node between the ring and the local clients.

Speaks:      groups "a", "sync" and "unisono" on the ring; requests of local clients.
Counterpart: corosync exec/main.c (deliver_fn, confchg_fn), exec/service.c, exec/ipc_glue.c.
Keeps:       one ordered list of effects; whatever a peer or a client sends, nothing raises.
Never:       is given requests of clients while `accepting` is False; the ring refuses no Multicast.
"""

from collections.abc import Callable
from struct import error as StructError
from typing import Any, Final, TypeAlias

from unisono.base.clients import (
    ClientConnected,
    ClientGone,
    ClientRequest,
    Credentials,
    Disconnect,
    Service,
)
from unisono.base.errors import CsError, WireError
from unisono.base.group import ConfigurationChanged, ConfigurationKind, Delivered, Submitted
from unisono.base.ids import ClientId, Nanos, NodeId
from unisono.base.keyring import KeyringView
from unisono.base.marks import Mark
from unisono.config.reload import ConfigurationRead, ReloadAsked
from unisono.config.settings import Settings
from unisono.services.cfg import Cfg
from unisono.services.cluster import Cluster, Connection, Effect, SyncPart
from unisono.services.cmap import Cmap
from unisono.services.cmap_view import CmapView
from unisono.services.cpg import Cpg
from unisono.services.cpg_client import CpgClient
from unisono.services.native import Native
from unisono.services.quorum import Quorum
from unisono.services.reload import Reload
from unisono.services.sync import Sync
from unisono.services.votequorum import Votequorum
from unisono.wire.ipc.qb import encode_status, message_id
from unisono.wire.service import cfg as cfg_wire
from unisono.wire.service import cmap as cmap_wire
from unisono.wire.service import cpg as cpg_wire
from unisono.wire.service import header
from unisono.wire.service import votequorum as votequorum_wire

Handler = Callable[[NodeId, memoryview], None]
Request: TypeAlias = ClientConnected | ClientRequest | ClientGone | ConfigurationRead | ReloadAsked
_SERVICES: Final = header.GROUP_SERVICES
_SYNC: Final = header.GROUP_SYNC
_NATIVE: Final = header.GROUP_NATIVE
_read_id: Final = header.ID.unpack_from


class Engine:
    """The services of one node, with the verbs of every machine."""

    __slots__ = (
        "_cluster",
        "_cmap",
        "_cpg",
        "_quorum",
        "_votequorum",
        "_sync",
        "_native",
        "_reload",
        "_handlers",
        "_clients",
        "_connectors",
        "_has_announced",
    )

    def __init__(self, settings: Settings, *, owner: int = 0) -> None:
        """`owner` is the daemon's own effective uid, which may give orders as root may."""
        cluster = Cluster(settings, owner)
        self._cluster = cluster
        self._cmap = Cmap(cluster)
        self._cpg = Cpg(cluster)
        self._quorum = Quorum(cluster)
        self._votequorum: Votequorum | None = None
        parts: list[SyncPart] = [self._cmap, self._cpg, self._quorum]
        if settings.quorum.votequorum:
            self._votequorum = Votequorum(cluster, self._quorum.set_quorate)
            parts.append(self._votequorum)
        self._sync = Sync(cluster, parts)
        self._reload = Reload(cluster, self._take_settings)
        self._native = Native(cluster, self._cpg, self._sync, self._reload, self.status)
        cfg = Cfg(cluster, self._reload)
        self._handlers = self._ring_handlers(cfg)
        self._clients: dict[ClientId, Connection] = {}
        self._connectors = self._client_services(cfg)
        self._has_announced = False

    # -- the verbs ---------------------------------------------------------------------------------

    def receive(self, event: Delivered | ConfigurationChanged, now: Nanos) -> None:
        """A message or a configuration of the ring."""
        del now
        if isinstance(event, ConfigurationChanged):
            self._configuration(event)
            return
        # Every message passes here: what can be done without a call is done without one.
        try:
            group = event.group
            if group == _SERVICES:
                payload = event.payload
                handler = self._handlers.get(_read_id(payload)[0])
                if handler is not None:
                    handler(event.origin, payload)
                else:
                    self._unknown(event)
            elif group == _NATIVE:
                self._native.receive(event)
            elif group == _SYNC:
                self._synchronise(event)
        except (WireError, StructError) as error:
            self._cluster.mark(Mark.SERVICE_MESSAGE_MALFORMED, event.origin, 0, str(error))

    def submit(self, request: Request, now: Nanos) -> Submitted:
        """A local client came, asks or went, or the executive has something to say.

        Always accepted; full queues stop the drivers.
        """
        del now
        if isinstance(request, ClientRequest):
            connection = self._clients.get(request.client)
            if connection is not None:
                try:
                    connection.request(request.message)
                except WireError as error:
                    self._disconnect(request.client, str(error))
        elif isinstance(request, ClientConnected):
            self._connect(request)
        elif isinstance(request, ConfigurationRead):
            self._reload.read(request)
        elif isinstance(request, ReloadAsked):
            self._reload.ask(self._mark_reload)
        else:
            gone = self._clients.pop(request.client, None)
            if gone is not None:
                gone.gone()
        return Submitted.ACCEPTED

    def expire(self, now: Nanos) -> None:
        """Nothing here waits for a time."""

    def deadline(self) -> Nanos | None:
        """Nothing here waits for a time."""
        return None

    def drain(self) -> list[Effect]:
        """Everything to be done since the last call, in order."""
        effects = self._cluster.effects
        self._cluster.effects = []
        return effects

    # -- for drivers -------------------------------------------------------------------------------

    @property
    def accepting(self) -> bool:
        """Whether clients may connect and ask: the current configuration is agreed upon."""
        return self._sync.finished and not self._native.holds

    @property
    def agreed(self) -> bool:
        """Whether application messages flow; clients may have to wait longer than that."""
        return self._sync.finished

    @property
    def is_reloading(self) -> bool:
        """Whether files are being read again: one that changes now is seen by some."""
        return self._reload.is_under_way

    @property
    def settings(self) -> Settings:
        """Those that hold at this place of the order."""
        return self._cluster.settings

    @property
    def quorate(self) -> bool:
        """Whether this partition has the majority, or nobody counts."""
        return self._quorum.quorate

    def status(self) -> dict[str, object]:
        """What `unisono status` shows; plain values only."""
        cluster = self._cluster
        groups = {
            name.decode("utf-8", "backslashreplace"): [
                {"node": member.node_id, "pid": member.pid} for member in group.members
            ]
            for name, group in sorted(self._cpg.groups.by_name.items())
        }
        status: dict[str, object] = {
            "node_id": cluster.node_id,
            "ring": {"rep": cluster.ring.rep, "seq": cluster.ring.seq},
            "members": list(cluster.members),
            "sync": {
                "state": self._sync.state.value,
                "service": self._sync.phase_service,
                "aborted": self._sync.aborted,
            },
            "native": cluster.native,
            "quorate": self._quorum.quorate,
            "groups": groups,
            "clients": len(self._clients),
            "messages": {"cpg": self._cpg.delivered, "blocks": self._native.delivered},
            "marks": {mark.name: number for mark, number in sorted(cluster.counters.items())},
        }
        if self._votequorum is not None:
            status["votes"] = {
                "expected": self._votequorum.expected_votes,
                "total": self._votequorum.total_votes,
                "quorum": self._votequorum.quorum,
            }
        return status

    # -- from the ring -----------------------------------------------------------------------------

    def _configuration(self, event: ConfigurationChanged) -> None:
        is_regular = event.kind is ConfigurationKind.REGULAR
        if is_regular and not self._has_announced and self._votequorum is not None:
            # A peer that knows our votes before it hears of our quorum device does not stop.
            self._has_announced = True
            self._votequorum.announce()
        self._cpg.set_agreed(False)
        if is_regular:
            self._reload.change()
        self._sync.change(event)
        if is_regular and self._cluster.has_keyring:
            self._cluster.effects.append(KeyringView(event.members))

    def _synchronise(self, event: Delivered) -> None:
        was_finished = self._sync.finished
        self._sync.receive(event.origin, event.payload)
        if self._sync.finished and not was_finished:
            self._cpg.set_agreed(True)
            self._reload.settled()

    def _unknown(self, event: Delivered) -> None:
        ident = header.message_id(event.payload)
        self._cluster.mark(Mark.SERVICE_MESSAGE_UNKNOWN, event.origin, ident)

    def _take_settings(self, settings: Settings) -> None:
        self._cluster.settings = settings
        self._cmap.reconfigure()
        if self._votequorum is not None:
            self._votequorum.reconfigure()

    def _mark_reload(self, error: CsError, outcome: dict[str, Any]) -> None:
        """Whoever asked by a signal reads the log."""
        done = "done" if error is CsError.OK else "failed"
        text = f"{done}; {outcome['text']}" if outcome["text"] else done
        self._cluster.mark(Mark.RELOAD_ENDED, error, text=text)

    def _ring_handlers(self, cfg: Cfg) -> dict[int, Handler]:
        handlers: dict[int, Handler] = {
            cmap_wire.MCAST: self._cmap.on_mcast,
            cfg_wire.RINGREENABLE: cfg.on_sourced,
            cfg_wire.KILLNODE: cfg.on_killnode,
            cfg_wire.SHUTDOWN: cfg.on_shutdown,
            cfg_wire.RELOAD_CONFIG: cfg.on_reload_config,
            cfg_wire.CRYPTO_RECONFIG: cfg.on_crypto_reconfig,
            cpg_wire.PROCJOIN: self._cpg.on_procjoin,
            cpg_wire.PROCLEAVE: self._cpg.on_procleave,
            cpg_wire.JOINLIST: self._cpg.on_joinlist,
            cpg_wire.MCAST: self._cpg.on_mcast,
            cpg_wire.DOWNLIST: self._cpg.on_downlist,
            cpg_wire.PARTIAL_MCAST: self._cpg.on_partial_mcast,
        }
        if self._votequorum is not None:
            handlers[votequorum_wire.NODEINFO] = self._votequorum.on_nodeinfo
            handlers[votequorum_wire.RECONFIGURE] = self._votequorum.on_reconfigure
            handlers[votequorum_wire.QDEVICE_REG] = self._votequorum.on_qdevice_reg
            handlers[votequorum_wire.QDEVICE_RECONFIGURE] = self._votequorum.on_qdevice_reconfigure
        return handlers

    # -- local clients -----------------------------------------------------------------------------

    def _client_services(
        self, cfg: Cfg
    ) -> dict[Service, Callable[[ClientId, Credentials], Connection]]:
        view = CmapView(self._cluster, self._cmap, self._waits_for_all)
        return {
            Service.CMAP: view.connect,
            Service.CFG: cfg.connect,
            Service.CPG: lambda client, who: CpgClient(self._cluster, self._cpg, client, who),
            Service.QUORUM: self._quorum.connect,
            Service.VOTEQUORUM: lambda client, _: _Unsupported(self._cluster, client),
            Service.NATIVE: self._native.connect,
        }

    def _waits_for_all(self) -> bool:
        return self._votequorum is not None and self._votequorum.waits_for_all

    def _connect(self, request: ClientConnected) -> None:
        assert request.client not in self._clients, "a client number is never used again"
        connector = self._connectors[request.service]
        self._clients[request.client] = connector(request.client, request.credentials)

    def _disconnect(self, client: ClientId, reason: str) -> None:
        self._cluster.effects.append(Disconnect(client, reason))


class _Unsupported:
    """A client of a service that has no requests yet."""

    __slots__ = ("_cluster", "_client")

    def __init__(self, cluster: Cluster, client: ClientId) -> None:
        self._cluster = cluster
        self._client = client

    def request(self, message: memoryview) -> None:
        """Every request has the same answer. WireError disconnects the client."""
        message_id(message)
        self._cluster.reply(self._client, encode_status(0, CsError.NOT_SUPPORTED))

    def gone(self) -> None:
        """Nothing is kept."""
