"""Group integrity: a group's message comes once, unchanged, from its sender, and back to it.

Counterpart: properties P1, P7 and P10 at the level of closed process groups; cpg_mcast_joined(3).
"""

from unisono.sim.checkers.checker import Checker
from unisono.sim.messages import size_of
from unisono.sim.trace import ClientEnded, GroupDelivered, GroupSent, Member


class GroupIntegrity(Checker):
    """Fires on invented, changed, doubled, swapped and lost messages of clients."""

    name = "group integrity"
    properties = (
        (
            "groups",
            "a group's message comes once, unchanged, in its sender's order, and back to it",
        ),
    )

    def __init__(self) -> None:
        self._sent: dict[tuple[bytes, int], tuple[Member, int]] = {}
        self._ordinals: dict[Member, int] = {}
        self._got: set[tuple[Member, int]] = set()
        self._passed: dict[tuple[Member, Member], int] = {}
        self._owed: dict[Member, dict[int, GroupSent]] = {}

    def on_group_sent(self, record: GroupSent) -> None:
        """Owed to its sender from now on."""
        ordinal = self._ordinals[record.member] = self._ordinals.get(record.member, 0) + 1
        self._sent[record.group, record.key] = (record.member, ordinal)
        self._owed.setdefault(record.member, {})[record.key] = record

    def on_group_delivered(self, record: GroupDelivered) -> None:
        """Find who sent it; the sender's messages must come in the order of sending."""
        sent = self._sent.get((record.group, record.key))
        if sent is None or sent[0] != record.sender:
            size = size_of(record.key)
            raise self.fail(record.time, f"nobody of that name sent these {size} bytes: {record}")
        if (record.member, record.key) in self._got:
            raise self.fail(record.time, f"for the second time: {record}")
        self._got.add((record.member, record.key))
        pair = (record.member, record.sender)
        if sent[1] < self._passed.get(pair, 0):
            raise self.fail(record.time, f"after a later message of its sender: {record}")
        self._passed[pair] = sent[1]
        if record.sender == record.member:
            self._owed[record.member].pop(record.key, None)

    def on_client_ended(self, record: ClientEnded) -> None:
        """Who leaves in order must have got everything back first; who dies is owed nothing."""
        owed = self._owed.pop(record.member, None)
        if owed and not record.died:
            raise self.fail(
                record.time, f"left without its own message: {next(iter(owed.values()))}"
            )

    @property
    def paid(self) -> bool:
        """Whether every live sender has its messages back."""
        return not any(self._owed.values())

    def conclude(self, time: int) -> None:
        """Nothing may be lost."""
        for owed in self._owed.values():
            for record in owed.values():
                raise self.fail(time, f"never came back: {record}")
