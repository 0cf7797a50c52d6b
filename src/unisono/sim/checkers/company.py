"""Company: since when two nodes have been together, and what a newcomer may therefore miss.

Counterpart: corosync exec/totempg.c: a message in packets goes on across a ring change.
Keeps:       only the first application message of an origin in a ring can have begun before it.
"""

from unisono.base.ids import NodeId, seq_less
from unisono.sim.trace import Delivered, Installed, Process, Ring, Sent, Synced, Trace


class Company:
    """Knows which messages began before a process came together with their origin.

    In a ring with Corosync members such a message reaches the old companions only; in a ring of
    Unisono members it is sent again, whole, so that nobody misses it.
    """

    def __init__(self) -> None:
        self._since: dict[Process, dict[NodeId, int]] = {}
        self._at: dict[tuple[Process, Ring], dict[NodeId, int]] = {}
        self._sent: dict[tuple[NodeId, int], Sent] = {}
        self._ring: dict[Process, Ring] = {}
        self._whole: set[Ring] = set()
        self._first: dict[tuple[Ring, NodeId], int] = {}

    def attach(self, trace: Trace) -> None:
        """Listen to `trace`."""
        trace.listen(Sent, self.sent)
        trace.listen(Installed, self.installed)
        trace.listen(Synced, self.synced)
        trace.listen(Delivered, self.delivered)

    def sent(self, record: Sent) -> None:
        """Note when a message was accepted."""
        self._sent.setdefault((record.who.node, record.key), record)

    def installed(self, record: Installed) -> None:
        """Note who is new to whom."""
        if record.regular:
            self._ring[record.who] = record.ring
            since = dict(self._since.get(record.who, {}))
            since.update((node, record.time) for node in record.joined)
            self._since[record.who] = self._at[record.who, record.ring] = since

    def synced(self, record: Synced) -> None:
        """In a ring of Unisono members nothing goes on half: it is sent again, whole."""
        if record.native:
            self._whole.add(self._ring[record.who])

    def delivered(self, record: Delivered) -> None:
        """Note the first application message of each origin in each ring."""
        sent = self._sent.get((record.origin, record.key))
        if record.ring is None or sent is None or sent.during_sync:
            return
        at = (record.ring, record.origin)
        first = self._first.get(at)
        if first is None or seq_less(record.seq, first):
            self._first[at] = record.seq

    def may_miss(self, who: Process, ring: Ring, seq: int, origin: NodeId, key: int) -> bool:
        """Whether `who` may lack that message of `ring`."""
        sent = self._sent.get((origin, key))
        return (
            sent is not None
            and not sent.during_sync
            and ring not in self._whole
            and self._first.get((ring, origin)) == seq
            and sent.time < self._at.get((who, ring), {}).get(origin, -1)
        )
