"""Another plan while the machines run: nodes come and go, links change their ranks and times."""

from dataclasses import replace

from tests.secure.paths import World, plan
from tests.secure.wires import Wires
from unisono.base.ids import MS, NodeId
from unisono.secure.events import Replan
from unisono.secure.plan import SecurePlan
from unisono.wire.ust.header import PacketType


def plan_for(wires: Wires, number: int, others: set[int], mode: str = "passive") -> Replan:
    nodes = [NodeId(other) for other in sorted(others - {number})]
    return Replan(SecurePlan(dict.fromkeys(nodes, wires.links), mode))


def replan(wires: Wires, members: set[int], others: set[int]) -> None:
    for number in members:
        wires.submit(number, plan_for(wires, number, others))


def test_priority_when_it_changes_then_the_other_link_carries_and_nothing_goes_down() -> None:
    one = World([plan(0), plan(1)]).adopt()
    one.run(1)
    assert one.links.chosen() == (0,)
    changes = len(one.changes)
    one.links.replan([plan(0), plan(1, priority=9)], "passive")
    assert one.links.chosen() == (1,)
    one.links.replan([plan(0), plan(1, priority=9)], "active")
    assert one.links.chosen() == (1, 0)
    one.run(1)
    assert len(one.changes) == changes


def test_times_when_they_change_then_a_dead_link_is_noticed_by_the_new_ones() -> None:
    one = World([plan(0), plan(1)]).adopt()
    one.run(2.05)
    quick = [replace(plan(n), ping_interval_ns=20 * MS, ping_timeout_ns=80 * MS) for n in (0, 1)]
    one.links.replan(quick, "passive")
    one.run(1)
    one.paths[0].there = False
    one.run(0.15)
    assert not one.links.is_up(0)
    assert one.links.is_up(1)


def test_node_when_added_then_it_is_greeted_and_frames_flow_and_the_others_notice_nothing() -> None:
    wires = Wires(3, links=2)
    replan(wires, {1, 2}, {1, 2})
    wires.kill(3)
    wires.run(500)
    wires.start(3)
    wires.run(500)
    wires.send(1, b"to two alone")
    wires.run(5)
    assert wires.frames[3] == []
    events = {number: len(wires.events[number]) for number in (1, 2)}
    replan(wires, {1, 2}, {1, 2, 3})
    wires.run_until(wires.is_formed)
    wires.send(1, b"to both")
    wires.run(5)
    assert wires.frames[3] == [(1, b"to both")]
    assert wires.frames[2] == [(1, b"to two alone"), (1, b"to both")]
    between = [event for event in wires.events[1][events[1] :] if getattr(event, "node", 3) == 2]
    assert between == []


def test_node_when_taken_away_then_told_goodbye_and_not_heard_any_more() -> None:
    wires = Wires(3)
    wires.form()
    replan(wires, {1, 2}, {1, 2})
    wires.run(5)
    status = wires.machines[3].status(wires.now)
    peers = {peer["node"]: peer["gone"] for peer in status["peers"]}  # type: ignore[index, attr-defined]  # plain values by contract
    assert peers == {1: True, 2: True}
    before = len(wires.frames[1])
    wires.send(3, b"anybody?")
    wires.run(2_000)
    assert len(wires.frames[1]) == before
    assert all(node != 3 for node, _ in wires.contexts[1].sessions.values())
    wires.send(1, b"we two")
    wires.run(5)
    assert wires.frames[2] == [(1, b"we two")]


def test_ways_when_a_node_has_another_link_then_a_new_session_and_frames_flow() -> None:
    wires = Wires(2, links=2)
    only = SecurePlan({NodeId(2): wires.links[:1]})
    wires.submit(1, Replan(only))
    wires.submit(2, Replan(SecurePlan({NodeId(1): wires.links[:1]})))
    wires.run(3_000)
    wires.send(1, b"over one")
    wires.run(5)
    assert wires.frames[2] == [(1, b"over one")]
    replan(wires, {1, 2}, {1, 2})
    wires.run(3_000)
    wires.send(1, b"over two")
    wires.run(5)
    assert wires.frames[2] == [(1, b"over one"), (1, b"over two")]
    assert {link for source, _, link, _ in wires.recorded[-50:] if source == 1} == {0, 1}


def test_limits_when_known_before_then_a_new_node_s_links_keep_to_them() -> None:
    wires = Wires(3, limit=1_300)
    replan(wires, {1, 2}, {1, 2})
    replan(wires, {1, 2}, {1, 2, 3})
    wires.run_until(wires.is_formed)
    start = len(wires.recorded)
    wires.send(1, bytes(10_000))
    wires.run(5)
    sizes = [
        len(packet)
        for source, node, _, packet in wires.recorded[start:]
        if (source, node) == (1, 3) and packet[1] & 0x0F == PacketType.GROUP
    ]
    assert sizes
    assert max(sizes) <= 1_300
    assert wires.frames[3][-1] == (1, bytes(10_000))
