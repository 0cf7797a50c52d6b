"""CMAP on the ring: every node tells its configuration version, and the highest survives.

Speaks:      service 0, handler 0.
Counterpart: corosync exec/cmap.c (cmap_sync_*).
Keeps:       a node checks its version when it first meets others, also when it is absorbed into
             their ring; who has been in company already goes on beside a newer one, so that a
             new version can be rolled out node by node (corosync.conf(5), config_version).
"""

from unisono.base.clients import ShutDown
from unisono.base.event import event
from unisono.base.ids import NodeId
from unisono.base.marks import Mark
from unisono.services.cluster import STATUS_FATAL, Cluster
from unisono.wire.service import cmap as wire
from unisono.wire.service.header import RingService


@event
class Seen:
    """What is known of one node that is or was a member."""

    join_count: int
    is_member: bool
    config_version: int


class Cmap:
    """The service on the ring."""

    service = RingService.CMAP
    __slots__ = ("_cluster", "_is_settled", "_version", "_told", "seen")

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._version = cluster.settings.config_version
        self._is_settled = False
        """Whether this node has been in company with an acceptable version."""
        self._told: dict[NodeId, int] = {}
        """Versions told in this configuration."""
        self.seen: dict[NodeId, Seen] = {}
        """Every node that was ever a member, at most one entry for each configured node id."""

    def reconfigure(self) -> None:
        """Other settings hold: the version that is told from the next synchronisation on."""
        self._version = self._cluster.settings.config_version

    def on_mcast(self, origin: NodeId, message: memoryview) -> None:
        """A node tells its version. WireError."""
        version = wire.config_version(wire.decode_mcast(message).items)
        if version is None:
            return
        self._told[origin] = version
        seen = self.seen.get(origin)
        if seen is not None:
            seen.config_version = version

    def sync_init(self, survivors: frozenset[NodeId]) -> None:
        """Count who joined, note who left."""
        self._told.clear()
        members = self._cluster.members
        for node_id, seen in self.seen.items():
            if seen.is_member and node_id in members and node_id not in survivors:
                seen.join_count += 1  # it left and came back within one change
            if seen.is_member and node_id not in members:
                seen.is_member = False
        for node_id in members:
            seen = self.seen.setdefault(node_id, Seen(0, False, 0))
            if not seen.is_member:
                seen.is_member = True
                seen.join_count += 1

    def sync_process(self) -> None:
        """Tell the own version."""
        self._cluster.multicast(wire.encode_config_version(self._version, wire.REASON_SYNC))

    def sync_activate(self) -> None:
        """Shut down if this is the first company and it is newer; version 0 takes no part."""
        highest = max(self._told.values(), default=0)
        is_first = not self._is_settled
        self._is_settled = self._is_settled or len(self._cluster.members) > 1
        if self._version and highest > self._version:
            self._cluster.mark(Mark.CONFIG_VERSION_MISMATCH, self._version, highest)
            if not is_first:
                return
            reason = f"config_version is {self._version} here and {highest} in the ring"
            shut_down = ShutDown(reason=reason, clean=True, status=STATUS_FATAL)
            self._cluster.effects.append(shut_down)
        elif self._version and any(0 < told < self._version for told in self._told.values()):
            lowest = min(told for told in self._told.values() if told)
            self._cluster.mark(Mark.CONFIG_VERSION_MISMATCH, self._version, lowest)

    def sync_abort(self) -> None:
        """What was told belongs to the configuration that is no more."""
        self._told.clear()
