"""Faults: a plan of what breaks when, drawn from the seed before the run begins.

Speaks:      `plan_faults(random, ...) -> list[Fault]`; `apply(fault, cluster)`.
Counterpart: FoundationDB's attrition and clogging workloads, TigerBeetle's VOPR options.
Keeps:       a plan is data: a failing one can be printed, repeated and cut down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from unisono.base.ids import MS, NodeId
from unisono.sim.cluster import Cluster
from unisono.sim.network import NetworkOptions

FAULTS_MAX: Final = 30
STORE_LOST_CHANCE: Final = 0.15


@dataclass(frozen=True, slots=True)
class Fault:
    """At `time` nanoseconds, do `verb` with `arguments`."""

    time: int
    verb: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Storm:
    """What a plan may use: the nodes, how long the storm lasts, and the ring's own time scale."""

    nodes: Sequence[NodeId]
    length_ns: int
    token_ns: int
    consensus_ns: int
    quiet: NetworkOptions


def plan_faults(random: Random, storm: Storm) -> list[Fault]:
    """Between none and FAULTS_MAX faults with their ends, in order of time."""
    plan: list[Fault] = []
    makers = random.sample(_MAKERS, random.randint(1, len(_MAKERS)))
    for _ in range(random.randint(0, FAULTS_MAX)):
        begin = random.randrange(storm.length_ns)
        plan += random.choice(makers)(random, storm, begin)
    plan.sort(key=lambda fault: fault.time)
    return plan


def apply(fault: Fault, cluster: Cluster) -> None:
    """Do it."""
    _VERBS[fault.verb](cluster, *fault.arguments)


def _duration(random: Random, storm: Storm, most: float = 3.0) -> int:
    """From a millisecond to `most` times the token time-out; about half are beyond a time-out."""
    return int(MS * (storm.token_ns * most / MS) ** random.random() ** 0.5)


def _crash(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    lost = random.random() < STORE_LOST_CHANCE
    down = _duration(random, storm)
    if lost:
        # Long enough that nobody still forms a ring with the one who forgot its number.
        down += 3 * (storm.token_ns + storm.consensus_ns)
    if random.random() < 0.5:
        kill = Fault(begin, "kill_within", (node, random.randrange(40)))
    else:
        kill = Fault(begin, "kill", (node,))
    return [kill, Fault(begin + down, "start", (node, not lost))]


def _leave(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    return [
        Fault(begin, "leave", (node,)),
        Fault(begin + _duration(random, storm), "start", (node, True)),
    ]


def _pause(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    return [
        Fault(begin, "pause", (node,)),
        Fault(begin + _duration(random, storm), "resume", (node,)),
    ]


def _partition(random: Random, storm: Storm, begin: int) -> list[Fault]:
    sides = random.randint(2, 3)
    groups: list[list[NodeId]] = [[] for _ in range(sides)]
    for node in storm.nodes:
        random.choice(groups).append(node)
    return [
        Fault(begin, "partition", tuple(tuple(group) for group in groups if group)),
        Fault(begin + _duration(random, storm, 5.0), "heal"),
    ]


def _one_way(random: Random, storm: Storm, begin: int) -> list[Fault]:
    source, target = random.choice(storm.nodes), random.choice(storm.nodes)
    return [
        Fault(begin, "cut_one_way", (source, target)),
        Fault(begin + _duration(random, storm), "heal"),
    ]


def _pace(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    return [
        Fault(begin, "pace", (node, True)),
        Fault(begin + _duration(random, storm), "pace", (node, False)),
    ]


def _weather(random: Random, storm: Storm, begin: int) -> list[Fault]:
    quiet = storm.quiet
    changes = {
        "loss": (random.choice((0.01, 0.05, 0.2, 0.4)), quiet.loss),
        "reorder": (random.choice((0.01, 0.1, 0.3)), quiet.reorder),
        "duplicate": (random.choice((0.01, 0.1, 0.3)), quiet.duplicate),
        "delay_mean_ns": (random.choice((1, 5, 20)) * MS, quiet.delay_mean_ns),
    }
    names = random.sample(sorted(changes), random.randint(1, 2))
    worse = tuple((name, changes[name][0]) for name in names)
    better = tuple((name, changes[name][1]) for name in names)
    return [
        Fault(begin, "weather", worse),
        Fault(begin + _duration(random, storm, 5.0), "weather", better),
    ]


_Maker = Callable[[Random, Storm, int], list[Fault]]
_MAKERS: Final[list[_Maker]] = [_crash, _leave, _pause, _partition, _one_way, _pace, _weather]

_VERBS: Final[dict[str, Callable[..., None]]] = {
    "kill": Cluster.kill,
    "kill_within": Cluster.kill_within,
    "start": lambda cluster, node, keep: cluster.start(node, keep_store=keep),
    "leave": Cluster.leave,
    "pace": Cluster.pace,
    "pause": Cluster.pause,
    "resume": Cluster.resume,
    "partition": lambda cluster, *sides: cluster.partition(sides),
    "cut_one_way": Cluster.cut_one_way,
    "heal": Cluster.heal,
    "weather": lambda cluster, *changes: cluster.weather(**dict(changes)),
}
