"""A simulated cluster whose nodes speak over the secure transport, with verbs to attack it.

Speaks:      what `Cluster` speaks; faults of one link, keys, snapshots, and an intruder's deeds.
Keeps:       what is a lie to a ring without authentication is none here: it must do no harm.
"""

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import Final, cast

from unisono.base.ids import MS, SECOND, NodeId, RingId, RingSeq
from unisono.config.settings import RingSettings
from unisono.sim.armour import Armour, Vault
from unisono.sim.checkers import Checker
from unisono.sim.cluster import Cluster, calls_bound
from unisono.sim.counterfeits import counterfeit
from unisono.sim.fabric import Fabric
from unisono.sim.intruder import Intruder
from unisono.sim.network import Link, Network, NetworkOptions, Sieve
from unisono.sim.node import GroupMachine, SimulatedNode
from unisono.sim.plain import PlainGroup
from unisono.sim.secure_node import Keys, Origin, SecureNode
from unisono.wire.ust.header import PacketType

MEETING_NS: Final = 8 * SECOND
"""What sessions may need after a storm: a silence is noticed, and HELLOs are a second apart."""
CALLS_PER_RING_CALL: Final = 20
"""Pieces, heartbeats and reads: what one call of a ring's run comes to here, at most."""
_TYPES: Final = {kind.name.lower(): kind for kind in PacketType}


