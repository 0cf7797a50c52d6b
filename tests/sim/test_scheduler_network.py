"""Virtual time and the simulated network."""

from random import Random

import pytest

from unisono.base.ids import MS, SECOND, NodeId, RingId, RingSeq
from unisono.sim.network import (
    REPLAYS_MAX,
    DatagramKind,
    Inlet,
    Network,
    NetworkOptions,
    Rule,
    Sieve,
    kind_of,
)
from unisono.sim.scheduler import Livelock, Scheduler
from unisono.wire.ring import srp

ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)


def build(**named: float) -> tuple[Scheduler, Network, list[tuple[int, NodeId, bytes]]]:
    scheduler = Scheduler()
    network = Network(scheduler, Random(1), NetworkOptions(**named))  # type: ignore[arg-type]  # names and types are the caller's
    heard: list[tuple[int, NodeId, bytes]] = []

    def inlet(node: NodeId) -> Inlet:
        return lambda data, source: heard.append((scheduler.now, node, data))

    for node in (ONE, TWO, THREE):
        network.attach(node, inlet(node))
    return scheduler, network, heard


def test_scheduler_when_calls_are_due_then_runs_them_by_time_and_asking() -> None:
    scheduler = Scheduler()
    order: list[str] = []
    for time, name in ((20, "c"), (10, "a"), (10, "b"), (30, "d")):
        scheduler.at(time, order.append, name)
    scheduler.run_until(25)
    assert order == ["a", "b", "c"]
    assert scheduler.now == 25


def test_scheduler_when_asked_for_the_past_then_runs_now() -> None:
    scheduler = Scheduler()
    times: list[int] = []
    scheduler.run_until(50)
    scheduler.at(10, lambda: times.append(scheduler.now))
    scheduler.run_until(60)
    assert times == [50]


def test_scheduler_when_time_stands_still_then_says_livelock() -> None:
    scheduler = Scheduler()

    def again() -> None:
        scheduler.after(0, again)

    again()
    with pytest.raises(Livelock):
        scheduler.run_until(1)


def test_network_when_quiet_then_keeps_order_and_never_answers_the_sender() -> None:
    scheduler, network, heard = build(delay_min_ns=10, delay_mean_ns=1000)
    network.send_all(ONE, [bytes([number]) for number in range(50)])
    scheduler.run_until(MS)
    for node in (TWO, THREE):
        assert [data[0] for _, target, data in heard if target == node] == list(range(50))
    assert not any(target == ONE for _, target, _ in heard)
    assert min(time for time, _, _ in heard) >= 10


def test_network_when_reordering_then_later_overtakes_earlier() -> None:
    scheduler, network, heard = build(reorder=0.5)
    for number in range(50):
        network.send(ONE, TWO, bytes([number]))
    scheduler.run_until(100 * MS)
    numbers = [data[0] for _, _, data in heard]
    assert sorted(numbers) == list(range(50))
    assert numbers != sorted(numbers)


def test_network_when_lossy_or_duplicating_then_loses_and_repeats() -> None:
    scheduler, network, heard = build(loss=0.5, duplicate=0.5)
    for number in range(200):
        network.send(ONE, TWO, bytes([number]))
    scheduler.run_until(100 * MS)
    numbers = [data[0] for _, _, data in heard]
    assert 50 < len(set(numbers)) < 150
    assert len(numbers) > len(set(numbers))


def test_network_when_cut_then_loses_also_what_is_on_its_way() -> None:
    scheduler, network, heard = build()
    network.send(ONE, TWO, b"on its way")
    network.partition([[ONE], [TWO, THREE]])
    network.send(THREE, TWO, b"same side")
    network.send(THREE, ONE, b"other side")
    scheduler.run_until(MS * 100)
    network.heal()
    network.send(ONE, TWO, b"healed")
    scheduler.run_until(MS * 200)
    assert [data for _, _, data in heard] == [b"same side", b"healed"]


def test_network_when_cut_one_way_then_the_other_way_works() -> None:
    scheduler, network, heard = build()
    network.cut_one_way(ONE, TWO)
    network.send(ONE, TWO, b"lost")
    network.send(TWO, ONE, b"heard")
    scheduler.run_until(MS * 100)
    assert [data for _, _, data in heard] == [b"heard"]


def test_network_when_a_rule_matches_then_acts_as_often_as_told() -> None:
    scheduler, network, heard = build()
    join = srp.encode_join(srp.Join(ONE, [ONE], [], RingSeq(1)))
    token = srp.encode_hold_cancel(srp.HoldCancel(RingId(ONE, RingSeq(1)), ONE))
    network.add_rule(Rule(DatagramKind.JOIN, ONE, None, 2, "drop"))
    for _ in range(3):
        network.send(ONE, TWO, join)
    network.send(ONE, TWO, token)
    scheduler.run_until(MS * 100)
    assert [kind_of(data) for _, _, data in heard] == [DatagramKind.JOIN, DatagramKind.CANCEL]


