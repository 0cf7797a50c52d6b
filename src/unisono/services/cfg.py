"""CFG: an administrator's orders to nodes, and what tools ask about nodes and their addresses.

Speaks:      service 1 on the ring; CFG requests of local clients.
Counterpart: corosync exec/cfg.c.
Keeps:       only the node that an order names obeys it; the others note that it was given.
Never:       renews keys or re-enables links (answered "not supported").
"""

from collections.abc import Callable
from ipaddress import ip_address

from unisono.base.clients import Credentials, ReopenLogs, ShutDown
from unisono.base.errors import CsError
from unisono.base.group import Guarantee
from unisono.base.ids import ClientId, NodeId
from unisono.base.marks import Mark
from unisono.config.settings import NodeSettings
from unisono.services.access import may_order
from unisono.services.cluster import STATUS_FATAL, Cluster
from unisono.services.reload import Reload
from unisono.wire.ipc import cfg as ipc
from unisono.wire.ipc import cfg_status
from unisono.wire.ipc.cfg import Request, Response
from unisono.wire.ipc.qb import encode_status, message_id
from unisono.wire.service import cfg as wire


class Cfg:
    """The service on the ring."""

    __slots__ = ("_cluster", "_reload")

    def __init__(self, cluster: Cluster, reload: Reload) -> None:
        self._cluster = cluster
        self._reload = reload

    def connect(self, client: ClientId, credentials: Credentials) -> "CfgClient":
        """A new connection."""
        return CfgClient(self._cluster, self._reload, client, credentials)

    def on_killnode(self, origin: NodeId, message: memoryview) -> None:
        """A node must end at once. WireError."""
        order = wire.decode_killnode(message)
        reason = order.reason.decode(errors="replace")
        self._cluster.mark(Mark.NODE_KILLED, order.node_id, origin, reason)
        if order.node_id == self._cluster.node_id:
            why = f"killed by node {origin}: {reason}"
            effect = ShutDown(reason=why, clean=False, status=STATUS_FATAL)
            self._cluster.effects.append(effect)

    def on_shutdown(self, origin: NodeId, message: memoryview) -> None:
        """The sender leaves by its administrator's will. WireError."""
        wire.decode_shutdown(message)
        if origin == self._cluster.node_id:
            effect = ShutDown(reason="shut down by the administrator", clean=True, status=0)
            self._cluster.effects.append(effect)

    def on_reload_config(self, origin: NodeId, message: memoryview) -> None:
        """Every node reads its configuration again, and changes for itself. WireError."""
        wire.decode_sourced(message)
        self._reload.on_reload_config(origin)

    def on_sourced(self, origin: NodeId, message: memoryview) -> None:
        """Ringreenable: noted only. WireError."""
        wire.decode_sourced(message)
        self._cluster.mark(Mark.SERVICE_ORDER_IGNORED, origin)

    def on_crypto_reconfig(self, origin: NodeId, message: memoryview) -> None:
        """New keys concern the transport that has keys; noted only. WireError."""
        phase = wire.decode_crypto_reconfig(message)
        self._cluster.mark(Mark.SERVICE_ORDER_IGNORED, origin, phase)


