"""A cluster of rotations: a ring that orders, sessions that tell, disks that stay, nodes that die.

Each member follows the ring's order at its own pace; a change of the ring cuts the order somewhere
after what anybody has seen, and what was not ordered by then is ordered on the next ring.
"""

from collections.abc import Callable, Iterable
from itertools import combinations, count
from random import Random

from unisono.base.errors import CsError
from unisono.base.group import Marked, Multicast
from unisono.base.ids import SECOND, ClientId, Nanos, NodeId
from unisono.base.keyring import KeyringDelivered, KeyringView
from unisono.base.marks import Mark
from unisono.crypto.sender_keys import CIPHERS
from unisono.secure.authkeys import Authkey, Authkeys
from unisono.secure.context import Context, Keyring
from unisono.secure.events import Adopted, KeysChanged, KeyTold, Tell
from unisono.secure.orders import Answered, Command, Effect, Progress, Stored, StoreKeys
from unisono.secure.rotation import Rotation
from unisono.wire.native import Verb
from unisono.wire.service.native import HEADER_BYTES
from unisono.wire.ust.records import Rotate

CLUSTER = "demo"
STEPS_MAX = 20_000
KEYS = [Authkey.of(bytes([number]) * 256, CLUSTER) for number in range(1, 6)]
OLD, NEW, OTHER, *_ = KEYS


class Ring:
    """One configuration and its order, the same for all members, each with its own place in it."""

    def __init__(self, members: Iterable[int], carried: Iterable[tuple[int, bytes]]) -> None:
        self.members = tuple(sorted(members))
        self.log: list[tuple[int, bytes]] = []
        self.carried = list(carried)
        """Sent on an earlier ring and not ordered there: behind what this one begins with."""
        self.place = dict.fromkeys(self.members, 0)


