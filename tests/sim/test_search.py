"""Exhaustive search: small budgets are exhausted, planted bugs are found by a shortest path."""

import os
import subprocess
import sys
import time
from typing import Any

import pytest

from unisono.base.group import Guarantee, StoreRingSeq
from unisono.base.ids import seq_add
from unisono.sim import search_state
from unisono.sim.checkers import Violation, ring_checkers
from unisono.sim.search import Exploration, describe, search
from unisono.sim.search_request import SearchRequest, make_space, settle
from unisono.sim.search_space import Space
from unisono.sim.search_words import tell, trail
from unisono.sim.search_world import Step, World
from unisono.sim.trace import Trace
from unisono.totem import Totem

SECONDS = float(os.environ.get("UNISONO_SEARCH_SECONDS", "4"))
"""How long a search that is bounded by time may take."""


def formed(request: SearchRequest) -> tuple[Space, World]:
    """The space and the world in which all nodes are on one quiet ring."""
    space = make_space(request)
    steps, broken = settle(space)
    assert not broken
    world = space.first()
    for step in steps:
        world = space.take(world, step).world
    return space, world


def follow(space: Space, world: World, *names: str) -> World:
    """Take the first step of each name."""
    for name in names:
        step = next(each for each in space.steps(world) if each.what == name)
        world = space.take(world, step).world
    return world


def names(space: Space, world: World) -> set[str]:
    return {step.what for step in space.steps(world)}


def deliver_over_gaps(self: Any) -> None:
    store = self._regular
    while store.delivered != store.high:
        store.delivered = seq_add(store.delivered, 1)
        message = store.messages.get(store.delivered)
        if message is not None:
            self._delivery.packet(message, self._effects)


# -- whole searches -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        SearchRequest(1, 2, 1),
        SearchRequest(2, 0, 1),
        SearchRequest(2, 2, 0),
        SearchRequest(2, 1, 1, kinds=("lose",)),
        SearchRequest(2, 0, 1, kinds=("cut", "sleep")),
        SearchRequest(2, 0, 0, begin="boot"),
        SearchRequest(2, 1, 0, native=False),
        SearchRequest(3, 1, 0),
    ],
    ids=str,
)
def test_search_within_small_budgets_when_run_then_every_world_is_reached(
    request_: SearchRequest,
) -> None:
    outcome = search(request_, time.monotonic)
    print(describe(outcome))
    assert outcome.complete
    assert outcome.violation == ""
    assert outcome.settled > 0
    assert outcome.states > outcome.depth


@pytest.mark.parametrize(
    "request_",
    [SearchRequest(2, 1, 1, seconds_max=SECONDS), SearchRequest(3, 1, 1, seconds_max=SECONDS / 2)],
    ids=["2 nodes", "3 nodes"],
)
def test_search_within_larger_budgets_when_time_is_up_then_nothing_was_broken(
    request_: SearchRequest,
) -> None:
    outcome = search(request_, time.monotonic)
    print(describe(outcome))
    assert outcome.violation == "", describe(outcome)
    assert outcome.states > 500


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "request_",
    [
        SearchRequest(2, 2, 1),
        SearchRequest(2, 0, 2),
        SearchRequest(2, 1, 2),
        SearchRequest(3, 0, 1),
    ],
    ids=str,
)
def test_search_within_middling_budgets_when_run_then_every_world_is_reached(
    request_: SearchRequest,
) -> None:
    outcome = search(request_, time.monotonic)
    print(describe(outcome))
    assert outcome.complete, describe(outcome)
    assert outcome.violation == ""


def test_search_when_states_are_bounded_then_it_stops_and_says_so() -> None:
    outcome = search(SearchRequest(2, 1, 1, states_max=300))
    assert 300 <= outcome.states < 330
    assert not outcome.complete
    assert "not complete" in describe(outcome)


def test_search_when_repeated_with_another_hash_seed_then_it_finds_the_same() -> None:
    program = (
        "from unisono.sim.search import describe, search\n"
        "from unisono.sim.search_request import SearchRequest\n"
        "print(describe(search(SearchRequest(2, 1, 1, states_max=2000))))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_search_request_when_a_fault_is_unknown_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="kinds are of"):
        SearchRequest(kinds=("rain",))
    with pytest.raises(ValueError, match="budgets"):
        SearchRequest(nodes=0)


# -- bugs that must be found ----------------------------------------------------------------------


def test_search_when_delivery_jumps_over_a_gap_then_one_loss_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Totem, "_deliver_ready", deliver_over_gaps)
    exploration = Exploration(
        SearchRequest(2, 2, 1, kinds=("lose",), guarantees=(Guarantee.AGREED,)), None
    )
    outcome = exploration.run()
    print(describe(outcome))
    assert outcome.violation
    assert not outcome.complete
    text = "\n".join(outcome.path)
    assert "sends message 1" in text
    assert "lose mcast" in text
    assert outcome.violation in describe(outcome)
    with pytest.raises(Violation):
        judge(exploration.space, [*exploration.prefix, *exploration.path])


def test_search_when_the_ring_sequence_is_not_stored_then_the_first_token_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    enter_commit = Totem._enter_commit

    def wrong(self: Any, now: Any, commit: Any) -> None:
        enter_commit(self, now, commit)
        self._effects = [each for each in self._effects if not isinstance(each, StoreRingSeq)]

    monkeypatch.setattr(Totem, "_enter_commit", wrong)
    outcome = search(SearchRequest(2, 0, 0))
    assert outcome.violation.startswith("stored before use")
    assert outcome.path


def test_search_when_strangers_are_not_heard_then_a_state_without_way_out_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Totem, "_hear_stranger", lambda self, node, ring_seq, now: None)
    outcome = search(SearchRequest(2, 0, 1, kinds=("cut",)))
    assert outcome.violation.startswith("progress")
    assert any("cut" in line for line in outcome.path)


