"""Workload: what simulated applications send, drawn from the seed before the run begins.

Speaks:      `plan_messages`, `plan_clients`: lists of what happens when.
Keeps:       sizes from one byte to a mebibyte; most are small, and most come in bursts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from unisono.base.ids import MS, NodeId
from unisono.base.limits import MESSAGE_BYTES_MAX

BURSTS_MAX: Final = 36
BURST_MESSAGES_MAX: Final = 40
NEAR_FAULT_SHARE: Final = 0.6
NEAR_FAULT_NS: Final = 5 * MS
"""Most bursts begin within this of a fault: what is in flight then is hard to get right."""
SEED_BYTES_MAX: Final = 1_000_000
"""Bytes that one run sends at most, but for the rare largest message."""


@dataclass(frozen=True, slots=True)
class Message:
    """At `time`, an application on `node` sends `size` bytes."""

    time: int
    node: NodeId
    size: int
    safe: bool


@dataclass(frozen=True, slots=True)
class ClientAction:
    """At `time`, a client on `node` does `verb`: open, send, leave or die.

    `choice` picks the client; `group` and `is_native` matter for open, `sizes` and `safe` for send.
    """

    time: int
    node: NodeId
    verb: str
    choice: int
    group: bytes
    is_native: bool
    sizes: tuple[int, ...]
    safe: bool


def _draw_time(random: Random, length_ns: int, moments: Sequence[int]) -> int:
    """Any time, or one shortly before or after something breaks."""
    if moments and random.random() < NEAR_FAULT_SHARE:
        distance = int(NEAR_FAULT_NS * 10 ** random.uniform(-3, 0))
        return max(0, random.choice(moments) + random.choice((-distance, distance)))
    return random.randrange(length_ns)


def plan_messages(
    random: Random, nodes: Sequence[NodeId], length_ns: int, moments: Sequence[int]
) -> list[Message]:
    """Bursts of messages over `length_ns`, in order of time; many near the given moments."""
    plan: list[Message] = []
    budget = SEED_BYTES_MAX
    safe_share = random.choice((0.0, 0.2, 0.2, 1.0))
    for _ in range(random.randint(0, BURSTS_MAX)):
        node = random.choice(nodes)
        time = _draw_time(random, length_ns, moments)
        step = random.choice((0, MS // 10, 5 * MS))
        sizes = random.choice(_SIZES)
        for _ in range(random.randint(1, BURST_MESSAGES_MAX)):
            size = int(random.triangular(*sizes))
            if size <= budget:
                budget -= size
                plan.append(Message(time, node, size, random.random() < safe_share))
            time += step
    if random.random() < 0.01:
        plan.append(
            Message(random.randrange(length_ns), random.choice(nodes), MESSAGE_BYTES_MAX, False)
        )
    plan.sort(key=lambda message: message.time)
    return plan


def plan_clients(
    random: Random, nodes: Sequence[NodeId], length_ns: int, moments: Sequence[int]
) -> list[ClientAction]:
    """Clients that come, send, leave and die over `length_ns`, in order of time."""
    plan: list[ClientAction] = []
    budget = SEED_BYTES_MAX
    groups = random.choice((_GROUPS[:1], _GROUPS))
    share_native = random.choice((0.0, 0.5, 0.5, 1.0))
    verbs = random.choices(tuple(_VERBS), tuple(_VERBS.values()), k=random.randint(0, ACTIONS_MAX))
    for verb in ("open",) * random.randint(1, len(nodes)) + tuple(verbs):
        sizes: tuple[int, ...] = ()
        if verb == "send":
            bounds = random.choice(_SIZES)
            number = random.choice((1, 1, 5, BURST_MESSAGES_MAX))
            sizes = tuple(int(random.triangular(*bounds)) for _ in range(number))
            if sum(sizes) > budget:
                continue
            budget -= sum(sizes)
        plan.append(
            ClientAction(
                time=_draw_time(random, length_ns, moments),
                node=random.choice(nodes),
                verb=verb,
                choice=random.randrange(1 << 16),
                group=random.choice(groups),
                is_native=random.random() < share_native,
                sizes=sizes,
                safe=random.random() < 0.2,
            )
        )
    plan.sort(key=lambda action: action.time)
    return plan


ACTIONS_MAX: Final = 150
_GROUPS: Final = (b"red", b"blue")
_VERBS: Final = {"open": 3, "send": 12, "leave": 1, "die": 1}
"""What clients do, and how often."""
_SIZES: Final = [
    (1, 40, 1),
    (1, 300, 64),
    (600, 1_600, 1_394),
    (1_000, 9_000, 3_000),
    (1, 100_000, 20_000),
]
"""Smallest, largest, most likely; the third lies around one packet's capacity."""
