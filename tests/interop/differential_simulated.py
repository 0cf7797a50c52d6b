"""The simulator as a stage: our ring and services under virtual time.

Keeps:       all that clients report comes from the trace; every checker of the simulator watches.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tests.interop.differential_client import DATA, MARK, payload
from tests.interop.differential_scripts import PATIENCE
from tests.interop.differential_stage import Event, Mark, Message, Ring, Sending, View
from unisono.base.group import ConfigurationChanged, Delivered
from unisono.base.ids import MS, NodeId
from unisono.services import Engine
from unisono.sim import trace
from unisono.sim.checkers import Checker, group_checkers, ring_checkers
from unisono.sim.checkers.group_agreement import GroupAgreement
from unisono.sim.clients import ClientDesk, SimulatedClient, engine_settings
from unisono.sim.cluster import Cluster, ring_settings
from unisono.sim.messages import key_of
from unisono.sim.network import DatagramKind, NetworkOptions, Rule
from unisono.wire.service.header import GROUP_NATIVE

GROUP: Final = b"choir"
TOKEN_MS: Final = 1_000
STEP_NS: Final = 2 * MS
WAIT_MAX_NS: Final = 60_000 * MS
UNLIMITED: Final = 1_000_000_000


class EngineBesideCorosync(Engine):
    """Hears nothing that only Unisono's daemons say, as if one member of the ring were Corosync."""

    __slots__ = ()

    def receive(self, event: Delivered | ConfigurationChanged, now: Any) -> None:
        if not (isinstance(event, Delivered) and event.group == GROUP_NATIVE):
            super().receive(event, now)


def _is_strict(checker: Checker) -> bool:
    """Whether it knows of no newcomer that misses a tail; differential_judge does."""
    return isinstance(checker, GroupAgreement)


@dataclass
class _Actor:
    """A client and what it has reported."""

    node: NodeId
    client: SimulatedClient | None = None
    events: list[Event] = field(default_factory=list)
    busy_until: int = 0
    is_gone: bool = False


