"""Each checker fires on a trace that breaks its property, and is silent on a legal one."""

from collections.abc import Sequence

import pytest

from unisono.base.ids import NodeId
from unisono.sim.checkers import Checker, Violation
from unisono.sim.checkers.agreed_order import AgreedOrder
from unisono.sim.checkers.bounded_queues import BoundedQueues
from unisono.sim.checkers.causal_order import CausalOrder
from unisono.sim.checkers.delivery_view import DeliveryView
from unisono.sim.checkers.gap_freedom import GapFreedom
from unisono.sim.checkers.integrity import Integrity
from unisono.sim.checkers.liveness import Liveness
from unisono.sim.checkers.safe_delivery import SafeDelivery
from unisono.sim.checkers.self_delivery import SelfDelivery
from unisono.sim.checkers.transitional_views import TransitionalViews
from unisono.sim.checkers.unique_views import UniqueViews
from unisono.sim.checkers.virtual_synchrony import VirtualSynchrony
from unisono.sim.trace import (
    Booted,
    Calmed,
    Crashed,
    Delivered,
    Fact,
    Installed,
    Measured,
    Process,
    Record,
    Ring,
    Sent,
    Synced,
    Trace,
)

R1, R2, R3 = (Ring(NodeId(1), seq, 0) for seq in (4, 8, 12))


def p(node: int, life: int = 1) -> Process:
    return Process(NodeId(node), life)


def boot(node: int, life: int = 1, ring_seq: int = 1, kept: bool = True) -> Booted:
    return Booted(0, p(node, life), ring_seq, kept)


def crash(node: int, life: int = 1) -> Crashed:
    return Crashed(0, p(node, life), False)


def sent(node: int, key: int, *, safe: bool = False, sync: bool = False, time: int = 0) -> Sent:
    return Sent(time, p(node), key, safe, sync)


def got(node: int, key: int, ring: Ring, seq: int, origin: int = 1, life: int = 1) -> Delivered:
    return Delivered(0, p(node, life), NodeId(origin), key, ring, seq)


def view(
    node: int,
    ring: Ring,
    members: Sequence[int],
    trans: Sequence[int],
    old: Sequence[int] = (),
    life: int = 1,
    time: int = 0,
) -> list[Record]:
    """A transitional view of `trans` (out of `old`) and the regular view after it."""
    return [leaving(node, ring, trans, old, life), entering(node, ring, members, trans, life, time)]


def leaving(
    node: int, ring: Ring, trans: Sequence[int], old: Sequence[int], life: int = 1
) -> Installed:
    left = tuple(NodeId(n) for n in old if n not in trans)
    return Installed(0, p(node, life), False, ring, tuple(map(NodeId, trans)), left, ())


def entering(
    node: int,
    ring: Ring,
    members: Sequence[int],
    trans: Sequence[int],
    life: int = 1,
    time: int = 0,
) -> Installed:
    joined = tuple(NodeId(n) for n in members if n not in trans)
    return Installed(time, p(node, life), True, ring, tuple(map(NodeId, members)), (), joined)


def judge(checker: Checker, records: Sequence[Record | Fact]) -> None:
    trace = Trace()
    checker.attach(trace)
    for record in records:
        if isinstance(record, tuple):
            trace.tell(record)
        else:
            trace.add(record)
    checker.conclude(0)


BOTH_IN_R1 = [*view(1, R1, (1, 2), ()), *view(2, R1, (1, 2), ())]
BOTH_TO_R2 = [*view(1, R2, (1, 2), (1, 2), (1, 2)), *view(2, R2, (1, 2), (1, 2), (1, 2))]