def test_kind_of_when_a_join_has_no_node_id_then_is_a_leave() -> None:
    leave = srp.encode_join(srp.Join(ONE, [TWO], [ONE], RingSeq(1), True))
    assert kind_of(leave) is DatagramKind.LEAVE
    assert kind_of(b"short") is None


def test_scheduler_when_more_calls_come_than_a_run_may_need_then_says_livelock() -> None:
    scheduler = Scheduler(calls_max=10)
    for time in range(11):
        scheduler.at(time, int)
    with pytest.raises(Livelock):
        scheduler.run_until(20)


def numbers(heard: list[tuple[int, NodeId, bytes]]) -> list[int]:
    return [int.from_bytes(data, "big") for _, _, data in heard]


def send_many(scheduler: Scheduler, network: Network, count: int, step_ns: int = 10) -> None:
    for number in range(count):
        network.send(ONE, TWO, number.to_bytes(4, "big"))
        scheduler.run_until(scheduler.now + step_ns)


def test_network_when_loss_comes_in_bursts_then_neighbours_are_lost_together() -> None:
    scheduler, network, heard = build(burst=0.01, burst_length=20, burst_loss=1.0)
    send_many(scheduler, network, 4_000)
    scheduler.run_until(SECOND)
    got = set(numbers(heard))
    lost = [number for number in range(4_000) if number not in got]
    begun = sum(1 for number in lost if number - 1 in got)
    assert 200 < len(lost) < 1_500
    assert 10 < len(lost) / begun < 40


