"""A simulated cluster: nodes, network, clock, trace and checkers, with verbs to break it.

Speaks:      start, kill, leave, pause, resume, partition, heal, send; run until settled.
Keeps:       every verb is one record of the trace.
"""

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final

from unisono.base.group import Guarantee, Multicast
from unisono.base.ids import MS, SECOND, NodeId
from unisono.config.settings import RingSettings
from unisono.sim import trace
from unisono.sim.checkers import Checker, GroupIntegrity, Liveness, SelfDelivery
from unisono.sim.clients import ClientDesk
from unisono.sim.messages import Mint
from unisono.sim.network import Network, NetworkOptions
from unisono.sim.node import GroupMachine, SimulatedNode, Waiting, World
from unisono.sim.plain import APPLICATION, PlainGroup
from unisono.sim.scheduler import Scheduler

SETTLE_STEP_NS: Final = 5 * MS
"""How often a run that waits for the end looks whether it has come."""


def ring_settings(token_ms: int) -> RingSettings:
    """The ring's settings as corosync.conf(5) derives them from `totem.token` (milliseconds)."""
    retransmit = int(token_ms / 4.2)
    return RingSettings(
        token_timeout_ns=token_ms * MS,
        token_retransmit_ns=max(30, retransmit) * MS,
        hold_ns=max(14, int(retransmit * 0.8 - 10)) * MS,
        consensus_ns=int(token_ms * 1.2) * MS,
        start_delay_ns=10 * MS,
    )