class World:
    """The nodes, 1 to `size`, and what happens to them."""

    def __init__(self, size: int = 3, seed: int = 1, disks: dict[int, Authkeys] | None = None):
        self.random = Random(seed)
        self.now = Nanos(SECOND)
        self.ids = tuple(range(1, size + 1))
        self.disks = disks or dict.fromkeys(self.ids, Authkeys(OLD))
        self.up: dict[int, Rotation] = {}
        self.contexts: dict[int, Context] = {}
        self.rings: dict[int, Ring] = {}
        self.sessions: set[frozenset[int]] = set()
        self.answers: dict[int, Answered] = {}
        self.progress: list[Progress] = []
        self.marks: list[tuple[int, Marked]] = []
        self.lost_tells = 0.0
        self.full_disks: set[int] = set()
        self.told: list[tuple[int, int]] = []
        self.on_effect: Callable[[int, Effect], None] = lambda _node, _effect: None
        self._requests = count(1)
        for node in self.ids:
            self.boot(node)
        self.meet(self.ids)

    # -- what happens ------------------------------------------------------------------------------

    def boot(self, node: int) -> None:
        """Start the daemon on the node with what is on its disk; it is alone until `meet`."""
        keys = self.disks[node]
        context = Context(
            NodeId(node), CLUSTER, Keyring(keys.active.keys), CIPHERS["aes256"], bytes, bytes(16)
        )
        self.contexts[node] = context
        self.up[node] = Rotation(context, keys, [NodeId(one) for one in self.ids])

    def crash(self, node: int) -> None:
        """The daemon dies; the others notice."""
        del self.up[node]
        self.sessions = {pair for pair in self.sessions if node not in pair}
        ring = self.rings.pop(node, None)
        if ring is not None:
            self.meet([one for one in ring.members if one != node and one in self.up])

    def meet(self, members: Iterable[int]) -> None:
        """These form a ring; handshakes are made where there is no session."""
        members = tuple(sorted(members))
        carried: list[tuple[int, bytes]] = []
        for ring in {
            id(ring): ring for node, ring in self.rings.items() if node in members
        }.values():
            stay = [node for node in ring.members if node in members and node in self.up]
            seen = max(ring.place[node] for node in stay)
            end = self.random.randint(seen, len(ring.log))
            for node in stay:
                while self.rings[node] is ring and ring.place[node] < end:
                    self._deliver(node)
            lost = ring.log[end:] + ring.carried
            carried += [sent for sent in lost if sent[0] in stay]
        made = Ring(members, carried)
        for node in members:
            self.rings[node] = made
        self.shake_hands(members)
        for node in members:
            self.up[node].receive(KeyringView(tuple(map(NodeId, members))), self.now)
            self.carry(node)
        made.log += made.carried
        made.carried = []

    def shake_hands(self, members: Iterable[int]) -> None:
        """New sessions where one side accepts what the other begins with."""
        for pair in combinations(sorted(members), 2):
            if frozenset(pair) in self.sessions:
                continue
            for one, other in (pair, pair[::-1]):
                kid = self.contexts[one].ring.active.kid
                if self.contexts[other].ring.find(kid) is not None:
                    self.sessions.add(frozenset(pair))
                    for node, peer in (pair, pair[::-1]):
                        self.up[node].submit(Adopted(NodeId(peer), kid, False), self.now)
                    break
        for node in members:
            self.carry(node)

    def part(self, *groups: Iterable[int]) -> None:
        """The nodes see only those of their own group."""
        for group in groups:
            self.meet(node for node in group if node in self.up)

    def command(
        self,
        node: int,
        verb: Verb,
        argument: bytes = b"",
        *,
        force: bool = False,
        seconds: int = 30,
    ) -> int:
        """An operator at the node; returns the number under which `answers` has the end."""
        request = next(self._requests)
        timeout = Nanos(seconds * SECOND)
        command = Command(ClientId(1), request, verb, argument, force, timeout)
        self.up[node].submit(command, self.now)
        self.carry(node)
        return request

    def do(self, node: int, verb: Verb, argument: bytes = b"", *, force: bool = False) -> Answered:
        """A command, to its end."""
        request = self.command(node, verb, argument, force=force)
        self.settle()
        self.pass_time(60 * SECOND, until=lambda: request in self.answers)
        lost = Answered(ClientId(1), request, CsError.LIBRARY, {})
        return self.answers.get(request, lost)

    def pass_time(self, nanoseconds: int, until: Callable[[], bool] = lambda: False) -> None:
        """Timers fire and their consequences happen."""
        end = self.now + nanoseconds
        while not until():
            dues = [due for one in self.up.values() if (due := one.deadline()) is not None]
            if not dues or min(dues) > end:
                self.now = Nanos(end)
                return
            self.now = Nanos(max(self.now, min(dues)))
            for node in list(self.up):
                if node in self.up:
                    self.up[node].expire(self.now)
                    self.carry(node)
            self.settle()

    def settle(self) -> None:
        """Everything that is ordered is delivered, in whatever interleaving."""
        for _ in range(STEPS_MAX):
            rings = {node: self.rings[node] for node in self.up if node in self.rings}
            behind = [node for node, ring in rings.items() if ring.place[node] < len(ring.log)]
            if not behind:
                return
            self._deliver(self.random.choice(behind))
        raise AssertionError("the cluster talks for ever")

    # -- inside ------------------------------------------------------------------------------------

    def _deliver(self, node: int) -> None:
        ring = self.rings[node]
        origin, body = ring.log[ring.place[node]]
        ring.place[node] += 1
        self.up[node].receive(KeyringDelivered(NodeId(origin), body), self.now)
        self.carry(node)

    def carry(self, node: int) -> None:
        """What the node wants done, in order, until it wants nothing more."""
        life = self.up[node]
        while effects := life.drain():
            for effect in effects:
                self.on_effect(node, effect)
                if self.up.get(node) is not life:
                    return
                self._carry_out(node, effect)

    def _carry_out(self, node: int, effect: Effect) -> None:
        match effect:
            case Multicast():
                if node in self.rings:
                    self.rings[node].log.append((node, bytes(effect.payload[HEADER_BYTES:])))
            case StoreKeys():
                problem = "No space left on device" if node in self.full_disks else ""
                if not problem:
                    self.disks[node] = effect.keys
                self.up[node].submit(Stored(effect.keys, problem), self.now)
            case Tell():
                self._tell(node, effect)
            case Answered():
                assert effect.request not in self.answers
                self.answers[effect.request] = effect
            case Progress():
                self.progress.append(effect)
            case Marked():
                self.marks.append((node, effect))
            case KeysChanged():
                pass

    def _tell(self, node: int, tell: Tell) -> None:
        self.told.append((node, tell.node))
        assert isinstance(tell.record, Rotate)
        if frozenset((node, tell.node)) not in self.sessions or tell.node not in self.up:
            return
        if self.random.random() >= self.lost_tells:
            self.up[tell.node].submit(KeyTold(NodeId(node), tell.record), self.now)
            self.carry(tell.node)

    # -- what is true ------------------------------------------------------------------------------

    def kids(self, role: str) -> dict[int, bytes | None]:
        """The fingerprint in this role, by node that is up."""
        found = {node: getattr(one.keys, role) for node, one in self.up.items()}
        return {node: key.kid if key is not None else None for node, key in found.items()}

    def strangers(self) -> list[tuple[int, int]]:
        """Pairs (who, whom) in which one begins with what the other does not accept."""
        return [
            (one, other)
            for one in self.up
            for other in self.up
            if self.contexts[other].ring.find(self.contexts[one].ring.active.kid) is None
        ]

    def can_meet(self, one: int, other: int) -> bool:
        """Whether a handshake of theirs succeeds, whoever begins."""
        rings = self.contexts[one].ring, self.contexts[other].ring
        a, b = rings
        return a.find(b.active.kid) is not None or b.find(a.active.kid) is not None

    def errors(self) -> list[CsError]:
        """How the commands ended."""
        return [answer.error for _, answer in sorted(self.answers.items())]

    def marked(self, mark: Mark) -> list[int]:
        """The nodes that marked this."""
        return [node for node, marked in self.marks if marked.mark is mark]