def test_search_when_a_machine_raises_then_the_path_to_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(self: Any, now: Any) -> None:
        raise KeyError("token")

    monkeypatch.setattr(Totem, "_repeat_token", wrong)
    outcome = search(SearchRequest(2, 0, 1, kinds=("lose",)))
    assert outcome.violation.startswith("no exception: ")
    assert "KeyError: 'token'" in outcome.violation
    assert any("lose token" in line for line in outcome.path)


# -- the search against the checkers --------------------------------------------------------------


def judge(space: Space, steps: list[Step]) -> None:
    """Let the checkers read one path as if it were a run. Raises Violation."""
    trace = Trace()
    checkers = ring_checkers()
    for checker in checkers:
        checker.attach(trace)
    records = trail(space, steps)
    for record in records:
        trace.add(record)
    for checker in checkers:
        checker.conclude(records[-1].time)


def test_search_when_its_settled_ends_are_read_by_the_checkers_then_they_agree() -> None:
    exploration = Exploration(SearchRequest(2, 2, 1, states_max=8_000), None)
    outcome = exploration.run()
    assert not outcome.violation
    ends = exploration.settled[:: len(exploration.settled) // 40]
    for end in ends:
        steps = exploration.steps_of(exploration.path_to(end))
        judge(exploration.space, [*exploration.prefix, *steps])
    assert len(ends) >= 40


# -- steps ----------------------------------------------------------------------------------------


def test_space_when_a_token_is_held_then_time_passes_and_it_may_still_arrive() -> None:
    space, world = formed(SearchRequest(2, 0, 1, kinds=("hold",)))
    while "hold" not in names(space, world):
        world = follow(space, world, "expire")
    world = follow(space, world, "hold")
    assert {"expire", "arrive"} <= names(space, world)
    world = follow(space, world, "expire", "arrive")
    assert "arrive" not in names(space, world)


def test_space_when_a_datagram_is_under_way_then_time_stands_still() -> None:
    space, world = formed(SearchRequest(2, 1, 0))
    while "deliver" not in names(space, world):
        world = follow(space, world, "expire")
    assert "expire" not in names(space, world)


def test_space_when_a_node_crashes_then_what_it_stored_is_there_at_its_start() -> None:
    space, world = formed(SearchRequest(2, 0, 1, kinds=("crash",)))
    stored = space.shelf.nodes[world.nodes[0]].stored
    assert stored
    world = follow(space, world, "crash")
    assert space.shelf.nodes[world.nodes[0]].blob is None
    world = follow(space, world, "start")
    assert space.shelf.nodes[world.nodes[0]].stored == stored
    assert space.shelf.nodes[world.nodes[0]].who.life == 2


def test_space_when_a_node_may_crash_then_it_may_do_so_between_two_sends() -> None:
    space, world = formed(SearchRequest(2, 1, 1, kinds=("crash",)))
    world = follow(space, world, "send")
    found: list[Step] = []
    while not found:
        world = follow(space, world, "deliver" if "deliver" in names(space, world) else "expire")
        found = [step for step in space.steps(world) if step.crash_at > 0]
    before = sum(map(len, world.links))
    after = space.take(world, found[0]).world
    assert after.spent == 1
    assert space.shelf.nodes[after.nodes[found[0].node]].blob is None
    assert sum(map(len, after.links)) <= before
    assert "crashes before" in tell(space, world, found[0])


def test_space_when_a_token_has_gone_round_then_the_world_is_the_same_again() -> None:
    space, world = formed(SearchRequest(2, 0, 0))
    seen: set[World] = set()
    while world not in seen:
        seen.add(world)
        world = space.take(world, next(iter(space.steps(world)))).world
    assert len(seen) < 100


# -- the state ------------------------------------------------------------------------------------


def test_canonical_when_two_names_mean_one_object_then_it_says_so() -> None:
    one: list[int] = [1]
    assert search_state.canonical([one, one]) != search_state.canonical([one, [1]])


def test_canonical_when_order_means_nothing_then_it_is_not_seen() -> None:
    assert search_state.canonical({1: 2, 3: 4}) == search_state.canonical({3: 4, 1: 2})
    assert search_state.canonical({9, 8, 1}) == search_state.canonical(frozenset({1, 8, 9}))
    assert search_state.canonical([1, 2]) != search_state.canonical([2, 1])


def test_freeze_when_thawed_then_views_and_shared_objects_are_kept() -> None:
    shared = [memoryview(b"abc")]
    one, other = search_state.thaw(search_state.freeze((shared, shared)))
    assert one is other
    assert bytes(one[0]) == b"abc"


def test_shelf_when_a_machine_keeps_a_moment_unknown_to_it_then_it_refuses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = [name for name in search_state.TIMES if name != "_last_visit"]
    monkeypatch.setattr(search_state, "TIMES", known)
    with pytest.raises(search_state.UnknownMoment) as caught:
        formed(SearchRequest(2, 0, 0))
    assert any("_last_visit" in note for note in caught.value.__notes__)


def test_machine_when_time_passes_in_two_steps_then_it_does_the_same_as_in_one() -> None:
    space, world = formed(SearchRequest(2, 0, 0))
    number = world.nodes[0]
    state = space.shelf.nodes[number]
    assert state.deadline is not None
    in_two = space.shelf.act(number, ("wait", state.deadline // 2)).node
    in_two = space.shelf.act(in_two, ("expire", state.deadline - state.deadline // 2)).node
    at_once = space.shelf.act(number, ("expire", state.deadline)).node
    assert space.shelf.nodes[in_two] == space.shelf.nodes[at_once]
