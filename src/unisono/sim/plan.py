"""Plan: everything that a seed decides, drawn before anything happens.

Speaks:      `draw_plan(Request) -> Plan`; frozen data that can be printed, cut down and run again.
Keeps:       equal requests give equal plans; a run throws no dice but the network's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from unisono.base.ids import MS, SECOND, NodeId
from unisono.base.limits import SECURE_FRAME_BYTES_MAX
from unisono.config.settings import RingSettings
from unisono.crypto.sender_keys import CIPHERS
from unisono.sim.armour import Armour
from unisono.sim.cluster import ring_settings
from unisono.sim.faults import Fault, Storm, plan_faults
from unisono.sim.network import NetworkOptions
from unisono.sim.storms import StormError, draw_storm, load_storms
from unisono.sim.workload import ClientAction, Message, plan_clients, plan_messages

RING: Final = "ring"
SERVICES: Final = "services"
CLEAR_STACKS: Final = (RING, RING, SERVICES)
"""The ring with the least above it, or with the services and their clients."""
SECURE: Final = "secure"
"""Services over the ring over the secure transport."""
CLEAR: Final = "clear"
"""One of CLEAR_STACKS, drawn from the seed."""
STACKS: Final = (CLEAR, RING, SECURE, SERVICES)
SECURE_EVERY: Final = 4
"""One seed of so many is of the secure transport, unless another stack is asked for."""
SECURE_NODES_MAX: Final = 6
WAYS_MAX: Final = 72
"""Every pair of nodes keeps every link alive, which is what these runs cost: two links for six."""
LATE_START_CHANCE: Final = 0.2


@dataclass(frozen=True, slots=True)
class Request:
    """What to run: `nodes` 0 draws the number from the seed."""

    seed: int
    nodes: int = 0
    stack: str = ""
    """One of STACKS; empty draws it from the seed."""
    storm: str = ""
    """The name of a file in storms; empty draws one from the seed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run as data; times are virtual nanoseconds."""

    seed: int
    storm: str
    """The kind of storm that it was drawn from."""
    nodes: tuple[NodeId, ...]
    stack: str
    is_native: bool
    """Whether the ring alone (stack RING) counts all members as Unisono."""
    votequorum: bool
    settings: RingSettings
    quiet: NetworkOptions
    """The network before and after the storm."""
    length_ns: int
    starts: tuple[tuple[int, NodeId], ...]
    faults: tuple[Fault, ...]
    messages: tuple[Message, ...]
    """What applications send, with stack RING."""
    actions: tuple[ClientAction, ...]
    """What clients do, with the other stacks."""
    armour: Armour = field(default_factory=Armour)
    """How the secure transport is set up, with stack SECURE."""


def draw_plan(request: Request) -> Plan:
    """The plan of one seed."""
    random = Random(f"{request.seed}/plan")
    asked = _asked_stack(request)
    is_secure = asked == SECURE
    kind = draw_storm(random, request.storm, SECURE if is_secure else "")
    least, most = kind.nodes
    if is_secure and not request.storm:
        most = min(most, SECURE_NODES_MAX)
    nodes = _draw_nodes(random, request.nodes, (least, most))
    quiet = NetworkOptions(
        delay_min_ns=random.choice((20_000, 50_000, 300_000)),
        delay_mean_ns=random.choice((10_000, 50_000, 300_000)),
    )
    settings = _draw_settings(random, kind.token_ms)
    drawn = random.choice(CLEAR_STACKS)
    stack = drawn if asked == CLEAR else asked
    armour = Armour()
    if is_secure:
        stack = SECURE
        armour, settings = _draw_armour(Random(f"{request.seed}/armour"), settings, len(nodes))
    is_native, votequorum = random.random() < 0.7, random.random() < 0.5
    length = random.randint(*kind.length_tokens) * settings.token_timeout_ns
    starts = tuple((_draw_start(random, length), node) for node in nodes)
    storm = Storm(nodes, length, settings.token_timeout_ns, settings.consensus_ns, quiet)
    faults = tuple(fault for fault in plan_faults(random, storm, kind) if fault.time < length)
    moments = [fault.time for fault in faults]
    messages: Sequence[Message] = ()
    actions: Sequence[ClientAction] = ()
    if stack != RING:
        actions = plan_clients(random, nodes, length, moments, kind)
    else:
        messages = plan_messages(random, nodes, length, moments, kind)
    return Plan(
        seed=request.seed,
        storm=kind.name,
        nodes=tuple(nodes),
        stack=stack,
        is_native=is_native,
        votequorum=votequorum,
        settings=settings,
        quiet=quiet,
        length_ns=length,
        starts=starts,
        faults=faults,
        # What a burst has left when the storm ends is never said: then all is to be quiet.
        messages=tuple(message for message in messages if message.time < length),
        actions=tuple(action for action in actions if action.time < length),
        armour=armour,
    )


def _asked_stack(request: Request) -> str:
    """SECURE, one of CLEAR_STACKS, or CLEAR to draw one. StormError for another stack's storm."""
    asked = request.stack
    for kind in load_storms():
        if kind.name == request.storm and kind.stack:
            if asked not in ("", kind.stack):
                raise StormError(f"{kind.name}: only with the stack {kind.stack}, not {asked}")
            asked = kind.stack
    if asked:
        return asked
    return SECURE if request.seed % SECURE_EVERY == SECURE_EVERY - 1 else CLEAR


