"""Transitional agreement (P6): who shares a transitional view came from one view and goes to one.

Counterpart: extended virtual synchrony, specification 2 (configuration changes).
Keeps:       a process that never announces that transitional view says nothing about its company.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Installed, Process, Ring


class TransitionalAgreement(Checker):
    """Fires when companions disagree about where they come from, or about who is with them."""

    name = "transitional agreement"
    properties = (
        ("P6", "all members of a transitional view have the same view before and after it"),
    )

    def __init__(self) -> None:
        self._regular: dict[Process, Ring] = {}
        self._moves: dict[Ring, dict[Process, tuple[Ring | None, frozenset[NodeId]]]] = {}

    def on_installed(self, record: Installed) -> None:
        """Compare with all who announced that they go to the same regular view."""
        who = record.who
        if record.regular:
            self._regular[who] = record.ring
            return
        before, together = self._regular.get(who), frozenset(record.members)
        moves = self._moves.setdefault(record.ring, {})
        for other, (other_before, other_together) in moves.items():
            if before is not None and before == other_before:
                self._compare(record, other, together, other_together)
            elif other.node in together or who.node in other_together:
                raise self.fail(
                    record.time,
                    f"{who} comes from {before} with {sorted(together)}, {other} came from"
                    f" {other_before} with {sorted(other_together)}: {record}",
                )
        moves[who] = (before, together)

    def _compare(
        self,
        record: Installed,
        other: Process,
        together: frozenset[NodeId],
        other_together: frozenset[NodeId],
    ) -> None:
        if together != other_together:
            raise self.fail(
                record.time,
                f"{other} made the same way with {sorted(other_together)}: {record}",
            )
        if other.node not in together:
            raise self.fail(record.time, f"{other} made the same way: {record}")