class SecureCluster(Cluster):
    """All that a run acts upon, with `armour` below the rings."""

    nodes: dict[NodeId, SecureNode]  # type: ignore[assignment]  # made by `_make_node`, and only there

    def __init__(
        self,
        node_ids: Sequence[NodeId],
        *,
        seed: str,
        settings: RingSettings,
        options: NetworkOptions,
        checkers: Iterable[Checker],
        armour: Armour,
        make_group: Callable[[NodeId], GroupMachine] = PlainGroup,
    ) -> None:
        self.armour = armour
        self.vault = Vault(seed, node_ids)
        self._hints = Random(f"{seed}/hints")
        super().__init__(
            node_ids,
            seed=seed,
            settings=settings,
            options=options,
            checkers=checkers,
            make_group=make_group,
        )
        self.intruder = Intruder(self)

    def _calls_bound(self, nodes: int) -> int:
        return CALLS_PER_RING_CALL * calls_bound(nodes)

    def _make_network(self, options: NetworkOptions) -> Network:
        armour = self.armour
        self.fabric = Fabric(self.scheduler, self.seed, options, armour.links, armour.path_bytes)
        # In all that a cluster asks of a network a fabric is one; nodes of this kind ask for more.
        return cast("Network", self.fabric)

    def _make_node(
        self, node: NodeId, settings: RingSettings, lives_before: int = 0
    ) -> SimulatedNode:
        self.world.network = self.fabric.planes[0]
        machine = SecureNode(
            node,
            self.world,
            settings,
            self._make_group,
            fabric=self.fabric,
            armour=self.armour,
            vault=self.vault,
            seed=self.seed,
            lives_before=lives_before,
        )
        machine.hint = self._hint_of_closed_port
        return machine

    def _attach(self, *machines: SimulatedNode) -> None:
        def each(packet: bytes, source: NodeId, link: int) -> None:
            for machine in machines:
                if isinstance(machine, SecureNode):
                    machine.arrive_over(packet, source, link)

        self.fabric.attach(machines[0].node, each)

    @property
    def datagrams_sent(self) -> int:
        """Datagrams that the rings gave away, one for each target."""
        return sum(node.frames_sent for node in self.nodes.values())

    def _hint_of_closed_port(self, source: NodeId, node: NodeId, link: int) -> None:
        """The kernel of `node` answers a packet of `source` to a port that is closed."""
        if self._hints.random() < self.armour.hints and self.fabric.is_open(node, source, link):
            delay = self.fabric.options.delay_min_ns
            self.scheduler.after(delay, self.nodes[source].unreachable, node, link)

    # -- verbs: one link --------------------------------------------------------------------------

    def _plane(self, link: int) -> Network:
        return self.fabric.planes[link % len(self.fabric.planes)]

    def _ends(self, link: int, source: NodeId, target: NodeId) -> list[Link]:
        """One direction; all of a node (target 0); all (both 0)."""
        plane = self._plane(link)
        if source and target:
            return [(source, target)]
        return plane.links_of(source) if source else plane.links_between([])

    def cut_link(self, link: int, source: NodeId, target: NodeId) -> None:
        """Lose everything on one link: one direction, one node's (target 0), or all (both 0)."""
        self._fault(f"cut link {link} {source} > {target}")
        self._plane(link).cut(self._ends(link, source, target))

    def join_link(self, link: int, source: NodeId, target: NodeId) -> None:
        """End one such cut."""
        self._fault(f"rejoin link {link} {source} > {target}")
        self._plane(link).join(self._ends(link, source, target))

    def flap_link(self, link: int, period_ns: int) -> None:
        """Cut one link for all, and join it, in turns."""
        self._fault(f"flap link {link} every {period_ns / MS:g} ms")
        self._plane(link).flap(self._ends(link, NodeId(0), NodeId(0)), period_ns)

    def unflap_link(self, link: int) -> None:
        """No longer."""
        self._fault(f"unflap link {link}")
        self._plane(link).unflap(self._ends(link, NodeId(0), NodeId(0)))

    def weather_of_link(self, link: int, **named: float) -> None:
        """Change the probabilities and durations of one link."""
        named_text = " ".join(f"{name}={value:g}" for name, value in named.items())
        self._fault(f"weather of link {link} {named_text}")
        self._plane(link).change(**named)

    def narrow(self, link: int, room: int) -> None:
        """The path of a link carries UDP payloads of `room` bytes and no more; 0: as before."""
        self._fault(f"link {link} carries {room} bytes")
        rooms = self.fabric.room
        rooms[link % len(rooms)] = room or self.armour.path_bytes

    def limit_path(self, node: NodeId, link: int, room: int) -> None:
        """The node's own interface takes no more than that, and says so."""
        self._fault(f"interface {link} of {node} takes {room} bytes")
        self.nodes[node].limit_path(link % self.armour.links, room)

    def sieve(self, kind: str, source: NodeId, target: NodeId, loss: float) -> None:
        """Lose a share of one type of packet; the ring's types are all frames here."""
        self._fault(f"sieve {kind or 'any'} {source} > {target} {loss:g}")
        self.fabric.add_sieve(_sieve(kind, source, target, loss))

    def unsieve(self, kind: str, source: NodeId, target: NodeId, loss: float) -> None:
        """No longer."""
        self._fault(f"unsieve {kind or 'any'} {source} > {target} {loss:g}")
        self.fabric.remove_sieve(_sieve(kind, source, target, loss))

    # -- verbs: keys and memory -------------------------------------------------------------------

    def rekey(self, node: NodeId, active: int, following: int, previous: int, live: bool) -> None:
        """Put authkeys there, by number (0: none); `live` tells a daemon that runs."""
        how = "at once" if live else "for the next start"
        self._fault(f"keys of {node} {active}/{following}/{previous} {how}")
        self.nodes[node].set_keys(Keys(active, following, previous), live=live)

    def snapshot(self, node: NodeId) -> None:
        """Keep what the node's secure transport knows."""
        self._fault(f"snapshot of {node}")
        self.nodes[node].snapshot()

    def roll_back(self, node: NodeId, noticed: bool) -> None:
        """It knows that again and nothing else."""
        self._fault(f"roll {node} back{'' if noticed else ' unnoticed'}")
        self.nodes[node].roll_back(noticed=noticed)

    # -- verbs: the intruder ----------------------------------------------------------------------

    def eavesdrop(self) -> None:
        """Somebody begins to listen."""
        self._fault("eavesdrop")
        self.intruder.listen()

    def replay(self, target: NodeId, choice: int, count: int, way: int, kind: str = "") -> None:
        """Recorded packets come again (`Intruder.replay`)."""
        self._fault(f"replay {target} {count} {kind or 'packets'} way {way}")
        self.intruder.replay(target, choice, count, way, kind)

    def flood(self, target: NodeId, count: int, pause_ns: int) -> None:
        """Recorded HELLOs come one after the other."""
        self._fault(f"flood {target} {count} HELLOs, one each {pause_ns / MS:g} ms")
        self.intruder.flood(target, count, pause_ns)

    def forge_packets(self, target: NodeId, how: str, choice: int, count: int) -> None:
        """Packets that nobody made (`intruder.FORGERIES`)."""
        self._fault(f"forge {target} {count} {how}")
        for step in range(count):
            self.intruder.forge(target, how, choice + step)

    def redirect(self, share: float) -> None:
        """A share of the frames arrives at others, too."""
        self._fault(f"redirect {share:g}")
        self.intruder.redirect(share)

    def spoil(self, share: float) -> None:
        """A share of the pieces is followed by forged ones."""
        self._fault(f"spoil {share:g}")
        self.intruder.spoil(share)

    def withhold(self, share: float) -> None:
        """A share of what is said in sessions comes seconds later."""
        self._fault(f"withhold {share:g}")
        self.intruder.withhold(share)

    def hint(self, target: NodeId, about: NodeId, link: int) -> None:
        """Somebody says that the port of `about` is closed."""
        self._fault(f"hint {target} about {about} link {link}")
        if about != target:
            self.nodes[target].unreachable(about, link % self.armour.links)

    # -- what would be lies without authentication ------------------------------------------------

    def corrupt(self, share: float) -> None:
        """Flip bits in a share of the packets, or cut them short."""
        self._fault(f"corrupt {share:g}")
        self.fabric.change(corrupt=share)

    def echo(self, target: NodeId, choice: int) -> None:
        """The eavesdropper sends `target` what some node sent before."""
        self._fault(f"echo {target}")
        self.intruder.replay(target, choice, 1, choice % 4)

    def tamper(self, target: NodeId, choice: int, word: int, value: int) -> None:
        """The same with bits flipped."""
        self._fault(f"tamper {target}")
        self.intruder.forge(target, "flip", choice)

    def forge(
        self, target: NodeId, kind: str, sender: NodeId, rep: NodeId, ahead: int, number: int
    ) -> None:
        """A datagram of the ring in clear, which nobody sent."""
        machine = self.nodes[target]
        if machine.totem is not None:
            seq = RingSeq(max(0, machine.totem.ring.seq + ahead))
            ring = RingId(rep or machine.totem.ring.rep, seq)
            self._fault(f"forge {target} {kind} from {sender}")
            datagram = counterfeit(kind, sender, ring, self.world.members, number)
            origin = Origin(sender if sender != target else None, 0, self.vault.address(sender, 0))
            machine.arrive_from(datagram, origin)

    # -- the end ----------------------------------------------------------------------------------

    def calm(self, options: NetworkOptions) -> int:
        """End every fault, give everybody the same key, start what is down."""
        self.intruder.rest()
        for machine in self.nodes.values():
            machine.resume()
            if machine.keys != Keys():
                machine.set_keys(Keys(), live=True)
        return super().calm(options)

    def recovery_bound(self, options: NetworkOptions) -> int:
        """Sessions come before rings."""
        return super().recovery_bound(options) + MEETING_NS


def _sieve(kind: str, source: NodeId, target: NodeId, loss: float) -> Sieve:
    wanted = _TYPES.get(kind, PacketType.GROUP) if kind else None
    return Sieve(wanted, source or None, target or None, loss)
