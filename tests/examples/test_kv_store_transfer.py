"""The state transfer of the key-value store, by chance: members come, go and type in any order."""

import importlib.util
import json
import random
from types import ModuleType
from typing import Any

import pytest

from tests.examples.program import EXAMPLES
from unisono import Member, Message, Reason, View
from unisono.base.ids import NodeId, Pid


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bus:
    """One total order: what was sent waits here until everyone gets it."""

    def __init__(self) -> None:
        self.waiting: list[Message] = []
        self.seats: dict[Member, Seat] = {}

    def change(self, joined: list["Seat"], left: list[Member]) -> None:
        for member in left:
            del self.seats[member]
        # What a dead member had sent may or may not have been ordered before.
        self.waiting = [m for m in self.waiting if m.sender not in left]
        self.seats |= {seat.me: seat for seat in joined}
        members = tuple(sorted(self.seats))
        view = View(
            members, {seat.me: Reason.JOIN for seat in joined}, dict.fromkeys(left, Reason.PROCDOWN)
        )
        for seat in list(self.seats.values()):
            seat.members = members
            seat.give(view)

    def deliver(self) -> None:
        message = self.waiting.pop(0)
        for seat in list(self.seats.values()):
            seat.give(message)


class Seat:
    """A group as the store uses it: events are given one at a time."""

    def __init__(self, bus: Bus, me: Member, store: ModuleType) -> None:
        self.bus, self.me = bus, me
        self.members: tuple[Member, ...] = ()
        self.given: list[Any] = []
        self.store = store.Store(self)

    def send(self, data: bytes) -> None:
        self.bus.waiting.append(Message(self.me, data))

    def give(self, event: View | Message) -> None:
        self.given = [event]
        self.store.run()

    def __iter__(self) -> Any:
        return iter(self.given)


@pytest.mark.parametrize("seed", range(100))
def test_replicas_when_members_come_and_go_then_hold_the_same(
    seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(seed)
    module, bus = load("kv_store"), Bus()
    for number in range(200):
        match chance.choice(["join", "die", "type", "type", "deliver", "deliver", "deliver"]):
            case "join" if len(bus.seats) < 5:
                me = Member(NodeId(chance.randrange(1, 4)), Pid(number))
                bus.change([Seat(bus, me, module)], [])
            case "die" if len(bus.seats) > 1 and chance.random() < 0.5:
                bus.change([], [chance.choice(list(bus.seats))])
            case "type" if bus.seats:
                seat = chance.choice(list(bus.seats.values()))
                if seat.store.ready.is_set():
                    seat.store.send("do", "set", str(number % 7), str(number))
            case "deliver" if bus.waiting:
                bus.deliver()
        check(bus)
    for _ in range(1_000):
        if not bus.waiting:
            break
        bus.deliver()
        check(bus)
    assert not bus.waiting
    assert all(seat.store.data is not None for seat in bus.seats.values())


def check(bus: Bus) -> None:
    """Between two events of the order all copies are equal."""
    copies = {json.dumps(s.store.data, sort_keys=True) for s in bus.seats.values()} - {"null"}
    assert len(copies) <= 1
