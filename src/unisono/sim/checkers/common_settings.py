"""Common settings (R1): who moves together from view to view takes the same settings, in order.

Counterpart: none.
Keeps:       nothing is asked of processes that part, or crash before the next view, nor in the
             company of Corosync, where every node reloads for itself.
"""

from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Crashed, Installed, Process, Reconfigured, Ring, Synced


class CommonSettings(Checker):
    """Fires when one of two that stayed together went on with settings that the other has not."""

    name = "common settings"
    properties = (("R1", "processes that move together take the same settings in the same order"),)

    def __init__(self) -> None:
        self._ring: dict[Process, Ring] = {}
        self._native: set[Process] = set()
        self._taken: dict[Process, list[str]] = {}
        self._moved: dict[tuple[Ring, Ring], tuple[Process, list[str]]] = {}

    def on_synced(self, record: Synced) -> None:
        """From here on it is known who is Unisono."""
        if record.native:
            self._native.add(record.who)

    def on_reconfigured(self, record: Reconfigured) -> None:
        """Keep what was taken since the last regular view."""
        if record.who in self._native:
            self._taken.setdefault(record.who, []).append(record.what)

    def on_crashed(self, record: Crashed) -> None:
        """A crashed process owes nothing."""
        self._native.discard(record.who)
        self._ring.pop(record.who, None)
        self._taken.pop(record.who, None)

    def on_installed(self, record: Installed) -> None:
        """At the next regular view, compare with those who came the same way."""
        if not record.regular:
            return
        who, before = record.who, self._ring.get(record.who)
        self._native.discard(who)
        taken = self._taken.pop(who, [])
        self._ring[who] = record.ring
        if before is not None:
            self._compare(record.time, who, before, record.ring, taken)

    def conclude(self, time: int) -> None:
        """Those who are together at the end have taken the same, too."""
        for who, ring in self._ring.items():
            self._compare(time, who, ring, ring, self._taken.get(who, []))

    def _compare(
        self, time: int, who: Process, before: Ring, after: Ring, taken: list[str]
    ) -> None:
        other, others = self._moved.setdefault((before, after), (who, taken))
        if taken != others:
            raise self.fail(
                time,
                f"{who} took {taken or 'nothing'} and {other} took {others or 'nothing'} on the"
                f" way from {before} to {after}",
            )
