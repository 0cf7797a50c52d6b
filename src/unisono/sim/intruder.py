"""Intruder: a third host that hears every link and may send to every port, but has no key.

Speaks:      `listen`, `replay`, `flood`, `forge`; `redirect`, `spoil` and `withhold` act on what
             passes.
Counterpart: the attacks of docs/explanation/security.md; Dolev and Yao's adversary.
Keeps:       what it sends, it has heard or made up; its dice are its own, so that the network's
             fall as they would without it.
"""

from collections import deque
from random import Random
from typing import TYPE_CHECKING, Final

from unisono.base.ids import MS, SECOND, NodeId
from unisono.sim.fabric import packet_type
from unisono.sim.network import corrupted
from unisono.sim.secure_node import Origin
from unisono.wire.ust.handshake import ANSWER_BYTES, HELLO_BYTES
from unisono.wire.ust.header import HEADER_BYTES, MAGIC, VERSION, Flag, PacketType
from unisono.wire.ust.pieces import PIECE_HEADER_BYTES

if TYPE_CHECKING:
    from unisono.sim.secure_cluster import SecureCluster

HEARD_MAX: Final = 512
"""Packets of each type that it remembers."""
SENT_MAX: Final = 20_000
"""Packets that it sends in one run."""
WITHHELD_NS_MAX: Final = 15 * SECOND
"""Longer than a former session, or a former sender key, is read."""
QUICK_NS: Final = 200_000
"""It is as near to a victim as the peers are, and may be nearer."""
FORGERIES: Final = ("noise", "magic", "flip", "cut", "piece", "claim", "handshake")
_TYPES: Final = {int(kind): kind for kind in PacketType}
_HANDSHAKES: Final = frozenset({PacketType.HELLO, PacketType.ANSWER, PacketType.COOKIE})
_LEAD: Final = HEADER_BYTES + PIECE_HEADER_BYTES
_PIECES: Final = int(Flag.PIECE | Flag.SEALED_PIECE)


