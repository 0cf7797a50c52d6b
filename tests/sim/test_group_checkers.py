"""The checkers of closed process groups: each fires on a broken trace, none on a legal one."""

from collections.abc import Sequence

import pytest

from unisono.base.ids import NodeId
from unisono.sim.checkers import Checker, Violation
from unisono.sim.checkers.common_settings import CommonSettings
from unisono.sim.checkers.group_agreement import GroupAgreement
from unisono.sim.checkers.group_integrity import GroupIntegrity
from unisono.sim.checkers.no_ghosts import NoGhosts
from unisono.sim.trace import (
    ClientEnded,
    ClientStarted,
    GroupDelivered,
    GroupSent,
    GroupViewed,
    Installed,
    Member,
    Process,
    Reconfigured,
    Record,
    Ring,
    Synced,
    Trace,
)

A, B, C = (Member(NodeId(node), 100 + node) for node in (1, 2, 3))
GROUP = b"red"
JOIN, LEAVE, NODEDOWN = 1, 2, 3


def host(member: Member) -> Process:
    return Process(member.node, 1)


def start(member: Member) -> ClientStarted:
    return ClientStarted(0, host(member), member, GROUP, True)


def end(member: Member, died: bool) -> ClientEnded:
    return ClientEnded(0, host(member), member, GROUP, died)


def send(member: Member, key: int) -> GroupSent:
    return GroupSent(0, host(member), member, GROUP, key, False)


def get(member: Member, key: int, sender: Member = A) -> GroupDelivered:
    return GroupDelivered(0, host(member), member, GROUP, sender, key)


def see(
    member: Member,
    members: Sequence[Member],
    joined: Sequence[Member] = (),
    left: Sequence[Member] = (),
    reason: int = 0,
) -> GroupViewed:
    return GroupViewed(
        0,
        host(member),
        member,
        GROUP,
        tuple(members),
        tuple((each, reason or JOIN) for each in joined),
        tuple((each, reason or LEAVE) for each in left),
    )


def ring(node: int, seq: int, members: Sequence[int]) -> list[Record]:
    who = Process(NodeId(node), 1)
    nodes = tuple(map(NodeId, members))
    regular = Installed(0, who, True, Ring(NodeId(1), seq, 0), nodes, (), ())
    return [regular, Synced(0, who, True)]


def judge(checker: Checker, records: Sequence[Record]) -> None:
    trace = Trace()
    checker.attach(trace)
    for record in records:
        trace.add(record)
    checker.conclude(0)


TOGETHER = [
    *ring(1, 4, (1, 2)),
    *ring(2, 4, (1, 2)),
    start(A),
    start(B),
    see(A, (A,), (A,)),
    see(A, (A, B), (B,)),
    see(B, (A, B), (B,)),
]


def take(node: int, what: str) -> Reconfigured:
    return Reconfigured(0, Process(NodeId(node), 1), what)


LEGAL: list[tuple[str, Checker, list[Record]]] = [
    (
        "together, and one alone after they part",
        CommonSettings(),
        [
            *ring(1, 4, (1, 2)),
            *ring(2, 4, (1, 2)),
            take(1, "a"),
            take(2, "a"),
            *ring(1, 8, (1,)),
            take(1, "b"),
            *ring(2, 9, (2,)),
        ],
    ),
    ("there and back", GroupIntegrity(), [send(A, 7), get(B, 7), get(A, 7)]),
    ("dead with a message out", GroupIntegrity(), [send(A, 7), end(A, True)]),
    ("same for both", GroupAgreement(), [*TOGETHER, get(A, 7), get(B, 7)]),
    (
        "before the other came",
        GroupAgreement(),
        [
            *ring(1, 4, (1, 2)),
            *ring(2, 4, (1, 2)),
            see(A, (A,), (A,)),
            get(A, 7),
            see(A, (A, B), (B,)),
            see(B, (A, B), (B,)),
        ],
    ),
    (
        "after the other left",
        GroupAgreement(),
        [*TOGETHER, see(A, (A,), (), (B,)), see(B, (A,), (), (B,)), get(A, 7)],
    ),
    ("the dead saw less", GroupAgreement(), [*TOGETHER, get(A, 7), end(B, True)]),
    (
        "on different rings",
        GroupAgreement(),
        [*TOGETHER, *ring(1, 8, (1,)), get(A, 7), *ring(2, 12, (2,))],
    ),
    (
        "left while the services agreed",
        GroupAgreement(),
        [
            *TOGETHER,
            *ring(1, 8, (1, 2))[:1],
            *ring(2, 8, (1, 2))[:1],
            see(A, (A,), (), (B,)),
            see(B, (A,), (), (B,)),
            end(B, False),
            *ring(1, 8, (1, 2))[1:],
            *ring(2, 8, (1, 2))[1:],
            get(A, 7),
            *ring(1, 12, (1, 2)),
            *ring(2, 12, (1, 2)),
        ],
    ),
    ("all are real", NoGhosts(), TOGETHER),
    (
        "gone with its node",
        NoGhosts(),
        [*TOGETHER, end(B, True), see(A, (A,), (), (B,), NODEDOWN), *ring(1, 8, (1,))],
    ),
]