class Cluster:
    """All that a run or a scenario acts upon."""

    def __init__(
        self,
        node_ids: Sequence[NodeId],
        *,
        seed: str,
        settings: RingSettings,
        options: NetworkOptions,
        checkers: Iterable[Checker],
        make_group: Callable[[NodeId], GroupMachine] = PlainGroup,
    ) -> None:
        self.settings = settings
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, Random(f"{seed}/network"), options)
        self.trace = trace.Trace()
        self.checkers = list(checkers)
        self.liveness = Liveness()
        self._payers: list[SelfDelivery | GroupIntegrity] = []
        for checker in self.checkers:
            checker.attach(self.trace)
            if isinstance(checker, Liveness):
                self.liveness = checker
            elif isinstance(checker, SelfDelivery | GroupIntegrity):
                self._payers.append(checker)
        self.world = World(self.scheduler, self.network, self.trace, {}, {}, tuple(node_ids))
        self.mint = Mint()
        self.desks: dict[NodeId, ClientDesk] = {}
        """The clients of each node, where services stand above the ring."""
        self.nodes = {
            node: SimulatedNode(node, self.world, settings, make_group) for node in node_ids
        }

    @property
    def now(self) -> int:
        """Virtual time in nanoseconds."""
        return self.scheduler.now

    # -- verbs ------------------------------------------------------------------------------------

    def start(self, node: NodeId, *, keep_store: bool = True) -> None:
        """Start a daemon that does not run.

        A store is really lost only where no other node still lives in, or may still wake up in, a
        ring that this node made: there the same ring id would come twice.
        """
        machine = self.nodes[node]
        if machine.running:
            return
        if not keep_store:
            keep_store = any(
                other.running and (other.paused or other.ring_rep == node)
                for other in self.nodes.values()
            )
        machine.start(keep_store=keep_store)

    def kill(self, node: NodeId) -> None:
        """SIGKILL."""
        self.nodes[node].crash()

    def kill_within(self, node: NodeId, effects: int) -> None:
        """SIGKILL after `effects` more effects."""
        if self.nodes[node].running:
            self.nodes[node].crash_after = effects

    def leave(self, node: NodeId) -> None:
        """A clean end."""
        self.nodes[node].leave()

    def pause(self, node: NodeId) -> None:
        """SIGSTOP."""
        self._fault(f"pause {node}")
        self.nodes[node].pause()

    def resume(self, node: NodeId) -> None:
        """SIGCONT."""
        self._fault(f"resume {node}")
        self.nodes[node].resume()

    def partition(self, sides: Sequence[Sequence[NodeId]]) -> None:
        """Cut the network between the sides; each unlisted node is alone."""
        self._fault("cut " + " | ".join(",".join(map(str, side)) for side in sides))
        self.network.partition(sides)

    def cut_one_way(self, source: NodeId, target: NodeId) -> None:
        """Lose everything from `source` to `target`."""
        self._fault(f"cut {source} > {target}")
        self.network.cut_one_way(source, target)

    def heal(self) -> None:
        """Join the network again."""
        self._fault("heal")
        self.network.heal()

    def pace(self, node: NodeId, slow: bool) -> None:
        """A local reader is behind, or no longer."""
        self._fault(f"pace {node} {'slow' if slow else 'normal'}")
        self.nodes[node].pace(slow)

    def weather(self, **named: float) -> None:
        """Change the network's probabilities and durations."""
        self._fault("weather " + " ".join(f"{name}={value:g}" for name, value in named.items()))
        self.network.change(**named)

    def send(self, node: NodeId, size: int, *, safe: bool) -> bytes:
        """An application on `node` sends `size` unique bytes; returns them."""
        payload = self.mint.make(size)
        self.send_payload(node, payload, safe=safe)
        return payload

    def send_payload(self, node: NodeId, payload: bytes, *, safe: bool) -> None:
        """An application on `node` sends these bytes."""
        guarantee = Guarantee.SAFE if safe else Guarantee.AGREED
        self.nodes[node].offer(Waiting(Multicast(APPLICATION, payload, guarantee)))

    # -- time -------------------------------------------------------------------------------------

    def run_until(self, time: int) -> None:
        """Let virtual time pass up to `time`."""
        self.scheduler.run_until(time)

    @property
    def settled(self) -> bool:
        """One synced view of all that run, everything delivered everywhere, nothing waiting."""
        return (
            self.liveness.settled
            and self.liveness.level
            and all(payer.paid for payer in self._payers)
            and all(node.idle for node in self.nodes.values() if node.running)
        )

    def run_until_settled(self, deadline: int) -> bool:
        """Let time pass until all is well, at most up to `deadline`; whether all is well."""
        return self._run_until(deadline, lambda: self.settled)

    def run_until_together(self, deadline: int) -> bool:
        """Let time pass until there is one synced view; whether there is."""
        return self._run_until(deadline, lambda: self.liveness.settled)

    def _run_until(self, deadline: int, is_over: Callable[[], bool]) -> bool:
        while self.now < deadline and not is_over():
            self.scheduler.run_until(min(deadline, self.now + SETTLE_STEP_NS))
        return is_over()

    def calm(self, options: NetworkOptions) -> int:
        """End every fault, start what is down; returns the moment by which all must be well."""
        self.network.calm(options)
        for node, machine in self.nodes.items():
            machine.crash_after = None
            machine.resume()
            machine.pace(False)
            self.start(node)
        deadline = self.now + self.recovery_bound(options)
        self.trace.add(trace.Calmed(self.now, deadline))
        return deadline

    def recovery_bound(self, options: NetworkOptions) -> int:
        """Nanoseconds in which a quiet network must come to one view and deliver everything.

        Each of four rounds of membership takes at most a token and a consensus time-out; foreign
        rings find each other once per hold and merge period; then the queues drain.
        """
        settings = self.settings
        rounds = 4 * (settings.token_timeout_ns + settings.consensus_ns)
        finding = len(self.nodes) * (settings.merge_ns + settings.hold_ns + settings.join_ns)
        hop = options.delay_min_ns + 4 * options.delay_mean_ns
        queued = sum(node.bytes_waiting for node in self.nodes.values())
        packets = queued // 1_000 + len(self.nodes) * 4_000
        return rounds + finding + packets * hop * len(self.nodes) // 10 + SECOND

    def conclude(self) -> None:
        """Let every checker judge the whole run. Raises Violation."""
        self.trace.add(trace.Ended(self.now, self.network.delivered))
        for checker in self.checkers:
            checker.conclude(self.now)

    def _fault(self, what: str) -> None:
        self.trace.add(trace.Faulted(self.now, what))