class CfgClient:
    """One connection."""

    __slots__ = ("_client", "_cluster", "_credentials", "_handlers", "_reload")

    def __init__(
        self, cluster: Cluster, reload: Reload, client: ClientId, credentials: Credentials
    ) -> None:
        self._cluster = cluster
        self._reload = reload
        self._client = client
        self._credentials = credentials
        self._handlers: dict[int, Callable[[memoryview], bytes | None]] = {
            Request.RINGSTATUSGET: self._on_ring_status,
            Request.RINGREENABLE: lambda _: _unsupported(Response.RINGREENABLE),
            Request.KILLNODE: self._on_killnode,
            Request.TRYSHUTDOWN: lambda _: _unsupported(Response.TRYSHUTDOWN),
            Request.REPLYTOSHUTDOWN: self._on_reply_to_shutdown,
            Request.GET_NODE_ADDRS: self._on_get_node_addrs,
            Request.LOCAL_GET: self._on_local_get,
            Request.RELOAD_CONFIG: self._on_reload_config,
            Request.REOPEN_LOG_FILES: self._on_reopen_log_files,
            Request.NODESTATUSGET: self._on_node_status,
            Request.TRACKSTART: lambda _: encode_status(Response.TRACKSTART, CsError.OK),
            Request.TRACKSTOP: lambda _: encode_status(Response.TRACKSTOP, CsError.OK),
        }

    def request(self, message: memoryview) -> None:
        """Answer one request. WireError disconnects the client."""
        ident = message_id(message)
        handler = self._handlers.get(ident)
        if handler is None:
            self._cluster.mark(Mark.CLIENT_REQUEST_UNKNOWN, self._client, ident)
            self._cluster.reply(self._client, encode_status(0, CsError.INVALID_PARAM))
            return
        answer = handler(message)
        if answer is not None:  # else it follows
            self._cluster.reply(self._client, answer)

    def gone(self) -> None:
        """The connection ended; nothing is kept of it."""

    def _find(self, node_id: int) -> NodeSettings | None:
        for node in self._cluster.settings.nodes:
            if node.node_id == node_id:
                return node
        return None

    def _on_local_get(self, _message: memoryview) -> bytes:
        return ipc.encode_local_get_reply(self._cluster.node_id)

    def _on_killnode(self, message: memoryview) -> bytes:
        order = ipc.decode_killnode(message)
        if order.node_id not in self._cluster.members:
            return encode_status(Response.KILLNODE, CsError.NOT_EXIST)
        killnode = wire.encode_killnode(wire.KillNode(order.node_id, order.reason))
        self._cluster.multicast(killnode, Guarantee.SAFE)
        return encode_status(Response.KILLNODE, CsError.OK)

    def _on_reload_config(self, _message: memoryview) -> bytes | None:
        def answer(error: CsError, _outcome: object) -> None:
            self._cluster.reply(self._client, encode_status(Response.RELOAD_CONFIG, error))

        if not may_order(self._credentials, self._cluster.owner):
            return encode_status(Response.RELOAD_CONFIG, CsError.ACCESS)
        self._reload.ask(answer)
        return None

    def _on_reopen_log_files(self, _message: memoryview) -> bytes:
        error = CsError.ACCESS
        if may_order(self._credentials, self._cluster.owner):
            self._cluster.effects.append(ReopenLogs())
            error = CsError.OK
        return encode_status(Response.REOPEN_LOG_FILES, error)

    def _on_reply_to_shutdown(self, _message: memoryview) -> bytes:
        return encode_status(Response.REPLYTOSHUTDOWN, CsError.ACCESS)

    def _on_get_node_addrs(self, message: memoryview) -> bytes:
        node = self._find(ipc.decode_get_node_addrs(message) or self._cluster.node_id)
        if node is None or not any(node.addresses):
            return ipc.encode_get_node_addrs_reply(ipc.AF_INET, [], CsError.NOT_EXIST)
        addresses = [ip_address(address) for address in node.addresses if address]
        family = ipc.AF_INET6 if addresses[0].version == 6 else ipc.AF_INET
        packed = [one.packed for one in addresses if one.version == addresses[0].version]
        return ipc.encode_get_node_addrs_reply(family, packed)

    def _on_ring_status(self, _message: memoryview) -> bytes:
        node = self._find(self._cluster.node_id)
        addresses = node.addresses if node is not None else ()
        rings = [(f"{link} {address}", "OK") for link, address in enumerate(addresses) if address]
        return cfg_status.encode_ring_status_reply(rings)

    def _on_node_status(self, message: memoryview) -> bytes:
        node_id, version = cfg_status.decode_node_status_get(message)
        if version != cfg_status.NODE_STATUS_VERSION:
            return cfg_status.encode_node_status_failure(CsError.NOT_SUPPORTED)
        node = self._find(node_id)
        own = self._find(self._cluster.node_id)
        if node is None or own is None:
            return cfg_status.encode_node_status_failure(CsError.FAILED_OPERATION)
        reachable = node_id in self._cluster.members
        mtu = self._cluster.settings.ring.net_mtu_bytes
        links = [
            cfg_status.Link(connected=reachable, mtu=mtu, source=source, destination=destination)
            for source, destination in zip(own.addresses, node.addresses, strict=False)
            if source and destination
        ]
        return cfg_status.encode_node_status_reply(node_id, links, reachable=reachable)


def _unsupported(response: Response) -> bytes:
    return encode_status(response, CsError.NOT_SUPPORTED)
