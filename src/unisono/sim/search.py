"""Search: every world that the real machines can come to, within small budgets, breadth first.

Speaks:      `search(SearchRequest) -> SearchOutcome`, `describe(outcome)`.
Counterpart: explicit-state model checking (SPIN), done on the product instead of on a model.
Keeps:       the first violation that is found has a shortest path; same request, same outcome.
Never:       reads a clock: who wants a limit in seconds brings a stopwatch.
"""

import marshal
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from unisono.sim.search_request import SearchRequest, make_space, settle
from unisono.sim.search_words import narrate
from unisono.sim.search_world import Step, World

DIGEST_BYTES: Final = 12
"""With 96 bits, two of ten million worlds look alike with a chance of less than 1 in 10**15."""


@dataclass(slots=True)
class SearchOutcome:
    """What was found. `complete` when every world within the budgets was reached."""

    request: SearchRequest
    complete: bool = False
    states: int = 0
    edges: int = 0
    depth: int = 0
    runs: int = 0
    """How often a machine was really run; all else was looked up."""
    node_states: int = 0
    settled: int = 0
    """Worlds in which all nodes were in one view and nothing was left to do."""
    seconds: float = 0.0
    violation: str = ""
    path: list[str] = field(default_factory=list)
    """The shortest way to the violation, a line a step."""


Stopwatch = Callable[[], float]


class Exploration:
    """One breadth-first walk; worlds are known by the hash of their numbers."""

    def __init__(self, request: SearchRequest, stopwatch: Stopwatch | None) -> None:
        self.request = request
        self.space = make_space(request)
        self.outcome = SearchOutcome(request)
        self.prefix: list[Step] = []
        """Steps from the start of all daemons to the first world of the search."""
        self.path: list[Step] = []
        """Steps from there to the violation."""
        self._stopwatch = stopwatch
        self._began = stopwatch() if stopwatch else 0.0
        self._known: dict[bytes, int] = {}
        self._parents = array("i")
        self._ordinals = array("i")
        self._ordinary = (array("i"), array("i"))
        """Edges without a fault, from and to: by these every world must be able to settle."""
        self.settled: list[int] = []

    def run(self) -> SearchOutcome:
        """Walk until all is known, a limit is reached, or a property is broken."""
        outcome = self.outcome
        frontier = deque([(0, 0, self._begin())])
        while frontier and not outcome.violation and not self._is_over():
            number, depth, world = frontier.popleft()
            outcome.depth = depth
            self._visit(number, depth, world, frontier)
        outcome.complete = not frontier and not outcome.violation
        outcome.states = len(self._known)
        outcome.settled = len(self.settled)
        if outcome.complete:
            self._check_progress()
        outcome.runs = self.space.shelf.runs
        outcome.node_states = len(self.space.shelf.nodes)
        if self._stopwatch:
            outcome.seconds = self._stopwatch() - self._began
        return outcome

    def _begin(self) -> World:
        """The first world, after the steps that form the ring if it is to be formed."""
        if self.request.begin == "formed":
            self.prefix, broken = settle(self.space)
            if broken:
                self.outcome.violation = broken
                self.prefix, self.path = [], self.prefix
                self.outcome.path = narrate(self.space, [], self.path)
        world = self.space.first()
        for step in self.prefix:
            world = self.space.take(world, step).world
        self._add(world, -1, 0)
        return world

    def _visit(
        self, number: int, depth: int, world: World, frontier: deque[tuple[int, int, World]]
    ) -> None:
        space = self.space
        sources, targets = self._ordinary
        ordinal = -1
        for ordinal, step in enumerate(space.steps(world)):
            taken = space.take(world, step)
            broken = taken.broken or space.stories.judge(taken.world.stories)
            if broken:
                self._report(broken, [*self.path_to(number), ordinal])
                return
            found, is_new = self._add(taken.world, number, ordinal)
            if taken.world.spent == world.spent:
                sources.append(number)
                targets.append(found)
            if is_new:
                frontier.append((found, depth + 1, taken.world))
        self.outcome.edges += ordinal + 1

    def _add(self, world: World, parent: int, ordinal: int) -> tuple[int, bool]:
        digest = blake2b(marshal.dumps(tuple(world), 2), digest_size=DIGEST_BYTES).digest()
        number = self._known.setdefault(digest, len(self._parents))
        is_new = number == len(self._parents)
        if is_new:
            self._parents.append(parent)
            self._ordinals.append(ordinal)
            if self.space.is_settled(world):
                self.settled.append(number)
        return number, is_new

    def _is_over(self) -> bool:
        request = self.request
        if len(self._parents) >= request.states_max:
            return True
        if self._stopwatch is None or not request.seconds_max:
            return False
        return self._stopwatch() - self._began >= request.seconds_max

    # -- findings ---------------------------------------------------------------------------------

    def path_to(self, number: int) -> list[int]:
        """The shortest way to a world: which of the possible steps was taken each time."""
        ordinals: list[int] = []
        while self._parents[number] >= 0:
            ordinals.append(self._ordinals[number])
            number = self._parents[number]
        return ordinals[::-1]

    def _report(self, broken: str, ordinals: Sequence[int]) -> None:
        self.outcome.violation = broken
        self.path = self.steps_of(ordinals)
        self.outcome.path = narrate(self.space, self.prefix, self.path)

    def steps_of(self, ordinals: Sequence[int]) -> list[Step]:
        """The steps that were taken as number so-and-so of what was possible."""
        world = self.space.first()
        for step in self.prefix:
            world = self.space.take(world, step).world
        steps: list[Step] = []
        for ordinal in ordinals:
            step = list(self.space.steps(world))[ordinal]
            world = self.space.take(world, step).world
            steps.append(step)
        return steps

    def _check_progress(self) -> None:
        """From every world all must be able to settle without a further fault (liveness)."""
        able = reach_back(len(self._parents), *self._ordinary, self.settled)
        wedged = able.find(0)
        if wedged >= 0:
            self._report("progress: from here on no steps lead to one view", self.path_to(wedged))