def test_network_when_the_tail_is_heavy_then_few_are_very_late_and_none_beyond_the_bound() -> None:
    scheduler, network, heard = build(
        delay_min_ns=0, delay_mean_ns=MS, tail_shape=1.1, tail_ns_max=50 * MS, reorder=1.0
    )
    for number in range(4_000):
        network.send(ONE, TWO, number.to_bytes(4, "big"))
        if number % 1_000 == 0:
            scheduler.run_until(scheduler.now)
    scheduler.run_until(SECOND)
    delays = sorted(time for time, _, _ in heard)
    assert delays[len(delays) // 2] < 4 * MS
    assert 45 * MS < delays[-1] <= 52 * MS


def test_network_when_replaying_then_copies_come_long_after_and_survive_the_calm() -> None:
    scheduler, network, heard = build(replay=1.0, replay_ns=60 * SECOND)
    send_many(scheduler, network, 100)
    network.calm(NetworkOptions())
    scheduler.run_until(SECOND)
    assert len(heard) == 100
    assert network.holds_the_past
    assert SECOND < network.last_arrival <= 61 * SECOND
    scheduler.run_until(61 * SECOND)
    assert sorted(numbers(heard)) == sorted([*range(100), *range(100)])
    assert max(time for time, _, _ in heard) > 40 * SECOND
    assert not network.holds_the_past


def test_network_when_replays_are_many_then_their_number_is_bounded() -> None:
    scheduler, network, _ = build(replay=1.0)
    send_many(scheduler, network, REPLAYS_MAX + 100, 1_000)
    assert network.replays == REPLAYS_MAX


def test_network_when_capacity_is_short_then_waits_in_order_and_loses_the_excess() -> None:
    scheduler, network, heard = build(
        delay_min_ns=0, delay_mean_ns=0, capacity_bytes_s=1_000_000, backlog_bytes=10_000
    )
    for number in range(30):
        network.send(ONE, TWO, number.to_bytes(4, "big").ljust(1_000))
    network.send(ONE, THREE, b"a link of its own")
    scheduler.run_until(SECOND)
    to_two = [(time, data) for time, node, data in heard if node == TWO]
    assert [time for time, _ in to_two] == [number * MS for number in range(1, 12)]
    assert network.lost == 19


def test_network_when_clogged_then_holds_and_later_delivers_in_order() -> None:
    scheduler, network, heard = build()
    network.send(ONE, TWO, b"\0")
    network.clog(network.links_of(TWO))
    network.clog([(ONE, TWO)])
    network.send(ONE, TWO, b"\1")
    network.send(THREE, ONE, b"\7")
    scheduler.run_until(100 * MS)
    assert numbers(heard) == [7]
    network.unclog(network.links_of(TWO))
    scheduler.run_until(200 * MS)
    assert numbers(heard) == [7]
    assert network.holds_the_past
    network.unclog([(ONE, TWO)])
    scheduler.run_until(300 * MS)
    assert numbers(heard) == [7, 0, 1]
    assert heard[-1][0] == 200 * MS


def test_network_when_calm_then_clogs_flaps_sieves_and_cuts_are_over() -> None:
    scheduler, network, heard = build()
    network.clog(network.links_of(ONE))
    network.clog(network.links_of(TWO))
    network.send(ONE, TWO, b"\1")
    scheduler.run_until(10 * MS)
    network.flap([(ONE, TWO)], 7 * MS)
    network.cut([(ONE, TWO)])
    network.add_sieve(Sieve(None, None, None, 1.0))
    network.change_link((ONE, TWO), loss=1.0)
    network.calm(NetworkOptions())
    network.send(ONE, TWO, b"\2")
    for step in range(20):
        scheduler.run_until((20 + step) * MS)
        network.send(ONE, TWO, b"\3")
    scheduler.run_until(100 * MS)
    assert numbers(heard) == [1, 2] + [3] * 20


def test_network_when_sides_overlap_then_the_shared_node_is_a_bridge() -> None:
    scheduler, network, heard = build()
    network.partition([[ONE, TWO], [TWO, THREE]])
    for source in (ONE, TWO, THREE):
        network.send_all(source, [bytes([source])])
    scheduler.run_until(100 * MS)
    assert {(node, data[0]) for _, node, data in heard} == {(1, 2), (2, 1), (2, 3), (3, 2)}
    network.join(network.links_between([[ONE, TWO], [TWO, THREE]]))
    network.send(ONE, THREE, b"whole")
    scheduler.run_until(200 * MS)
    assert heard[-1][2] == b"whole"


def test_network_when_cut_twice_then_is_whole_after_both_ends() -> None:
    scheduler, network, heard = build()
    network.cut([(ONE, TWO)])
    network.partition([[ONE], [TWO, THREE]])
    network.join(network.links_between([[ONE], [TWO, THREE]]))
    network.send(ONE, TWO, b"lost")
    network.send(ONE, THREE, b"heard")
    network.join([(ONE, TWO)])
    network.join([(ONE, TWO)])
    network.send(ONE, TWO, b"heard, too")
    scheduler.run_until(100 * MS)
    assert [data for _, _, data in heard] == [b"heard", b"heard, too"]


def test_network_when_flapping_then_is_cut_half_of_the_time_until_it_ends() -> None:
    scheduler, network, heard = build(delay_min_ns=0, delay_mean_ns=0)
    links = network.links_between([[ONE], [TWO, THREE]])
    network.flap(links, 10 * MS)
    send_many(scheduler, network, 100, MS)
    assert numbers(heard) == [n for n in range(100) if n // 10 % 2]
    network.unflap(links)
    heard.clear()
    send_many(scheduler, network, 100, MS)
    assert len(heard) == 100


def test_network_when_a_sieve_is_set_then_only_its_kind_and_link_lose() -> None:
    scheduler, network, heard = build()
    join = srp.encode_join(srp.Join(ONE, [ONE], [], RingSeq(1)))
    cancel = srp.encode_hold_cancel(srp.HoldCancel(RingId(ONE, RingSeq(1)), ONE))
    sieve = Sieve(DatagramKind.JOIN, ONE, None, 1.0)
    network.add_sieve(sieve)
    for source, target in ((ONE, TWO), (ONE, THREE), (TWO, ONE)):
        network.send(source, target, join)
        network.send(source, target, cancel)
    scheduler.run_until(100 * MS)
    assert sorted((int(node), kind_of(data)) for _, node, data in heard) == [
        (1, DatagramKind.JOIN), (1, DatagramKind.CANCEL), (2, DatagramKind.CANCEL),
        (3, DatagramKind.CANCEL),
    ]  # fmt: skip
    network.remove_sieve(sieve)
    network.send(ONE, TWO, join)
    scheduler.run_until(200 * MS)
    assert kind_of(heard[-1][2]) is DatagramKind.JOIN


def test_network_when_one_link_is_changed_then_the_others_are_not() -> None:
    scheduler, network, heard = build(delay_min_ns=1_000, delay_mean_ns=0)
    network.change_link((ONE, TWO), delay_min_ns=SECOND)
    for pair in ((ONE, TWO), (TWO, ONE)):
        network.send(*pair, b"\1")
    scheduler.run_until(2 * SECOND)
    assert [(time, node) for time, node, _ in heard] == [(1_000, ONE), (SECOND, TWO)]
    network.change_link((ONE, TWO))
    network.send(ONE, TWO, b"\1")
    scheduler.run_until(3 * SECOND)
    assert heard[-1][0] == 2 * SECOND + 1_000


def test_network_when_corrupting_then_the_datagram_is_changed_or_cut() -> None:
    scheduler, network, heard = build(corrupt=1.0)
    sent = bytes(range(200))
    for _ in range(200):
        network.send(ONE, TWO, sent)
    scheduler.run_until(SECOND)
    assert any(len(data) < 200 for _, _, data in heard)
    assert any(len(data) == 200 and data != sent for _, _, data in heard)
    assert all(len(data) <= 200 for _, _, data in heard)


def test_network_when_recorded_then_the_last_datagrams_are_known() -> None:
    scheduler, network, _ = build()
    network.send(ONE, TWO, b"before")
    network.record()
    send_many(scheduler, network, 600)
    assert network.recorded is not None
    assert len(network.recorded) == 512
    assert network.recorded[-1] == (599).to_bytes(4, "big")
