"""Hazard: what a fault is, and what those who draw faults have to go by.

Speaks:      `Fault`, `Storm`; durations on the ring's own time scale.
Keeps:       a fault is plain numbers and texts: it can be printed, repeated and left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeAlias

from unisono.base.ids import MS, NodeId
from unisono.sim.network import NetworkOptions


@dataclass(frozen=True, slots=True)
class Fault:
    """At `time` nanoseconds, do `verb` with `arguments` (numbers, texts, and tuples of them).

    Faults of one `pair` belong together, such as a crash and the start after it; 0 is alone.
    """

    time: int
    verb: str
    arguments: tuple[Any, ...] = ()
    pair: int = 0


@dataclass(frozen=True, slots=True)
class Storm:
    """What a plan may use: the nodes, how long the storm lasts, and the ring's own time scale."""

    nodes: Sequence[NodeId]
    length_ns: int
    token_ns: int
    consensus_ns: int
    quiet: NetworkOptions


Maker: TypeAlias = Callable[[Random, Storm, int], list[Fault]]
"""Draws one fault that begins at the given time, and what ends it."""


def duration(random: Random, storm: Storm, most: float = 3.0) -> int:
    """From a millisecond to `most` times the token time-out; about half are beyond a time-out."""
    return int(MS * (storm.token_ns * most / MS) ** random.random() ** 0.5)


def spread(random: Random, least: float, most: float) -> float:
    """Between `least` and `most`, every power of ten as likely as the next."""
    return float(least * (most / least) ** random.random())


def two(random: Random, storm: Storm) -> tuple[NodeId, NodeId]:
    """Two nodes, different where there are two."""
    if len(storm.nodes) < 2:
        return storm.nodes[0], storm.nodes[0]
    first, second = random.sample(list(storm.nodes), 2)
    return first, second
