"""What nodes tell of their processes in one phase, in every order in which it can be delivered."""

import pytest

from tests.services.bus import cluster
from unisono.base.group import Multicast
from unisono.base.ids import NodeId, Pid
from unisono.base.limits import CPG_PROCESSES_MAX
from unisono.services.joinlists import Joinlists
from unisono.wire.service import cpg as wire
from unisono.wire.service.cpg import Process
from unisono.wire.service.header import GROUP_SERVICES

NODE = NodeId(2)
ONE, TWO = Process(b"g", Pid(1)), Process(b"g", Pid(2))


def opened() -> Joinlists:
    joinlists = Joinlists()
    joinlists.begin(frozenset())
    joinlists.open()
    return joinlists


def test_list_when_nothing_else_is_told_then_it_is_the_truth() -> None:
    joinlists = opened()
    assert joinlists.listed(NODE, [ONE, TWO])
    assert joinlists.close() == {NODE: {ONE, TWO}}
    assert joinlists.close() == {}


def test_leave_when_delivered_after_the_list_then_the_process_is_gone() -> None:
    joinlists = opened()
    joinlists.listed(NODE, [ONE, TWO])
    joinlists.left(NODE, ONE)
    assert joinlists.close() == {NODE: {TWO}}


def test_leave_when_delivered_before_a_list_that_was_made_earlier_then_the_process_is_gone() -> (
    None
):
    joinlists = opened()
    joinlists.left(NODE, ONE)
    joinlists.listed(NODE, [ONE, TWO])
    assert joinlists.close() == {NODE: {TWO}}


def test_join_when_delivered_in_the_phase_then_the_process_is_there() -> None:
    joinlists = opened()
    joinlists.left(NODE, ONE)
    joinlists.joined(NODE, ONE)
    joinlists.listed(NODE, [ONE])
    joinlists.joined(NODE, TWO)
    assert joinlists.close() == {NODE: {ONE, TWO}}


def test_everything_when_told_outside_the_phase_then_it_is_ignored() -> None:
    joinlists = Joinlists()
    assert not joinlists.listed(NODE, [ONE])
    joinlists.joined(NODE, ONE)
    joinlists.open()
    assert joinlists.close() == {}


def test_list_when_too_long_then_it_is_ignored() -> None:
    joinlists = opened()
    most = [Process(b"g", Pid(pid)) for pid in range(CPG_PROCESSES_MAX)]
    assert joinlists.listed(NODE, most)
    assert not joinlists.listed(NodeId(3), [ONE])


def test_survivors_when_several_changes_come_then_only_who_was_there_always() -> None:
    joinlists = Joinlists()
    everyone = frozenset(map(NodeId, (1, 2, 3)))
    joinlists.install(everyone)
    joinlists.begin(frozenset(map(NodeId, (1, 2))))
    joinlists.begin(everyone)
    assert joinlists.down == {3}
    joinlists.install(everyone)
    assert joinlists.down == frozenset()


@pytest.mark.parametrize("when", ["before", "after"])
def test_peer_when_it_sends_a_leave_within_its_phase_then_no_ghost(when: str) -> None:
    """Stock daemons send the leave of a dead client at once, in the middle of the phases."""
    bus = cluster(2, stock=[2])
    peer = bus.nodes[NodeId(2)]
    peer.queue.append(Multicast(GROUP_SERVICES, wire.encode_procjoin(b"g", 666, 1)))
    bus.settle()
    bus.form([1, 2])
    leave = Multicast(GROUP_SERVICES, wire.encode_procleave(b"g", 666, 5))
    while peer.engine._sync.phase_service != 2:
        assert bus.step()
    assert len(peer.urgent) == 3  # downlist, joinlist, barrier
    peer.urgent.insert(1 if when == "before" else 2, leave)
    bus.settle()
    assert bus.nodes[NodeId(1)].engine.status()["groups"] == {}
