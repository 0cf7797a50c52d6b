"""Weather: everything that a network does to datagrams, as makers of faults.

Speaks:      `WEATHER`: names and makers.
Counterpart: FoundationDB's RandomClogging and swizzle-clog; TigerBeetle's packet simulator.
Keeps:       what a network may do: it loses, delays, repeats and reorders, but never lies.
"""

from random import Random
from typing import Final

from unisono.base.ids import MS, SECOND, NodeId
from unisono.sim.hazard import Fault, Maker, Storm, duration, spread, two

LONG: Final = 5.0
"""Time-outs that a partition or weather lasts at most."""
KINDS_LOST: Final = ("token", "token", "mcast", "mcast", "join", "commit", "merge", "cancel", "")


def _until(random: Random, storm: Storm, begin: int) -> int:
    return begin + duration(random, storm, LONG)


# -- who hears whom -------------------------------------------------------------------------------


def _cut(random: Random, storm: Storm, begin: int, sides: list[list[NodeId]]) -> list[Fault]:
    frozen = tuple(tuple(side) for side in sides if side)
    return [
        Fault(begin, "partition", frozen),
        Fault(_until(random, storm, begin), "rejoin", frozen),
    ]


def _split(random: Random, storm: Storm, count: int) -> list[list[NodeId]]:
    sides: list[list[NodeId]] = [[] for _ in range(count)]
    for node in storm.nodes:
        random.choice(sides).append(node)
    return sides


def _partition(random: Random, storm: Storm, begin: int) -> list[Fault]:
    return _cut(random, storm, begin, _split(random, storm, random.randint(2, 3)))


