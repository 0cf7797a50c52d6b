"""Whatever happens, in whatever order, cut at whatever message: all agree in the end.

The scripts are drawn by hypothesis: clients come, send, leave and die; nodes are cut off, crash,
come back; configurations change in the middle of everything.
"""

from itertools import combinations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.bus import Bus, Client, LibcpgClient, Message, NativeClient, Node, View
from tests.services.bus import settings as node_settings
from unisono.base.errors import CsError
from unisono.base.ids import NodeId
from unisono.services import Engine

NODES = 4
GROUPS = (b"g", b"h")
Member = LibcpgClient | NativeClient

STEP = st.one_of(
    st.tuples(st.just("come"), st.integers(1, NODES), st.booleans(), st.sampled_from(GROUPS)),
    st.tuples(st.just("send"), st.integers(0, 20), st.integers(1, 3)),
    st.tuples(st.just("leave"), st.integers(0, 20)),
    st.tuples(st.just("die"), st.integers(0, 20)),
    st.tuples(st.just("run"), st.integers(0, 60)),
    st.tuples(
        st.just("form"),
        st.lists(st.integers(0, 2), min_size=NODES, max_size=NODES),
        st.integers(0, 3),
    ),
    st.tuples(st.just("crash"), st.integers(1, NODES)),
)


class Story:
    """Carries one script out, and knows who should be in which group."""

    def __init__(self, stock: set[int]) -> None:
        self.stock = stock
        self.bus = Bus(
            Node(one, self.engine(one), is_stock=one in stock) for one in range(1, NODES + 1)
        )
        self.clients: list[Member] = []
        self.alive: list[Member] = []
        self.number = 0
        self.bus.form(self.bus.nodes)

    @staticmethod
    def engine(node_id: int) -> Engine:
        return Engine(node_settings(node_id, NODES))

    def pick(self, number: int) -> Member | None:
        ready = [one for one in self.alive if one.node.engine.accepting]
        return ready[number % len(ready)] if ready else None

    def come(self, node_id: int, native: bool, name: bytes) -> None:
        if not self.bus.nodes[NodeId(node_id)].engine.accepting:
            return
        make = self.bus.native if native else self.bus.libcpg
        client = make(node_id)
        assert client.join(name) == CsError.OK
        client.group = name
        self.clients.append(client)
        self.alive.append(client)

    def send(self, number: int, amount: int) -> None:
        client = self.pick(number)
        for _ in range(amount):
            if client is not None and client.node.engine.accepting:
                self.number += 1
                client.send(b"%d" % self.number)

    def leave(self, number: int) -> None:
        client = self.pick(number)
        if client is not None and client.leave(client.group) == CsError.OK:
            self.alive.remove(client)

    def die(self, number: int) -> None:
        if self.alive:
            client = self.alive.pop(number % len(self.alive))
            client.die()

    def run(self, steps: int) -> None:
        self.bus.steps(steps)

    def form(self, parts: list[int], tail: int) -> None:
        components = [[one + 1 for one in range(NODES) if parts[one] == part] for part in range(3)]
        self.bus.form(*(one for one in components if one), tail=tail)

    def crash(self, node_id: int) -> None:
        self.alive = [one for one in self.alive if one.node.id != node_id]
        self.bus.crash(node_id, self.engine(node_id))

    def end(self) -> None:
        self.bus.form(self.bus.nodes)
        self.bus.settle()

    # -- what must hold --------------------------------------------------------------------------

    def check(self) -> None:
        engines = [node.engine for node in self.bus.nodes.values()]
        assert all(engine.accepting for engine in engines)
        self.check_groups(engines)
        for client in self.clients:
            self.check_views(client)
            self.check_once(client)
        for one, two in combinations(self.clients, 2):
            if one.group == two.group:
                self.check_order(one, two)

    def check_groups(self, engines: list[Engine]) -> None:
        expected: dict[str, list[dict[str, int]]] = {}
        for client in sorted(self.alive, key=lambda one: one.key):
            name = client.group.decode()
            expected.setdefault(name, []).append({"node": client.node.id, "pid": client.pid})
        for engine in engines:
            assert engine.status()["groups"] == expected
        for client in self.alive:
            name = client.group.decode()
            assert client.members == tuple((one["node"], one["pid"]) for one in expected[name])

    @staticmethod
    def check_views(client: Client) -> None:
        """Each view follows from the one before; the first contains the client."""
        before: set[tuple[int, int]] | None = None
        for view in client.views:
            joined = {one[:2] for one in view.joined}
            left = {one[:2] for one in view.left}
            if before is None:
                assert client.key in joined
                before = set(view.members) - joined
            assert before.isdisjoint(joined)
            assert left <= before
            assert set(view.members) == (before | joined) - left
            assert list(view.members) == sorted(view.members)
            before = set(view.members)

    @staticmethod
    def check_once(client: Client) -> None:
        """No message twice, from nobody who is not in view, each sender's in his order."""
        members: set[int] = set()
        last: dict[tuple[int, int], int] = {}
        for event in client.events:
            if isinstance(event, View):
                members = {node for node, _ in event.members}
            elif isinstance(event, Message):
                assert event.node in members
                key = (event.node, event.pid)
                assert last.get(key, 0) < int(event.data)
                last[key] = int(event.data)

    @staticmethod
    def check_order(one: Client, two: Client) -> None:
        """What both got, both got in one order."""
        common = set(one.messages) & set(two.messages)
        assert [m for m in one.messages if m in common] == [m for m in two.messages if m in common]


def tell(script: list[tuple[object, ...]], stock: set[int]) -> Story:
    story = Story(stock)
    for verb, *arguments in script:
        getattr(story, str(verb))(*arguments)
    story.end()
    return story


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=st.lists(STEP, max_size=25),
    stock=st.sets(st.integers(1, NODES), max_size=2),
)
def test_cluster_when_anything_happens_then_all_agree(
    script: list[tuple[object, ...]], stock: set[int]
) -> None:
    tell(script, stock).check()


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=st.lists(STEP, max_size=15),
    stock=st.sets(st.integers(1, NODES), max_size=1),
    cuts=st.lists(
        st.tuples(st.integers(0, 70), st.lists(st.integers(0, 1), min_size=NODES, max_size=NODES)),
        min_size=1,
        max_size=6,
    ),
)
def test_cluster_when_synchronisations_are_cut_one_after_the_other_then_all_agree(
    script: list[tuple[object, ...]],
    stock: set[int],
    cuts: list[tuple[int, list[int]]],
) -> None:
    story = Story(stock)
    story.bus.settle()
    for one in range(1, NODES + 1):
        story.come(one, one % 2 == 0, b"g")
    story.bus.settle()
    for verb, *arguments in script:
        getattr(story, str(verb))(*arguments)
    for position, parts in cuts:
        story.form(parts, position % 3)
        story.run(position)
    story.end()
    story.check()


@pytest.mark.parametrize("stock", [set(), {2}])
def test_cluster_when_nothing_is_lost_then_every_member_gets_every_message(
    stock: set[int],
) -> None:
    story = Story(stock)
    story.bus.settle()
    for one in range(1, NODES + 1):
        story.come(one, one % 2 == 0, b"g")
    story.bus.settle()
    for number in range(30):
        story.send(number, 2)
        story.run(number % 4)
    story.end()
    story.check()
    for client in story.clients:
        assert len(client.messages) == 60
