"""Chances: all that may happen next in a world, within the budgets.

Speaks:      `Chances.steps(world)`, ordinary steps first, faults last; `consequence(world, step)`.
Keeps:       the order of the steps is fixed: a step's number in a world names it.
Never:       takes a step (search_space).
"""

from collections.abc import Iterator, Sequence

from unisono.base.ids import NodeId
from unisono.sim.network import DatagramKind
from unisono.sim.search_daemon import Storing
from unisono.sim.search_shelf import Action, Consequence, NodeState, Shelf
from unisono.sim.search_world import AGE_BITS, AGE_MASK, OVERTAKING_MAX, Step, World


class Chances:
    """What may happen, given the budgets."""

    def __init__(
        self,
        shelf: Shelf,
        nodes: Sequence[NodeId],
        *,
        messages: int,
        faults: int,
        kinds: Sequence[str],
    ) -> None:
        self.shelf = shelf
        self.node_ids = tuple(nodes)
        self._count = len(nodes)
        self._messages = messages
        self._faults = faults
        self._kinds = frozenset(kinds)

    def steps(self, world: World) -> Iterator[Step]:
        """Every step that may come next, in a fixed order; faults last."""
        ordinary = list(self._ordinary(world))
        yield from ordinary
        if world.spent >= self._faults:
            return
        yield from self._datagram_faults(world)
        if "crash" in self._kinds:
            yield from self._crashes(world, ordinary)
        if "cut" in self._kinds and world.cut < 0:
            shapes = self._count if self._count > 2 else 1
            yield from (Step("cut", node) for node in range(shapes))
        if "sleep" in self._kinds:
            yield from (
                Step("sleep", node)
                for node, state in enumerate(self._states(world))
                if state.blob and node not in world.asleep
            )

    def _states(self, world: World) -> list[NodeState]:
        nodes = self.shelf.nodes
        return [nodes[number] for number in world.nodes]

    def _ordinary(self, world: World) -> Iterator[Step]:
        states = self._states(world)
        awake = [bool(s.blob) and node not in world.asleep for node, s in enumerate(states)]
        busy: set[int] = set()
        for link, letters in enumerate(world.links):
            target = link % self._count
            if letters and awake[target]:
                busy.add(target)
                if letters[0] & AGE_MASK <= OVERTAKING_MAX:
                    age = letters[0] & AGE_MASK
                    yield Step("deliver", target, (link, letters[0] >> AGE_BITS), age=age)
        for link, letter in dict.fromkeys(world.held):
            if awake[link % self._count] and not self._is_cut(world, link):
                yield Step("arrive", link % self._count, (link, letter))
        yield from self._expiries(states, awake, busy)
        if busy:
            yield from self._rounds(world, states, awake)
        for node, state in enumerate(states):
            if awake[node] and state.accepting and world.sent < self._messages:
                yield Step("send", node, (world.sent,))
            if state.blob is None:
                yield Step("start", node)
        for node in world.asleep:
            yield Step("wake", node)
        if world.cut >= 0:
            yield Step("heal", world.cut)

    def _expiries(
        self, states: list[NodeState], awake: list[bool], busy: set[int]
    ) -> Iterator[Step]:
        dues = [
            (state.deadline, node)
            for node, state in enumerate(states)
            if awake[node] and state.deadline is not None
        ]
        earliest = min((due for due, _ in dues), default=0)
        for due, node in dues:
            overdue = due < 0 and node not in busy
            if overdue or due == 0 or (due == earliest and not busy and due > 0):
                yield Step("expire", node, (max(due, 0),))

    def _rounds(self, world: World, states: list[NodeState], awake: list[bool]) -> Iterator[Step]:
        up = [state for node, state in enumerate(states) if awake[node]]
        dues = [state.patience for state in up if state.patience is not None]
        letters = self.shelf.letters
        only_tokens = all(
            letters[entry >> AGE_BITS].kind is DatagramKind.TOKEN
            for link, entries in enumerate(world.links)
            if awake[link % self._count]
            for entry in entries
        )
        if dues and only_tokens:
            dues += [state.deadline for state in up if state.deadline is not None]
            if min(dues) > 0:
                yield Step("rotate", 0, (min(dues),))

    def _datagram_faults(self, world: World) -> Iterator[Step]:
        for link, letters in enumerate(world.links):
            if letters and not self._is_cut(world, link):
                for kind in ("lose", "double", "hold"):
                    if kind in self._kinds:
                        yield Step(kind, link % self._count, (link, letters[0] >> AGE_BITS))

    def _crashes(self, world: World, ordinary: list[Step]) -> Iterator[Step]:
        for node, state in enumerate(self._states(world)):
            if state.blob:
                yield Step("crash", node)
        for step in ordinary:
            if step.what in ("deliver", "arrive", "expire", "send"):
                units = self.consequence(world, step).units
                for place, unit in enumerate(units):
                    if place and isinstance(unit, tuple | Storing):
                        yield step._replace(crash_at=place)

    def _is_cut(self, world: World, link: int) -> bool:
        return world.cut >= 0 and world.cut in divmod(link, self._count)

    def consequence(self, world: World, step: Step) -> Consequence:
        """What comes of a step at its node."""
        action: Action
        if step.what in ("deliver", "arrive"):
            link, letter = step.detail
            action = ("receive", self.node_ids[link // self._count], letter)
        else:
            action = (step.what, *step.detail)
        return self.shelf.act(world.nodes[step.node], action)
