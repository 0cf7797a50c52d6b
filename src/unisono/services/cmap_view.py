"""CMAP view: the configuration map's keys and values as they are now, and the clients that read it.

Speaks:      CMAP requests GET, ITER_INIT, ITER_NEXT, ITER_FINALIZE, SET_CURRENT_MAP.
Counterpart: corosync exec/cmap.c, exec/main.c (member_object_joined); man page cmap_keys(7).
Keeps:       keys are computed when asked for; an iteration is a snapshot, ascending by key.
Never:       changes a value (SET, DELETE, ADJUST_INT and TRACK are answered "not supported").
"""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Final

from unisono.base.clients import Credentials
from unisono.base.errors import CsError
from unisono.base.ids import MS, ClientId
from unisono.base.limits import CMAP_VALUE_BYTES_MAX, ITERATIONS_PER_CLIENT_MAX
from unisono.base.marks import Mark
from unisono.services.cluster import Cluster
from unisono.services.cmap import Cmap
from unisono.wire.ipc import cmap as ipc
from unisono.wire.ipc.cmap import Request, Response, ValueType
from unisono.wire.ipc.qb import encode_status, message_id

Entry = tuple[ValueType, bytes]
_Raw = tuple[str, ValueType, int | str]
_U8: Final = ValueType.UINT8
_U32: Final = ValueType.UINT32
_U64: Final = ValueType.UINT64
_STRING: Final = ValueType.STRING
_TOTEM_VERSION: Final = 2
"""totem.version: the only one there is."""


class CmapView:
    """The map of this node."""

    __slots__ = ("_cluster", "_cmap", "_waits_for_all")

    def __init__(self, cluster: Cluster, cmap: Cmap, waits_for_all: Callable[[], bool]) -> None:
        self._cluster = cluster
        self._cmap = cmap
        self._waits_for_all = waits_for_all

    def connect(self, client: ClientId, _credentials: Credentials) -> "CmapClient":
        """A new connection."""
        return CmapClient(self._cluster, self, client)

    def entries(self) -> dict[bytes, Entry]:
        """All keys, ascending, with their values as they travel."""
        parts = (self._configured(), self._nodes(), self._timers(), self._members(), self._votes())
        raw = sorted(entry for part in parts for entry in part)
        return {key.encode(): (kind, ipc.encode_value(kind, value)) for key, kind, value in raw}

    def _configured(self) -> Iterator[_Raw]:
        settings = self._cluster.settings
        yield "totem.version", _U32, _TOTEM_VERSION
        yield "totem.transport", _STRING, settings.transport.kind
        if settings.cluster_name:
            yield "totem.cluster_name", _STRING, settings.cluster_name
        if settings.config_version:
            yield "totem.config_version", _U64, settings.config_version
        yield "logging.debug", _STRING, settings.logging.debug
        if settings.quorum.votequorum:
            yield "quorum.provider", _STRING, "corosync_votequorum"

    def _nodes(self) -> Iterator[_Raw]:
        for position, node in enumerate(self._cluster.settings.nodes):
            prefix = f"nodelist.node.{position}."
            yield prefix + "nodeid", _U32, node.node_id
            yield prefix + "quorum_votes", _U32, node.votes
            if node.name:
                yield prefix + "name", _STRING, node.name
            for link, address in enumerate(node.addresses):
                if address:
                    yield f"{prefix}ring{link}_addr", _STRING, address
            if node.node_id == self._cluster.node_id:
                yield "nodelist.local_node_pos", _U32, position

    def _timers(self) -> Iterator[_Raw]:
        ring = self._cluster.settings.ring
        values = {
            "token": ring.token_timeout_ns // MS,
            "token_warning": ring.token_warning_percent,
            "token_retransmit": ring.token_retransmit_ns // MS,
            "hold": ring.hold_ns // MS,
            "join": ring.join_ns // MS,
            "send_join": ring.send_join_ns // MS,
            "consensus": ring.consensus_ns // MS,
            "merge": ring.merge_ns // MS,
            "fail_recv_const": ring.fail_recv_const,
            "seqno_unchanged_const": ring.seqno_unchanged_const,
            "miss_count_const": ring.miss_count_const,
            "window_size": ring.window_size,
            "max_messages": ring.max_messages,
            "cancel_token_hold_on_retransmit": int(ring.cancel_token_hold_on_retransmit),
            "block_unlisted_ips": int(self._cluster.settings.transport.block_unlisted_ips),
        }
        for name, value in values.items():
            yield f"runtime.config.totem.{name}", _U32, value

    def _members(self) -> Iterator[_Raw]:
        addresses = {node.node_id: node.addresses for node in self._cluster.settings.nodes}
        for node_id, seen in self._cmap.seen.items():
            prefix = f"runtime.members.{node_id}."
            ips = enumerate(addresses.get(node_id, ()))
            links = [f"r({link}) ip({ip}) " for link, ip in ips if ip]
            yield prefix + "ip", _STRING, "".join(links)
            yield prefix + "join_count", _U32, seen.join_count
            yield prefix + "status", _STRING, "joined" if seen.is_member else "left"
            yield prefix + "config_version", _U64, seen.config_version

    def _votes(self) -> Iterator[_Raw]:
        quorum = self._cluster.settings.quorum
        if not quorum.votequorum:
            return
        yield "runtime.votequorum.this_node_id", _U32, self._cluster.node_id
        yield "runtime.votequorum.two_node", _U8, int(quorum.two_node)
        if quorum.wait_for_all:
            yield "runtime.votequorum.wait_for_all_status", _U8, int(self._waits_for_all())


