"""A simulated cluster: nodes, network, clock, trace and checkers, with verbs to break it.

Speaks:      start, kill, leave, pause, resume, partition, heal, send; run until settled.
Keeps:       every verb is one record of the trace; `calm` ends all that a verb has begun.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from unisono.base.group import Guarantee, Multicast
from unisono.base.ids import MS, SECOND, NodeId, RingId, RingSeq
from unisono.config.settings import RingSettings
from unisono.sim import trace
from unisono.sim.checkers import Checker, GroupIntegrity, Liveness, SelfDelivery
from unisono.sim.clients import ClientDesk
from unisono.sim.counterfeits import counterfeit, tampered
from unisono.sim.messages import Mint
from unisono.sim.network import DatagramKind, Link, Network, NetworkOptions, Sieve
from unisono.sim.node import GroupMachine, SimulatedNode, Trap, Waiting, World
from unisono.sim.plain import APPLICATION, PlainGroup
from unisono.sim.scheduler import CALLS_MAX, Scheduler

SETTLE_STEP_NS: Final = 5 * MS
"""How often a run that waits for the end looks whether it has come."""
DATAGRAM_COST_NS: Final = 5_000
"""What one datagram costs a process that is not slow; a slow one takes a multiple."""
TWIN_LIVES: Final = 1_000
"""A twin counts its lives from here, so that no trace confuses it with its original."""


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
        self.is_byzantine = False
        """Whether somebody has lied: what was agreed on before may be void."""
        self.seed = seed
        self.scheduler = Scheduler(self._calls_bound(len(node_ids)))
        self.network = self._make_network(options)
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
        self._make_group = make_group
        self.nodes = {node: self._make_node(node, settings) for node in node_ids}
        self.twins: dict[NodeId, SimulatedNode] = {}
        self._twins_made = 0

    def _calls_bound(self, nodes: int) -> int:
        return calls_bound(nodes)

    def _make_network(self, options: NetworkOptions) -> Network:
        return Network(self.scheduler, Random(f"{self.seed}/network"), options)

    def _make_node(
        self, node: NodeId, settings: RingSettings, lives_before: int = 0
    ) -> SimulatedNode:
        return SimulatedNode(
            node, self.world, settings, self._make_group, lives_before=lives_before
        )

    @property
    def datagrams_sent(self) -> int:
        """Datagrams of the ring so far, one for each target."""
        return self.network.sent

    @property
    def now(self) -> int:
        """Virtual time in nanoseconds."""
        return self.scheduler.now

    # -- verbs ------------------------------------------------------------------------------------

    def start(
        self,
        node: NodeId,
        *,
        keep_store: bool = True,
        stores_back: int = 0,
        at_any_price: bool = False,
    ) -> None:
        """Start a daemon that does not run; one that runs is spared what it was threatened with.

        A store is really lost, or an old one found, only where nobody can still have to do with a
        ring that this node made: there the same ring id would come twice. `at_any_price` it is.
        """
        machine = self.nodes[node]
        if machine.running:
            machine.spare()
            return
        if at_any_price:
            self._lie(f"store of {node} is not what it was")
        elif (not keep_store or stores_back) and self._is_remembered(node):
            keep_store, stores_back = True, 0
        machine.start(keep_store=keep_store, stores_back=stores_back)

    def _is_remembered(self, node: NodeId) -> bool:
        """Whether somebody may still act on a ring that `node` made."""
        return self.network.holds_the_past or any(
            other.is_involved_with(node) for other in self.nodes.values()
        )

    def kill(self, node: NodeId) -> None:
        """SIGKILL."""
        self.nodes[node].crash()

    def kill_within(self, node: NodeId, effects: int) -> None:
        """SIGKILL after `effects` more effects."""
        if self.nodes[node].running:
            self.nodes[node].crash_after = effects

    def kill_in_send(self, node: NodeId, skips: int, choice: int) -> None:
        """SIGKILL in the middle of a multicast, after `skips` others; `choice` picks the place."""
        if self.nodes[node].running:
            self.nodes[node].crash_in_send = (skips, choice)

    def kill_in_state(self, node: NodeId, state: str, effects: int, within_ns: int) -> None:
        """SIGKILL `effects` effects after the ring's state is `state` (or sync), if it comes."""
        if self.nodes[node].running:
            self.nodes[node].trap = Trap(state, effects, self.now + within_ns)

    def leave(self, node: NodeId) -> None:
        """A clean end."""
        self.nodes[node].leave()

    def pause(self, node: NodeId) -> None:
        """SIGSTOP."""
        self._fault(f"pause {node}")
        self.nodes[node].pause()

    def freeze(self, node: NodeId) -> None:
        """A virtual machine stops, and its clock with it."""
        self._fault(f"freeze {node}")
        self.nodes[node].pause(clock_too=True)

    def resume(self, node: NodeId) -> None:
        """SIGCONT."""
        self._fault(f"resume {node}")
        self.nodes[node].resume()

    def slow(self, node: NodeId, factor: int) -> None:
        """Each datagram costs the process `factor` times what it should; 1 is as fast as ever."""
        self._fault(f"slow {node} x{factor}")
        self.nodes[node].slow_down(DATAGRAM_COST_NS * factor if factor > 1 else 0)

    def drift(self, node: NodeId, parts_per_million: int) -> None:
        """The node's clock runs that much fast."""
        self._fault(f"drift {node} {parts_per_million:+} ppm")
        self.nodes[node].drift(parts_per_million)

    def leap(self, node: NodeId, nanoseconds: int) -> None:
        """The node's clock jumps ahead."""
        self._fault(f"leap {node} {nanoseconds / MS:g} ms")
        self.nodes[node].leap(nanoseconds)

    def pace(self, node: NodeId, slow: bool) -> None:
        """A local reader is behind, or no longer."""
        self._fault(f"pace {node} {'slow' if slow else 'normal'}")
        self.nodes[node].pace(slow)

    def write_files(self, window: int, most: int, broken: int) -> None:
        """Every file has another window and most messages a visit; that of `broken` is broken.

        Not in the middle of a reload: some would have read the files of before.
        """
        if any(machine.is_reloading for machine in self.nodes.values()):
            return
        self._fault(f"files: window {window}, {most} a visit, broken at {broken or 'nobody'}")
        for node, machine in self.nodes.items():
            machine.file.is_broken = node == broken
            machine.file.ring = replace(
                machine.settings,
                window_size=window,
                max_messages=most,
                native_window_size=window,
                native_max_messages=most,
            )

    def reload(self, node: NodeId) -> None:
        """SIGHUP: the configuration is read again on the whole ring."""
        self._fault(f"reload {node}")
        self.nodes[node].hang_up()

    def configure(self, node: NodeId, token_ms: int, strangers: Sequence[NodeId]) -> None:
        """The node's file changes: the next start takes it up. 0 is the cluster's own time-out."""
        machine = self.nodes[node]
        settings = self._settings_with(token_ms) if token_ms else self.settings
        known = tuple(each for each in self.world.members if each not in strangers)
        if (settings, known) != (machine.settings, machine.known):
            without = ",".join(map(str, strangers)) or "nobody"
            self._fault(f"configure {node} token={token_ms} without {without}")
            machine.settings, machine.known = settings, known

    def _settings_with(self, token_ms: int) -> RingSettings:
        times = ring_settings(token_ms)
        return replace(
            self.settings,
            token_timeout_ns=times.token_timeout_ns,
            token_retransmit_ns=times.token_retransmit_ns,
            hold_ns=times.hold_ns,
            consensus_ns=times.consensus_ns,
        )

    # -- verbs: the network -----------------------------------------------------------------------

    def partition(self, sides: Sequence[Sequence[NodeId]]) -> None:
        """Cut what shares no side: sides apart, with a bridge, or in a ring of cliques."""
        self._fault("cut " + _sides(sides))
        self.network.partition(sides)

    def rejoin(self, sides: Sequence[Sequence[NodeId]]) -> None:
        """End one such partition; what else is cut stays cut."""
        self._fault("rejoin " + _sides(sides))
        self.network.join(self.network.links_between(sides))

    def cut_one_way(self, source: NodeId, target: NodeId) -> None:
        """Lose everything from `source` to `target`."""
        self._fault(f"cut {source} > {target}")
        self.network.cut_one_way(source, target)

    def rejoin_one_way(self, source: NodeId, target: NodeId) -> None:
        """End one such cut."""
        self._fault(f"rejoin {source} > {target}")
        self.network.join([(source, target)])

    def heal(self) -> None:
        """Join the network again, whatever was cut."""
        self._fault("heal")
        self.network.heal()

    def flap(self, sides: Sequence[Sequence[NodeId]], period_ns: int) -> None:
        """Cut what shares no side, and join it, in turns."""
        self._fault(f"flap {_sides(sides)} every {period_ns / MS:g} ms")
        self.network.flap(self.network.links_between(sides), period_ns)

    def unflap(self, sides: Sequence[Sequence[NodeId]]) -> None:
        """No longer."""
        self._fault(f"unflap {_sides(sides)}")
        self.network.unflap(self.network.links_between(sides))

    def clog(self, links: Sequence[Link]) -> None:
        """Hold what arrives over `links`; (n, n) stands for all links of node n."""
        self._fault(f"clog {_links(links)}")
        self.network.clog(self._all_links(links))

    def unclog(self, links: Sequence[Link]) -> None:
        """Deliver what was held."""
        self._fault(f"unclog {_links(links)}")
        self.network.unclog(self._all_links(links))

    def _all_links(self, links: Sequence[Link]) -> list[Link]:
        every: list[Link] = []
        for source, target in links:
            every += self.network.links_of(source) if source == target else [(source, target)]
        return every

    def sieve(self, kind: str, source: NodeId, target: NodeId, loss: float) -> None:
        """Lose a share of one kind of datagram; "" is any kind, 0 any node."""
        self._fault(f"sieve {kind or 'any'} {source} > {target} {loss:g}")
        self.network.add_sieve(_sieve(kind, source, target, loss))

    def unsieve(self, kind: str, source: NodeId, target: NodeId, loss: float) -> None:
        """No longer."""
        self._fault(f"unsieve {kind or 'any'} {source} > {target} {loss:g}")
        self.network.remove_sieve(_sieve(kind, source, target, loss))

    def weather(self, **named: float) -> None:
        """Change the network's probabilities and durations."""
        self._fault("weather " + _named(named))
        self.network.change(**named)

    def link_weather(self, source: NodeId, target: NodeId, **named: float) -> None:
        """Change those of one link; (n, n) is all of n's; without names it is as the others."""
        self._fault(f"weather {_links([(source, target)])} {_named(named)}")
        for link in self._all_links([(source, target)]):
            self.network.change_link(link, **named)

    # -- verbs: lies ------------------------------------------------------------------------------

    def corrupt(self, share: float) -> None:
        """Flip bits in a share of the datagrams, or cut them short."""
        self._lie(f"corrupt {share:g}")
        self.network.change(corrupt=share)

    def eavesdrop(self) -> None:
        """Somebody begins to listen."""
        self._fault("eavesdrop")
        self.network.record()

    def echo(self, target: NodeId, choice: int) -> None:
        """The eavesdropper sends `target` what some node sent before."""
        datagram = self._overheard(choice)
        if datagram is not None:
            self._lie(f"echo {target}")
            self.nodes[target].arrive(datagram, target)

    def tamper(self, target: NodeId, choice: int, word: int, value: int) -> None:
        """The same, but the `word`th field of four bytes after the header has another value."""
        datagram = self._overheard(choice)
        if datagram is not None:
            self._lie(f"tamper {target} word {word} = {value:#x}")
            self.nodes[target].arrive(tampered(datagram, word, value), target)

    def forge(
        self, target: NodeId, kind: str, sender: NodeId, rep: NodeId, ahead: int, number: int
    ) -> None:
        """A datagram that nobody sent arrives at `target` (`counterfeits.counterfeit`)."""
        totem = self.nodes[target].totem
        if totem is None:
            return
        ring = RingId(rep or totem.ring.rep, RingSeq(max(0, totem.ring.seq + ahead)))
        self._lie(f"forge {target} {kind} from {sender} on {ring.rep}.{ring.seq:x} {number:#x}")
        datagram = counterfeit(kind, sender, ring, self.world.members, number)
        self.nodes[target].arrive(datagram, sender)

    def _overheard(self, choice: int) -> bytes | None:
        recorded = self.network.recorded
        return recorded[choice % len(recorded)] if recorded else None

    def twin(self, node: NodeId) -> None:
        """A copy of the node's machine, disk and addresses starts beside it."""
        if node in self.twins:
            return
        self._lie(f"twin of {node}")
        original = self.nodes[node]
        self._twins_made += 1
        twin = self._make_node(node, original.settings, TWIN_LIVES * self._twins_made)
        twin.stored_ring_seq = original.stored_ring_seq
        self.twins[node] = twin
        self._attach(original, twin)
        twin.start()

    def end_twin(self, node: NodeId) -> None:
        """The copy is gone."""
        twin = self.twins.pop(node, None)
        if twin is not None:
            self._fault(f"end of the twin of {node}")
            self._attach(self.nodes[node])
            twin.crash()

    def _attach(self, *machines: SimulatedNode) -> None:
        """Let all of them have what is sent to the one address that they share."""

        def each(datagram: bytes, source: NodeId) -> None:
            for machine in machines:
                machine.arrive(datagram, source)

        self.network.attach(machines[0].node, each)

    def _lie(self, what: str) -> None:
        self.is_byzantine = True
        self._fault(what)

    # -- messages ---------------------------------------------------------------------------------

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
        for node in list(self.twins):
            self.end_twin(node)
        self.network.calm(options)
        for desk in self.desks.values():
            desk.wake_all()
        for node, machine in self.nodes.items():
            machine.spare()
            if machine.taken_up != (self.settings, self.world.members):
                machine.crash()
            self.configure(node, 0, ())
            machine.drift(0)
            machine.slow_down(0)
            machine.resume()
            machine.pace(False)
            self.start(node)
        deadline = self.now + self.recovery_bound(options)
        self.trace.add(trace.Calmed(self.now, deadline))
        return deadline

    def recovery_bound(self, options: NetworkOptions) -> int:
        """Nanoseconds in which a quiet network must come to one view and deliver everything.

        Each of four rounds of membership takes at most a token and a consensus time-out; foreign
        rings find each other once per hold and merge period; then the queues drain. What the storm
        has sent and not yet delivered may disturb any of this once more when it arrives, so all
        that counts from the last of it. After lies a ring may wait for messages that do not exist,
        until fail_recv_const turns of the token are over.
        """
        settings = self.settings
        count = len(self.nodes)
        rounds = 4 * (settings.token_timeout_ns + settings.consensus_ns)
        finding = count * (settings.merge_ns + settings.hold_ns + settings.join_ns)
        hop = options.delay_min_ns + 4 * options.delay_mean_ns
        queued = sum(node.bytes_waiting for node in self.nodes.values())
        packets = queued // 1_000 + count * 4_000
        bound = rounds + finding + packets * hop * count // 10 + SECOND
        if self.is_byzantine:
            turns = 2 * settings.fail_recv_const
            bound = 2 * bound + turns * (count * hop + settings.hold_ns)
        return bound + max(0, self.network.last_arrival - self.now)

    def judge_delivery_from_now(self) -> None:
        """Let what is sent from now on be owed by its senders, where nothing was before.

        For runs with lies: what was agreed on before they ended is void, what comes after is not.
        """
        checker = SelfDelivery()
        checker.attach(self.trace)
        self.checkers.append(checker)
        self._payers.append(checker)

    def conclude(self) -> None:
        """Let every checker judge the whole run. Raises Violation."""
        self.trace.add(trace.Ended(self.now, self.network.delivered))
        for checker in self.checkers:
            checker.conclude(self.now)

    def _fault(self, what: str) -> None:
        self.trace.add(trace.Faulted(self.now, what))


def calls_bound(nodes: int) -> int:
    """Calls of the scheduler that one run may need: a formation costs the cube of its nodes."""
    return CALLS_MAX + 40 * nodes**3


def _sides(sides: Sequence[Sequence[NodeId]]) -> str:
    return " | ".join(",".join(map(str, side)) for side in sides)


def _links(links: Sequence[Link]) -> str:
    return " ".join(str(s) if s == t else f"{s}>{t}" for s, t in links)


def _named(named: dict[str, float]) -> str:
    return " ".join(f"{name}={value:g}" for name, value in named.items())


def _sieve(kind: str, source: NodeId, target: NodeId, loss: float) -> Sieve:
    return Sieve(DatagramKind[kind.upper()] if kind else None, source or None, target or None, loss)
