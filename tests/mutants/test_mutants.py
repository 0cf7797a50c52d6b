"""Every mutant is noticed at its recorded seed; the page says what was recorded."""

import time
from itertools import takewhile

import pytest

from tests.mutants import results
from tests.mutants.catalogue import MUTANTS, ROOMS
from tests.mutants.hunt import ACCIDENTS, hunt, judge
from tests.mutants.mutant import LineGone, Mutant
from unisono.totem.timers import Timers

NEAR_SEEDS = 60
"""Seeds tried when the recorded one no longer means what it meant."""
NEAR_SECONDS = 10.0
"""Processor time for them."""
RECORDED = {result.mutant: result for result in results.load()}


def test_mutants_when_counted_then_each_name_is_there_once() -> None:
    assert len(MUTANTS) == sum(map(len, ROOMS.values()))


def test_mutants_when_recorded_then_all_of_them_are() -> None:
    assert RECORDED.keys() == MUTANTS.keys(), "run make mutants"
    assert all(result.what == MUTANTS[result.mutant].what for result in RECORDED.values())


def test_mutants_when_noticed_then_mostly_by_a_property() -> None:
    accidents = [result.mutant for result in RECORDED.values() if result.checker in ACCIDENTS]
    assert len(accidents) <= len(RECORDED) // 10


def test_page_when_results_are_recorded_then_shows_them() -> None:
    assert results.PAGE.read_text() == results.page(results.load()), "run make mutants"


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_when_its_seed_is_run_then_it_is_noticed(name: str) -> None:
    mutant, recorded = MUTANTS[name], RECORDED[name]
    if judge(mutant, recorded.seed) is not None:
        return
    end = time.process_time() + NEAR_SECONDS
    seeds = takewhile(lambda _: time.process_time() < end, range(1, NEAR_SEEDS + 1))
    near = hunt(mutant, seeds)
    assert near, f"survived its seed {recorded.seed} and those up to {NEAR_SEEDS}: run make mutants"


EXPIRED = Mutant(
    "expired-too-early",
    "A timer is taken as due one nanosecond early.",
    Timers,
    "take_expired",
    "if earliest > now:",
    "if earliest > now + 1:",
)


def test_mutant_when_planted_then_wrong_inside_and_right_outside() -> None:
    timers = Timers()
    timers.row[0] = 10
    assert timers.take_expired(9) is None
    with EXPIRED.planted():
        assert timers.take_expired(9) == 0
    timers.row[0] = 10
    assert timers.take_expired(9) is None


def test_mutant_when_its_run_raises_then_the_product_is_right_again() -> None:
    right = Timers.take_expired
    with pytest.raises(KeyError), EXPIRED.planted():
        raise KeyError
    assert Timers.take_expired is right


@pytest.mark.parametrize("right", ["if earliest > then:", "earliest"])
def test_mutant_when_its_line_is_gone_or_not_unique_then_it_says_so(right: str) -> None:
    mutant = Mutant("gone", "", Timers, "take_expired", right, "pass")
    with pytest.raises(LineGone, match="gone"), mutant.planted():
        pass
