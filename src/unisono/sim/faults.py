"""Faults: a plan of what breaks when, drawn from the seed before the run begins.

Speaks:      `plan_faults(random, storm, kind) -> list[Fault]`; `apply(fault, cluster)`;
             `is_byzantine(faults)`.
Counterpart: FoundationDB's attrition and clogging workloads, TigerBeetle's VOPR options.
Keeps:       a plan is data: a failing one can be printed, repeated and cut down.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Final

from unisono.sim.attrition import ATTRITION, LIES
from unisono.sim.cluster import Cluster
from unisono.sim.hazard import Fault, Maker, Storm
from unisono.sim.siege import SIEGE
from unisono.sim.weather import WEATHER

if TYPE_CHECKING:
    from unisono.sim.storms import StormKind

__all__ = ["HAZARDS", "Fault", "Storm", "apply", "is_byzantine", "plan_faults"]

FAULTS_MAX: Final = 30
HAZARDS: Final[dict[str, Maker]] = WEATHER | ATTRITION | LIES | SIEGE
"""What a storm may be made of, by the names that its file uses."""
ORDINARY: Final = (
    "crash", "lost_store", "leave", "pause", "partition", "one_way", "pace", "rain",
)  # fmt: skip
"""What comes without a kind of storm."""
_BYZANTINE: Final = frozenset({"echo", "tamper", "forge", "corrupt", "twin", "start_anyway"})
_BYZANTINE_WITH_KEYS: Final = frozenset({"twin", "start_anyway"})
"""What the secure transport does not prevent: two who have the same keys, or who forget."""


def plan_faults(random: Random, storm: Storm, kind: "StormKind | None" = None) -> list[Fault]:
    """Some faults with their ends, in order of time; a part of what `kind` has, by its weights."""
    weights = dict(kind.hazards) if kind is not None else dict.fromkeys(ORDINARY, 1)
    least, most = kind.faults if kind is not None else (0, FAULTS_MAX)
    names = random.sample(list(weights), random.randint(1, len(weights))) if weights else []
    plan: list[Fault] = []
    for number in range(1, random.randint(least, most) * bool(names) + 1):
        (name,) = random.choices(names, [weights[name] for name in names])
        faults = HAZARDS[name](random, storm, random.randrange(storm.length_ns))
        pair = number if len(faults) > 1 else 0
        plan += [replace(fault, pair=pair) for fault in faults]
    plan.sort(key=lambda fault: fault.time)
    return plan


def is_byzantine(faults: Iterable[Fault], *, is_secure: bool = False) -> bool:
    """Whether somebody lies or has a double: agreement may break, but nobody may, and not for good.

    Such a run is judged by liveness and bounds, and by delivery once the lies are over. A ring that
    `is_secure` believes few lies.
    """
    lies = _BYZANTINE_WITH_KEYS if is_secure else _BYZANTINE
    return any(fault.verb in lies for fault in faults)


def apply(fault: Fault, cluster: Cluster) -> None:
    """Do it: a cluster's method of that name, unless the arguments must be told apart first."""
    act = _VERBS.get(fault.verb)
    if act is not None:
        act(cluster, *fault.arguments)
    else:
        getattr(cluster, fault.verb)(*fault.arguments)


_VERBS: Final[dict[str, Callable[..., None]]] = {
    "start_without_store": lambda cluster, node: cluster.start(node, keep_store=False),
    "start_with_old_store": lambda cluster, node, back: cluster.start(node, stores_back=back),
    "start_anyway": lambda cluster, node, back: cluster.start(
        node, keep_store=bool(back), stores_back=back, at_any_price=True
    ),
    "partition": lambda cluster, *sides: cluster.partition(sides),
    "rejoin": lambda cluster, *sides: cluster.rejoin(sides),
    "flap": lambda cluster, period, *sides: cluster.flap(sides, period),
    "unflap": lambda cluster, *sides: cluster.unflap(sides),
    "clog": lambda cluster, *links: cluster.clog(links),
    "unclog": lambda cluster, *links: cluster.unclog(links),
    "weather": lambda cluster, *changes: cluster.weather(**dict(changes)),
    "link_weather": lambda cluster, link, *changes: cluster.link_weather(*link, **dict(changes)),
    "weather_of_link": lambda cluster, link, *changes: cluster.weather_of_link(
        link, **dict(changes)
    ),
}
