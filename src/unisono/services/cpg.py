"""CPG: process groups over the ring; joins, leaves and messages in one order at every node.

Speaks:      service 2: procjoin, procleave, mcast, partial_mcast, joinlist, downlist.
Counterpart: corosync exec/cpg.c.
Keeps:       joinlists are the truth about other nodes' processes, whatever was known before them;
             a join and a leave take effect when they are delivered, at every node alike.
Never:       libqb requests (cpg_client), native frames (native).
"""

from collections.abc import Iterable

from unisono.base.clients import Notify
from unisono.base.errors import CsError
from unisono.base.group import Buffer
from unisono.base.ids import NodeId, Pid
from unisono.base.limits import CPG_PROCESSES_MAX
from unisono.base.marks import Mark
from unisono.services.assembly import Dropped
from unisono.services.cluster import Cluster
from unisono.services.groups import Group, Groups
from unisono.services.joinlists import Joinlists
from unisono.services.member import GroupChange, LocalMember, MemberState
from unisono.wire.block import encode_block
from unisono.wire.ipc.cpg import Member, Reason, encode_name, partial_deliver_header
from unisono.wire.native import block_header
from unisono.wire.service import cpg as wire
from unisono.wire.service.header import RingService


class Cpg:
    """The service on the ring, and the local members of every kind."""

    service = RingService.CPG
    __slots__ = (
        "_cluster",
        "groups",
        "members",
        "_keyed",
        "_joinlists",
        "_is_agreed",
        "_leaves",
        "delivered",
    )

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.groups = Groups()
        self.members: dict[int, LocalMember] = {}
        """Every CPG and native connection, by client."""
        self._keyed: dict[tuple[bytes, Pid], LocalMember] = {}
        """Local members from the request to join until the leave is delivered."""
        self._joinlists = Joinlists()
        self._is_agreed = False
        self._leaves: list[bytes] = []
        """Leaves that wait for the end of a synchronisation: what is sent during one overtakes all
        that the ring has not sent before, and so would the leave overtake its own join."""
        self.delivered = 0
        """Messages of groups seen, whether or not a local member got them."""

    # -- what local clients ask --------------------------------------------------------------------

    def join(self, member: LocalMember, name: bytes) -> CsError:
        """Start to join; OK means that a change which contains the client follows."""
        key = (name, member.pid)
        other = self._keyed.get(key)
        if other is not None:
            return CsError.TRY_AGAIN if other.is_gone else CsError.EXIST
        if self.groups.has(name, self._cluster.node_id, member.pid):
            return CsError.TRY_AGAIN
        if member.state is MemberState.LEAVE_STARTED:
            return CsError.BUSY
        if self.groups.count >= CPG_PROCESSES_MAX:
            return CsError.NO_RESOURCES
        if member.state is not MemberState.UNJOINED:
            return CsError.EXIST
        member.state = MemberState.JOIN_STARTED
        member.name = name
        member.headers = wire.McastHeaders(name, member.pid, self._cluster.node_id)
        self._keyed[key] = member
        self._cluster.multicast(wire.encode_procjoin(name, member.pid, Reason.JOIN))
        return CsError.OK

    def leave(self, member: LocalMember) -> CsError:
        """Start to leave; OK means that a change which shows the leave follows."""
        if member.state is MemberState.JOIN_STARTED:
            return CsError.BUSY
        if member.state is not MemberState.JOINED:
            return CsError.NOT_EXIST
        self._start_leave(member, Reason.LEAVE)
        return CsError.OK

    def depart(self, member: LocalMember) -> None:
        """The client is gone without a leave, or says that it goes."""
        if member.is_gone:
            return
        member.is_gone = True
        self.members.pop(member.client, None)
        group = self.groups.by_name.get(member.name)
        if group is not None and member.state is not MemberState.UNJOINED:
            member.detach(group)
        if member.headers is not None:
            self._start_leave(member, Reason.PROCDOWN)

    def _start_leave(self, member: LocalMember, reason: int) -> None:
        member.state = MemberState.LEAVE_STARTED
        member.headers = None
        self._send_leave(member, reason)

    def _send_leave(self, member: LocalMember, reason: int) -> None:
        if member.blocks:
            member.leave_reason = reason
            return
        member.leave_reason = None
        leave = wire.encode_procleave(member.name, member.pid, reason)
        if self._is_agreed:
            self._cluster.multicast(leave)
        else:
            self._leaves.append(leave)

    # -- blocks on their way (native) --------------------------------------------------------------

    def local(self, name: bytes, pid: Pid) -> LocalMember | None:
        """The local client behind a member of this node, from its join to its last word."""
        return self._keyed.get((name, pid))

    def block_ordered(self, member: LocalMember) -> None:
        """A block of the client is ordered, and taken off its list; a leave may have waited."""
        if member.leave_reason is not None and not member.blocks:
            self._send_leave(member, member.leave_reason)

    # -- joins and leaves on the ring --------------------------------------------------------------

    def on_procjoin(self, origin: NodeId, message: memoryview) -> None:
        """A process joined. WireError."""
        change = wire.decode_process(message)
        name, pid = change.name, change.pid
        self._joinlists.joined(origin, wire.Process(name, pid))
        own = self._own(origin, name, pid, MemberState.JOIN_STARTED)
        if self.groups.add(name, origin, pid) is None:
            self._cluster.mark(Mark.GROUP_JOIN_IGNORED, origin, pid)
            if own is None or not self.groups.has(name, origin, pid):
                return
        group = self.groups.by_name[name]
        if own is not None:
            own.state = MemberState.JOINED
            own.attach(group)
        self._announce(group, joined=[Member(origin, pid, Reason.JOIN)])
        if own is not None:
            own.ring_changed(joined=True)

    def on_procleave(self, origin: NodeId, message: memoryview) -> None:
        """A process left, or its connection died. WireError."""
        change = wire.decode_process(message)
        self._joinlists.left(origin, wire.Process(change.name, change.pid))
        own = self._own(origin, change.name, change.pid, MemberState.LEAVE_STARTED)
        group = self.groups.remove(change.name, origin, change.pid)
        if group is not None:
            self._announce(group, left=[Member(origin, change.pid, change.reason)])
        if own is not None:
            if group is not None:
                own.detach(group)
            del self._keyed[change.name, change.pid]
            own.reset()

    def _own(self, origin: NodeId, name: bytes, pid: Pid, state: MemberState) -> LocalMember | None:
        """The local client that waits in `state` for this delivery."""
        if origin != self._cluster.node_id:
            return None
        own = self._keyed.get((name, pid))
        return own if own is not None and own.state is state else None

    def _announce(
        self, group: Group, left: Iterable[Member] = (), joined: Iterable[Member] = ()
    ) -> None:
        change = GroupChange(group, tuple(left), tuple(joined))
        for client in (*group.libcpg, *group.native):
            self.members[client].group_changed(change)

    # -- messages ----------------------------------------------------------------------------------

    def on_mcast(self, origin: NodeId, message: memoryview) -> None:
        """A message, for local members if the sender's node has a member. WireError."""
        field, pid, payload = wire.decode_mcast(message)
        group = self.groups.by_field.get(field) or self.groups.find_field(field)
        self.delivered += 1
        if group is None or origin not in group.nodes:
            self._cluster.mark(Mark.SENDER_UNKNOWN, origin, pid)
            return
        if group.libcpg:
            self.deliver_libcpg(group, origin, pid, payload)
        if group.native:
            self._deliver_native(group, origin, pid, payload)

    def deliver_libcpg(
        self, group: Group, origin: NodeId, pid: Pid, payload: bytes | memoryview
    ) -> None:
        """One message to the group's libcpg members, one list of pieces for all."""
        effects = self._cluster.effects
        pieces: list[Buffer] = [group.headers.header(origin, pid, len(payload)), payload]
        for client in group.libcpg:
            effects.append(Notify(client, pieces))

    def _deliver_native(
        self, group: Group, origin: NodeId, pid: Pid, payload: memoryview | bytearray
    ) -> None:
        block = encode_block([payload])
        pieces: list[Buffer] = [block_header(origin, pid, len(block)), block]
        for client in group.native:
            self._cluster.effects.append(Notify(client, pieces))

    def on_partial_mcast(self, origin: NodeId, message: memoryview) -> None:
        """A fragment: libcpg members get it as it is, native ones the whole. WireError."""
        partial = wire.decode_partial_mcast(message)
        group = self.groups.find_field(partial.name_field)
        self.delivered += 1
        if group is None or origin not in group.nodes:
            self._cluster.mark(Mark.SENDER_UNKNOWN, origin, partial.pid)
            return
        if group.libcpg:
            self.deliver_partial(group, origin, partial)
        if group.native and group.has(origin, partial.pid):
            whole = group.assembly.accept(origin, partial)
            if isinstance(whole, Dropped):
                self._cluster.mark(Mark.FRAGMENT_DROPPED, origin, partial.pid, whole.value)
            elif whole is not None:
                self._deliver_native(group, origin, partial.pid, whole)

    def deliver_partial(self, group: Group, origin: NodeId, partial: wire.PartialMcast) -> None:
        """One fragment to the group's libcpg members."""
        head = partial_deliver_header(
            encode_name(group.name),
            origin,
            partial.pid,
            message_bytes=partial.message_bytes,
            payload_bytes=len(partial.payload),
            fragment=partial.fragment,
        )
        for client in group.libcpg:
            self._cluster.effects.append(Notify(client, [head, partial.payload]))

    # -- synchronisation ---------------------------------------------------------------------------

    def on_joinlist(self, origin: NodeId, message: memoryview) -> None:
        """The processes of another node; outside the phase it is stale. WireError."""
        processes = wire.decode_joinlist(message)
        if not self._joinlists.listed(origin, processes):
            self._cluster.mark(Mark.JOINLIST_STALE, origin)

    def on_downlist(self, origin: NodeId, message: memoryview) -> None:
        """What another node believes left: every node knows that by itself. WireError."""
        wire.decode_downlist(message)

    def set_agreed(self, is_agreed: bool) -> None:
        """Whether the current configuration is agreed upon; leaves wait until it is."""
        self._is_agreed = is_agreed
        if is_agreed:
            for leave in self._leaves:
                self._cluster.multicast(leave)
            self._leaves = []

    def sync_init(self, survivors: frozenset[NodeId]) -> None:
        """Remember who stayed with us."""
        self._joinlists.begin(survivors)

    def sync_process(self) -> None:
        """Tell who left, and which processes are here."""
        down = sorted(self._joinlists.down)
        self._cluster.multicast(wire.encode_downlist(len(self._joinlists.old_members), down))
        self._joinlists.open()
        own = self._cluster.node_id
        processes = [
            wire.Process(name, member.pid)
            for name, member in self.groups.processes()
            if member.node_id == own
        ]
        if processes:
            self._cluster.multicast(wire.encode_joinlist(processes))

    def sync_abort(self) -> None:
        """Forget the joinlists of the configuration that is no more."""
        self._joinlists.close()

    def sync_activate(self) -> None:
        """Node-downs, node-ups, process-downs, then the ring, to local members in this order."""
        members = frozenset(self._cluster.members)
        told = self._joinlists.close()
        self._remove_downs(members)
        self._add_ups(told, members)
        self._remove_ghosts(told)
        self._joinlists.install(members)
        for member in self.members.values():
            member.ring_changed(joined=False)

    def _remove_downs(self, members: frozenset[NodeId]) -> None:
        own = self._cluster.node_id
        stayed = (self._joinlists.survivors & members) | {own}
        left: dict[Group, list[Member]] = {}
        for name, member in self.groups.processes():
            if member.node_id not in stayed:
                group = self.groups.remove(name, member.node_id, member.pid)
                assert group is not None
                gone = Member(member.node_id, member.pid, Reason.NODEDOWN)
                left.setdefault(group, []).append(gone)
        for group, gone_members in left.items():
            self._announce(group, left=gone_members)

    def _add_ups(self, told: dict[NodeId, set[wire.Process]], members: frozenset[NodeId]) -> None:
        joined: dict[Group, list[Member]] = {}
        for node_id in sorted(told.keys() & members - {self._cluster.node_id}):
            for name, pid in sorted(told[node_id]):
                group = self.groups.add(name, node_id, pid)
                if group is not None:
                    joined.setdefault(group, []).append(Member(node_id, pid, Reason.NODEUP))
        for group in sorted(joined, key=lambda group: group.name):
            self._announce(group, joined=joined[group])

    def _remove_ghosts(self, told: dict[NodeId, set[wire.Process]]) -> None:
        for name, member in list(self.groups.processes()):
            node_id, pid, _ = member
            if node_id == self._cluster.node_id:
                continue
            if wire.Process(name, pid) not in told.get(node_id, ()):
                group = self.groups.remove(name, node_id, pid)
                assert group is not None
                self._cluster.mark(Mark.GHOST_REMOVED, node_id, pid)
                self._announce(group, left=[Member(node_id, pid, Reason.PROCDOWN)])
