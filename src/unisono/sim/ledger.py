"""Ledger: who has delivered what in which order, and where each node stands.

Speaks:      trace records in; `orders` and `standings` out, for the verbs that look.
Keeps:       what the trace says, by the scenario's names.
Never:       judges: that is for the checkers.
"""

from dataclasses import dataclass

from unisono.base.ids import NodeId
from unisono.sim import trace
from unisono.sim.cluster import TWIN_LIVES
from unisono.sim.narration import Narration


@dataclass(slots=True)
class Standing:
    """One running daemon: its last regular view, and whether the services have agreed in it."""

    ring: trace.Ring | None = None
    members: tuple[NodeId, ...] = ()
    synced: bool = False


class Ledger:
    """What the verbs `order` and `together` tell."""

    def __init__(self, lines: Narration) -> None:
        self.counted: set[int] = set()
        """Keys of ring messages that have no name in the narration, but count."""
        self.orders: dict[str, list[int]] = {}
        """Keys of application messages in the order of delivery, by node or client."""
        self.standings: dict[NodeId, Standing] = {}
        """The daemons that run."""
        self._lines = lines

    def take(self, record: trace.Record) -> None:
        """Remember what counts of `record`; twins are not asked where they stand."""
        who = getattr(record, "who", None)
        if who is not None and who.life > TWIN_LIVES:
            return
        match record:
            case trace.Delivered():
                if record.key in self.counted or record.key in self._lines.texts:
                    self.orders.setdefault(str(record.who.node), []).append(record.key)
            case trace.GroupDelivered():
                name = self._lines.name(record.member)
                self.orders.setdefault(name, []).append(record.key)
            case trace.Booted():
                self.standings[record.who.node] = Standing()
            case trace.Crashed():
                self.standings.pop(record.who.node, None)
            case trace.Installed():
                standing = self.standings[record.who.node]
                standing.synced = False
                if record.regular:
                    standing.ring, standing.members = record.ring, record.members
            case trace.Synced():
                self.standings[record.who.node].synced = True
            case _:
                pass
