"""The same script on three Corosync daemons, on three of ours, and in the simulator.

Keeps:       the simulator beside Corosync's daemons sees what they see; as a ring of our own it
             sees what our daemons see. The differences between the two are named, script by script.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from tests.interop.differential_allowed import Difference, hears_after_leave, shown, without
from tests.interop.differential_judge import Facts, facts, judge
from tests.interop.differential_real import RealStage
from tests.interop.differential_script import Observation, Player
from tests.interop.differential_scripts import NODES, PATIENCE, SCRIPTS, draw
from tests.interop.differential_simulated import SimulatedStage
from tests.interop.differential_stage import Message
from tests.interop.lab import Lab

pytestmark = pytest.mark.timeout(120)

DIFFER: Final = {
    "goodbyes": {Difference.STOP, Difference.AFTER_LEAVE},
    "one after the other ends": {Difference.STOP},
    "large messages over changes": {Difference.TAIL},
    "deaf to messages": {Difference.SAFE},
}
"""What a script is allowed to show on Corosync alone. Any other difference fails the test."""
MUST_SHOW: Final = {Difference.AFTER_LEAVE, Difference.SAFE}
"""Of these, what no timing can hide: if it is gone, docs/explanation/differences.md is wrong."""
DRAWN_DIFFER: Final = {Difference.STOP, Difference.AFTER_LEAVE}
SEEDS: Final = (1, 2)
PATIENT: Final = {"fail_recv_const": PATIENCE}


def play_on(lab: Lab, title: str, script: str) -> Observation:
    """On real daemons."""
    stage = RealStage(lab)
    try:
        return Player(title, stage).play(script)
    finally:
        stage.close()


def play_simulated(title: str, script: str, *, native: bool) -> Observation:
    """In the simulator, whose own checkers must agree."""
    stage = SimulatedStage(NODES, native=native)
    observation = Player(title, stage).play(script)
    stage.conclude()
    return observation


def compare(
    laboratory: Callable[..., Lab], script: str, differ: set[Difference]
) -> set[Difference]:
    """Play, judge and compare; returns the differences that Corosync has shown."""
    labs = [laboratory(kinds, totem=PATIENT) for kinds in ("ccc", "uuu")]
    with ThreadPoolExecutor(len(labs)) as pool:
        games = [pool.submit(play_on, lab, "".join(lab.kinds.values()), script) for lab in labs]
        beside = play_simulated("simulator beside Corosync", script, native=False)
        native = play_simulated("simulator", script, native=True)
        theirs, ours = (game.result() for game in games)
    expected = facts(beside)
    assert facts(native) == expected
    judge(beside, tails=Difference.TAIL in differ)
    judge(native, tails=False)
    _agrees(theirs, expected, differ)
    _agrees(ours, expected, differ if ours.stage == theirs.stage else set())
    assert not hears_after_leave(beside)
    return shown(theirs)


def _agrees(observation: Observation, expected: Facts, differ: set[Difference]) -> None:
    judge(observation, tails=Difference.TAIL in differ)
    assert facts(without(observation, differ)) == expected, observation.stage
    assert shown(observation) <= differ, observation.stage


@pytest.mark.parametrize("title", SCRIPTS)
def test_script_when_played_everywhere_then_all_see_the_same(
    laboratory: Callable[..., Lab], title: str
) -> None:
    differ = DIFFER.get(title, set())
    assert compare(laboratory, SCRIPTS[title], differ) >= differ & MUST_SHOW


@pytest.mark.parametrize("seed", SEEDS)
def test_script_when_drawn_from_a_seed_then_all_see_the_same(
    laboratory: Callable[..., Lab], seed: int
) -> None:
    compare(laboratory, draw(seed), DRAWN_DIFFER)


def _lose_one(observation: Observation) -> None:
    _messages(observation, "bob").pop(2)


def _repeat_one(observation: Observation) -> None:
    events = _messages(observation, "bob")
    events.append(events[0])


def _swap_two(observation: Observation) -> None:
    events = _messages(observation, "bob")
    events[0], events[-1] = events[-1], events[0]


def _break_one(observation: Observation) -> None:
    events = _messages(observation, "bob")
    events[0] = events[0]._replace(whole=False)


def _cross_the_cut(observation: Observation) -> None:
    _messages(observation, "ann").append(Message("cat", 1, 200, True))


def _miss_a_view(observation: Observation) -> None:
    observation.phases[3].events["bob"].pop(0)


def _messages(observation: Observation, name: str) -> list[Any]:
    """The list, open for damage, of what `name` got in the phase in which both sides send."""
    return observation.phases[4].events[name]


DAMAGES: Final = (_lose_one, _repeat_one, _swap_two, _break_one, _cross_the_cut, _miss_a_view)


@pytest.mark.parametrize("damage", DAMAGES)
def test_comparison_when_an_observation_is_damaged_then_it_fails(
    damage: Callable[[Observation], None],
) -> None:
    script = SCRIPTS["partition"]
    whole, broken = (play_simulated("simulator", script, native=True) for _ in range(2))
    _agrees(broken, facts(whole), set())
    damage(broken)
    with pytest.raises(AssertionError):
        _agrees(broken, facts(whole), set())
