"""Configuration consistency (P15): a view that others build upon was installed by all its members.

Counterpart: extended virtual synchrony, specification 2.1 to 2.4 (configuration changes).
Keeps:       a member that was cut off before it could install a view is asked for nothing, unless
             others say that it came along, or agreed with it.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Crashed, Installed, Process, Ring, Synced


class ConfigurationConsistency(Checker):
    """Fires when a process agrees in a view, or leaves it, with one who never installed it."""

    name = "configuration consistency"
    properties = (
        ("P15", "members that agree in a view, or go on from it together, have installed it"),
    )

    def __init__(self) -> None:
        self._view: dict[Process, Installed] = {}
        self._installed: dict[Ring, set[NodeId]] = {}

    def on_crashed(self, record: Crashed) -> None:
        """What is over is forgotten."""
        self._view.pop(record.who, None)

    def on_installed(self, record: Installed) -> None:
        """A transitional view names those who come along from the last regular one."""
        if record.regular:
            self._view[record.who] = record
            self._installed.setdefault(record.ring, set()).add(record.who.node)
            return
        view = self._view.get(record.who)
        if view is not None:
            self._check(record.time, view.ring, record.members, f"as one who comes along: {record}")

    def on_synced(self, record: Synced) -> None:
        """To agree takes all members."""
        view = self._view[record.who]
        self._check(record.time, view.ring, view.members, f"but it has agreed: {record}")

    def _check(self, time: int, ring: Ring, members: tuple[NodeId, ...], text: str) -> None:
        strangers = [node for node in members if node not in self._installed[ring]]
        if strangers:
            raise self.fail(time, f"node {strangers[0]} never installed {ring}, {text}")
