"""Request: the budgets of a search, the ring's settings in it, and the world that it begins with.

Speaks:      `SearchRequest`, `make_space(request)`, `settle(space)`, `is_settled(space, world)`.
Keeps:       the settings have as few different moments as the order of the time-outs allows.
"""

from dataclasses import dataclass
from typing import Final

from unisono.base.group import Guarantee
from unisono.base.ids import MS, NodeId
from unisono.config.settings import RingSettings
from unisono.sim.messages import key_of
from unisono.sim.plain import APPLICATION
from unisono.sim.search_properties import Stories
from unisono.sim.search_shelf import Shelf, payload_of
from unisono.sim.search_space import Space
from unisono.sim.search_world import FAULT_KINDS, Step

STATES_MAX: Final = 50_000_000
"""More would not fit into the memory of an ordinary machine."""
SETTLING_STEPS_MAX: Final = 5_000
DEFAULT_KINDS: Final = ("lose", "double", "hold", "crash")
SETTINGS: Final = RingSettings(
    token_timeout_ns=250 * MS,
    token_retransmit_ns=100 * MS,
    hold_ns=50 * MS,
    join_ns=200 * MS,
    consensus_ns=300 * MS,
    merge_ns=40 * MS,
    start_delay_ns=10 * MS,
    seqno_unchanged_const=2,
    miss_count_const=2,
    fail_recv_const=12,
)
"""A quiet ring comes round in one rest, a lost join is repeated once before the consensus
time-out, and what is counted in visits of the token is counted to small numbers."""


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """The budgets: how many nodes, application messages, and faults of which kinds.

    `begin` is `formed` (all nodes are on one quiet ring) or `boot` (all have just been started).
    Message number i asks for guarantee i modulo their number; any node may send it.
    """

    nodes: int = 2
    messages: int = 1
    faults: int = 1
    kinds: tuple[str, ...] = DEFAULT_KINDS
    begin: str = "formed"
    native: bool = True
    guarantees: tuple[Guarantee, ...] = (Guarantee.SAFE, Guarantee.AGREED)
    states_max: int = STATES_MAX
    seconds_max: float = 0.0
    """0 for no limit; needs a stopwatch."""

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.messages < 0 or self.faults < 0 or not self.guarantees:
            raise ValueError(f"no such budgets: {self}")
        if self.begin not in ("formed", "boot") or not set(self.kinds) <= set(FAULT_KINDS):
            raise ValueError(f"begin is formed or boot, kinds are of {FAULT_KINDS}: {self}")


def make_space(request: SearchRequest) -> Space:
    """The space that `request` describes."""
    nodes = [NodeId(number) for number in range(1, request.nodes + 1)]
    guarantees = request.guarantees
    safe = [
        key_of(APPLICATION, payload_of(count))
        for count in range(request.messages)
        if guarantees[count % len(guarantees)] is Guarantee.SAFE
    ]
    return Space(
        Shelf(nodes, SETTINGS, guarantees, native=request.native),
        Stories(safe),
        nodes,
        messages=request.messages,
        faults=request.faults,
        kinds=request.kinds,
    )


def settle(space: Space) -> tuple[list[Step], str]:
    """Ordinary steps from the start of all daemons to one quiet ring; what broke on the way."""
    world = space.first()
    steps: list[Step] = []
    while not space.is_settled(world):
        step = next(
            each for each in space.steps(world) if each.what in ("deliver", "expire", "rotate")
        )
        steps.append(step)
        taken = space.take(world, step)
        world = taken.world
        broken = taken.broken or space.stories.judge(world.stories)
        if not broken and len(steps) > SETTLING_STEPS_MAX:
            broken = "progress: without any fault no ring is formed"
        if broken:
            return steps, broken
    return steps, ""
