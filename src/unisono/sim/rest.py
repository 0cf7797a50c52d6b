"""Rest: after the storm and the calm, a while in which nobody asks for anything.

Speaks:      `rest(cluster)`; facts `Idled` and `Weighed` to the trace.
Counterpart: the idle time between the bursts of any real cluster.
Keeps:       first the ring comes to rest, then it is measured; the measured time is short.
"""

import gc
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Final

from unisono.base.ids import MS
from unisono.base.marks import Mark
from unisono.sim import trace
from unisono.sim.cluster import Cluster
from unisono.sim.node import SimulatedNode
from unisono.sim.notary import Notary

WARM_ROTATIONS: Final = 10
"""Rotations to deliver, release and find out that all is quiet, besides those of the settings."""
HOLDS_MEASURED: Final = 4
REST_FIRST_NS: Final = 50 * MS
"""How long a token rests among Unisono members at least, unless it would be missed elsewhere."""
BLOCK: Final = 100
TRANSPORT_BLOCK: Final = Mark.SEND_FAILED // BLOCK
ROUTINE_BLOCK: Final = Mark.TOKEN_VISITED // BLOCK
"""Marks are numbered in blocks of a hundred, see base.marks."""
_FOREIGN: Final = (type, ModuleType, FunctionType, BuiltinFunctionType, CodeType, Notary)
"""What leads out of a machine into the program, or to who looks over its shoulder."""


def rest(cluster: Cluster) -> None:
    """Let a settled cluster be idle, and tell the trace how much it does and holds on to."""
    if not (cluster.trace.ears(trace.Idled) or cluster.trace.ears(trace.Weighed)):
        return
    settings = cluster.settings
    resting = min(REST_FIRST_NS, settings.token_retransmit_ns // 2)
    options = cluster.network.options
    hop = options.delay_min_ns + 3 * options.delay_mean_ns
    rotations = WARM_ROTATIONS + settings.seqno_unchanged_const
    warm = rotations * len(cluster.nodes) * hop + 2 * max(resting, settings.hold_ns)
    window = HOLDS_MEASURED * max(resting, settings.hold_ns)
    if cluster.network.replays and cluster.network.replays_until > cluster.now:
        return
    # What the storm delayed is still to come, and each of it is a mark.
    cluster.run_until(max(cluster.now, cluster.network.last_arrival) + warm)
    since, datagrams, marks = cluster.now, cluster.datagrams_sent, _marks(cluster)
    cluster.run_until(since + window)
    cluster.trace.tell(
        trace.Idled(
            time=cluster.now,
            since=since,
            nodes=len(cluster.nodes),
            datagrams=cluster.datagrams_sent - datagrams,
            marks=_marks(cluster) - marks,
            hold_ns=settings.hold_ns,
            rest_ns=resting,
            merge_ns=settings.merge_ns,
        )
    )
    clients = [client for desk in cluster.desks.values() for client in desk.clients.values()]
    groups = {client.group for client in clients}
    for machine in cluster.nodes.values():
        _weigh(cluster, machine, len(groups), len(clients))


def _marks(cluster: Cluster) -> int:
    """Of ring and services, for which a ring at rest has no reason.

    The transport below has times of its own, such as those of its keys; the token goes on.
    """
    marks = cluster.world.marks.items()
    no_fault = (TRANSPORT_BLOCK, ROUTINE_BLOCK)
    return sum(count for mark, count in marks if mark // BLOCK not in no_fault)


def _weigh(cluster: Cluster, machine: SimulatedNode, groups: int, clients: int) -> None:
    parts = {
        "ring": machine.totem,
        "services": machine.group,
        "clients' requests": machine.waiting,
        **machine.more_parts,
    }
    for part, root in parts.items():
        objects, payload = weight(root)
        cluster.trace.tell(
            trace.Weighed(
                time=cluster.now,
                who=machine.who,
                part=part,
                objects=objects,
                payload=payload,
                nodes=len(cluster.nodes),
                groups=groups,
                clients=clients,
            )
        )


def weight(root: object) -> tuple[int, int]:
    """Objects that `root` leads to, itself included, and the bytes in those that are byte strings.

    Classes, functions and modules are not followed.
    """
    seen: set[int] = set()
    payload = 0
    level: list[object] = [root]
    while level:
        fresh = []
        for each in level:
            if id(each) not in seen and not isinstance(each, _FOREIGN):
                seen.add(id(each))
                fresh.append(each)
                if isinstance(each, bytes | bytearray):
                    payload += len(each)
        level = gc.get_referents(*fresh)
    return len(seen), payload
