"""CPG clients: the requests of libcpg, one connection an object.

Speaks:      CPG requests 0-8 and 12; 9-11 (zero copy) are answered "not supported".
Counterpart: corosync exec/cpg.c (message_handler_req_lib_cpg_*).
Keeps:       a client joins as the process that the kernel says it is, and sends what is there.
"""

from collections.abc import Callable
from itertools import count
from typing import Final

from unisono.base.clients import Credentials
from unisono.base.errors import CsError
from unisono.base.group import Guarantee, Multicast
from unisono.base.ids import ClientId, NodeId, Pid
from unisono.base.limits import ITERATIONS_PER_CLIENT_MAX
from unisono.base.marks import Mark
from unisono.services.cluster import Cluster
from unisono.services.cpg import Cpg
from unisono.services.groups import Group
from unisono.services.member import GroupChange, LocalMember
from unisono.wire.ipc import cpg as ipc
from unisono.wire.ipc.cpg import Fragment, Request, Response
from unisono.wire.ipc.qb import encode_status, message_id
from unisono.wire.service.header import GROUP_SERVICES

_MCAST: Final = int(Request.MCAST)
_SAFE: Final = ipc.GUARANTEE_SAFE
_Listed = tuple[bytes, NodeId, Pid]


class CpgClient(LocalMember):
    """One libcpg connection."""

    __slots__ = (
        "_cluster",
        "_cpg",
        "_handlers",
        "_iterations",
        "_handles",
        "_changes",
        "_changes_at_first",
    )

    def __init__(
        self, cluster: Cluster, cpg: Cpg, client: ClientId, credentials: Credentials
    ) -> None:
        super().__init__(client, credentials)
        self._cluster = cluster
        self._cpg = cpg
        cpg.members[client] = self
        self._iterations: dict[int, list[_Listed]] = {}
        self._handles = count(1)
        self._changes = 0
        """Group changes that the client was told of; a message in fragments must not span one."""
        self._changes_at_first = 0
        self._handlers: dict[int, Callable[[memoryview], None]] = {
            Request.JOIN: self._on_join,
            Request.LEAVE: self._on_leave,
            Request.MEMBERSHIP: self._on_membership,
            Request.LOCAL_GET: self._on_local_get,
            Request.ITERATION_INITIALIZE: self._on_iteration_initialize,
            Request.ITERATION_NEXT: self._on_iteration_next,
            Request.ITERATION_FINALIZE: self._on_iteration_finalize,
            Request.FINALIZE: self._on_finalize,
            Request.ZC_ALLOC: self._on_zero_copy,
            Request.ZC_FREE: self._on_zero_copy,
            Request.ZC_EXECUTE: self._on_zero_copy,
            Request.PARTIAL_MCAST: self._on_partial_mcast,
        }

    # -- from the client ---------------------------------------------------------------------------

    def request(self, message: memoryview) -> None:
        """Answer one request. WireError disconnects the client."""
        ident = message_id(message)
        if ident == _MCAST:
            guarantee, payload = ipc.decode_mcast(message)
            headers = self.headers
            if headers is not None:
                multicast = Multicast(GROUP_SERVICES, headers.header(len(payload)) + payload)
                if guarantee == _SAFE:
                    multicast.guarantee = Guarantee.SAFE
                self._cluster.effects.append(multicast)
            return
        handler = self._handlers.get(ident)
        if handler is None:
            self._cluster.mark(Mark.CLIENT_REQUEST_UNKNOWN, self.client, ident)
            self._status(0, CsError.INVALID_PARAM)
        else:
            handler(message)

    def gone(self) -> None:
        """The connection ended."""
        self._cpg.depart(self)

    def _status(self, response: int, error: CsError) -> None:
        self._cluster.reply(self.client, encode_status(response, error))

    def _on_join(self, message: memoryview) -> None:
        try:
            join = ipc.decode_join(message)
        except ipc.NameTooLong:
            self._status(Response.JOIN, CsError.NAME_TOO_LONG)
            return
        if join.pid != self.pid:
            self._status(Response.JOIN, CsError.INVALID_PARAM)
            return
        # The answer comes before anything that the join causes.
        error = self._cpg.join(self, join.name)
        if error is CsError.OK:
            self.wants_rings = bool(join.flags & ipc.JOIN_DELIVER_INITIAL_TOTEM_CONF)
        self._status(Response.JOIN, error)

    def _on_leave(self, message: memoryview) -> None:
        try:
            leave = ipc.decode_leave(message)
        except ipc.NameTooLong:
            self._status(Response.LEAVE, CsError.NOT_EXIST)
            return
        if leave.pid != self.pid:
            self._status(Response.LEAVE, CsError.INVALID_PARAM)
        elif self.name and leave.name != self.name:
            self._status(Response.LEAVE, CsError.NOT_EXIST)
        else:
            self._status(Response.LEAVE, self._cpg.leave(self))

    def _on_partial_mcast(self, message: memoryview) -> None:
        partial = ipc.decode_partial_mcast(message)
        headers = self.headers
        if headers is None:
            self._status(Response.PARTIAL_SEND, CsError.NOT_EXIST)
            return
        if partial.fragment == Fragment.FIRST:
            self._changes_at_first = self._changes
        if self._changes != self._changes_at_first:
            self._status(Response.PARTIAL_SEND, CsError.INTERRUPT)
            return
        payload = partial.payload
        head = headers.partial_header(partial.message_bytes, len(payload), partial.fragment)
        guarantee = Guarantee.SAFE if partial.guarantee == _SAFE else Guarantee.AGREED
        self._cluster.multicast(head + payload, guarantee)
        self._status(Response.PARTIAL_SEND, CsError.OK)

    def _on_membership(self, message: memoryview) -> None:
        group = self._cpg.groups.by_name.get(ipc.decode_membership_get(message))
        members = group.members if group is not None else []
        self._cluster.reply(self.client, ipc.encode_membership_reply(members))

    def _on_local_get(self, _message: memoryview) -> None:
        self._cluster.reply(self.client, ipc.encode_local_get_reply(self._cluster.node_id))

    def _on_finalize(self, _message: memoryview) -> None:
        self._status(Response.FINALIZE, CsError.OK)
        self._cpg.depart(self)

    def _on_zero_copy(self, _message: memoryview) -> None:
        self._status(Response.ZC, CsError.NOT_SUPPORTED)

    # -- iterations --------------------------------------------------------------------------------

    def _on_iteration_initialize(self, message: memoryview) -> None:
        kind, name = ipc.decode_iteration_initialize(message)
        if len(self._iterations) >= ITERATIONS_PER_CLIENT_MAX:
            reply = ipc.encode_iteration_initialize_reply(0, CsError.NO_RESOURCES)
            self._cluster.reply(self.client, reply)
            return
        handle = next(self._handles)
        self._iterations[handle] = self._list(kind, name)[::-1]
        self._cluster.reply(self.client, ipc.encode_iteration_initialize_reply(handle))

    def _list(self, kind: int, name: bytes) -> list[_Listed]:
        groups = self._cpg.groups
        if kind == ipc.IterationType.NAME_ONLY:
            return [(one, NodeId(0), Pid(0)) for one in sorted(groups.by_name)]
        return [
            (one, member.node_id, member.pid)
            for one, member in groups.processes()
            if kind == ipc.IterationType.ALL or one == name
        ]

    def _on_iteration_next(self, message: memoryview) -> None:
        listed = self._iterations.get(ipc.decode_iteration_handle(message))
        if listed is None:
            reply = ipc.encode_iteration_next_reply(error=CsError.LIBRARY)
        elif not listed:
            reply = ipc.encode_iteration_next_reply(error=CsError.NO_SECTIONS)
        else:
            reply = ipc.encode_iteration_next_reply(*listed.pop())
        self._cluster.reply(self.client, reply)

    def _on_iteration_finalize(self, message: memoryview) -> None:
        found = self._iterations.pop(ipc.decode_iteration_handle(message), None)
        error = CsError.OK if found is not None else CsError.LIBRARY
        self._status(Response.ITERATION_FINALIZE, error)

    # -- to the client -----------------------------------------------------------------------------

    def attach(self, group: Group) -> None:
        """Deliveries as DELIVER events."""
        group.libcpg.append(self.client)

    def detach(self, group: Group) -> None:
        """No more of them."""
        if self.client in group.libcpg:
            group.libcpg.remove(self.client)

    def group_changed(self, change: GroupChange) -> None:
        """A CONFCHG event."""
        self._changes += 1
        self._cluster.notify(self.client, change.as_confchg())

    def ring_changed(self, *, joined: bool) -> None:
        """A TOTEM_CONFCHG event: after a join when asked for, after a synchronisation always."""
        if self.wants_rings or not joined:
            members = self._cluster.members
            self._cluster.notify(self.client, ipc.encode_totem_confchg(self._cluster.ring, members))
