"""Common key: who have no authkey in common are never in one configuration.

Counterpart: section "wrong keys" of docs/explanation/security.md; corosync.conf(5), secauth.
Keeps:       a key that was held at any time of this life counts: sessions outlive a removed key.
"""

from unisono.base.ids import NodeId
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Booted, Crashed, Installed, KeysHeld, Process


class CommonKey(Checker):
    """Fires on a regular view in which the one who installs it shares no key with a member."""

    name = "common key"
    properties = (("keys", "members of one configuration have an authkey in common"),)

    def __init__(self) -> None:
        self._held: dict[Process, frozenset[bytes]] = {}
        self._live: dict[NodeId, set[Process]] = {}

    def on_booted(self, record: Booted) -> None:
        """One that may be in a view."""
        self._live.setdefault(record.who.node, set()).add(record.who)

    def on_crashed(self, record: Crashed) -> None:
        """A member that has just died may still be listed: it is not judged."""
        self._live.get(record.who.node, set()).discard(record.who)

    def on_keys_held(self, fact: KeysHeld) -> None:
        """Add to what this process has held."""
        self._held[fact.who] = self._held.get(fact.who, frozenset()) | fact.kids

    def on_installed(self, record: Installed) -> None:
        """Compare with every member that lives."""
        own = self._held.get(record.who)
        if own is None or not record.regular:
            return
        for node in record.members:
            lives = self._live.get(node, set())
            theirs = [self._held.get(life, frozenset()) for life in lives]
            if lives and not any(own & each for each in theirs):
                raise self.fail(record.time, f"{node} holds none of the keys of: {record}")
