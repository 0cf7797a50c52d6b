"""Each property of the search fires on stories that break it, and is silent on legal ones."""

from collections.abc import Sequence

import pytest

from unisono.base.ids import NodeId
from unisono.sim.search_properties import EMPTY, Stories
from unisono.sim.trace import (
    Booted,
    Crashed,
    Delivered,
    Installed,
    Process,
    Record,
    Ring,
    Sent,
)

R1, R2, R3 = (Ring(NodeId(1), seq, 0) for seq in (4, 8, 12))
SAFE = 77


def p(node: int, life: int = 1) -> Process:
    return Process(NodeId(node), life)


def boot(node: int, life: int = 1) -> Booted:
    return Booted(0, p(node, life), 1, True)


def sent(node: int, key: int, *, sync: bool = False) -> Sent:
    return Sent(0, p(node), key, key == SAFE, sync)


def got(node: int, key: int, ring: Ring, seq: int, origin: int = 1, life: int = 1) -> Delivered:
    return Delivered(0, p(node, life), NodeId(origin), key, ring, seq)


def leaving(
    node: int, ring: Ring, trans: Sequence[int], old: Sequence[int] = (), life: int = 1
) -> Installed:
    left = tuple(NodeId(n) for n in old if n not in trans)
    return Installed(0, p(node, life), False, ring, tuple(map(NodeId, trans)), left, ())


def view(
    node: int,
    ring: Ring,
    members: Sequence[int],
    trans: Sequence[int] = (),
    old: Sequence[int] = (),
    life: int = 1,
) -> list[Record]:
    joined = tuple(NodeId(n) for n in members if n not in trans)
    regular = Installed(0, p(node, life), True, ring, tuple(map(NodeId, members)), (), joined)
    return [leaving(node, ring, trans, old, life), regular]


def judge(*stories: Sequence[Record]) -> str:
    kept = Stories([SAFE])
    numbers = []
    for records in stories:
        story = EMPTY
        for record in records:
            story = kept.add(story, record)
        numbers.append(story)
    return kept.judge(numbers)


FIRST = [boot(1), *view(1, R1, (1, 2))]
SECOND = [boot(2), *view(2, R1, (1, 2))]
TO_R2_1 = view(1, R2, (1, 2), (1, 2), (1, 2))
TO_R2_2 = view(2, R2, (1, 2), (1, 2), (1, 2))

LEGAL: dict[str, tuple[list[Record], list[Record]]] = {
    "two who stay together": (
        [*FIRST, sent(1, 5), got(1, 5, R1, 1), *TO_R2_1, sent(1, 6), got(1, 6, R2, 1)],
        [*SECOND, got(2, 5, R1, 1), *TO_R2_2, got(2, 6, R2, 1)],
    ),
    "two who part deliver what they like": (
        [*FIRST, sent(1, SAFE), leaving(1, R2, (1,), (1, 2)), got(1, SAFE, R1, 1)],
        [*SECOND, *view(2, Ring(NodeId(2), 8, 0), (2,), (2,), (1, 2))],
    ),
    "a crash pays every debt": (
        [*FIRST, sent(1, SAFE), got(1, SAFE, R1, 1)],
        [*SECOND, Crashed(0, p(2), False), boot(2, 2), *view(2, R2, (1, 2), life=2)],
    ),
    "one packet completes two messages": (
        [*FIRST, sent(1, 5), sent(1, 6), got(1, 5, R1, 1), got(1, 6, R1, 1)],
        [*SECOND, got(2, 5, R1, 1), got(2, 6, R1, 1)],
    ),
    "a gap in the transitional view": (
        [*FIRST, sent(1, 5), sent(1, 6), got(1, 5, R1, 1), got(1, 6, R1, 2)],
        [*SECOND, leaving(2, R2, (2,), (1, 2)), got(2, 6, R1, 2)],
    ),
}