def _draw_armour(random: Random, settings: RingSettings, nodes: int) -> tuple[Armour, RingSettings]:
    """Mostly one link or two and frames of a packet each, sometimes large frames in pieces."""
    paths = random.choice(((1_472, 1_472), (1_472, 1_472), (1_472, 8_972), (8_972, 8_972)))
    interval = min(100 * MS, settings.token_timeout_ns // 4)
    links = random.choice((1, 1, 1, 2, 2, 3))
    armour = Armour(
        links=max(1, min(links, WAYS_MAX // nodes**2)),
        link_mode=random.choice(("passive", "passive", "active", "rr")),
        cipher=random.choice(tuple(CIPHERS)),
        has_node_keys=random.random() < 0.2,
        priorities=random.choice(((1,), (1, 2, 1))),
        ping_interval_ns=interval,
        ping_timeout_ns=2 * interval,
        mtu_interval_ns=random.choice((2, 30)) * SECOND,
        path_bytes=paths[0],
        interface_bytes=paths[1],
        lame_every=random.choice((0, 0, 0, 2, 3)),
        hints=random.choice((0.0, 0.5, 1.0, 1.0)),
    )
    frame = random.choice((1_400, 1_400, 1_400, 3_000, 9_000, SECURE_FRAME_BYTES_MAX))
    return armour, replace(settings, net_mtu_bytes=frame)


def _draw_nodes(random: Random, count: int, bounds: tuple[int, int]) -> list[NodeId]:
    drawn = random.randint(*bounds)
    count = count or drawn
    if random.random() < 0.2:
        return [NodeId(number) for number in random.sample(range(1, 1 << 31), count)]
    return [NodeId(number) for number in range(1, count + 1)]


def _draw_settings(random: Random, token_ms: Sequence[int]) -> RingSettings:
    """Mostly what Corosync uses, sometimes the edges."""
    return replace(
        ring_settings(random.choice(token_ms)),
        window_size=random.choice((50, 50, 50, 10)),
        max_messages=random.choice((17, 17, 17, 3)),
        miss_count_const=random.choice((5, 5, 1)),
        fail_recv_const=random.choice((2500, 2500, 50)),
        send_join_ns=random.choice((0, 0, 20 * MS)),
        cancel_token_hold_on_retransmit=random.random() < 0.3,
    )


def _draw_start(random: Random, length: int) -> int:
    late = random.random() < LATE_START_CHANCE
    return random.randrange(length) if late else random.randrange(50 * MS)
