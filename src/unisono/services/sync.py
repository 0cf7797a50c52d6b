"""Sync: after a configuration change the services agree one after the other, barriers between.

Speaks:      service_build and barrier of the group "sync"; our hello of the group "unisono".
Counterpart: corosync exec/sync.c.
Keeps:       everything is keyed by the ring id; a new configuration aborts all parts in any phase;
             all parts are initialised when the configuration comes, not when their phase does.
Never:       waits for anybody who is not a member; has a time-out (the ring finds the dead).
"""

from collections.abc import Sequence
from enum import Enum

from unisono.base.group import ConfigurationChanged, ConfigurationKind, Multicast, SyncFinished
from unisono.base.ids import NO_RING, NodeId, RingId
from unisono.base.marks import Mark
from unisono.services.cluster import Cluster, SyncPart
from unisono.wire.service.header import GROUP_NATIVE, GROUP_SYNC
from unisono.wire.service.native import encode_hello
from unisono.wire.service.sync import Barrier, decode_sync, encode_barrier, encode_service_build


class SyncState(Enum):
    """Where the synchronisation of the current configuration stands."""

    WAITING = "waiting"
    """No regular configuration is installed."""
    BUILDING = "building"
    """Service lists are coming in."""
    RUNNING = "running"
    """A service's phase is on; its barriers are coming in."""
    FINISHED = "finished"


class Sync:
    """The synchronisation of one node."""

    __slots__ = (
        "_cluster",
        "_parts",
        "_services",
        "_heard",
        "_native",
        "_survivors",
        "_phase",
        "state",
        "aborted",
    )

    def __init__(self, cluster: Cluster, parts: Sequence[SyncPart]) -> None:
        self._cluster = cluster
        self._parts = {part.service: part for part in parts}
        self._services: list[int] = []
        """The union of all members' services, ascending once the phases run."""
        self._heard: set[NodeId] = set()
        """Members whose service list or barrier of the current phase is in."""
        self._native: set[NodeId] = set()
        self._survivors: frozenset[NodeId] = frozenset()
        self._phase = 0
        self.state = SyncState.WAITING
        self.aborted = 0

    @property
    def finished(self) -> bool:
        """Whether the current regular configuration is agreed upon."""
        return self.state is SyncState.FINISHED

    @property
    def phase_service(self) -> int | None:
        """The service whose phase runs now, if any."""
        return self._services[self._phase] if self.state is SyncState.RUNNING else None

    # -- configurations ----------------------------------------------------------------------------

    def change(self, event: ConfigurationChanged) -> None:
        """Abort what runs (transitional), or begin anew (regular)."""
        self._abort()
        if event.kind is ConfigurationKind.TRANSITIONAL:
            self._survivors = frozenset(event.members)
        else:
            self._begin(event)

    def _abort(self) -> None:
        if self.state in (SyncState.BUILDING, SyncState.RUNNING):
            self.aborted += 1
            self._cluster.mark(Mark.SYNC_ABORTED, self._cluster.ring.rep, self._cluster.ring.seq)
            for part in self._parts.values():
                part.sync_abort()
        self.state = SyncState.WAITING

    def _begin(self, event: ConfigurationChanged) -> None:
        cluster = self._cluster
        cluster.ring = event.ring
        cluster.members = tuple(sorted(event.members))
        self.state = SyncState.BUILDING
        self._services = []
        self._heard.clear()
        self._native.clear()
        cluster.mark(Mark.SYNC_STARTED, event.ring.rep, event.ring.seq)
        own = encode_service_build(event.ring, sorted(self._parts))
        cluster.effects.append(Multicast(GROUP_SYNC, own))
        cluster.effects.append(Multicast(GROUP_NATIVE, encode_hello(event.ring)))
        survivors = self._survivors.intersection(event.members)
        self._survivors = frozenset()
        for part in self._parts.values():
            part.sync_init(survivors)

    # -- messages ----------------------------------------------------------------------------------

    def receive(self, origin: NodeId, payload: memoryview) -> None:
        """One message of the group "sync"; those of other rings are of the past. WireError."""
        message = decode_sync(payload)
        if message.ring != self._cluster.ring or origin not in self._cluster.members:
            return
        if isinstance(message, Barrier):
            if self.state is SyncState.RUNNING:
                self._heard.add(origin)
                if self._is_complete():
                    self._activate()
        elif self.state is SyncState.BUILDING:
            self._heard.add(origin)
            self._services.extend(message.services)
            if self._is_complete():
                self._services = sorted(set(self._services))
                self._phase = -1
                self.state = SyncState.RUNNING
                self._next_phase()

    def hello(self, origin: NodeId, ring: RingId) -> None:
        """A member said, within the synchronisation of `ring`, that it is Unisono."""
        if ring == self._cluster.ring and not self.finished and origin in self._cluster.members:
            self._native.add(origin)

    def _is_complete(self) -> bool:
        return len(self._heard) == len(self._cluster.members)

    # -- phases ------------------------------------------------------------------------------------

    def _activate(self) -> None:
        part = self._parts.get(self._services[self._phase])
        if part is not None:
            part.sync_activate()
        self._next_phase()

    def _next_phase(self) -> None:
        self._heard.clear()
        self._phase += 1
        if self._phase == len(self._services):
            self._finish()
            return
        # A service that only others have is a phase without messages of ours: its barrier alone.
        part = self._parts.get(self._services[self._phase])
        if part is not None:
            part.sync_process()
        self._cluster.effects.append(Multicast(GROUP_SYNC, encode_barrier(self._cluster.ring)))

    def _finish(self) -> None:
        cluster = self._cluster
        self.state = SyncState.FINISHED
        cluster.native = len(self._native) == len(cluster.members)
        cluster.native_ring = cluster.ring if cluster.native else NO_RING
        cluster.effects.append(SyncFinished(native=cluster.native, ring=cluster.ring))
        cluster.mark(Mark.SYNC_FINISHED, cluster.ring.rep, cluster.ring.seq)