class CmapClient:
    """One connection."""

    __slots__ = ("_cluster", "_view", "_client", "_map", "_iterations", "_handles", "_handlers")

    def __init__(self, cluster: Cluster, view: CmapView, client: ClientId) -> None:
        self._cluster = cluster
        self._view = view
        self._client = client
        self._map = ipc.Map.ICMAP
        self._iterations: dict[int, list[tuple[bytes, Entry]]] = {}
        self._handles = count(1)
        self._handlers: dict[int, Callable[[memoryview], bytes]] = {
            Request.SET: lambda _: _unsupported(Response.SET),
            Request.DELETE: lambda _: _unsupported(Response.DELETE),
            Request.GET: self._on_get,
            Request.ADJUST_INT: lambda _: _unsupported(Response.ADJUST_INT),
            Request.ITER_INIT: self._on_iter_init,
            Request.ITER_NEXT: self._on_iter_next,
            Request.ITER_FINALIZE: self._on_iter_finalize,
            Request.TRACK_ADD: lambda _: _unsupported(Response.TRACK_ADD),
            Request.TRACK_DELETE: lambda _: _unsupported(Response.TRACK_DELETE),
            Request.SET_CURRENT_MAP: self._on_set_current_map,
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
        """The connection ended; its iterations end with this object."""

    def _entries(self) -> dict[bytes, Entry]:
        # The map of statistics is there and empty.
        return self._view.entries() if self._map is ipc.Map.ICMAP else {}

    def _on_get(self, message: memoryview) -> bytes:
        try:
            key, buffer_bytes = ipc.decode_get(message)
        except ipc.NameTooLong:
            return ipc.encode_get_failure(CsError.NAME_TOO_LONG)
        found = self._entries().get(key)
        if found is None:
            return ipc.encode_get_failure(CsError.NOT_EXIST)
        kind, value = found
        if buffer_bytes and buffer_bytes < len(value):
            return ipc.encode_get_failure(CsError.INVALID_PARAM)
        return ipc.encode_get_reply(kind, value, min(buffer_bytes, CMAP_VALUE_BYTES_MAX))

    def _on_iter_init(self, message: memoryview) -> bytes:
        try:
            prefix = ipc.decode_iter_init(message)
        except ipc.NameTooLong:
            return ipc.encode_iter_init_reply(0, CsError.NAME_TOO_LONG)
        if len(self._iterations) >= ITERATIONS_PER_CLIENT_MAX:
            return ipc.encode_iter_init_reply(0, CsError.NO_RESOURCES)
        listed = [item for item in self._entries().items() if item[0].startswith(prefix)]
        handle = next(self._handles)
        self._iterations[handle] = listed[::-1]
        return ipc.encode_iter_init_reply(handle)

    def _on_iter_next(self, message: memoryview) -> bytes:
        listed = self._iterations.get(ipc.decode_iter_handle(message))
        if listed is None:
            return ipc.encode_iter_next_reply(error=CsError.BAD_HANDLE)
        if not listed:
            return ipc.encode_iter_next_reply(error=CsError.NO_SECTIONS)
        key, (kind, value) = listed.pop()
        return ipc.encode_iter_next_reply(key, len(value), kind)

    def _on_iter_finalize(self, message: memoryview) -> bytes:
        found = self._iterations.pop(ipc.decode_iter_handle(message), None)
        error = CsError.OK if found is not None else CsError.BAD_HANDLE
        return encode_status(Response.ITER_FINALIZE, error)

    def _on_set_current_map(self, message: memoryview) -> bytes:
        number = ipc.decode_set_current_map(message)
        if self._iterations:
            return encode_status(Response.SET_CURRENT_MAP, CsError.BAD_OPERATION)
        if number not in (ipc.Map.ICMAP, ipc.Map.STATS):
            return encode_status(Response.SET_CURRENT_MAP, CsError.NOT_EXIST)
        self._map = ipc.Map(number)
        return encode_status(Response.SET_CURRENT_MAP, CsError.OK)


def _unsupported(response: Response) -> bytes:
    return encode_status(response, CsError.NOT_SUPPORTED)
