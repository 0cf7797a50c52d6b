"""VOTEQUORUM on the ring: who has how many votes, and whether this partition has the majority.

Speaks:      service 5: nodeinfo, reconfigure, qdevice_reg, qdevice_reconfigure.
Counterpart: corosync exec/votequorum.c; man page votequorum(5).
Keeps:       the own nodeinfo leaves before any with node id 0 (stock peers abort otherwise);
             a vote counts only while its node is a member; quorum falls only when it may.
Never:       a quorum device of our own, auto_tie_breaker, last_man_standing, allow_downscale.
"""

from collections.abc import Callable
from typing import Final

from unisono.base.event import event
from unisono.base.ids import NodeId
from unisono.base.limits import NODES_MAX
from unisono.base.marks import Mark
from unisono.services.cluster import Cluster
from unisono.wire.service import votequorum as wire
from unisono.wire.service.header import RingService
from unisono.wire.service.votequorum import NodeFlag, NodeInfo, Parameter

_QUORATE: Final = int(NodeFlag.QUORATE)
_FIRST: Final = int(NodeFlag.FIRST)
_WAITS: Final = int(NodeFlag.WAIT_FOR_ALL_STATUS)
_TWO_NODES: Final = 2


@event
class Voter:
    """One node that ever told its votes."""

    votes: int
    expected_votes: int
    flags: int
    is_member: bool


