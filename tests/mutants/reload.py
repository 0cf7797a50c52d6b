"""Mutants of reloads: settings that hold too early, too late, or not everywhere."""

from typing import Final

from tests.mutants.mutant import Mutant
from unisono.services.reload import Reload

STORM: Final = "reloads"
RELOAD: Final = (
    Mutant(
        "settings-hold-once-read",
        "A node goes on with what its file says before the others have read theirs.",
        Reload,
        "read",
        "self._prepared[reading.leader] = (reading.number, found.changes)",
        "self._apply(found.changes)",
        storm=STORM,
    ),
    Mutant(
        "leader-waits-for-nobody",
        "The order to go on follows the first report.",
        Reload,
        "_on_report",
        "if pending.waits_for:",
        "if not pending.reports:",
        storm=STORM,
    ),
    Mutant(
        "broken-file-is-good",
        "The order to go on is given whatever the reports say.",
        Reload,
        "_on_report",
        "good = all(one.is_good for one in pending.reports.values())",
        "good = True",
        storm=STORM,
    ),
    Mutant(
        "leader-goes-ahead",
        "The node that leads goes on when it gives the order, and not when it comes to it.",
        Reload,
        "_on_report",
        "good = all(one.is_good for one in pending.reports.values())",
        "good = all(one.is_good for one in pending.reports.values())\n"
        "    if good and self._cluster.node_id in self._prepared:\n"
        "        self._apply(self._prepared.pop(self._cluster.node_id)[1])",
        storm=STORM,
    ),
)
