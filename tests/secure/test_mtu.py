"""Path MTU: the room is what arrives, found soon, and given up when it does not arrive any more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.secure.paths import Path, World, plan
from unisono.base.ids import MS, SECOND, Nanos
from unisono.base.limits import (
    SECURE_ROOM_BYTES_LEAST,
    SECURE_ROOM_BYTES_MIN,
    UDP_PAYLOAD_BYTES_MAX,
)
from unisono.secure.mtu import STEP_BYTES, PathRoom, padding, probe_records
from unisono.wire.ust.header import HEADER_BYTES, TAG_BYTES
from unisono.wire.ust.records import Ping, encode_records


def world(path: Path, mtu_bytes: int = 0) -> World:
    return World([plan(0)], mtu_bytes=mtu_bytes, paths={0: path}).adopt()


@pytest.mark.parametrize("size", [57, 58, 1_200, 1_472, 8_972, UDP_PAYLOAD_BYTES_MAX])
def test_probe_when_of_a_size_then_the_sealed_packet_has_exactly_this_size(size: int) -> None:
    body = encode_records(probe_records(3, 123_456, size))
    assert HEADER_BYTES + len(body) + TAG_BYTES == size


def test_probe_when_smaller_than_a_ping_with_a_pad_then_has_an_empty_pad() -> None:
    assert padding(10) == 0
    assert probe_records(3, 5, 0) == [Ping(3, 5)]


@pytest.mark.parametrize("limit", [1_472, 1_452, 8_972, 1_232, UDP_PAYLOAD_BYTES_MAX])
def test_room_when_the_path_is_as_wide_as_the_interface_then_found_within_one_round_trip(
    limit: int,
) -> None:
    one = world(Path(carries=limit, limit=limit))
    assert one.rooms() == (SECURE_ROOM_BYTES_MIN,)
    one.run(0.001)
    assert one.rooms() == (limit,)


@pytest.mark.parametrize("carries", [1_472, 1_452, 1_232, 1_200, 4_000, 8_971])
def test_room_when_the_path_is_narrower_than_the_interface_then_found_to_a_step(
    carries: int,
) -> None:
    one = world(Path(carries=carries, limit=8_972))
    one.run(8)
    assert carries - STEP_BYTES < one.rooms()[0] <= carries
    assert one.links.is_up(0) and one.changes == [(0.0, 0, True)]


def test_room_when_found_then_no_more_large_probes_than_one_try_of_growth_per_interval() -> None:
    one = world(Path(carries=1_472, limit=8_972))
    one.run(20)
    one.sizes.clear()
    one.run(30)
    larger = [size for _, _, size in one.sizes if size > 1_472]
    assert len(larger) == 6 and set(larger) == {8_972, one.rooms()[0] + STEP_BYTES}


def test_room_when_the_path_grows_then_found_at_the_next_interval() -> None:
    path = Path(carries=1_472, limit=8_972)
    one = world(path)
    one.run(20)
    path.carries = 5_000
    one.run(40)
    assert 5_000 - STEP_BYTES < one.rooms()[0] <= 5_000


def test_room_when_the_path_shrinks_then_the_minimum_within_a_second_and_found_again() -> None:
    path = Path(carries=8_972, limit=8_972)
    one = world(path)
    one.run(5)
    assert one.rooms() == (8_972,)
    path.carries = 1_472
    one.run(0.7)
    assert one.rooms()[0] <= 1_472
    one.run(8)
    assert 1_472 - STEP_BYTES < one.rooms()[0] <= 1_472
    assert one.changes == [(0.0, 0, True)]


def test_room_when_two_checks_are_lost_by_chance_then_the_former_room_at_once() -> None:
    path = Path(carries=1_472, limit=8_972)
    one = world(path)
    one.run(20)
    (found,) = one.rooms()
    lost: list[int] = []

    def lose(count: int, size: int) -> bool:
        if size == found and len(lost) < 2:
            lost.append(count)
        return count in lost

    path.lose = lose
    one.rooms_seen.clear()
    one.run(1)
    assert len(lost) == 2 and one.rooms_seen == {(found,), (SECURE_ROOM_BYTES_MIN,)}
    assert one.rooms() == (found,)


def test_room_when_one_check_is_lost_now_and_then_then_kept() -> None:
    path = Path()
    one = world(path)
    one.run(1)
    checks: list[int] = []

    def lose(count: int, size: int) -> bool:
        if size > 53:
            checks.append(count)
        return size > 53 and len(checks) % 2 == 0

    path.lose = lose
    one.rooms_seen.clear()
    one.run(10)
    assert one.rooms_seen == {(1_472,)} and 40 < len(checks) < 60


def test_room_when_the_path_carries_less_than_the_minimum_then_the_link_stays_and_probing_too() -> (
    None
):
    one = world(Path(carries=1_100, limit=1_472))
    one.run(90)
    assert one.rooms() == (SECURE_ROOM_BYTES_MIN,) and one.links.is_up(0)
    assert len([size for _, _, size in one.sizes if size > 100]) < 60


def test_room_when_fixed_then_never_probed() -> None:
    one = world(Path(carries=1_472, limit=1_472), mtu_bytes=1_400)
    one.run(60)
    assert one.rooms() == (1_352,)
    assert {size for _, _, size in one.sizes} == {53}


def test_room_when_fixed_above_the_interface_then_what_the_interface_takes() -> None:
    one = world(Path(limit=1_452), mtu_bytes=9_000)
    assert one.rooms() == (1_452,)


def test_room_when_the_interface_takes_less_than_the_minimum_then_that_but_no_nonsense() -> None:
    room = PathRoom(mtu_bytes=0, interval_ns=30 * SECOND, wait_ns=100 * MS)
    room.limit(700, Nanos(0))
    assert room.room == 700
    room.limit(5, Nanos(0))
    assert room.room == SECURE_ROOM_BYTES_LEAST


def test_room_when_the_interface_shrinks_then_at_once_and_when_it_grows_then_searched() -> None:
    path = Path(carries=8_972, limit=8_972)
    one = world(path)
    one.run(1)
    one.links.limit(0, 1_472, one.now)
    assert one.rooms() == (1_472,)
    one.links.limit(0, 8_972, one.now)
    one.settle()
    one.run(0.001)
    assert one.rooms() == (8_972,)


def test_room_when_the_limit_is_told_again_then_nothing_is_probed() -> None:
    one = world(Path())
    one.run(1)
    sent = len(one.sizes)
    one.links.limit(0, 1_472, one.now)
    one.settle()
    assert len(one.sizes) == sent


def test_room_when_the_link_goes_down_then_the_minimum_until_probed_again() -> None:
    path = Path()
    one = world(path)
    one.run(1)
    path.there = False
    one.run(1)
    assert one.rooms() == (SECURE_ROOM_BYTES_MIN,)
    path.there = True
    one.run(1)
    assert one.rooms() == (1_472,)


def test_room_when_no_limit_is_known_then_no_probe() -> None:
    room = PathRoom(mtu_bytes=0, interval_ns=30 * SECOND, wait_ns=100 * MS)
    room.start(Nanos(5))
    assert room.deadline is None and room.probe(Nanos(5)) == 0


def test_room_when_small_pings_are_not_answered_either_then_no_size_is_condemned() -> None:
    room = PathRoom(mtu_bytes=0, interval_ns=30 * SECOND, wait_ns=100 * MS)
    room.limit(8_972, Nanos(0))
    room.start(Nanos(0))
    sent = [room.probe(Nanos(step * 100 * MS)) for step in range(10)]
    assert sent == [8_972] * 3 + [0] * 7
    room.answered(8_972, Nanos(2 * SECOND))
    assert room.room == 8_972


def test_room_when_a_small_ping_overtakes_the_last_try_then_the_size_is_not_condemned() -> None:
    room = PathRoom(mtu_bytes=0, interval_ns=30 * SECOND, wait_ns=100 * MS)
    room.limit(8_972, Nanos(0))
    room.start(Nanos(0))
    for step in range(3):
        room.probe(Nanos(step * 100 * MS))
    room.small_answered(Nanos(201 * MS), Nanos(202 * MS))
    assert room.probe(Nanos(202 * MS)) == 0
    room.small_answered(Nanos(251 * MS), Nanos(252 * MS))
    assert SECURE_ROOM_BYTES_MIN < room.probe(Nanos(252 * MS)) < 8_972


def test_room_when_the_round_trip_is_longer_than_the_wait_then_no_size_is_condemned() -> None:
    one = world(Path(carries=8_972, limit=8_972, delay_ns=150 * MS))
    one.run(1)
    assert one.rooms() == (8_972,)
    one.run(60)
    assert one.rooms() == (8_972,) and one.changes == [(0.0, 0, True)]


@given(
    carries=st.integers(SECURE_ROOM_BYTES_MIN, 9_000),
    limit=st.integers(SECURE_ROOM_BYTES_MIN, 9_000),
    loss=st.integers(0, 12),
)
def test_room_when_the_path_loses_pings_then_never_more_than_it_carries(
    carries: int, limit: int, loss: int
) -> None:
    path = Path(carries=carries, limit=limit, lose=lambda count, _size: count * 7 % 97 < loss)
    one = world(path)
    for _ in range(7):
        one.run(5)
        assert SECURE_ROOM_BYTES_MIN <= one.rooms()[0] <= min(carries, limit)
    if not loss:
        assert one.rooms()[0] > min(carries, limit) - STEP_BYTES
