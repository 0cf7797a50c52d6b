"""Mutants of the services' synchronisation: barriers, phases, aborts, joinlists."""

from typing import Final

from tests.mutants.mutant import Mutant
from unisono.services.joinlists import Joinlists
from unisono.services.sync import Sync

SYNC: Final = (
    Mutant(
        "first-barrier-is-enough",
        "A phase ends with the first member's barrier.",
        Sync,
        "_is_complete",
        "return len(self._heard) == len(self._cluster.members)",
        "return bool(self._heard)",
    ),
    Mutant(
        "own-barrier-counts-twice",
        "A phase ends when all members but one are heard.",
        Sync,
        "_is_complete",
        "len(self._heard) ==",
        "len(self._heard) + (self._cluster.node_id in self._heard) >=",
    ),
    Mutant(
        "barriers-of-last-phase",
        "A phase begins with the barriers of the one before it.",
        Sync,
        "_next_phase",
        "self._heard.clear()",
        "pass",
    ),
    Mutant(
        "barrier-of-other-ring",
        "Barriers and service lists that were sent for an earlier ring count.",
        Sync,
        "receive",
        "message.ring != self._cluster.ring or origin",
        "origin",
    ),
    Mutant(
        "abort-not-told",
        "A configuration that comes in the middle does not abort what the services began.",
        Sync,
        "_abort",
        "part.sync_abort()",
        "pass",
    ),
    Mutant(
        "barrier-before-its-messages",
        "The barrier of a phase leaves before the messages that it closes.",
        Sync,
        "_next_phase",
        "    if part is not None:\n"
        "        part.sync_process()\n"
        "    self._cluster.effects.append("
        "Multicast(GROUP_SYNC, encode_barrier(self._cluster.ring)))\n",
        "    self._cluster.effects.append("
        "Multicast(GROUP_SYNC, encode_barrier(self._cluster.ring)))\n"
        "    if part is not None:\n"
        "        part.sync_process()\n",
    ),
    Mutant(
        "joinlists-of-the-past",
        "Joinlists of an aborted phase count in the next one.",
        Joinlists,
        "close",
        "self._told = {}",
        "pass",
    ),
)
