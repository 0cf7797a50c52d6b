"""Members die, leave, come late, stop for a while or are cut off: the others agree on it."""

from collections.abc import Callable

import pytest

from tests.interop.lab import Lab
from tests.interop.rings import assert_load_ordered, history, ring

pytestmark = pytest.mark.timeout(120)

REASON_NODE_DOWN = 3
REASON_NODE_UP = 4
VICTIMS = [
    ring("ccc", "udpu", 4, 2),
    ring("cuc", "udpu", 4, 1),
    ring("cuc", "udp", 6, 2),
    ring("ucu", "udp", 4, 1),
    ring("ucu", "udpu", 6, 2),
    ring("ucc", "udpu", 4, 3),
    ring("ccu", "udp", 4, 3),
    ring("ccuu", "udpu", 4, 4),
]


def reasons(lab: Lab, node: int, kind: str) -> dict[int, int]:
    """Node id to reason, of those who left (or joined) in any view that `node` saw."""
    views = lab.clients[node].all("view")
    return {entry[0]: entry[2] for view in views for entry in view[kind]}


def stream(lab: Lab, messages: int = 1500) -> None:
    """Every client sends at an even pace while the test goes on."""
    lab.send(messages, 200, gap_us=1000)


@pytest.mark.parametrize(("kinds", "transport", "family", "victim"), VICTIMS)
def test_ring_when_a_daemon_is_killed_then_survivors_agree_and_it_may_return(
    laboratory: Callable[..., Lab], kinds: str, transport: str, family: int, victim: int
) -> None:
    lab = laboratory(kinds, transport, family)
    lab.form()
    lab.marked("start")
    rest = [n for n in lab.nodes if n != victim]
    stream(lab)
    lab.flow(300)
    lab.kill(victim)
    lab.wait_views(rest)
    lab.finish(rest)
    lab.marked("end", rest)
    histories = [history(lab, n, "start") for n in rest]
    assert histories.count(histories[0]) == len(rest), histories
    assert all(reasons(lab, n, "left") == {victim: REASON_NODE_DOWN} for n in rest)
    lab.start(victim)
    lab.wait_views()
    assert_load_ordered(lab)


@pytest.mark.parametrize(("kinds", "transport", "family", "victim"), VICTIMS)
def test_ring_when_a_daemon_is_told_to_end_then_it_leaves_at_once(
    laboratory: Callable[..., Lab], kinds: str, transport: str, family: int, victim: int
) -> None:
    lab = laboratory(kinds, transport, family, totem={"token": 10_000})
    lab.form()
    lab.marked("start")
    rest = [n for n in lab.nodes if n != victim]
    assert lab.stop(victim) == 0
    assert lab.wait_views(rest) < 5, "the others waited for the token instead"
    histories = [history(lab, n, "start") for n in rest]
    assert histories.count(histories[0]) == len(rest), histories
    assert all(set(reasons(lab, n, "left")) == {victim} for n in rest)
    assert_load_ordered(lab)
    lab.start(victim)
    lab.wait_views()
    assert_load_ordered(lab)


@pytest.mark.parametrize(("kinds", "transport", "family", "newcomer"), VICTIMS)
def test_ring_when_a_member_comes_late_into_traffic_then_it_sees_what_the_others_see(
    laboratory: Callable[..., Lab], kinds: str, transport: str, family: int, newcomer: int
) -> None:
    lab = laboratory(kinds, transport, family)
    first = [n for n in lab.nodes if n != newcomer]
    lab.start(*first)
    lab.wait_views(first)
    lab.marked("start")
    stream(lab)
    lab.flow(300)
    lab.start(newcomer)
    lab.wait_views()
    lab.marked("all here")
    lab.finish(first)
    histories = [history(lab, n, "start") for n in first]
    assert histories.count(histories[0]) == len(first), histories
    assert_load_ordered(lab)


@pytest.mark.parametrize(
    ("kinds", "transport", "family", "away"),
    [
        ring("cccc", "udpu", 4, (3, 4)),
        ring("ccuu", "udpu", 4, (3, 4)),
        ring("cuuc", "udp", 4, (2, 4)),
        ring("cuc", "udpu", 6, (1,)),
        ring("ucu", "udp", 6, (1,)),
        ring("ccu", "udpu", 4, (3,)),
    ],
)
def test_ring_when_cut_in_two_then_each_side_goes_on_and_healing_merges_them(
    laboratory: Callable[..., Lab], kinds: str, transport: str, family: int, away: tuple[int, ...]
) -> None:
    lab = laboratory(kinds, transport, family)
    lab.form()
    lab.marked("start")
    stayed = tuple(n for n in lab.nodes if n not in away)
    stream(lab, 1000)
    lab.flow(300)
    lab.network.partition(*away)
    for side in (stayed, away):
        lab.wait_views(side)
    for side in (stayed, away):
        lab.finish(side)
        assert_load_ordered(lab, side)
        histories = [history(lab, n, "start") for n in side]
        assert histories.count(histories[0]) == len(side), histories
    lab.network.heal()
    lab.wait_views()
    for side, other in ((stayed, away), (away, stayed)):
        for n in side:
            assert reasons(lab, n, "left") == dict.fromkeys(other, REASON_NODE_DOWN)
    assert_load_ordered(lab)


@pytest.mark.parametrize(("kinds", "transport", "family", "victim"), VICTIMS)
def test_ring_when_a_daemon_is_stopped_beyond_the_token_timeout_then_it_returns_when_continued(
    laboratory: Callable[..., Lab], kinds: str, transport: str, family: int, victim: int
) -> None:
    lab = laboratory(kinds, transport, family)
    lab.form()
    lab.marked("start")
    rest = [n for n in lab.nodes if n != victim]
    stream(lab, 1000)
    lab.flow(100)
    lab.freeze(victim)
    lab.wait_views(rest)
    lab.finish(rest)
    lab.marked("alone", rest)
    histories = [history(lab, n, "start") for n in rest]
    assert histories.count(histories[0]) == len(rest), histories
    lab.thaw(victim)
    lab.wait("it notices", lambda: len(history(lab, victim, "start")) > 0)
    lab.wait_views()
    sender = lab.clients[victim]
    lab.wait("its stream ends", lambda: sender.has_finished(sender))
    assert_load_ordered(lab)
