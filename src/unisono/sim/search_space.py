"""Space: the worlds that can be reached, step by step.

Speaks:      `Space.first()`, `Space.take(world, step)`, `Space.is_settled(world)`.
Keeps:       a step changes one node and what is under way; time passes for all nodes at once.
Never:       judges; what a step itself breaks it says, properties are in search_properties.
"""

from collections.abc import Sequence

from unisono.base.ids import NodeId
from unisono.sim import trace
from unisono.sim.search_chances import Chances
from unisono.sim.search_daemon import Emptied, Storing
from unisono.sim.search_properties import EMPTY, Stories
from unisono.sim.search_shelf import Consequence, Shelf
from unisono.sim.search_tokens import Renaming
from unisono.sim.search_world import (
    AGE_BITS,
    AGE_MASK,
    FAULT_KINDS,
    INBOX_MAX,
    Step,
    Taken,
    World,
)


class Space(Chances):
    """All worlds within the budgets."""

    def __init__(
        self,
        shelf: Shelf,
        stories: Stories,
        nodes: Sequence[NodeId],
        *,
        messages: int,
        faults: int,
        kinds: Sequence[str],
    ) -> None:
        super().__init__(shelf, nodes, messages=messages, faults=faults, kinds=kinds)
        self.stories = stories
        self._renaming = Renaming(shelf, gap_max=len(nodes) + 2)

    def first(self) -> World:
        """All daemons have just been started."""
        off = tuple(self.shelf.off(trace.Process(node, 0), None) for node in self.node_ids)
        links = ((),) * self._count**2
        world = World(off, links, (), (EMPTY,) * self._count)
        for node in range(self._count):
            world = self.take(world, Step("start", node)).world
        return world

    def is_settled(self, world: World) -> bool:
        """Whether all nodes are in one view, have delivered the same, and owe nothing."""
        standings = {state.standing for state in self._states(world)}
        if len(standings) != 1 or world.cut >= 0 or world.asleep:
            return False
        (standing,) = standings
        if standing is None or len(standing.members) != self._count:
            return False
        return not any(self.stories.tale(story).owed for story in world.stories)

    # -- what comes of it -------------------------------------------------------------------------

    def take(self, world: World, step: Step) -> Taken:
        """The world after `step`."""
        match step.what:
            case "deliver" | "lose" | "double" | "hold":
                world = self._take_off(world, step)
            case "arrive":
                held = list(world.held)
                held.remove((step.detail[0], step.detail[1]))
                world = world._replace(held=tuple(held))
            case "send":
                world = world._replace(sent=world.sent + 1)
            case "expire" if step.detail[0]:
                world = self._pass_time(world, step.detail[0], step.node)
            case "rotate":
                world = self._pass_time(world, step.detail[0], -1)
            case "crash":
                world = self._crash(world, step.node, world.nodes[step.node])
            case "cut":
                links = tuple(
                    () if step.node in divmod(link, self._count) else letters
                    for link, letters in enumerate(world.links)
                )
                world = world._replace(links=links, cut=step.node)
            case "heal":
                world = world._replace(cut=-1)
            case "sleep":
                world = world._replace(asleep=tuple(sorted((*world.asleep, step.node))))
            case "wake":
                world = world._replace(asleep=tuple(n for n in world.asleep if n != step.node))
        taken = Taken(world)
        if step.what in ("deliver", "arrive", "send", "expire", "start"):
            taken = self._apply(world, step, self.consequence(world, step))
        if step.what in FAULT_KINDS or step.crash_at >= 0:
            taken = taken._replace(world=taken.world._replace(spent=taken.world.spent + 1))
        return taken._replace(world=self._renaming.rename(self._grow_old(taken.world)))

    def _take_off(self, world: World, step: Step) -> World:
        link, letter = step.detail
        if step.what in ("double", "hold"):
            world = world._replace(held=tuple(sorted((*world.held, (link, letter)))))
        if step.what == "double":
            return world
        links = list(world.links)
        links[link] = links[link][1:]
        return world._replace(links=tuple(links))

    def _age_after(self, world: World, step: Step) -> int:
        """How many causes younger what the step sends is than the oldest that was under way."""
        if self._count < 3 or step.what != "deliver":
            return 0
        return step.age + 1

    def _grow_old(self, world: World) -> World:
        """Count the causes from the oldest datagram that is on its way to somebody awake."""
        ages = [
            letters[0] & AGE_MASK
            for link, letters in enumerate(world.links)
            if letters and link % self._count not in world.asleep
        ]
        by = min(ages, default=0)
        if not by:
            return world
        links = tuple(
            tuple(entry - min(by, entry & AGE_MASK) for entry in letters) for letters in world.links
        )
        return world._replace(links=links)

    def _pass_time(self, world: World, elapsed: int, busy: int) -> World:
        """Let time pass at all nodes but the one in place `busy`, whose deadline comes."""
        nodes = list(world.nodes)
        for node, state in enumerate(self._states(world)):
            if node != busy and state.blob:
                how = "sleep" if node in world.asleep else "wait"
                nodes[node] = self.shelf.act(nodes[node], (how, elapsed)).node
        return world._replace(nodes=tuple(nodes))

    def _apply(self, world: World, step: Step, consequence: Consequence) -> Taken:
        node = step.node
        if consequence.broken:
            return Taken(world, consequence.broken)
        nodes, links = list(world.nodes), list(world.links)
        stories = list(world.stories)
        before = self.shelf.nodes[world.nodes[node]]
        stored = before.stored
        units = consequence.units
        age = self._age_after(world, step)
        for unit in units if step.crash_at < 0 else units[: step.crash_at]:
            if isinstance(unit, tuple):
                self._launch(world, links, node, unit, age)
            elif isinstance(unit, Storing):
                stored = unit.seq
            elif isinstance(unit, Emptied):
                self._empty(links, node)
            else:
                stories[node] = self.stories.add(stories[node], unit)
        nodes[node] = consequence.node
        world = world._replace(nodes=tuple(nodes), links=tuple(links), stories=tuple(stories))
        if step.crash_at >= 0:
            world = self._crash(world, node, self.shelf.off(before.who, stored))
        return Taken(world)

    def _launch(
        self,
        world: World,
        links: list[tuple[int, ...]],
        node: int,
        unit: tuple[NodeId, int],
        age: int,
    ) -> None:
        target = self.node_ids.index(unit[0])
        link = node * self._count + target
        is_full = target in world.asleep and len(links[link]) >= INBOX_MAX
        is_up = self.shelf.nodes[world.nodes[target]].blob is not None
        if is_up and not is_full and not self._is_cut(world, link):
            if links[link]:
                age = max(age, links[link][-1] & AGE_MASK)
            links[link] = (*links[link], unit[1] << AGE_BITS | age)

    def _empty(self, links: list[tuple[int, ...]], node: int) -> None:
        for source in range(self._count):
            links[source * self._count + node] = ()

    def _crash(self, world: World, node: int, number: int) -> World:
        state = self.shelf.nodes[number]
        nodes, links, stories = list(world.nodes), list(world.links), list(world.stories)
        nodes[node] = self.shelf.off(state.who, state.stored)
        self._empty(links, node)
        stories[node] = self.stories.add(stories[node], trace.Crashed(0, state.who, False))
        asleep = tuple(each for each in world.asleep if each != node)
        return world._replace(
            nodes=tuple(nodes), links=tuple(links), stories=tuple(stories), asleep=asleep
        )
