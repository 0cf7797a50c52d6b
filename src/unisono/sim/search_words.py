"""Words: a path through the search space as lines for people, one a step and one a record.

Speaks:      `narrate(space, prefix, steps)` in lines, `trail(space, steps)` in records.
Keeps:       the same steps are taken again: what is told is what happened.
"""

from collections.abc import Sequence
from dataclasses import replace

from unisono.base.ids import MS
from unisono.sim.search_space import Space
from unisono.sim.search_world import Step, World
from unisono.sim.trace import Record


def narrate(space: Space, prefix: Sequence[Step], steps: Sequence[Step]) -> list[str]:
    """Every step of `steps` from the first world on; those of the prefix are only counted."""
    world = space.first()
    for step in prefix:
        world = space.take(world, step).world
    lines = [f"{len(prefix)} ordinary steps until all nodes are on one quiet ring"] * bool(prefix)
    for number, step in enumerate(steps, 1):
        taken = space.take(world, step)
        lines.append(f"{number:3} {tell(space, world, step)}")
        lines += [f"      {record}" for record in news(space, world, taken.world)]
        world = taken.world
    return lines


def trail(space: Space, steps: Sequence[Step]) -> list[Record]:
    """All records of a run from the first world on, merged, with the time that had passed."""
    world = space.first()
    records = [each for story in world.stories for each in space.stories.records(story)]
    now = 0
    for step in steps:
        after = space.take(world, step).world
        if step.what in ("expire", "rotate"):
            now += step.detail[0]
        records += [replace(each, time=now) for each in news(space, world, after)]
        world = after
    return records


def tell(space: Space, world: World, step: Step) -> str:
    """One step in words."""
    node = space.node_ids[step.node]
    text = f"{step.what} {node}"
    match step.what:
        case "deliver" | "arrive" | "lose" | "double" | "hold":
            link, letter = step.detail
            kind = space.shelf.letters[letter].kind
            source = space.node_ids[link // len(space.node_ids)]
            name = "datagram" if kind is None else kind.name.lower()
            text = f"{step.what} {name} {source} -> {node}"
        case "expire":
            text = f"{step.detail[0] / MS:g} ms pass, a deadline of node {node} comes"
        case "rotate":
            text = f"{step.detail[0] / MS:g} ms pass while the token goes round"
        case "send":
            text = f"node {node} sends message {step.detail[0] + 1}"
        case _:
            pass
    if step.crash_at >= 0:
        text += f", and node {node} crashes before effect {step.crash_at + 1} of this step"
    return text


def news(space: Space, before: World, after: World) -> list[Record]:
    """What the nodes' stories have more in `after` than in `before`."""
    found: list[Record] = []
    for old, new in zip(before.stories, after.stories, strict=True):
        found += space.stories.records(new)[len(space.stories.records(old)) :]
    return found
