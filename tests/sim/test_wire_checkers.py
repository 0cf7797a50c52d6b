"""The checkers of what passes on the wire and above it: each fires on a broken trace only."""

from collections.abc import Sequence

import pytest

from tests.sim.test_checkers import (
    R1,
    R2,
    R3,
    boot,
    crash,
    entering,
    got,
    judge,
    leaving,
    p,
    sent,
    view,
)
from unisono.base.ids import MS, NodeId
from unisono.sim.checkers import Checker, Violation
from unisono.sim.checkers.aru_safety import AruSafety
from unisono.sim.checkers.bounded_memory import BoundedMemory
from unisono.sim.checkers.configuration_consistency import ConfigurationConsistency
from unisono.sim.checkers.obligation_set import ObligationSet
from unisono.sim.checkers.quiescence import Quiescence
from unisono.sim.checkers.quorum import Quorum
from unisono.sim.checkers.self_inclusion import SelfInclusion
from unisono.sim.checkers.sequence_uniqueness import SequenceUniqueness
from unisono.sim.checkers.sync_barrier import SyncBarrier
from unisono.sim.checkers.token_uniqueness import TokenUniqueness
from unisono.sim.checkers.transitional_agreement import TransitionalAgreement
from unisono.sim.trace import (
    Fact,
    Heard,
    Idled,
    Numbered,
    Record,
    Ring,
    RoundHeard,
    RoundSent,
    Synced,
    TokenPassed,
    Verdict,
    Voted,
    Weighed,
)

ELSEWHERE = Ring(NodeId(2), 8, 0)
BOTH_IN_R1 = [*view(1, R1, (1, 2), ()), *view(2, R1, (1, 2), ())]
THREE_IN_R1 = [step for node in (1, 2, 3) for step in view(node, R1, (1, 2, 3), ())]


def token(
    node: int, number: int, *, seq: int = 0, aru: int = 0, rtr: int = 0, ring: Ring = R1
) -> TokenPassed:
    datagram = b"%d %d %d %d %d" % (node, number, seq, aru, rtr)
    return TokenPassed(0, p(node), ring, number, seq, aru, rtr, datagram)


def numbered(node: int, seq: int, datagram: bytes = b"x", ring: Ring = R1) -> Numbered:
    return Numbered(0, p(node), ring, seq, datagram)


def heard(node: int, *seqs: int) -> Heard:
    return Heard(p(node), R1, list(seqs))


def begins(node: int) -> RoundSent:
    return RoundSent(0, p(node), R1)


def hears(node: int, origin: int) -> RoundHeard:
    return RoundHeard(0, p(node), R1, NodeId(origin))


def synced(node: int, *, native: bool = True) -> Synced:
    return Synced(0, p(node), native)


def votes(node: int, *origins: int, expected: int = 3, waits: bool = False) -> list[Voted]:
    return [Voted(0, p(node), NodeId(each), 1, expected, False, waits) for each in origins]


def verdict(node: int, quorate: bool, total: int, expected: int = 3, quorum: int = 2) -> Verdict:
    return Verdict(0, p(node), quorate, total, expected, quorum)


def idled(datagrams: int, marks: int = 0) -> Idled:
    return Idled(1_010 * MS, 10 * MS, 2, datagrams, marks, 100 * MS, 50 * MS, 200 * MS)


def weighed(part: str, objects: int, payload: int = 0) -> Weighed:
    return Weighed(0, p(1), part, objects, payload, nodes=2, groups=0, clients=0)