LEGAL: list[tuple[str, Checker, list[Record]]] = [
    ("two agree", UniqueViews(), [boot(1), boot(2), *BOTH_IN_R1, *BOTH_TO_R2]),
    (
        "ids grow over a restart",
        UniqueViews(),
        [boot(1), *view(1, R1, (1,), ()), crash(1), boot(1, 2, 5), *view(1, R2, (1,), (), life=2)],
    ),
    (
        "a lost store may repeat an id",
        UniqueViews(),
        [
            boot(1),
            *view(1, R1, (1, 2), ()),
            crash(1),
            boot(1, 2, 1, kept=False),
            *view(1, Ring(NodeId(1), 4, 1), (1,), (), life=2),
        ],
    ),
    ("moving together", TransitionalViews(), [*BOTH_IN_R1, *BOTH_TO_R2]),
    (
        "parting and joining",
        TransitionalViews(),
        [
            *BOTH_IN_R1,
            *view(1, R2, (1,), (1,), (1, 2)),
            *view(2, Ring(NodeId(2), 8, 0), (2,), (2,), (1, 2)),
            *view(1, R3, (1, 2), (1,), (1,)),
            *view(2, R3, (1, 2), (2,), (2,)),
        ],
    ),
    (
        "old ring's messages in the transitional view",
        DeliveryView(),
        [*view(1, R1, (1,), ()), got(1, 7, R1, 1), leaving(1, R2, (1,), (1,)), got(1, 8, R1, 2)],
    ),
    (
        "sent twice, delivered twice",
        Integrity(),
        [sent(1, 7), sent(1, 7), got(1, 7, R1, 1), got(1, 7, R1, 2)],
    ),
    ("same place at two", Integrity(), [sent(1, 7), got(1, 7, R1, 1), got(2, 7, R1, 1)]),
    (
        "two equal in one packet",
        Integrity(),
        [sent(1, 7), sent(1, 7), got(1, 7, R1, 1), got(1, 7, R1, 1)],
    ),
    (
        "one misses a message",
        AgreedOrder(),
        [
            *(sent(1, key) for key in (7, 8, 9)),
            *(got(1, key, R1, key) for key in (7, 8, 9)),
            *(got(2, key, R1, key) for key in (7, 9)),
        ],
    ),
    (
        "a gap in the transitional view",
        GapFreedom(),
        [
            *BOTH_IN_R1,
            got(1, 7, R1, 1),
            got(1, 8, R1, 2),
            leaving(2, R2, (2,), (1, 2)),
            got(2, 8, R1, 2),
        ],
    ),
    (
        "a newcomer misses what began before it came",
        GapFreedom(),
        [
            sent(1, 7),
            *view(1, R1, (1, 2), (1,), time=5),
            *view(2, R1, (1, 2), (2,), time=5),
            sent(1, 8, time=9),
            got(1, 7, R1, 1),
            got(1, 8, R1, 2),
            got(2, 8, R1, 2),
        ],
    ),
    (
        "two queues",
        CausalOrder(),
        [sent(1, 7), sent(1, 8, sync=True), got(2, 8, R1, 1), got(2, 7, R1, 2)],
    ),
    (
        "safe everywhere",
        SafeDelivery(),
        [*BOTH_IN_R1, sent(1, 7, safe=True), got(1, 7, R1, 1), got(2, 7, R1, 1), *BOTH_TO_R2],
    ),
    (
        "safe, but the other crashed",
        SafeDelivery(),
        [*BOTH_IN_R1, sent(1, 7, safe=True), got(1, 7, R1, 1), crash(2)],
    ),
    (
        "not known stable: in the transitional view",
        SafeDelivery(),
        [
            *BOTH_IN_R1,
            sent(1, 7, safe=True),
            leaving(1, R2, (1,), (1, 2)),
            got(1, 7, R1, 1),
            *view(2, R2, (2,), (2,), (1, 2)),
        ],
    ),
    (
        "a member that never installed the ring",
        SafeDelivery(),
        [*view(1, R1, (1, 2), ()), sent(1, 7, safe=True), got(1, 7, R1, 1)],
    ),
    (
        "those who part may differ",
        VirtualSynchrony(),
        [
            *BOTH_IN_R1,
            got(1, 7, R1, 1),
            *view(1, R2, (1,), (1,), (1, 2)),
            *view(2, Ring(NodeId(2), 8, 0), (2,), (2,), (1, 2)),
        ],
    ),
    (
        "one delivers later, in the transitional view",
        VirtualSynchrony(),
        [
            *BOTH_IN_R1,
            got(1, 7, R1, 1),
            *view(1, R2, (1, 2), (1, 2), (1, 2)),
            leaving(2, R2, (1, 2), (1, 2)),
            got(2, 7, R1, 1),
            entering(2, R2, (1, 2), (1, 2)),
        ],
    ),
    ("crashed with a message out", SelfDelivery(), [sent(1, 7), crash(1)]),
    ("a void exchange", SelfDelivery(), [sent(1, 7, sync=True), leaving(1, R2, (1,), (1,))]),
    ("at the bound", BoundedQueues(), [Measured(0, p(1), "queue", 5, 5)]),
    (
        "all together",
        Liveness(),
        [
            boot(1),
            boot(2),
            *BOTH_IN_R1,
            Calmed(0, 9),
            Synced(0, p(1), False),
            Synced(0, p(2), False),
        ],
    ),
    ("no calm, nothing owed", Liveness(), [boot(1)]),
]