BROKEN: dict[str, tuple[list[Record], list[Record]]] = {
    "agreed order: at": (
        [*FIRST, sent(1, 5), sent(1, 6), got(1, 5, R1, 1)],
        [*SECOND, got(2, 6, R1, 1)],
    ),
    "agreed order: 5 from 1 is at": (
        [*FIRST, sent(1, 5), got(1, 5, R1, 1)],
        [*SECOND, got(2, 5, R1, 2)],
    ),
    "agreed order: sequence": (
        [*FIRST, sent(1, 5), sent(1, 6), got(1, 5, R1, 2), got(1, 6, R1, 1)],
        SECOND,
    ),
    "integrity: delivered before": (
        [*FIRST, sent(1, 5), got(1, 5, R1, 1), got(1, 5, R1, 2)],
        SECOND,
    ),
    "integrity: 1 never sent": (FIRST, [*SECOND, got(2, 5, R1, 1)]),
    "delivery view": ([*FIRST, sent(1, 5), got(1, 5, R2, 1)], SECOND),
    "unique views: ring": (FIRST, [boot(2), *view(2, R1, (1, 2, 3))]),
    "unique views: 8 was": (
        [boot(1), *view(1, R2, (1, 2)), *view(1, R1, (1, 2), (1, 2), (1, 2))],
        [boot(2)],
    ),
    "self inclusion": ([boot(1), *view(1, R1, (2,))], [boot(2)]),
    "self inclusion: 1: transitional": ([*FIRST, leaving(1, R2, (2,), (1, 2))], SECOND),
    "transitional views: two in a row": (
        [*FIRST, leaving(1, R2, (1,), (1, 2)), leaving(1, R3, (1,), (1, 2))],
        SECOND,
    ),
    "transitional views: none announced": ([boot(1), view(1, R1, (1, 2))[1]], [boot(2)]),
    "transitional views: not all come": ([boot(1), *view(1, R1, (1, 2), (1, 2))], [boot(2)]),
    "transitional views: left should": ([*FIRST, leaving(1, R2, (1,), ())], SECOND),
    "transitional views: members got lost": (
        [*FIRST, *view(1, R2, (1,), (1, 2), (1, 2))],
        SECOND,
    ),
    "transitional views: 2 and 1 came from": (
        [*FIRST, *TO_R2_1],
        [*SECOND, *view(2, R2, (1, 2), (2,), (1, 2))],
    ),
    "transitional views: 2#2 and 1 came to": (
        [*FIRST, *TO_R2_1],
        [*SECOND, Crashed(0, p(2), False), boot(2, 2), *view(2, R2, (1, 2), (), life=2)],
    ),
    "virtual synchrony": (
        [*FIRST, sent(1, 5), got(1, 5, R1, 1), *TO_R2_1],
        [*SECOND, *TO_R2_2],
    ),
    "gap freedom": (
        [*FIRST, sent(1, 5), sent(1, 6), got(1, 5, R1, 1), got(1, 6, R1, 2)],
        [*SECOND, got(2, 6, R1, 2)],
    ),
    "safe delivery": (
        [*FIRST, sent(1, SAFE), got(1, SAFE, R1, 1)],
        [*SECOND, *view(2, Ring(NodeId(2), 8, 0), (2,), (2,), (1, 2))],
    ),
    "causal order": (
        [*FIRST, sent(1, 5), got(1, 5, R1, 3), sent(1, 6)],
        [*SECOND, got(2, 6, R1, 2)],
    ),
}


@pytest.mark.parametrize("name", LEGAL)
def test_stories_when_they_are_legal_then_nothing_is_broken(name: str) -> None:
    one, other = LEGAL[name]
    assert judge(one, other) == ""
    assert judge(other, one) == ""


@pytest.mark.parametrize("name", BROKEN)
def test_stories_when_they_break_a_property_then_it_is_named(name: str) -> None:
    one, other = BROKEN[name]
    assert judge(one, other).startswith(name)
    assert judge(other, one).split(":")[0] == name.split(":", maxsplit=1)[0]


def test_stories_when_begun_alike_then_they_share_a_number() -> None:
    kept = Stories([])
    one = kept.add(EMPTY, boot(1))
    assert kept.add(EMPTY, boot(1)) == one
    assert kept.add(EMPTY, boot(2)) != one
    assert kept.records(kept.add(one, sent(1, 5))) == [boot(1), sent(1, 5)]


def test_tale_when_a_view_changes_then_only_the_exchange_is_void() -> None:
    kept = Stories([])
    story = EMPTY
    for record in [*FIRST, sent(1, 5), sent(1, 6, sync=True), leaving(1, R2, (1,), (1, 2))]:
        story = kept.add(story, record)
    assert kept.tale(story).owed == [(5, False)]
