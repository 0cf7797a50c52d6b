"""Transitional views (P5): one before each regular view, of those who move together.

Counterpart: extended virtual synchrony, specification 2; corosync totem_config_change.
Keeps:       a process that never installs the next regular view says nothing about its company.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Installed, Process, Ring


class TransitionalViews(Checker):
    """Fires when a transitional view is missing, doubled, wrong, or not the same at all."""

    name = "transitional views"
    properties = (
        ("P5", "one transitional view before each regular one, of those who come together"),
    )

    def __init__(self) -> None:
        self._regular: dict[Process, Installed] = {}
        self._pending: dict[Process, Installed] = {}
        self._moves: dict[Ring, dict[Process, tuple[Ring | None, frozenset[NodeId]]]] = {}

    def on_installed(self, record: Installed) -> None:
        """Follow the alternation; compare at each regular view."""
        if record.regular:
            self._on_regular(record)
        else:
            self._on_transitional(record)

    def _on_transitional(self, record: Installed) -> None:
        who, members = record.who, frozenset(record.members)
        if who in self._pending:
            raise self.fail(record.time, f"two transitional views in a row: {record}")
        self._pending[who] = record
        before = self._regular.get(who)
        if before is None:
            return
        old = frozenset(before.members)
        if not members <= old:
            raise self.fail(
                record.time, f"not all were members of the old ring {sorted(old)}: {record}"
            )
        if frozenset(record.left) != old - members:
            raise self.fail(
                record.time, f"left should be {sorted(old - members)}, it says: {record}"
            )

    def _on_regular(self, record: Installed) -> None:
        who, members = record.who, frozenset(record.members)
        transitional = self._pending.pop(who, None)
        if transitional is None:
            raise self.fail(record.time, f"no transitional view precedes: {record}")
        together = frozenset(transitional.members)
        if transitional.ring != record.ring:
            raise self.fail(
                record.time, f"the transitional view announced {transitional.ring}: {record}"
            )
        if not together <= members:
            raise self.fail(record.time, f"members {sorted(together - members)} got lost: {record}")
        if frozenset(record.joined) != members - together:
            raise self.fail(
                record.time, f"joined should be {sorted(members - together)}, it says: {record}"
            )
        before = self._regular.get(who)
        self._regular[who] = record
        self._compare(record, before.ring if before else None, together)

    def _compare(self, record: Installed, before: Ring | None, together: frozenset[NodeId]) -> None:
        who = record.who
        moves = self._moves.setdefault(record.ring, {})
        for other, (other_before, other_together) in moves.items():
            if before is not None and before == other_before:
                if together != other_together:
                    raise self.fail(
                        record.time,
                        f"{who} and {other} came from {before} to {record.ring} with different"
                        f" company: {sorted(together)} and {sorted(other_together)}",
                    )
                if other.node not in together:
                    raise self.fail(
                        record.time,
                        f"{who} and {other} came together from {before} to {record.ring}, but"
                        f" the transitional view was {sorted(together)}",
                    )
            elif other.node in together or who.node in other_together:
                raise self.fail(
                    record.time,
                    f"{who} came to {record.ring} from {before} with {sorted(together)}, {other}"
                    f" from {other_before} with {sorted(other_together)}",
                )
        moves[who] = (before, together)