BROKEN: list[tuple[str, Checker, list[Record]]] = [
    (
        "one of two who stay together",
        CommonSettings(),
        [*ring(1, 4, (1, 2)), *ring(2, 4, (1, 2)), take(1, "a")],
    ),
    (
        "in another order",
        CommonSettings(),
        [
            *ring(1, 4, (1, 2)),
            *ring(2, 4, (1, 2)),
            take(1, "a"),
            take(1, "b"),
            take(2, "b"),
            take(2, "a"),
            *ring(1, 8, (1, 2)),
            *ring(2, 8, (1, 2)),
        ],
    ),
    ("invented", GroupIntegrity(), [get(A, 7)]),
    ("of another sender", GroupIntegrity(), [send(A, 7), get(A, 7, B)]),
    ("twice", GroupIntegrity(), [send(A, 7), get(A, 7), get(A, 7)]),
    ("swapped", GroupIntegrity(), [send(A, 7), send(A, 8), get(B, 8), get(B, 7)]),
    ("lost", GroupIntegrity(), [send(A, 7)]),
    ("left without its own", GroupIntegrity(), [send(A, 7), end(A, False)]),
    ("one missed it", GroupAgreement(), [*TOGETHER, get(A, 7)]),
    (
        "one missed it, then moved",
        GroupAgreement(),
        [*TOGETHER, get(A, 7), *ring(1, 8, (1, 2)), *ring(2, 8, (1, 2))],
    ),
    (
        "order of join and message",
        GroupAgreement(),
        [*TOGETHER, see(A, (A, B, C), (C,)), get(A, 7), get(B, 7), see(B, (A, B, C), (C,))],
    ),
    ("a member without a node", NoGhosts(), [*TOGETHER, see(A, (A, B, C), (C,))]),
    ("listed after its node has gone", NoGhosts(), [*TOGETHER, end(B, True), *ring(1, 8, (1,))]),
    (
        "gone with its node, but as if by itself",
        NoGhosts(),
        [*TOGETHER, end(B, True), *ring(1, 8, (1,))[:1], see(A, (A,), (), (B,))],
    ),
    ("a change that does not fit", NoGhosts(), [*TOGETHER, see(A, (A, B), (B,))]),
    ("a ghost at the end", NoGhosts(), [*TOGETHER, end(B, True)]),
]


@pytest.mark.parametrize(
    ("checker", "records"), [row[1:] for row in LEGAL], ids=[f"{c.name}: {n}" for n, c, _ in LEGAL]
)
def test_group_checker_when_the_trace_is_legal_then_is_silent(
    checker: Checker, records: list[Record]
) -> None:
    judge(checker, records)


@pytest.mark.parametrize(
    ("checker", "records"),
    [row[1:] for row in BROKEN],
    ids=[f"{c.name}: {n}" for n, c, _ in BROKEN],
)
def test_group_checker_when_its_property_is_broken_then_fires(
    checker: Checker, records: list[Record]
) -> None:
    with pytest.raises(Violation) as caught:
        judge(checker, records)
    assert caught.value.name == checker.name
