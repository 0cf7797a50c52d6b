"""The demonstration's replica: order in, state out, whoever comes and goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import WireError
from unisono.base.ids import NodeId, Pid
from unisono.cli.demo.store import PART_BYTES_MAX, Replica, encode_set
from unisono.client.values import Member

MEMBERS = [Member(NodeId(node), Pid(100 + node)) for node in (1, 2, 3)]
TURNS_MAX = 10_000


class Group:
    """A process group of replicas in one total order; views stand in that order, too."""

    def __init__(self) -> None:
        self.replicas: dict[Member, Replica] = {}

    def join(self, member: Member, *, founder: bool = False) -> Replica:
        self.replicas[member] = Replica(member, len(MEMBERS), founder=founder)
        self._view()
        return self.replicas[member]

    def leave(self, member: Member) -> None:
        del self.replicas[member]
        self._view()

    def send(self, sender: Member, data: bytes) -> None:
        for replica in self.replicas.values():
            replica.message(sender, data)

    def settle(self) -> None:
        """Send what replicas want to send until nobody wants to."""
        for _ in range(TURNS_MAX):
            if not self.step():
                return
        raise AssertionError("never settles")

    def step(self) -> bool:
        """One message of the first replica that has one."""
        for member, replica in self.replicas.items():
            if (data := replica.take()) is not None:
                self.send(member, data)
                return True
        return False

    def _view(self) -> None:
        members = tuple(sorted(self.replicas))
        for replica in self.replicas.values():
            replica.view(members)


def _founded() -> tuple[Group, Replica]:
    group = Group()
    return group, group.join(MEMBERS[0], founder=True)


def test_newcomer_while_feeding_goes_on_ends_with_the_same_state() -> None:
    group, first = _founded()
    value = bytes(PART_BYTES_MAX // 2)
    for number in range(1, 8):
        group.send(MEMBERS[0], encode_set(0, number, b"key %d" % number, value))
    second = group.join(MEMBERS[1])
    number = 7
    while group.step():
        number += 1
        group.send(MEMBERS[0], encode_set(0, number, b"late %d" % number, b"x"))
    assert second.is_synced
    assert second.state_digest() == first.state_digest()
    assert second.chain == first.chain
    assert second.applied == [number, 0, 0]


def test_newcomer_when_its_donor_dies_midway_gets_the_state_from_another() -> None:
    group, first = _founded()
    group.join(MEMBERS[1])
    group.settle()
    for number in range(1, 5):
        group.send(MEMBERS[0], encode_set(0, number, b"%d" % number, bytes(PART_BYTES_MAX)))
    third = group.join(MEMBERS[2])
    for _ in range(3):
        group.step()
    assert not third.is_synced
    group.leave(MEMBERS[0])
    group.settle()
    assert third.is_synced
    assert third.state_digest() == first.state_digest()


def test_newcomer_alone_never_takes_its_emptiness_for_the_state() -> None:
    replica = Replica(MEMBERS[2], 3, founder=False)
    replica.view((MEMBERS[2],))
    assert not replica.is_synced
    assert not replica.has_outgoing


def test_operation_when_sent_twice_counts_once() -> None:
    group, first = _founded()
    for value in (b"new", b"never"):
        group.send(MEMBERS[0], encode_set(0, 1, b"key", value))
    assert first.entries == {b"key": b"new"}
    assert first.gaps == 0


def test_operation_when_one_before_it_is_missing_is_a_gap() -> None:
    group, first = _founded()
    group.send(MEMBERS[0], encode_set(0, 3, b"key", b"value"))
    assert first.gaps == 2


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x01", b"\x01\x09" + bytes(10)])
def test_message_when_broken_is_a_wire_error(data: bytes) -> None:
    _, first = _founded()
    with pytest.raises(WireError):
        first.message(MEMBERS[1], data)


@given(st.lists(st.sampled_from(["feed", "join", "leave", "step"]), max_size=60))
def test_replicas_whatever_happens_agree_once_settled(actions: list[str]) -> None:
    group, first = _founded()
    numbers = [0, 0, 0]
    for turn, action in enumerate(actions):
        index = turn % 3
        member = MEMBERS[index]
        replica = group.replicas.get(member)
        if action == "step":
            group.step()
        elif action == "join" and replica is None:
            group.join(member)
        elif action == "leave" and replica is not None and index:
            group.leave(member)
        elif action == "feed" and replica is not None and replica.is_synced:
            numbers[index] += 1
            group.send(member, encode_set(index, numbers[index], b"%d" % (turn % 5), b"%d" % turn))
    group.settle()
    for replica in group.replicas.values():
        assert replica.is_synced
        assert replica.gaps == 0
        assert (replica.state_digest(), replica.chain) == (first.state_digest(), first.chain)
        assert replica.applied == numbers