BROKEN: list[tuple[str, Checker, list[Record]]] = [
    ("two member sets", UniqueViews(), [*view(1, R1, (1, 2), ()), *view(2, R1, (1, 2, 3), ())]),
    ("an id twice", UniqueViews(), [*view(1, R1, (1,), ()), *view(1, R1, (1,), (1,), (1,))]),
    (
        "an id that is not stored before use",
        UniqueViews(),
        [boot(1), *view(1, R2, (1,), ()), crash(1), boot(1, 2, 5)],
    ),
    ("no transitional view", TransitionalViews(), [entering(1, R1, (1,), ())]),
    (
        "two transitional views",
        TransitionalViews(),
        [leaving(1, R1, (), ()), leaving(1, R1, (), ())],
    ),
    (
        "a companion is forgotten",
        TransitionalViews(),
        [*BOTH_IN_R1, *view(1, R2, (1, 2), (1,), (1, 2)), *view(2, R2, (1, 2), (2,), (1, 2))],
    ),
    (
        "company from another ring",
        TransitionalViews(),
        [
            *BOTH_IN_R1,
            *view(2, Ring(NodeId(2), 8, 0), (2,), (2,), (1, 2)),
            *view(1, R3, (1, 2), (1, 2), (1, 2)),
            *view(2, R3, (1, 2), (2,), (2,)),
        ],
    ),
    (
        "left says nothing",
        TransitionalViews(),
        [*BOTH_IN_R1, Installed(0, p(1), False, R2, (NodeId(1),), (), ())],
    ),
    (
        "old ring after the regular view",
        DeliveryView(),
        [*view(1, R1, (1,), ()), *view(1, R2, (1,), (1,), (1,)), got(1, 7, R1, 1)],
    ),
    (
        "new ring in the transitional view",
        DeliveryView(),
        [*view(1, R1, (1,), ()), leaving(1, R2, (1,), (1,)), got(1, 7, R2, 1)],
    ),
    ("never sent", Integrity(), [got(1, 7, R1, 1)]),
    ("twice", Integrity(), [sent(1, 7), got(1, 7, R1, 1), got(1, 7, R1, 1)]),
    ("at two places", Integrity(), [sent(1, 7), got(1, 7, R1, 1), got(2, 7, R1, 2)]),
    (
        "one place, two origins",
        Integrity(),
        [sent(1, 7), sent(2, 8), got(1, 7, R1, 1), got(2, 8, R1, 1, origin=2)],
    ),
    (
        "two orders within a packet",
        AgreedOrder(),
        [
            sent(1, 7),
            sent(1, 8),
            *(got(1, key, R1, 1) for key in (7, 8)),
            *(got(2, key, R1, 1) for key in (8, 7)),
        ],
    ),
    (
        "back in the sequence",
        AgreedOrder(),
        [sent(1, 7), got(1, 7, R1, 2), sent(1, 8), got(1, 8, R1, 1)],
    ),
    (
        "a gap in the regular view",
        GapFreedom(),
        [*BOTH_IN_R1, got(1, 7, R1, 1), got(1, 8, R1, 2), got(2, 8, R1, 2)],
    ),
    (
        "a sender's order",
        CausalOrder(),
        [sent(1, 7), sent(1, 8), got(2, 8, R1, 1), got(2, 7, R1, 2)],
    ),
    (
        "before what its sender knew",
        CausalOrder(),
        [sent(2, 6), got(1, 6, R1, 5, origin=2), sent(1, 7), got(2, 7, R1, 4)],
    ),
    (
        "stable, and one goes on without it",
        SafeDelivery(),
        [
            *BOTH_IN_R1,
            sent(1, 7, safe=True),
            got(1, 7, R1, 1),
            *view(2, Ring(NodeId(2), 8, 0), (2,), (2,), (1, 2)),
        ],
    ),
    (
        "together, but not the same",
        VirtualSynchrony(),
        [*BOTH_IN_R1, got(1, 7, R1, 1), *BOTH_TO_R2],
    ),
    ("not the same at the end", VirtualSynchrony(), [*BOTH_IN_R1, got(1, 7, R1, 1)]),
    ("never back", SelfDelivery(), [sent(1, 7)]),
    ("beyond the bound", BoundedQueues(), [Measured(0, p(1), "queue", 6, 5)]),
    ("not synced", Liveness(), [boot(1), *view(1, R1, (1,), ()), Calmed(0, 9)]),
    (
        "apart for ever",
        Liveness(),
        [
            boot(1),
            boot(2),
            *view(1, R1, (1,), ()),
            *view(2, Ring(NodeId(2), 4, 0), (2,), ()),
            Synced(0, p(1), False),
            Synced(0, p(2), False),
            Calmed(0, 9),
        ],
    ),
]


@pytest.mark.parametrize(
    ("checker", "records"), [row[1:] for row in LEGAL], ids=[f"{c.name}: {n}" for n, c, _ in LEGAL]
)
def test_checker_when_the_trace_is_legal_then_is_silent(
    checker: Checker, records: list[Record]
) -> None:
    judge(checker, records)


@pytest.mark.parametrize(
    ("checker", "records"),
    [row[1:] for row in BROKEN],
    ids=[f"{c.name}: {n}" for n, c, _ in BROKEN],
)
def test_checker_when_its_property_is_broken_then_fires(
    checker: Checker, records: list[Record]
) -> None:
    with pytest.raises(Violation) as caught:
        judge(checker, records)
    assert caught.value.name == checker.name
