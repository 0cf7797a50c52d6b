"""Virtual time and the simulated network."""

from random import Random

import pytest

from unisono.base.ids import MS, NodeId, RingId, RingSeq
from unisono.sim.network import DatagramKind, Inlet, Network, NetworkOptions, Rule, kind_of
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