class Intruder:
    """Beside one cluster."""

    def __init__(self, cluster: "SecureCluster") -> None:
        self.sent = 0
        self._cluster = cluster
        self._random = Random(f"{cluster.seed}/intruder")
        self._heard: dict[PacketType, deque[tuple[bytes, NodeId, int]]] = {}
        self._listens = self._rests = False
        self._redirects = 0.0
        self._spoils = 0.0
        self._withholds = 0.0
        # Handshakes are few, and all the more worth to be kept: it knows them from the beginning.
        cluster.fabric.listeners.append(self._hear)

    def listen(self) -> None:
        """Remember all that is sent from now on."""
        self._listens = True

    def rest(self) -> None:
        """Do nothing more; what it has heard it keeps."""
        self._rests = True
        self._redirects = self._spoils = self._withholds = 0.0

    def redirect(self, share: float) -> None:
        """Let a share of the frames arrive at other nodes, too, as soon as they are sent."""
        self.listen()
        self._redirects = share

    def spoil(self, share: float) -> None:
        """Follow a share of the pieces of frames with others that look like them."""
        self.listen()
        self._spoils = share

    def withhold(self, share: float) -> None:
        """Take a share of the packets of sessions, and bring them seconds later."""
        self._withholds = share
        self._cluster.fabric.thief = self._take

    def _take(self, source: NodeId, target: NodeId, link: int, packet: bytes) -> bool:
        random = self._random
        if packet_type(packet) is not PacketType.PAIR or random.random() >= self._withholds:
            return False
        origin = Origin(source, link, self._cluster.vault.address(source, link))
        late = random.randrange(WITHHELD_NS_MAX)
        self._cluster.scheduler.after(late, self._bring, target, packet, origin)
        return True

    def _bring(self, target: NodeId, packet: bytes, origin: Origin) -> None:
        if not self._rests:
            self._cluster.nodes[target].arrive_from(packet, origin)

    def _hear(self, source: NodeId, target: NodeId, link: int, packet: bytes) -> None:
        kind = _TYPES.get(packet[1] & 0x0F)
        if kind is None or not (self._listens or kind in _HANDSHAKES):
            return
        heard = self._heard.get(kind)
        if heard is None:
            heard = self._heard[kind] = deque(maxlen=HEARD_MAX)
        heard.append((packet, source, link))
        if kind is not PacketType.GROUP:
            return
        random = self._random
        if self._redirects and random.random() < self._redirects:
            others = [node for node in self._cluster.nodes if node not in (source, target)]
            if others:
                self._send(random.choice(others), packet, source, link)
        if self._spoils and packet[3] & _PIECES and random.random() < self._spoils:
            self._send(target, self._other_piece(packet), source, link)

    # -- what it does when it is told -------------------------------------------------------------

    def replay(self, target: NodeId, choice: int, count: int, way: int, kind: str = "") -> None:
        """Send `count` packets that were heard once, one after the other from the `choice`th on.

        `way` picks the address that they seem to come from: the genuine one, that of another link,
        another node's, or nobody's. `kind` is a packet type, or "" for any.
        """
        heard = self._of(kind)
        for step in range(min(count, len(heard))):
            packet, source, link = heard[(choice + step) % len(heard)]
            self._send(target, packet, source, link, way)

    def flood(self, target: NodeId, count: int, pause_ns: int) -> None:
        """Send recorded HELLOs, one each `pause_ns`."""
        if count > 0 and not self._rests:
            self.replay(target, count, 1, self._random.randrange(4), "hello")
            self._cluster.scheduler.after(pause_ns, self.flood, target, count - 1, pause_ns)

    def forge(self, target: NodeId, how: str, choice: int) -> None:
        """Send one packet that nobody made: one of FORGERIES."""
        heard = self._of("")
        if heard:
            packet, source, link = heard[choice % len(heard)]
        else:
            packet, source, link = self._noise(choice % 1_400), target, 0
        self._send(target, self._forged(how, packet, target), source, link, choice % 4)

    def _of(self, kind: str) -> list[tuple[bytes, NodeId, int]]:
        if kind:
            return list(self._heard.get(PacketType[kind.upper()], ()))
        return [each for heard in self._heard.values() for each in heard]

    def _forged(self, how: str, packet: bytes, target: NodeId) -> bytes:
        random = self._random
        match how:
            case "noise":
                return self._noise(random.randrange(1_500))
            case "magic":
                kind = random.choice([*PacketType, 0, 3, 15])
                return bytes((MAGIC, VERSION << 4 | kind)) + self._noise(random.randrange(1_500))
            case "flip":
                return corrupted(random, packet)
            case "cut":
                return packet[: random.randrange(len(packet) + 1)]
            case "piece":
                return self._other_piece(packet)
            case "claim":
                # The genuine header with a counter far ahead, to move a window.
                ahead = int.from_bytes(packet[16:24], "big") + random.choice((1, 1 << 20, 1 << 62))
                return packet[:16] + (ahead & (1 << 64) - 1).to_bytes(8, "big") + packet[24:]
            case _:
                kid = self._cluster.vault.keys(1).kid
                hello = random.random() < 0.5
                kind = PacketType.HELLO if hello else PacketType.ANSWER
                sender = random.choice(list(self._cluster.nodes)).to_bytes(4, "big")
                head = bytes((MAGIC, VERSION << 4 | kind, 0, 0)) + kid + sender + bytes(12)
                to = target.to_bytes(4, "big")
                size = (HELLO_BYTES if hello else ANSWER_BYTES) - len(head) - len(to)
                return head + to + self._noise(size)

    def _noise(self, size: int) -> bytes:
        return self._random.randbytes(size)

    def _other_piece(self, packet: bytes) -> bytes:
        """The headers as they were, and as many other bytes behind them."""
        return packet[:_LEAD] + self._noise(max(0, len(packet) - _LEAD))

    def _send(self, target: NodeId, packet: bytes, source: NodeId, link: int, way: int = 0) -> None:
        if self._rests or self.sent >= SENT_MAX:
            return
        self.sent += 1
        cluster, random = self._cluster, self._random
        claimed: NodeId | None = source
        if way == 1:
            link = random.randrange(cluster.armour.links)
        elif way == 2:
            claimed = random.choice(list(cluster.nodes))
        elif way == 3:
            claimed = None
        if claimed == target:
            claimed = None
        address = "192.0.2.66:5405" if claimed is None else cluster.vault.address(claimed, link)
        late = random.randrange(QUICK_NS) if random.random() < 0.8 else random.randrange(10 * MS)
        origin = Origin(claimed, link, address)
        cluster.scheduler.after(late, cluster.nodes[target].arrive_from, packet, origin)
