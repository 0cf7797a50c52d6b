"""Names that are looked up again, with a resolver of the test's own."""

import asyncio
import contextlib
import socket
import threading
import time
from dataclasses import replace

import pytest

from unisono.base.ids import NodeId
from unisono.base.limits import LOOK_UPS_MAX
from unisono.base.marks import Mark
from unisono.config.settings import UDPU, NodeSettings, Settings, TransportSettings
from unisono.executive.addresses import AddressWatch, look_up

SECONDS_MAX = 10
QUICK = 0.002


def node(number, *names, addresses=None):
    given = addresses or tuple(f"10.0.{link}.{number}" for link in range(len(names)))
    return NodeSettings(NodeId(number), f"n{number}", given, names=names)


class Watch:
    """A watch over some nodes; `answers` is what the resolver says, or raises."""

    def __init__(self, *nodes, patience=SECONDS_MAX, resolve=None):
        self.answers = {}
        self.asked = []
        self.moves = []
        self.marks = []
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ask(name, family):
            self.asked.append((name, family))
            loop.call_soon_threadsafe(self._changed.set)
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer

        self.watch = AddressWatch(
            Settings(NodeId(1), nodes, TransportSettings(UDPU, "10.0.0.1")),
            self.readdress,
            mark=self.mark,
            loop=loop,
            resolve=resolve or ask,
            period=QUICK,
            patience=patience,
        )

    def readdress(self, *move):
        self.moves.append(move)
        self._changed.set()

    def mark(self, marked):
        self.marks.append(marked)
        self._changed.set()

    async def until(self, condition):
        async with asyncio.timeout(SECONDS_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def rounds(self, count):
        wanted = len(self.asked) + count * len({name for name, _ in self.asked} or {0})
        await self.until(lambda: len(self.asked) >= wanted)

    def close(self):
        self.watch.close()


async def test_node_that_has_moved_is_followed_and_marked_once():
    with contextlib.closing(Watch(node(1, "one"), node(2, "10.0.0.2", "two"))) as watch:
        watch.answers["two"] = ["10.0.1.22", "10.0.1.23"]
        await watch.until(lambda: watch.moves)
        await watch.rounds(3)
        assert watch.moves == [(2, 1, "10.0.1.22")]
        assert [(each.mark, each.a, each.b) for each in watch.marks] == [
            (Mark.ADDRESS_CHANGED, 2, 1)
        ]
        assert watch.marks[0].text == "two has moved from 10.0.1.2 to 10.0.1.22"
        watch.answers["two"] = ["10.0.1.2"]
        await watch.until(lambda: len(watch.moves) == 2)
        assert watch.moves[1] == (2, 1, "10.0.1.2")


async def test_only_names_of_other_nodes_are_asked_for_in_the_family_in_use():
    six = node(3, "three", addresses=("fd77::3",))
    nodes = (node(1, "one"), node(2, "two"), six, node(4, "10.0.0.4"), node(5, "fe80::5%eth0"))
    with contextlib.closing(Watch(*nodes)) as watch:
        watch.answers = {"two": ["10.0.0.2"], "three": ["fd77::3"]}
        await watch.until(lambda: len(watch.asked) > 8)
        assert set(watch.asked) == {("two", socket.AF_INET), ("three", socket.AF_INET6)}
        assert (watch.moves, watch.marks) == ([], [])


async def test_address_that_is_still_among_the_answers_stays():
    with contextlib.closing(Watch(node(1, ""), node(2, "two"))) as watch:
        watch.answers["two"] = ["10.0.0.9", "10.0.0.2"]
        await watch.rounds(4)
        assert watch.moves == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (UnicodeError("label too long"), "label too long"),
        ([], "it has no address"),
    ],
)
async def test_failure_keeps_the_address_and_is_marked_once_until_it_works_again(answer, reason):
    with contextlib.closing(Watch(node(1, ""), node(2, "two"))) as watch:
        watch.answers["two"] = answer
        await watch.until(lambda: watch.marks)
        await watch.rounds(3)
        assert [each.text for each in watch.marks] == [
            f"cannot resolve two: {reason}; still using 10.0.0.2"
        ]
        watch.answers["two"] = ["10.0.0.2"]
        await watch.rounds(3)
        watch.answers["two"] = answer
        await watch.until(lambda: len(watch.marks) == 2)
        assert watch.moves == []


async def test_answer_that_takes_too_long_is_a_failure_and_moves_nobody_later():
    released = threading.Event()
    asked = []

    def late(name, _family):
        asked.append(name)
        if name == "two" and not released.is_set():
            released.wait(SECONDS_MAX)
            return ["10.0.0.66"]
        return ["10.0.0.99"]

    nodes = (node(1, ""), node(2, "two"), node(3, "three"))
    watch = Watch(*nodes, patience=QUICK, resolve=late)
    with contextlib.closing(watch):
        await watch.until(lambda: len(watch.marks) == 2)
        assert [each.text for each in watch.marks if each.mark is Mark.NAME_UNRESOLVED] == [
            "cannot resolve two: no answer in time; still using 10.0.0.2"
        ]
        async with asyncio.timeout(SECONDS_MAX):
            while asked.count("three") < 10:  # the others are asked for, round by round
                await asyncio.sleep(QUICK)
            assert asked.count("two") == 1
            released.set()
            await watch.until(lambda: len(watch.moves) == 2)
        assert watch.moves == [(3, 0, "10.0.0.99"), (2, 0, "10.0.0.99")]


async def test_look_ups_at_once_are_bounded():
    released = threading.Event()
    asked = []

    def late(name, _family):
        asked.append(name)
        released.wait(SECONDS_MAX)
        return []

    nodes = [node(1, ""), *(node(number, f"name{number}") for number in range(2, 20))]
    watch = Watch(*nodes, resolve=late)
    with contextlib.closing(watch):
        async with asyncio.timeout(SECONDS_MAX):
            while len(asked) < LOOK_UPS_MAX:
                await asyncio.sleep(QUICK)
            assert watch.watch._running == LOOK_UPS_MAX
            released.set()
            while len(set(asked)) < 18:
                await asyncio.sleep(QUICK)


async def test_closing_while_a_look_up_runs_is_quick_and_final():
    released = threading.Event()
    began = threading.Event()

    def late(_name, _family):
        began.set()
        released.wait(SECONDS_MAX)
        return ["10.0.0.99"]

    watch = Watch(node(1, ""), node(2, "two"), resolve=late)
    async with asyncio.timeout(SECONDS_MAX):
        while not began.is_set():
            await asyncio.sleep(0)
    before = time.monotonic()
    watch.close()
    watch.close()
    assert time.monotonic() - before < 1
    released.set()
    for _ in range(20):
        await asyncio.sleep(QUICK)
    assert (watch.moves, watch.marks) == ([], [])


async def test_names_that_are_absent_ask_nobody():
    nodes = (
        node(1, "one"),
        replace(node(2, "two"), names=()),
        node(3, "", addresses=("10.0.0.3",)),
    )
    with contextlib.closing(Watch(*nodes)) as watch:
        assert not watch.watch._timers


def test_look_up_asks_the_system():
    assert look_up("localhost", socket.AF_INET) == ["127.0.0.1"]