class SimulatedStage:
    """`native`: every member is known as Unisono; else all behave as beside Corosync."""

    def __init__(self, nodes: Iterable[int], *, native: bool) -> None:
        numbers = [NodeId(node) for node in nodes]

        def make_group(node: NodeId) -> Engine:
            settings = engine_settings(node, numbers, votequorum=True)
            return Engine(settings) if native else EngineBesideCorosync(settings)

        self._options = NetworkOptions(delay_min_ns=100_000, delay_mean_ns=0)
        self.cluster = Cluster(
            numbers,
            seed="differential",
            settings=replace(ring_settings(TOKEN_MS), fail_recv_const=PATIENCE),
            options=self._options,
            checkers=ring_checkers() + [c for c in group_checkers() if native or not _is_strict(c)],
            make_group=make_group,
        )
        self.cluster.desks = {n: ClientDesk(machine) for n, machine in self.cluster.nodes.items()}
        self.cluster.trace.watch(self._take)
        self._actors: dict[str, _Actor] = {}
        self._names: dict[trace.Member, str] = {}
        self._opening = ""
        self._keys: dict[int, Event] = {}
        self._installed: dict[NodeId, trace.Installed] = {}
        self._rings: dict[NodeId, Ring] = {}

    def conclude(self) -> None:
        """End every fault, and let the simulator's own checkers judge. Raises Violation."""
        deadline = self.cluster.calm(self._options)
        self.cluster.run_until_settled(deadline)
        self.cluster.conclude()

    # -- what is reported -------------------------------------------------------------------------

    def _take(self, record: trace.Record) -> None:
        match record:
            case trace.Installed(regular=True):
                self._installed[record.who.node] = record
            case trace.ClientStarted():
                self._names[record.member] = self._opening
            case trace.Synced():
                self._synced(record.who.node)
            case trace.GroupDelivered():
                self._report(record.member, self._keys[record.key])
            case trace.GroupViewed():
                self._viewed(record)
            case _:
                pass

    def _synced(self, node: NodeId) -> None:
        installed = self._installed[node]
        ring = Ring((installed.ring.rep, installed.ring.seq), tuple(installed.members))
        self._rings[node] = ring
        for actor in self._actors.values():
            client = actor.client
            if actor.node == node and client and client.joined and not actor.is_gone:
                actor.events.append(ring)

    def _viewed(self, record: trace.GroupViewed) -> None:
        members = tuple(sorted(self._names[each] for each in record.members))
        joined = tuple((self._names[each], reason) for each, reason in record.joined)
        left = tuple((self._names[each], reason) for each, reason in record.left)
        self._report(record.member, View(members, joined, left))
        if any(each == record.member for each, _ in record.joined):
            self._report(record.member, self._rings[record.member.node])

    def _report(self, member: trace.Member, event: Event) -> None:
        self._actors[self._names[member]].events.append(event)

    def events(self, name: str) -> list[Event]:
        return self._actors[name].events

    # -- verbs ------------------------------------------------------------------------------------

    def start(self, node: int) -> None:
        self.cluster.start(NodeId(node))

    def stop(self, node: int) -> None:
        self._lose_clients(node)
        self.cluster.leave(NodeId(node))
        machine = self.cluster.nodes[NodeId(node)]
        self.wait(f"daemon {node} has ended", lambda: not machine.running)

    def kill(self, node: int) -> None:
        self._lose_clients(node)
        self.cluster.kill(NodeId(node))

    def _lose_clients(self, node: int) -> None:
        for actor in self._actors.values():
            actor.is_gone = actor.is_gone or actor.node == node

    def open(self, name: str, node: int) -> None:
        self._opening = name
        actor = self._actors[name] = _Actor(NodeId(node))
        actor.client = self.cluster.desks[actor.node].open(GROUP, is_native=False)
        assert actor.client is not None, f"node {node} is down"

    def send(self, name: str, sending: Sending) -> None:
        for number in range(sending.first, sending.first + sending.count):
            data = payload(name, DATA, number, sending.size)
            self._later(name, data, Message(name, number, sending.size, True), sending.safe)
            self._actors[name].busy_until += sending.gap_us * 1_000

    def mark(self, name: str, number: int) -> None:
        self._later(name, payload(name, MARK, number), Mark(name, number), False)

    def _later(self, name: str, data: bytes, event: Event, safe: bool) -> None:
        actor = self._actors[name]
        self._keys[key_of(GROUP, data)] = event
        actor.busy_until = max(actor.busy_until, self.cluster.now)

        def send() -> None:
            if actor.client is not None and not actor.is_gone:
                actor.client.send([data], safe=safe)

        self.cluster.scheduler.at(actor.busy_until, send)

    def leave(self, name: str) -> None:
        client = self._actors[name].client
        assert client is not None
        client.leave()

    def die(self, name: str) -> None:
        actor = self._actors[name]
        actor.is_gone = True
        assert actor.client is not None
        self.cluster.desks[actor.node].die(actor.client)

    def cut(self, sides: list[list[int]]) -> None:
        self.cluster.partition([[NodeId(node) for node in side] for side in sides])

    def heal(self) -> None:
        self.cluster.heal()

    def deafen(self, node: int) -> None:
        rule = Rule(DatagramKind.MCAST, None, NodeId(node), UNLIMITED, "drop")
        self.cluster.network.add_rule(rule)

    def hear(self) -> None:
        self.cluster.network.calm(self._options)

    def linger(self, ms: int) -> None:
        self.cluster.run_until(self.cluster.now + ms * MS)

    def wait(self, what: str, is_true: Callable[[], bool]) -> None:
        end = self.cluster.now + WAIT_MAX_NS
        while not is_true():
            assert self.cluster.now < end, (
                f"the simulator never came to: {what}\n{self._describe()}"
            )
            self.cluster.run_until(self.cluster.now + STEP_NS)

    def _describe(self) -> str:
        return "\n".join(
            f"{name}: {event}"
            for name, actor in self._actors.items()
            for event in actor.events[-6:]
        )