LEGAL: list[tuple[str, Checker, Sequence[Record | Fact]]] = [
    ("alone before the first view", SelfInclusion(), [*view(1, R1, (1, 2), (1,))]),
    ("nobody before the first view", SelfInclusion(), [*view(1, R1, (1, 2), ())]),
    (
        "two from here, one from there",
        TransitionalAgreement(),
        [
            *THREE_IN_R1,
            *view(3, Ring(NodeId(3), 8, 0), (3,), (3,), (1, 2, 3)),
            *(step for node in (1, 2) for step in view(node, R3, (1, 2, 3), (1, 2), (1, 2, 3))),
            *view(3, R3, (1, 2, 3), (3,), (3,)),
        ],
    ),
    (
        "a companion that never gets there",
        TransitionalAgreement(),
        [
            *BOTH_IN_R1,
            *view(1, R2, (1, 2), (1, 2), (1, 2)),
            *view(2, R3, (2,), (2,), (1, 2)),
        ],
    ),
    (
        "agreed by all",
        ConfigurationConsistency(),
        [*BOTH_IN_R1, synced(1), *view(1, R2, (1, 2), (1, 2), (1, 2))],
    ),
    (
        "a member that never installs the view",
        ConfigurationConsistency(),
        [*view(1, R1, (1, 2), ()), crash(2), *view(1, R2, (1,), (1,), (1, 2))],
    ),
    (
        "beyond a gap from one who comes along",
        ObligationSet(),
        [
            *THREE_IN_R1,
            got(3, 7, R1, 1, origin=3),
            leaving(1, R2, (1, 2), (1, 2, 3)),
            got(1, 8, R1, 2, origin=2),
        ],
    ),
    (
        "no gap, from one who stays behind",
        ObligationSet(),
        [
            *THREE_IN_R1,
            got(3, 7, R1, 1, origin=3),
            got(1, 7, R1, 1, origin=3),
            leaving(1, R2, (1, 2), (1, 2, 3)),
            got(1, 8, R1, 2, origin=3),
        ],
    ),
    ("round, and once more", TokenUniqueness(), [token(1, 0), token(2, 1), token(2, 1)]),
    ("another ring", TokenUniqueness(), [token(1, 0), token(1, 0, seq=5, ring=R2)]),
    ("from the last number to the first", TokenUniqueness(), [token(1, 0xFFFF_FFFF), token(1, 1)]),
    ("asked for", SequenceUniqueness(), [numbered(1, 1), numbered(2, 1), numbered(1, 2, b"y")]),
    ("another ring's number", SequenceUniqueness(), [numbered(1, 1), numbered(1, 1, b"y", R2)]),
    (
        "all have it",
        AruSafety(),
        [
            *(numbered(1, 1), token(1, 0, seq=1), heard(2, 1), token(2, 1, seq=1, aru=1)),
            *(token(1, 2, seq=1, aru=1), token(2, 3, seq=1, aru=1), token(1, 4, seq=1, aru=1)),
        ],
    ),
    (
        "a late one fills the gap",
        AruSafety(),
        [heard(2, 2, 3), token(2, 1, seq=3), heard(2, 1), token(2, 3, seq=3, aru=3)],
    ),
    (
        "round by round",
        SyncBarrier(),
        [
            *BOTH_IN_R1,
            *(begins(1), hears(1, 1), hears(1, 2), begins(1), hears(1, 2), hears(1, 1)),
            *(synced(1), begins(2), hears(2, 1), hears(2, 2), synced(2)),
        ],
    ),
    ("at the bound of requests", BoundedMemory(), [token(1, 0, seq=16_384, rtr=30)]),
    ("the first token of a ring", BoundedMemory(), [token(1, 0, aru=0xFFFF_FFFF)]),
    ("light", BoundedMemory(), [weighed("ring", 120, 100), weighed("services", 300, 2_000)]),
    (
        "one turn per hold",
        Quiescence(),
        [boot(1), synced(1, native=False), idled(2 * 10 + 5)],
    ),
    (
        "one turn per rest",
        Quiescence(),
        [boot(1), synced(1), idled(2 * 20 + 5)],
    ),
    (
        "not idle",
        Quiescence(),
        [boot(1), synced(1), sent(1, 7, time=20 * MS), idled(5_000)],
    ),
    (
        "a majority and a minority",
        Quorum(),
        [
            *(*view(1, R1, (1, 2), ()), *votes(1, 1, 2), verdict(1, True, 2)),
            *(*view(3, ELSEWHERE, (3,), ()), *votes(3, 3), verdict(3, False, 1)),
        ],
    ),
    (
        "one majority after the other",
        Quorum(),
        [
            *(*view(1, R1, (1, 2), ()), *votes(1, 1, 2), verdict(1, True, 2)),
            *(*view(3, ELSEWHERE, (2, 3), ()), *votes(3, 2, 3), verdict(3, True, 2)),
        ],
    ),
    (
        "waits for all",
        Quorum(),
        [*view(1, R1, (1, 2), ()), *votes(1, 1, 2, waits=True), verdict(1, False, 2)],
    ),
]

