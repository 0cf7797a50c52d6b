"""One run: a seed becomes a cluster, a storm, a workload, a calm, and a verdict.

Speaks:      `run_seed(Request) -> Outcome`.
Keeps:       everything is drawn from the seed; equal requests give equal outcomes, byte for byte.
"""

import traceback
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from unisono.base.ids import MS, NodeId
from unisono.config.settings import RingSettings
from unisono.services import Engine
from unisono.sim import trace
from unisono.sim.checkers import Violation, group_checkers, ring_checkers
from unisono.sim.clients import ClientDesk, engine_settings
from unisono.sim.cluster import Cluster, ring_settings
from unisono.sim.faults import Storm, apply, plan_faults
from unisono.sim.network import NetworkOptions
from unisono.sim.node import GroupMachine
from unisono.sim.plain import PlainGroup
from unisono.sim.scheduler import Livelock
from unisono.sim.workload import ClientAction, Message, plan_clients, plan_messages

NODES_DRAWN_MAX: Final = 8
STACKS: Final = ("ring", "ring", "services")
"""The ring with the least above it, or with the services and their clients."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to run: `nodes` 0 draws the number from the seed."""

    seed: int
    nodes: int = 0
    stack: str = ""
    """What stands above the ring, one of STACKS; empty draws it from the seed."""


@dataclass(slots=True)
class Outcome:
    """What came of it; `name` and `text` are empty when every property holds."""

    seed: int
    nodes: int
    name: str
    text: str
    digest: str
    simulated_ns: int
    datagrams: int
    calls: int
    counts: dict[str, int]
    marks: dict[str, int]
    last: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every property holds."""
        return not self.name


def run_seed(request: Request, watcher: trace.Listener | None = None) -> Outcome:
    """Run one seed from start to verdict; `watcher` is shown every record as it happens."""
    random = Random(f"{request.seed}/plan")
    node_ids = _draw_nodes(random, request.nodes)
    cluster, quiet = _build(random, node_ids, request)
    if watcher is not None:
        cluster.trace.watch(watcher)
    name = text = ""
    try:
        _storm(random, cluster, quiet)
        _quiet_phase(cluster, quiet)
        cluster.conclude()
    except Violation as violation:
        name, text = violation.name, str(violation)
    except Livelock as livelock:
        name, text = "livelock", f"livelock: at {cluster.now / MS:.6f} ms: {livelock}"
    except Exception:  # noqa: BLE001  # whatever escapes a machine is what we look for
        name = "exception"
        text = f"exception: at {cluster.now / MS:.6f} ms:\n{traceback.format_exc()}"
    return Outcome(
        seed=request.seed,
        nodes=len(node_ids),
        name=name,
        text=text,
        digest=cluster.trace.hexdigest(),
        simulated_ns=cluster.now,
        datagrams=cluster.network.delivered,
        calls=cluster.scheduler.calls,
        counts=cluster.trace.counts,
        marks={mark.name: count for mark, count in cluster.world.marks.items()},
        last=[trace.format_record(record) for record in cluster.trace.last] if name else [],
    )


def _draw_nodes(random: Random, count: int) -> list[NodeId]:
    drawn = random.randint(1, NODES_DRAWN_MAX)
    count = count or drawn
    if random.random() < 0.2:
        return [NodeId(number) for number in random.sample(range(1, 1 << 31), count)]
    return [NodeId(number) for number in range(1, count + 1)]


def _build(random: Random, nodes: list[NodeId], request: Request) -> tuple[Cluster, NetworkOptions]:
    quiet = NetworkOptions(
        delay_min_ns=random.choice((20_000, 50_000, 300_000)),
        delay_mean_ns=random.choice((10_000, 50_000, 300_000)),
    )
    settings = _draw_settings(random)
    drawn = random.choice(STACKS)
    stack = request.stack or drawn
    is_native, votequorum = random.random() < 0.7, random.random() < 0.5
    checkers = ring_checkers() + (group_checkers() if stack == "services" else [])

    def make_group(node: NodeId) -> GroupMachine:
        if stack == "services":
            return Engine(engine_settings(node, nodes, votequorum=votequorum))
        return PlainGroup(node, is_native=is_native)

    cluster = Cluster(
        nodes,
        seed=str(request.seed),
        settings=settings,
        options=quiet,
        checkers=checkers,
        make_group=make_group,
    )
    if stack == "services":
        cluster.desks = {node: ClientDesk(machine) for node, machine in cluster.nodes.items()}
    return cluster, quiet


def _draw_settings(random: Random) -> RingSettings:
    """Mostly what Corosync uses, sometimes the edges."""
    return replace(
        ring_settings(random.choice((200, 300, 500, 1000))),
        window_size=random.choice((50, 50, 50, 10)),
        max_messages=random.choice((17, 17, 17, 3)),
        miss_count_const=random.choice((5, 5, 1)),
        fail_recv_const=random.choice((2500, 2500, 50)),
        send_join_ns=random.choice((0, 0, 20 * MS)),
        cancel_token_hold_on_retransmit=random.random() < 0.3,
    )


def _storm(random: Random, cluster: Cluster, quiet: NetworkOptions) -> None:
    """Start the nodes, then let faults and messages come."""
    settings = cluster.settings
    nodes = list(cluster.nodes)
    length = random.randint(2, 30) * settings.token_timeout_ns
    storm = Storm(nodes, length, settings.token_timeout_ns, settings.consensus_ns, quiet)
    at = cluster.scheduler.at
    for node in nodes:
        late = random.random() < 0.2
        at(random.randrange(length) if late else random.randrange(50 * MS), cluster.start, node)
    faults = [fault for fault in plan_faults(random, storm) if fault.time < length]
    for fault in faults:
        at(fault.time, apply, fault, cluster)
    moments = [fault.time for fault in faults]
    if cluster.desks:
        for action in plan_clients(random, nodes, length, moments):
            at(action.time, _act, cluster, action)
    else:
        for message in plan_messages(random, nodes, length, moments):
            at(message.time, _send, cluster, message)
    cluster.run_until(length)


def _send(cluster: Cluster, message: Message) -> None:
    if cluster.nodes[message.node].running:
        cluster.send(message.node, message.size, safe=message.safe)


def _act(cluster: Cluster, action: ClientAction) -> None:
    desk = cluster.desks[action.node]
    client = desk.pick(action.choice)
    if action.verb == "open":
        desk.open(action.group, is_native=action.is_native)
    elif client is None:
        return
    elif action.verb == "send":
        client.send([cluster.mint.make(size) for size in action.sizes], safe=action.safe)
    elif action.verb == "leave":
        client.leave()
    else:
        desk.die(client)


def _quiet_phase(cluster: Cluster, quiet: NetworkOptions) -> None:
    """After the storm: one view; then everybody is heard by everybody once more."""
    deadline = cluster.calm(quiet)
    if not cluster.run_until_together(deadline):
        return
    for node in cluster.nodes:
        if not cluster.desks:
            cluster.send(node, 100, safe=False)
            cluster.send(node, 100, safe=True)
            continue
        desk = cluster.desks[node]
        client = desk.pick(0) or desk.open(b"red", is_native=True)
        if client is not None:
            client.send([cluster.mint.make(100)], safe=False)
            client.send([cluster.mint.make(100)], safe=True)
    cluster.run_until_settled(deadline + cluster.recovery_bound(quiet))
