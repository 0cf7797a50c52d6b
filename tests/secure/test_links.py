"""Links: one dies, heals, flaps; the peer lives or does not; nothing spins."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.secure.paths import Path, World, plan
from unisono.base.errors import UsageError
from unisono.base.ids import MS, SECOND, Nanos
from unisono.base.limits import (
    LINK_CHANGES_MAX,
    PINGS_OUTSTANDING_MAX,
    PONGS_NEEDED_MAX,
    PROBES_WAITING_MAX,
    SECURE_ROOM_BYTES_MIN,
)
from unisono.secure.links import SUSPECT_AGAIN_NS, SUSPECT_PINGS, SUSPECT_STEP_NS, Links
from unisono.wire.ust.records import Ping, Pong


def two(mode: str = "passive", priorities: tuple[int, int] = (1, 1)) -> World:
    plans = [plan(number, priority) for number, priority in enumerate(priorities)]
    return World(plans, mode)


# -- up and down -----------------------------------------------------------------------------------


def test_links_when_new_then_silent_and_the_best_is_chosen() -> None:
    one = two()
    assert one.links.deadline is None and one.links.take_probes() == []
    assert one.links.chosen() == (0,) and not one.links.any_up
    assert one.links.numbers == (0, 1)


def test_links_when_adopted_then_that_one_is_up_and_the_other_after_two_pongs() -> None:
    one = two().adopt(0)
    assert one.links.is_up(0) and not one.links.is_up(1)
    one.run(1)
    assert [(link, up) for _, link, up in one.changes] == [(0, True), (1, True)]
    assert 0.1 < one.changes[1][0] < 0.11


def test_links_when_adopted_over_a_link_that_is_not_ours_then_the_others_are_asked() -> None:
    one = two()
    one.links.adopted(7, one.now)
    one.settle()
    one.run(1)
    assert one.links.is_up(0) and one.links.is_up(1)


@pytest.mark.parametrize(("there", "back"), [(False, True), (True, False), (False, False)])
def test_link_when_a_way_dies_then_down_within_the_timeout_and_one_interval(
    there: bool, back: bool
) -> None:
    one = two().adopt()
    one.run(2.05)
    one.paths[0].there, one.paths[0].back = there, back
    one.run(0.51)
    assert not one.links.is_up(0) and one.links.is_up(1)
    assert one.links.chosen() == (1,)
    assert 2.3 < one.changes[-1][0] <= 2.45


def test_link_when_data_comes_and_no_pong_then_down_and_called_one_way() -> None:
    one = two().adopt()
    one.run(2.05)
    one.paths[0].there = False
    for _ in range(20):
        one.links.heard(0, one.now)
        one.run(0.05)
    assert not one.links.is_up(0)
    assert one.links.status()[0]["one_way"] is True and one.links.status()[1]["one_way"] is False
    one.paths[0].there = True
    one.run(1)
    assert one.links.is_up(0) and one.links.status()[0]["one_way"] is False


def test_link_when_it_heals_then_used_again_after_two_pongs() -> None:
    one = two().adopt()
    one.run(70)
    one.paths[0].there = False
    one.run(5)
    one.paths[0].there = True
    one.run(0.21)
    assert one.links.is_up(0) and one.links.chosen() == (0,)


def test_link_when_down_then_pinged_every_interval_with_small_pings() -> None:
    one = two().adopt()
    one.run(70)
    one.paths[0].there = False
    one.run(1)
    one.sizes.clear()
    one.run(10)
    sizes = [size for _, link, size in one.sizes if link == 0]
    assert len(sizes) == 100 and set(sizes) == {53}


def test_link_when_every_second_ping_is_lost_then_it_does_not_come_up_and_stays_once_up() -> None:
    one = two()
    one.paths[1].lose = lambda count, _size: count % 2 == 0
    one.adopt(0)
    one.run(10)
    assert not one.links.is_up(1)
    one.links.adopted(1, one.now)
    one.run(10)
    assert one.links.is_up(1)


def test_link_when_it_flaps_then_twice_the_pongs_each_time_and_bounded() -> None:
    one = two()
    one.paths[0].there = False
    one.adopt(1)
    needed = []
    for _ in range(8):
        one.run(1)
        assert not one.links.is_up(0)
        one.paths[0].there = True
        one.sizes.clear()
        while not one.links.is_up(0):
            one.run(0.001)
        needed.append(len([size for _, link, size in one.sizes if link == 0 and size == 53]))
        one.paths[0].there = False
    assert needed == [2, 4, 8, 16, 32, PONGS_NEEDED_MAX, PONGS_NEEDED_MAX, PONGS_NEEDED_MAX]


def test_link_when_steady_for_a_minute_then_trusted_as_at_first() -> None:
    one = two().adopt(1)
    for _ in range(3):
        one.paths[0].there = True
        one.run(4)
        one.paths[0].there = False
        one.run(1)
    one.paths[0].there = True
    one.run(70)
    one.paths[0].there = False
    one.run(1)
    one.paths[0].there = True
    one.run(0.25)
    assert one.links.is_up(0)


def test_link_when_it_lasted_half_a_minute_then_what_it_must_answer_is_not_changed() -> None:
    one = two().adopt(1)
    for seconds in (1, 30, 30):
        one.paths[0].there = True
        one.run(seconds)
        one.paths[0].there = False
        one.run(1)
    one.paths[0].there = True
    one.run(0.25)
    assert not one.links.is_up(0)
    one.run(0.25)
    assert one.links.is_up(0)


def test_link_when_this_process_stood_still_then_the_silence_is_not_held_against_it() -> None:
    one = two().adopt()
    one.run(2.05)
    one.stand_still(5)
    one.run(1)
    assert one.links.is_up(0) and one.links.is_up(1) and len(one.changes) == 2


def test_link_when_the_peer_ended_while_this_process_stood_still_then_down_soon_after() -> None:
    one = two().adopt()
    one.run(2.05)
    one.alive = False
    one.stand_still(5)
    one.run(0.45)
    assert not one.links.any_up


def test_link_when_pongs_were_read_after_standing_still_then_the_excuse_is_not_counted_twice() -> (
    None
):
    one = two()
    one.paths[1].delay_ns = 10_000
    one.adopt()
    one.run(2.0001)
    one.alive = False
    one.stand_still(5, reads_first=True)
    one.run(0.45)
    assert not one.links.any_up


def test_link_when_answers_become_too_slow_then_two_of_them_bring_it_up_again() -> None:
    one = two().adopt(1)
    one.run(70.05)
    one.paths[0].delay_ns = 250 * MS
    one.run(5)
    (down_at, _, _), (up_at, _, _) = one.changes[2:]
    assert 0.35 < down_at - 70.05 < 0.41 and 0.64 < up_at - 70.05 < 0.7


# -- which link ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priorities", "best"), [((1, 1), 0), ((1, 2), 1), ((0, 1), 0), ((255, 0), 0), ((0, 2), 1)]
)
def test_chosen_when_passive_then_the_highest_priority_and_then_the_lowest_number(
    priorities: tuple[int, int], best: int
) -> None:
    one = two("passive", priorities)
    assert one.links.chosen() == (best,)
    one.adopt(1 - best)
    assert one.links.chosen() == (1 - best,)
    one.run(1)
    assert one.links.chosen() == (best,)


def test_chosen_when_active_then_all_that_are_up() -> None:
    one = two("active").adopt()
    assert one.links.chosen() == (0,)
    one.run(1)
    assert sorted(one.links.chosen()) == [0, 1]
    one.paths[0].back = False
    one.run(1)
    assert one.links.chosen() == (1,)


def test_chosen_when_rr_then_one_after_the_other_of_those_that_are_up() -> None:
    one = World([plan(number) for number in range(3)], "rr").adopt()
    one.run(1)
    turn = [one.links.chosen() for _ in range(6)]
    assert turn[:3] == turn[3:] and sorted(turn[:3]) == [(0,), (1,), (2,)]
    one.paths[1].there = False
    one.run(1)
    assert {one.links.chosen() for _ in range(6)} == {(0,), (2,)}


@pytest.mark.parametrize("mode", ["passive", "active", "rr"])
def test_chosen_when_none_is_up_then_the_best(mode: str) -> None:
    one = two(mode, (1, 9)).adopt()
    one.run(1)
    one.alive = False
    one.run(1)
    assert [one.links.chosen() for _ in range(2)] == [(1,)] * 2


def test_room_when_several_links_then_what_all_carry() -> None:
    paths = {0: Path(8_972, 8_972), 1: Path(1_472, 1_472)}
    one = World([plan(0), plan(1)], "active", paths=paths).adopt()
    one.run(1)
    assert one.links.room([0]) == 8_972
    assert one.links.room(one.links.chosen()) == 1_472
    assert one.links.room([]) == one.links.room([9]) == SECURE_ROOM_BYTES_MIN


def test_links_when_there_are_none_then_nothing_is_chosen() -> None:
    links = Links([], "passive", mtu_bytes=0, mtu_interval_ns=30 * SECOND, now=Nanos(0))
    links.adopted(0, Nanos(1))
    links.suspect(Nanos(1))
    assert links.chosen() == () and links.room(links.chosen()) == SECURE_ROOM_BYTES_MIN


def test_links_when_the_mode_or_number_cannot_be_then_usage_error() -> None:
    with pytest.raises(UsageError):
        two("fastest")
    with pytest.raises(UsageError):
        World([plan(number) for number in range(9)])


# -- pings and pongs -------------------------------------------------------------------------------


def test_latency_when_pongs_come_then_the_round_trip_smoothed() -> None:
    one = two()
    one.paths[1].delay_ns = 3 * MS
    one.adopt()
    one.run(10)
    assert [row["latency_us"] for row in one.links.status()] == [200, 6_000]
    one.paths[0].delay_ns = 1 * MS
    one.run(0.3)
    first = one.links.status()[0]["latency_us"]
    assert isinstance(first, int) and 200 < first < 1_000
    one.run(20)
    assert one.links.status()[0]["latency_us"] in range(1_900, 2_001)


def test_pong_when_not_asked_for_or_again_or_over_another_link_then_only_counted() -> None:
    one = two().adopt(0)
    one.paths[0].there = one.paths[1].there = False
    one.run(0.1)
    probes = {}
    one.links.suspect(one.now)
    for link, records in one.links.take_probes():
        assert isinstance(records[0], Ping)
        probes[link] = records[0]
    one.links.on_pong(0, Pong(1, probes[1].time_ns), one.now)
    one.links.on_pong(1, Pong(0, probes[0].time_ns), one.now)
    one.links.on_pong(0, Pong(0, 12_345), one.now)
    one.links.on_pong(200, Pong(200, probes[0].time_ns), one.now)
    assert one.links.strays == 4
    one.links.on_pong(0, Pong(0, probes[0].time_ns), one.now)
    one.links.on_pong(0, Pong(0, probes[0].time_ns), one.now)
    assert one.links.strays == 5
    one.links.heard(200, one.now)
    one.links.limit(200, 9_000, one.now)


def test_pings_when_time_stands_still_then_no_two_are_alike() -> None:
    one = World([plan(number) for number in range(8)])
    one.links.adopted(0, one.now)
    one.links.suspect(one.now)
    pings = [records[0] for _, records in one.links.take_probes()]
    times = [ping.time_ns for ping in pings if isinstance(ping, Ping)]
    assert len(times) == 17 and times == sorted(set(times))


def test_pings_when_never_answered_then_a_bounded_number_is_remembered_and_lost() -> None:
    one = two().adopt()
    one.alive = False
    one.run(100)
    losses = one.links.status()[0]["losses"]
    assert isinstance(losses, int) and 1_000 - PINGS_OUTSTANDING_MAX - 5 < losses <= 1_000


def test_probes_and_changes_when_nobody_takes_them_then_bounded() -> None:
    one = two()
    for turn in range(500):
        one.links.adopted(turn % 2, one.now)
        one.links.lost(one.now)
        one.links.adopted(turn % 2, one.now)
        for _ in range(50):
            one.now = Nanos(one.now + 100 * MS)
            one.links.expire(one.now)
    assert len(one.links.take_probes()) <= PROBES_WAITING_MAX
    assert len(one.links.take_changes()) <= LINK_CHANGES_MAX


def test_heartbeats_when_the_room_is_found_then_a_full_one_goes_beside_every_second() -> None:
    one = World([plan(0)], paths={0: Path(8_972, 8_972)}).adopt()
    one.run(1)
    one.sizes.clear()
    one.run(2.05)
    sizes = [size for _, _, size in one.sizes]
    assert sizes.count(53) == 20 and sizes.count(8_972) == 10 and len(sizes) == 30


def test_links_when_expired_at_every_deadline_then_no_more_often_than_there_are_pings() -> None:
    one = World([plan(number) for number in range(8)]).adopt()
    one.run(60)
    assert one.expired <= 60 * 10 * 8 + 8 * 4


def test_links_when_expired_early_then_nothing_happens() -> None:
    one = two().adopt()
    deadline = one.links.deadline
    assert deadline is not None
    one.links.expire(Nanos(deadline - 1))
    assert one.links.take_probes() == [] and one.links.deadline == deadline


# -- suspicion -------------------------------------------------------------------------------------


def is_gone(one: World) -> bool:
    return one.links.gone


def suspect(one: World) -> None:
    one.links.suspect(one.now)
    one.settle()


def test_suspect_when_the_peer_is_dead_then_gone_after_forty_milliseconds_and_not_before() -> None:
    one = two().adopt()
    one.run(2.05)
    one.alive = False
    one.sizes.clear()
    suspect(one)
    one.run(0.0399)
    assert not is_gone(one)
    one.run(0.0002)
    assert is_gone(one)
    assert [link for _, link, size in one.sizes if size == 53].count(1) >= SUSPECT_PINGS
    one.run(10)
    assert is_gone(one)


def test_suspect_when_the_peer_lives_then_not_gone_and_no_second_round() -> None:
    one = two().adopt()
    one.run(2.05)
    one.sizes.clear()
    suspect(one)
    one.run(0.095)
    assert not is_gone(one) and len(one.sizes) <= 6


def test_suspect_when_only_one_link_works_then_not_gone() -> None:
    one = two().adopt()
    one.run(2.05)
    one.paths[0].back = False
    for _ in range(20):
        suspect(one)
        one.run(0.05)
        assert not is_gone(one)


def test_suspect_when_something_old_is_heard_first_then_a_second_round_and_then_gone() -> None:
    one = two().adopt()
    one.run(2.05)
    one.alive = False
    suspect(one)
    one.links.heard(0, Nanos(one.now + MS))
    one.run(0.079)
    assert not is_gone(one)
    one.run(0.002)
    assert is_gone(one)


def test_suspect_when_a_pong_to_an_earlier_ping_arrives_then_it_proves_nothing() -> None:
    one = World([plan(0)], paths={0: Path(delay_ns=20 * MS)}).adopt()
    one.run(2.005)
    one.alive = False
    suspect(one)
    one.run(0.078)
    assert not is_gone(one)
    one.run(0.004)
    assert is_gone(one)


def test_suspect_when_data_keeps_coming_without_pongs_then_not_gone() -> None:
    one = two().adopt()
    one.run(2.05)
    one.paths[0].there = one.paths[1].there = False
    for _ in range(100):
        suspect(one)
        one.links.heard(0, one.now)
        one.run(0.02)
        assert not is_gone(one)


def test_suspect_when_this_process_stood_still_before_the_verdict_then_asked_once_more() -> None:
    one = two().adopt()
    one.run(2.05)
    one.alive = False
    suspect(one)
    one.run(0.035)
    one.alive = True
    one.stand_still(0.1)
    assert not is_gone(one)
    one.run(0.001)
    assert not is_gone(one)
    one.run(1)
    assert not is_gone(one)


def test_suspect_when_asked_again_then_at_most_every_hundred_milliseconds() -> None:
    one = two().adopt()
    one.run(2.05)
    one.sizes.clear()
    for _ in range(1_000):
        suspect(one)
        one.run(0.001)
    bursts = 1_000 * MS // SUSPECT_AGAIN_NS
    assert len(one.sizes) <= 2 * (bursts + 15 + 1)


def test_gone_when_something_is_heard_then_cleared() -> None:
    one = two().adopt()
    one.run(0.05)
    one.alive = False
    suspect(one)
    one.run((SUSPECT_PINGS * SUSPECT_STEP_NS + MS) / SECOND)
    assert is_gone(one)
    one.links.heard(1, one.now)
    assert not is_gone(one)


def test_suspect_when_there_is_no_session_then_nothing() -> None:
    one = two()
    suspect(one)
    assert one.links.deadline is None and one.sizes == []


def test_lost_when_links_are_up_then_all_down_silent_and_again_up_with_a_session() -> None:
    one = two().adopt()
    one.run(2.05)
    one.alive = False
    suspect(one)
    one.run(0.05)
    one.links.lost(one.now)
    one.settle()
    assert one.links.deadline is None and not one.links.any_up and not one.links.gone
    assert [(link, up) for _, link, up in one.changes[2:]] == [(0, False), (1, False)]
    one.sizes.clear()
    one.run(10)
    assert one.sizes == []
    one.alive = True
    one.adopt(1)
    one.run(0.25)
    assert one.links.is_up(0) and one.links.is_up(1)


def test_lost_when_pongs_come_afterwards_then_they_change_nothing() -> None:
    one = two()
    one.links.adopted(0, one.now)
    probes = one.links.take_probes()
    one.links.suspect(one.now)
    one.links.lost(one.now)
    assert one.links.take_probes() == []
    for link, records in probes:
        ping = records[0]
        assert isinstance(ping, Ping)
        one.links.on_pong(link, Pong(*ping), one.now)
    assert not one.links.any_up and one.links.deadline is None


# -- anything at all -------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 3_000)), max_size=30))
def test_links_when_ways_come_and_go_then_a_link_that_works_for_seconds_is_up_and_else_down(
    steps: list[tuple[int, bool, int]],
) -> None:
    one = World([plan(number) for number in range(3)], "active").adopt()
    for link, works, milliseconds in steps:
        one.paths[link].there = works
        one.run(milliseconds / 1_000)
    settled = 0.1 * PONGS_NEEDED_MAX + 1
    one.run(settled)
    for link, path in one.paths.items():
        assert one.links.is_up(link) is path.there
    assert all(earlier[0] <= later[0] for earlier, later in pairwise(one.changes))


class LinksLife(RuleBasedStateMachine):
    """Whatever the network, the peer and the owner do."""

    def __init__(self) -> None:
        super().__init__()
        paths = {
            0: Path(1_472, 1_472),
            1: Path(4_000, 8_972, delay_ns=5 * MS),
            2: Path(1_232, 1_232, delay_ns=250 * MS),
        }
        self.world = World([plan(0), plan(1, 3), plan(2, 0, 5)], "rr", paths=paths)
        self.has_session = False

    @rule(link=st.integers(0, 3))
    def adopt(self, link: int) -> None:
        self.world.adopt(link)
        self.has_session = True

    @rule()
    def lose(self) -> None:
        self.world.links.lost(self.world.now)
        self.world.settle()
        self.has_session = False

    @rule(link=st.integers(0, 2), there=st.booleans(), back=st.booleans())
    def change_way(self, link: int, there: bool, back: bool) -> None:
        self.world.paths[link].there, self.world.paths[link].back = there, back

    @rule(link=st.integers(0, 2), carries=st.sampled_from([1_200, 1_280, 1_472, 8_972]))
    def change_width(self, link: int, carries: int) -> None:
        self.world.paths[link].carries = carries

    @rule(link=st.integers(0, 2), limit=st.sampled_from([600, 1_232, 1_472, 8_972, 65_507]))
    def change_interface(self, link: int, limit: int) -> None:
        self.world.paths[link].limit = limit
        self.world.links.limit(link, limit, self.world.now)
        self.world.settle()

    @rule(alive=st.booleans())
    def peer(self, alive: bool) -> None:
        self.world.alive = alive

    @rule()
    def hint(self) -> None:
        suspect(self.world)

    @rule(link=st.integers(0, 3))
    def data(self, link: int) -> None:
        self.world.links.heard(link, self.world.now)

    @rule(link=st.integers(0, 3), time_ns=st.integers(0, 2**64 - 1))
    def forge(self, link: int, time_ns: int) -> None:
        # An authentic peer that answers what nobody asked.
        before = self.world.links.strays
        self.world.links.on_pong(link, Pong(link, time_ns), self.world.now)
        assert self.world.links.strays == before + 1

    @rule(seconds=st.floats(0.001, 20))
    def time(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(seconds=st.floats(0.001, 20))
    def pause(self, seconds: float) -> None:
        self.world.stand_still(seconds)

    @invariant()
    def choices_are_sound(self) -> None:
        links = self.world.links
        chosen = links.chosen()
        assert len(chosen) == 1 and links.is_up(chosen[0]) is links.any_up
        assert links.any_up <= self.has_session
        assert not links.gone or self.has_session
        if not self.has_session:
            assert links.deadline is None
        for row in links.status():
            latency, room = row["latency_us"], row["room"]
            assert isinstance(latency, int) and latency >= 0
            assert isinstance(room, int) and 600 <= room <= 65_507


LinksLife.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_links_when_anything_happens_then_the_choices_are_sound = LinksLife.TestCase