BROKEN: list[tuple[str, Checker, Sequence[Record | Fact]]] = [
    ("a view without oneself", SelfInclusion(), [*view(2, R1, (1,), ())]),
    (
        "a transitional view without oneself",
        SelfInclusion(),
        [*BOTH_IN_R1, leaving(1, R2, (2,), (1, 2))],
    ),
    ("company from before the first view", SelfInclusion(), [leaving(1, R1, (1, 2), ())]),
    (
        "different company",
        TransitionalAgreement(),
        [*BOTH_IN_R1, leaving(1, R2, (1, 2), (1, 2)), leaving(2, R2, (2,), (1, 2))],
    ),
    (
        "without one who makes the same way",
        TransitionalAgreement(),
        [*BOTH_IN_R1, leaving(1, R2, (2,), (1, 2)), leaving(2, R2, (2,), (1, 2))],
    ),
    (
        "company from another view",
        TransitionalAgreement(),
        [
            *BOTH_IN_R1,
            *view(2, ELSEWHERE, (2,), (2,), (1, 2)),
            leaving(1, R3, (1, 2), (1, 2)),
            leaving(2, R3, (2,), (2,)),
        ],
    ),
    (
        "with one who never came",
        ConfigurationConsistency(),
        [*view(1, R1, (1, 2), ()), leaving(1, R2, (1, 2), (1, 2))],
    ),
    (
        "agreed with one who never came",
        ConfigurationConsistency(),
        [*view(1, R1, (1, 2), ()), synced(1)],
    ),
    (
        "beyond a gap from one who stays behind",
        ObligationSet(),
        [
            *THREE_IN_R1,
            leaving(1, R2, (1, 2), (1, 2, 3)),
            got(1, 8, R1, 2, origin=3),
            entering(1, R2, (1, 2), (1, 2)),
            got(3, 7, R1, 1, origin=3),
        ],
    ),
    ("two act on one token", TokenUniqueness(), [token(1, 0), token(2, 1), token(3, 1)]),
    ("two tokens of one number", TokenUniqueness(), [token(1, 1), token(2, 2), token(1, 2)]),
    ("one token in two versions", TokenUniqueness(), [token(1, 1), token(1, 1, seq=5)]),
    ("a token of the past", TokenUniqueness(), [token(1, 5), token(1, 3)]),
    ("one number, two messages", SequenceUniqueness(), [numbered(1, 1), numbered(2, 1, b"y")]),
    ("above what its sender has", AruSafety(), [heard(2, 1, 3), token(2, 1, seq=3, aru=3)]),
    (
        "above what a member has",
        AruSafety(),
        [
            *(numbered(1, 1), token(1, 0, seq=1), token(2, 1, seq=1), heard(3, 1)),
            *(token(3, 2, seq=1, aru=1), token(1, 3, seq=1, aru=1), token(2, 4, seq=1)),
            *(token(3, 5, seq=1, aru=1), token(1, 6, seq=1, aru=1)),
        ],
    ),
    (
        "the second round too early",
        SyncBarrier(),
        [*BOTH_IN_R1, begins(1), hears(1, 1), begins(1)],
    ),
    (
        "the end too early",
        SyncBarrier(),
        [*BOTH_IN_R1, begins(1), hears(1, 1), hears(1, 1), synced(1)],
    ),
    (
        "the end at two places",
        SyncBarrier(),
        [
            *(*BOTH_IN_R1, got(1, 7, R1, 1), got(2, 7, R1, 1), synced(1)),
            *(got(2, 8, R1, 2), synced(2)),
        ],
    ),
    (
        "an end without a view",
        SyncBarrier(),
        [*BOTH_IN_R1, leaving(1, R2, (1,), (1, 2)), synced(1)],
    ),
    ("more requests than fit", BoundedMemory(), [token(1, 0, rtr=31)]),
    ("more than anybody keeps", BoundedMemory(), [token(1, 0, seq=16_385)]),
    ("objects that stay", BoundedMemory(), [weighed("ring", 1_000)]),
    ("bytes that stay", BoundedMemory(), [weighed("services", 300, 100_000)]),
    (
        "a hold that is none",
        Quiescence(),
        [boot(1), synced(1, native=False), idled(2 * 12 + 8)],
    ),
    ("a log that never rests", Quiescence(), [boot(1), synced(1), idled(20, 5_000)]),
    (
        "two halves, both quorate",
        Quorum(),
        [
            *(*view(1, R1, (1, 2), ()), *votes(1, 1, 2, expected=2), verdict(1, True, 2, 2)),
            *(*view(3, ELSEWHERE, (3, 4), ()), *votes(3, 3, 4, expected=2)),
            verdict(3, True, 2, 2),
        ],
    ),
    (
        "a minority that is quorate",
        Quorum(),
        [*view(3, R1, (3,), ()), *votes(3, 3), verdict(3, True, 1)],
    ),
    (
        "a majority that is not",
        Quorum(),
        [*view(1, R1, (1, 2), ()), *votes(1, 1, 2), verdict(1, False, 2)],
    ),
    (
        "votes that nobody told",
        Quorum(),
        [*view(1, R1, (1, 2), ()), *votes(1, 1), verdict(1, True, 2)],
    ),
    (
        "votes that were told otherwise",
        Quorum(),
        [*view(1, R1, (1, 2), ()), *votes(1, 1, 2), verdict(1, True, 3)],
    ),
    (
        "a quorum below the majority",
        Quorum(),
        [*view(1, R1, (1, 2), ()), *votes(1, 1, 2, expected=4), verdict(1, True, 2, 4)],
    ),
    (
        "does not wait for all",
        Quorum(),
        [*view(1, R1, (1, 2), ()), *votes(1, 1, 2, waits=True), verdict(1, True, 2)],
    ),
]


@pytest.mark.parametrize(
    ("checker", "records"), [row[1:] for row in LEGAL], ids=[f"{c.name}: {n}" for n, c, _ in LEGAL]
)
def test_wire_checker_when_the_trace_is_legal_then_is_silent(
    checker: Checker, records: Sequence[Record | Fact]
) -> None:
    judge(checker, records)


@pytest.mark.parametrize(
    ("checker", "records"),
    [row[1:] for row in BROKEN],
    ids=[f"{c.name}: {n}" for n, c, _ in BROKEN],
)
def test_wire_checker_when_its_property_is_broken_then_fires(
    checker: Checker, records: Sequence[Record | Fact]
) -> None:
    with pytest.raises(Violation) as caught:
        judge(checker, records)
    assert caught.value.name == checker.name
