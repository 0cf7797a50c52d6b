"""Mutants of gathering: joins, consensus, who forms the ring, commit tokens, leaving."""

from typing import Final

from tests.mutants.mutant import Mutant
from unisono.totem.machine import Totem

MEMBERSHIP: Final = (
    Mutant(
        "ring-seq-not-learnt",
        "The highest ring sequence heard of in joins is not remembered.",
        Totem,
        "_raise_ring_seq",
        "self._token_ring_seq = max(",
        "self._token_ring_seq = min(",
    ),
    Mutant(
        "consensus-of-one",
        "One candidate's agreement counts as everybody's.",
        Totem,
        "_is_agreed",
        "return all(",
        "return any(",
    ),
    Mutant(
        "everybody-forms-the-ring",
        "Whoever finds consensus sends a commit token, not only the lowest.",
        Totem,
        "_conclude",
        "elif self._candidates()[:1] != [self._me]:",
        "elif not self._candidates():",
    ),
    Mutant(
        "own-join-not-counted",
        "A node does not agree with itself, and fails itself for its silence.",
        Totem,
        "_enter_gather",
        "self._consensus = {self._me}",
        "self._consensus = set()",
    ),
    Mutant(
        "join-not-repeated",
        "A join is sent once and not repeated while gathering.",
        Totem,
        "_repeat_join",
        "self._set_timer(Timer.JOIN, now + self._settings.join_ns)",
        "pass",
    ),
    Mutant(
        "no-consensus-timer",
        "Nobody is failed for his silence: the timer is not started.",
        Totem,
        "_enter_gather",
        "self._set_timer(Timer.CONSENSUS, now + self._settings.consensus_ns)",
        "pass",
    ),
    Mutant(
        "silent-not-failed",
        "Who has not agreed in time stays a candidate.",
        Totem,
        "_fail_the_silent",
        "if node not in self._consensus",
        "if node in self._failed",
    ),
    Mutant(
        "commit-half-way-is-complete",
        "A commit token of the first rotation that comes again counts as complete.",
        Totem,
        "_is_complete",
        "and commit.memb_index == len(commit.addr)",
        "",
    ),
)