class Votequorum:
    """The service on the ring."""

    service = RingService.VOTEQUORUM
    __slots__ = (
        "_cluster",
        "_tell",
        "_is_first",
        "_in_sync",
        "_survivors",
        "voters",
        "quorum",
        "quorate",
        "waits_for_all",
    )

    def __init__(self, cluster: Cluster, tell: Callable[[bool], None]) -> None:
        """`tell` is called with the verdict after each synchronisation and whenever it changes."""
        self._cluster = cluster
        self._tell = tell
        self._is_first = True
        self._in_sync = False
        self._survivors: frozenset[NodeId] = frozenset()
        votes, expected_votes = self._configured()
        self.waits_for_all = cluster.settings.quorum.wait_for_all
        self.quorate = False
        self.quorum = 0
        self.voters: dict[NodeId, Voter] = {
            cluster.node_id: Voter(votes, expected_votes, 0, is_member=True)
        }
        self.quorum = self._compute(may_fall=True)

    @property
    def expected_votes(self) -> int:
        """Votes that the whole cluster has, as far as this node knows."""
        return self.voters[self._cluster.node_id].expected_votes

    @property
    def total_votes(self) -> int:
        """Votes of the members."""
        return sum(voter.votes for voter in self.voters.values() if voter.is_member)

    def reconfigure(self) -> None:
        """Other settings hold, for every member from this place of the order on."""
        votes, expected_votes = self._configured()
        configured = {node.node_id: node.votes for node in self._cluster.settings.nodes}
        for node_id, voter in self.voters.items():
            voter.expected_votes = expected_votes
            voter.votes = configured.get(node_id, voter.votes)
        self.voters[self._cluster.node_id].votes = votes
        self._recalculate(may_fall=True)
        self.announce()

    def _configured(self) -> tuple[int, int]:
        """This node's votes, and those of the whole cluster."""
        settings = self._cluster.settings
        votes = settings.quorum.votes
        for node in settings.nodes:
            if node.node_id == self._cluster.node_id:
                votes = node.votes
        return votes, settings.quorum.expected_votes or sum(n.votes for n in settings.nodes)

    def announce(self) -> None:
        """Tell the own votes outside a synchronisation."""
        self._cluster.multicast(wire.encode_nodeinfo(self._own_info()))

    def _own_info(self) -> NodeInfo:
        voter = self.voters[self._cluster.node_id]
        flags = _FIRST if self._is_first else 0
        if self.quorate and not self._lost_by_change():
            flags |= _QUORATE
        if self.waits_for_all:
            flags |= _WAITS
        return NodeInfo(self._cluster.node_id, voter.votes, self.expected_votes, flags)

    def _lost_by_change(self) -> bool:
        """Whether those who are left could not have been quorate without the newcomers."""
        return self._in_sync and self.total_votes < self.quorum

    # -- messages ----------------------------------------------------------------------------------

    def on_nodeinfo(self, origin: NodeId, message: memoryview) -> None:
        """Votes of the sender, or of its quorum device, which we do not count. WireError."""
        info = wire.decode_nodeinfo(message)
        if info.node_id == wire.QDEVICE_NODE:
            return
        is_known = origin in self.voters
        if info.node_id != origin or (not is_known and len(self.voters) >= NODES_MAX):
            self._cluster.mark(Mark.SERVICE_ORDER_IGNORED, origin, info.node_id)
            return
        is_quorate = bool(info.flags & _QUORATE)
        may_fall = False
        if not self.quorate and is_quorate and origin != self._cluster.node_id:
            may_fall = True
            self.voters[self._cluster.node_id].expected_votes = info.expected_votes
        if is_quorate and not info.flags & _WAITS:
            self.waits_for_all = False
        expected = info.expected_votes if is_quorate else self.expected_votes
        is_member = not info.flags & NodeFlag.LEAVING
        self.voters[origin] = Voter(info.votes, expected, info.flags, is_member)
        self._recalculate(may_fall=may_fall)

    def on_reconfigure(self, origin: NodeId, message: memoryview) -> None:
        """An administrator changed votes, at whatever node. WireError."""
        change = wire.decode_reconfigure(message)
        match change.parameter:
            case Parameter.EXPECTED_VOTES:
                for voter in self.voters.values():
                    voter.expected_votes = change.value
            case Parameter.NODE_VOTES if change.node_id in self.voters:
                self.voters[change.node_id].votes = change.value
            case Parameter.CANCEL_WAIT_FOR_ALL:
                self.waits_for_all = False
            case _:
                self._cluster.mark(Mark.SERVICE_ORDER_IGNORED, origin, change.parameter)
                return
        self._recalculate(may_fall=change.parameter != Parameter.CANCEL_WAIT_FOR_ALL)

    def on_qdevice_reg(self, origin: NodeId, message: memoryview) -> None:
        """A peer has a quorum device; it votes with that peer's own nodeinfo. WireError."""
        wire.decode_qdevice_reg(message)
        self._cluster.mark(Mark.SERVICE_ORDER_IGNORED, origin)

    def on_qdevice_reconfigure(self, origin: NodeId, message: memoryview) -> None:
        """A peer's quorum device has a new name. WireError."""
        wire.decode_qdevice_reconfigure(message)
        self._cluster.mark(Mark.SERVICE_ORDER_IGNORED, origin)

    # -- synchronisation ---------------------------------------------------------------------------

    def sync_init(self, survivors: frozenset[NodeId]) -> None:
        """Who is not a survivor has no vote until it speaks again."""
        self._in_sync = True
        for node_id, voter in self.voters.items():
            voter.is_member = voter.is_member and (
                node_id in survivors or node_id == self._cluster.node_id
            )

    def sync_process(self) -> None:
        """Tell the own votes, then those of the quorum device that is not there."""
        self._cluster.multicast(wire.encode_nodeinfo(self._own_info()))
        device = NodeInfo(wire.QDEVICE_NODE, 0, 0, 0)
        self._cluster.multicast(wire.encode_nodeinfo(device))

    def sync_activate(self) -> None:
        """The verdict for this configuration."""
        self._is_first = False
        self._recalculate(may_fall=False, is_verdict=True)
        self._in_sync = False
        self._tell(self.quorate)

    def sync_abort(self) -> None:
        """Nothing to forget: who leaves is found at the next configuration."""

    # -- arithmetic --------------------------------------------------------------------------------

    def _recalculate(self, *, may_fall: bool, is_verdict: bool = False) -> None:
        self.quorum = self._compute(may_fall=may_fall)
        quorate = self._decide()
        if quorate == self.quorate:
            return
        # While the services agree, votes come in one by one: a loss is certain at the end only.
        if self._in_sync and not quorate and not is_verdict:
            return
        self.quorate = quorate
        if not quorate:
            self.waits_for_all = self._cluster.settings.quorum.wait_for_all
        self._cluster.mark(Mark.QUORUM_CHANGED, int(quorate), self.quorum)
        if not self._in_sync:
            self._tell(quorate)

    def _compute(self, *, may_fall: bool) -> int:
        members = [voter for voter in self.voters.values() if voter.is_member]
        highest = max(voter.expected_votes for voter in members)
        quorum = max(highest // 2 + 1, self.total_votes // 2 + 1)
        if not may_fall:
            quorum = max(quorum, self.quorum)
        if self._cluster.settings.quorum.two_node and len(members) <= _TWO_NODES:
            quorum = 1
        return quorum

    def _decide(self) -> bool:
        if self.waits_for_all:
            if self.total_votes < self.expected_votes:
                return False
            self.waits_for_all = False
        return self.total_votes >= self.quorum
