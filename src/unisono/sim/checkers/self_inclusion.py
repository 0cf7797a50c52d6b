"""Self inclusion (P4): a process is a member of every configuration that it installs.

Counterpart: extended virtual synchrony, specification 2 (configuration changes).
Keeps:       before its first view a process has no company, and its transitional view may be empty.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Installed, Process


class SelfInclusion(Checker):
    """Fires on a view without oneself, or with company before the first view."""

    name = "self inclusion"
    properties = (("P4", "a process is a member of every configuration that it installs"),)

    def __init__(self) -> None:
        self._has_view: set[Process] = set()

    def on_installed(self, record: Installed) -> None:
        """Look for oneself."""
        who = record.who
        alone: tuple[NodeId, ...] = (who.node,)
        if record.regular:
            self._has_view.add(who)
        elif who not in self._has_view:
            if record.members not in ((), alone):
                raise self.fail(record.time, f"the first view has company from before: {record}")
            return
        if who.node not in record.members:
            raise self.fail(record.time, f"{who} installs a view without itself: {record}")