def _bridge(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Two cliques that share one node."""
    bridge = random.choice(storm.nodes)
    sides = _split(random, storm, 2)
    return _cut(random, storm, begin, [sorted({*side, bridge}) for side in sides])


def _cliques(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A ring of cliques: each node hears its neighbours on a circle only."""
    circle = random.sample(list(storm.nodes), len(storm.nodes))
    width = random.randint(2, 3)
    around = [*circle, *circle[: width - 1]]
    sides = [sorted(set(around[place : place + width])) for place in range(len(circle))]
    return _cut(random, storm, begin, sides)


def _one_way(random: Random, storm: Storm, begin: int) -> list[Fault]:
    pair = two(random, storm)
    return [
        Fault(begin, "cut_one_way", pair),
        Fault(begin + duration(random, storm), "rejoin_one_way", pair),
    ]


def _broken_pair(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """As long as the storm lasts, two nodes do not hear each other, or one not the other."""
    first, second = two(random, storm)
    cuts = [Fault(begin, "cut_one_way", (first, second))]
    if random.random() < 0.5:
        cuts.append(Fault(begin, "cut_one_way", (second, first)))
    return cuts


def _flap(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Two sides, or one pair, part and meet every 1 to 5,000 ms."""
    first, second = two(random, storm)
    sides = _split(random, storm, 2)
    if random.random() < 0.5:
        sides = [[n for n in storm.nodes if n != apart] for apart in (first, second)]
    frozen = tuple(tuple(side) for side in sides if side)
    period = int(MS * spread(random, 1, 5_000))
    return [
        Fault(begin, "flap", (period, *frozen)),
        Fault(_until(random, storm, begin), "unflap", frozen),
    ]


# -- when it arrives ------------------------------------------------------------------------------


def _clog(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    links = (random.choice([two(random, storm), (node, node)]),)
    return [
        Fault(begin, "clog", links),
        Fault(begin + duration(random, storm), "unclog", links),
    ]


def _swizzle(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Some nodes are clogged one after the other, and unclogged in another order."""
    nodes = random.sample(list(storm.nodes), random.randint(1, len(storm.nodes)))
    step = duration(random, storm, 1.0)
    faults = []
    for place, node in enumerate(nodes):
        faults.append(Fault(begin + place * step, "clog", ((node, node),)))
    end = begin + len(nodes) * step
    for place, node in enumerate(random.sample(nodes, len(nodes))):
        faults.append(Fault(end + place * step, "unclog", ((node, node),)))
    return faults


def _capacity(random: Random, storm: Storm, begin: int) -> list[Fault]:
    rate = int(spread(random, 20_000, 5_000_000))
    backlog = random.choice((8_192, 65_536, 262_144))
    return _weather(
        random, storm, begin, {"capacity_bytes_s": rate, "backlog_bytes": min(backlog, 4 * rate)}
    )


def _tail(random: Random, storm: Storm, begin: int) -> list[Fault]:
    mean = int(MS * spread(random, 0.05, 5))
    return _weather(
        random, storm, begin, {"tail_shape": random.choice((1.1, 1.5, 2.5)), "delay_mean_ns": mean}
    )


def _lag(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """One node, or one direction, is far away: 0.05 ms to 3 s."""
    node = random.choice(storm.nodes)
    link = random.choice([two(random, storm), (node, node)])
    delay = ("delay_min_ns", int(MS * spread(random, 0.05, 3_000)))
    return [
        Fault(begin, "link_weather", (link, delay)),
        Fault(_until(random, storm, begin), "link_weather", (link,)),
    ]


# -- whether it arrives, and how often ------------------------------------------------------------


def _weather(random: Random, storm: Storm, begin: int, worse: dict[str, float]) -> list[Fault]:
    better = tuple((name, getattr(storm.quiet, name)) for name in worse)
    return [
        Fault(begin, "weather", tuple(worse.items())),
        Fault(_until(random, storm, begin), "weather", better),
    ]


def _rain(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """One or two of loss, reordering, duplicates and delay, everywhere."""
    changes: dict[str, tuple[float, ...]] = {
        "loss": (0.01, 0.05, 0.2, 0.3, 0.4),
        "reorder": (0.01, 0.1, 0.3),
        "duplicate": (0.01, 0.1, 0.3),
        "delay_mean_ns": (1 * MS, 5 * MS, 20 * MS),
    }
    names = random.sample(sorted(changes), random.randint(1, 2))
    worse: dict[str, float] = {name: random.choice(changes[name]) for name in names}
    return _weather(random, storm, begin, worse)


def _bursts(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Loss in bursts (Gilbert-Elliott)."""
    return _weather(
        random,
        storm,
        begin,
        {
            "burst": spread(random, 0.001, 0.1),
            "burst_length": int(spread(random, 2, 100)),
            "burst_loss": random.choice((0.5, 0.9, 1.0)),
        },
    )


def _replays(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Copies that come up to 60 s late, long after their ring is gone."""
    share = spread(random, 0.003, 0.1)
    late = int(SECOND * spread(random, 1.1, 60))
    return _weather(random, storm, begin, {"replay": share, "replay_ns": late})


def _sieve(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """One kind of datagram is lost: everywhere, from one node, to one node, or between two."""
    source, target = two(random, storm)
    if random.random() < 0.5:
        source = NodeId(0)
    if random.random() < 0.5:
        target = NodeId(0)
    loss = random.choice((0.3, 0.8, 1.0))
    sieve = (random.choice(KINDS_LOST), source, target, loss)
    return [
        Fault(begin, "sieve", sieve),
        Fault(_until(random, storm, begin), "unsieve", sieve),
    ]


WEATHER: Final[dict[str, Maker]] = {
    "partition": _partition,
    "bridge": _bridge,
    "cliques": _cliques,
    "one_way": _one_way,
    "broken_pair": _broken_pair,
    "flap": _flap,
    "clog": _clog,
    "swizzle": _swizzle,
    "capacity": _capacity,
    "tail": _tail,
    "lag": _lag,
    "rain": _rain,
    "bursts": _bursts,
    "replays": _replays,
    "sieve": _sieve,
}
