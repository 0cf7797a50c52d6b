"""One run: a plan becomes a cluster, a storm, a workload, a calm, and a verdict.

Speaks:      `run_seed(Request) -> Outcome`; `run_plan(Plan) -> Outcome`.
Keeps:       equal plans give equal outcomes, byte for byte.
"""

import traceback
from dataclasses import dataclass, field
from functools import partial

from unisono.base.ids import MS, NodeId
from unisono.services import Engine
from unisono.sim import trace
from unisono.sim.checkers import (
    Checker,
    Violation,
    group_checkers,
    ring_checkers,
    robustness_checkers,
    secure_checkers,
    siege_checkers,
)
from unisono.sim.clients import ClientDesk, engine_settings
from unisono.sim.cluster import Cluster
from unisono.sim.faults import apply, is_byzantine
from unisono.sim.node import GroupMachine
from unisono.sim.plain import PlainGroup
from unisono.sim.plan import RING, SECURE, Plan, Request, draw_plan
from unisono.sim.rest import rest
from unisono.sim.scheduler import Livelock
from unisono.sim.secure_cluster import SecureCluster
from unisono.sim.siege import is_harmless
from unisono.sim.workload import Message

__all__ = ["Outcome", "Request", "run_plan", "run_seed"]


@dataclass(slots=True)
class Outcome:
    """What came of it; `name` and `text` are empty when every property holds."""

    seed: int
    storm: str
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
    return run_plan(draw_plan(request), watcher)


def run_plan(plan: Plan, watcher: trace.Listener | None = None) -> Outcome:
    """Run one plan from start to verdict."""
    cluster = _build(plan)
    if watcher is not None:
        cluster.trace.watch(watcher)
        # A watcher may also want what the trace does not tell, such as datagrams.
        tap = getattr(watcher, "tap", None)
        if tap is not None:
            tap(cluster)
    name = text = ""
    try:
        _storm(plan, cluster)
        _quiet_phase(plan, cluster)
        cluster.conclude()
    except Violation as violation:
        name, text = violation.name, str(violation)
    except Livelock as livelock:
        name, text = "livelock", f"livelock: at {cluster.now / MS:.6f} ms: {livelock}"
    except Exception:  # noqa: BLE001  # whatever escapes a machine is what we look for
        name = "exception"
        text = f"exception: at {cluster.now / MS:.6f} ms:\n{traceback.format_exc()}"
    return Outcome(
        seed=plan.seed,
        storm=plan.storm,
        nodes=len(plan.nodes),
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


def _build(plan: Plan) -> Cluster:
    def make_group(node: NodeId) -> GroupMachine:
        if plan.stack != RING:
            return Engine(engine_settings(node, plan.nodes, votequorum=plan.votequorum))
        return PlainGroup(node, is_native=plan.is_native)

    make = partial(SecureCluster, armour=plan.armour) if plan.stack == SECURE else Cluster
    cluster = make(
        plan.nodes,
        seed=str(plan.seed),
        settings=plan.settings,
        options=plan.quiet,
        checkers=_checkers(plan),
        make_group=make_group,
    )
    if plan.stack != RING:
        cluster.desks = {node: ClientDesk(machine) for node, machine in cluster.nodes.items()}
    return cluster


def _checkers(plan: Plan) -> list[Checker]:
    """Those of everything that the run must keep to, whoever lies in it."""
    if _is_byzantine(plan):
        checkers = robustness_checkers()
    else:
        checkers = ring_checkers() + (group_checkers() if plan.stack != RING else [])
    if plan.stack == SECURE:
        checkers += secure_checkers()
        if all(map(is_harmless, plan.faults)):
            checkers += siege_checkers()
    return checkers


def _is_byzantine(plan: Plan) -> bool:
    return is_byzantine(plan.faults, is_secure=plan.stack == SECURE)


def _storm(plan: Plan, cluster: Cluster) -> None:
    """Start the nodes, then let faults and messages come."""
    at = cluster.scheduler.at
    for time, node in plan.starts:
        at(time, cluster.start, node)
    for fault in plan.faults:
        at(fault.time, apply, fault, cluster)
    for action in plan.actions:
        at(action.time, cluster.desks[action.node].do, action, cluster.mint)
    for message in plan.messages:
        at(message.time, _send, cluster, message)
    cluster.run_until(plan.length_ns)


def _send(cluster: Cluster, message: Message) -> None:
    if cluster.nodes[message.node].running:
        cluster.send(message.node, message.size, safe=message.safe)


def _quiet_phase(plan: Plan, cluster: Cluster) -> None:
    """After the storm: one view; then everybody is heard by everybody once more."""
    deadline = cluster.calm(plan.quiet)
    if not cluster.run_until_together(deadline):
        return
    if _is_byzantine(plan):
        cluster.judge_delivery_from_now()
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
    if cluster.run_until_settled(deadline + cluster.recovery_bound(plan.quiet)):
        rest(cluster)
