"""Workload: what simulated applications send, drawn from the seed before the run begins.

Speaks:      `plan_messages`, `plan_clients`: lists of what happens when.
Keeps:       sizes from one byte to a mebibyte; most are small, and most come in bursts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from unisono.base.ids import MS, NodeId
from unisono.base.limits import MESSAGE_BYTES_MAX

if TYPE_CHECKING:
    from unisono.sim.storms import StormKind

NEAR_FAULT_NS: Final = 5 * MS
"""How near to a fault a burst begins: what is in flight then is hard to get right."""
SIZES: Final = {
    "word": (1, 40, 1),
    "line": (1, 300, 64),
    "packet": (600, 1_600, 1_394),
    "page": (1_000, 9_000, 3_000),
    "file": (1, 100_000, 20_000),
}
"""Smallest, largest, most likely, in bytes; a packet's capacity lies within `packet`."""
CLIENT_VERBS: Final = {"open": 3, "send": 12, "leave": 1, "die": 1, "die_sending": 1, "doze": 1}
"""What clients do, and how often."""
DOZE_NS_MAX: Final = 3_000 * MS
_GROUPS: Final = (b"red", b"blue")


@dataclass(frozen=True, slots=True)
class Workload:
    """How much of what; pairs are the smallest and the largest that a seed may draw."""

    bursts: tuple[int, int] = (0, 36)
    burst_messages: tuple[int, int] = (1, 40)
    bytes_max: int = 1_000_000
    """Bytes that one run sends at most, but for the rare largest message."""
    sizes: tuple[str, ...] = tuple(SIZES)
    safe_shares: tuple[float, ...] = (0.0, 0.2, 0.2, 1.0)
    near_faults: float = 0.6
    """The share of bursts that begin when something breaks."""
    largest_share: float = 0.01
    """The share of runs with one message of the largest size."""
    actions: tuple[int, int] = (0, 150)
    """What clients do, where services stand above the ring."""
    native_shares: tuple[float, ...] = (0.0, 0.5, 0.5, 1.0)
    verbs: tuple[tuple[str, int], ...] = tuple(CLIENT_VERBS.items())


@dataclass(frozen=True, slots=True)
class Message:
    """At `time`, an application on `node` sends `size` bytes."""

    time: int
    node: NodeId
    size: int
    safe: bool


@dataclass(frozen=True, slots=True)
class ClientAction:
    """At `time`, a client on `node` does `verb`, one of CLIENT_VERBS.

    `choice` picks the client; `group` and `is_native` matter for open, `sizes` and `safe` for send
    and die_sending (which writes, and dies before the daemon has read all of it), `doze_ns` for
    doze (the client does not read for so long).
    """

    time: int
    node: NodeId
    verb: str
    choice: int
    group: bytes
    is_native: bool
    sizes: tuple[int, ...]
    safe: bool
    doze_ns: int = 0


def _draw_time(random: Random, length_ns: int, moments: Sequence[int], near: float) -> int:
    """Any time, or one shortly before or after something breaks."""
    if moments and random.random() < near:
        distance = int(NEAR_FAULT_NS * 10 ** random.uniform(-3, 0))
        return max(0, random.choice(moments) + random.choice((-distance, distance)))
    return random.randrange(length_ns)


def plan_messages(
    random: Random,
    nodes: Sequence[NodeId],
    length_ns: int,
    moments: Sequence[int],
    kind: "StormKind | None" = None,
) -> list[Message]:
    """Bursts of messages over `length_ns`, in order of time; many near the given moments."""
    work = kind.workload if kind is not None else Workload()
    plan: list[Message] = []
    budget = work.bytes_max
    safe_share = random.choice(work.safe_shares)
    for _ in range(random.randint(*work.bursts)):
        node = random.choice(nodes)
        time = _draw_time(random, length_ns, moments, work.near_faults)
        step = random.choice((0, MS // 10, 5 * MS))
        sizes = SIZES[random.choice(work.sizes)]
        for _ in range(random.randint(*work.burst_messages)):
            size = int(random.triangular(*sizes))
            if size <= budget:
                budget -= size
                plan.append(Message(time, node, size, random.random() < safe_share))
            time += step
    if random.random() < work.largest_share:
        plan.append(
            Message(random.randrange(length_ns), random.choice(nodes), MESSAGE_BYTES_MAX, False)
        )
    plan.sort(key=lambda message: message.time)
    return plan


def plan_clients(
    random: Random,
    nodes: Sequence[NodeId],
    length_ns: int,
    moments: Sequence[int],
    kind: "StormKind | None" = None,
) -> list[ClientAction]:
    """Clients that come, send, doze, leave and die over `length_ns`, in order of time."""
    work = kind.workload if kind is not None else Workload()
    plan: list[ClientAction] = []
    budget = work.bytes_max
    groups = random.choice((_GROUPS[:1], _GROUPS))
    share_native = random.choice(work.native_shares)
    names, weights = zip(*work.verbs, strict=True)
    verbs = random.choices(names, weights, k=random.randint(*work.actions))
    for verb in ("open",) * random.randint(1, len(nodes)) + tuple(verbs):
        sizes: tuple[int, ...] = ()
        if verb in ("send", "die_sending"):
            bounds = SIZES[random.choice(work.sizes)]
            number = random.choice((1, 1, 5, work.burst_messages[1]))
            sizes = tuple(int(random.triangular(*bounds)) for _ in range(number))
            if sum(sizes) > budget:
                continue
            budget -= sum(sizes)
        plan.append(
            ClientAction(
                time=_draw_time(random, length_ns, moments, work.near_faults),
                node=random.choice(nodes),
                verb=verb,
                choice=random.randrange(1 << 16),
                group=random.choice(groups),
                is_native=random.random() < share_native,
                sizes=sizes,
                safe=random.random() < 0.2,
                doze_ns=int(MS * (DOZE_NS_MAX / MS) ** random.random()) if verb == "doze" else 0,
            )
        )
    plan.sort(key=lambda action: action.time)
    return plan