def reach_back(
    count: int, sources: Sequence[int], targets: Sequence[int], ends: Sequence[int]
) -> bytearray:
    """For each of `count` worlds 1 if some way along the edges leads from it to one of `ends`."""
    starts = array("i", bytes(4 * (count + 1)))
    for end in targets:
        starts[end] += 1
    total = 0
    for number in range(count):
        total += starts[number]
        starts[number] = total
    starts[count] = total
    before = array("i", bytes(4 * total))
    for start, end in zip(sources, targets, strict=True):
        starts[end] -= 1
        before[starts[end]] = start
    able = bytearray(count)
    waiting = list(ends)
    for number in waiting:
        able[number] = 1
    while waiting:
        number = waiting.pop()
        for start in before[starts[number] : starts[number + 1]]:
            if not able[start]:
                able[start] = 1
                waiting.append(start)
    return able


def search(request: SearchRequest, stopwatch: Stopwatch | None = None) -> SearchOutcome:
    """Explore; `stopwatch()` gives seconds, and is needed for a limit in seconds only."""
    return Exploration(request, stopwatch).run()


def describe(outcome: SearchOutcome) -> str:
    """What was searched and what was found, in a few lines."""
    request = outcome.request
    rate = f", {outcome.states / outcome.seconds:,.0f} states/s" if outcome.seconds else ""
    budgets = (
        f"search: {request.nodes} nodes, {request.messages} messages, {request.faults} faults"
        f" ({', '.join(request.kinds)}), from {request.begin}:"
        f" {'complete' if outcome.complete else 'not complete'}"
    )
    figures = (
        f"  {outcome.states:,} states, {outcome.edges:,} steps, depth {outcome.depth},"
        f" {outcome.settled:,} settled; {outcome.node_states:,} node states,"
        f" {outcome.runs:,} machine runs; {outcome.seconds:.1f} s{rate}"
    )
    lines = [budgets, figures]
    if outcome.violation:
        lines.append(f"  VIOLATION {outcome.violation}")
        lines += [f"    {line}" for line in outcome.path]
    else:
        lines.append("  no property broken")
    return "\n".join(lines)


__all__ = ["Exploration", "SearchOutcome", "SearchRequest", "describe", "search"]
