"""One sender and one receiver of frames, with nothing between them but the test."""

from collections.abc import Sequence
from random import Random

from unisono.base.group import Buffer
from unisono.base.ids import MS, Nanos, NodeId
from unisono.base.run import Run
from unisono.crypto.sender_keys import CIPHERS, OwnKey, PeerKeys
from unisono.secure.frames import FrameOpener, FrameSealer
from unisono.wire.ust.header import HEADER_BYTES, Flag, decode_header
from unisono.wire.ust.pieces import PIECE_HEADER_BYTES

SENDER = NodeId(3)
READER = NodeId(99)
LINGER_NS = 10_000 * MS
ROOM = 1_472
LEAD_BYTES = HEADER_BYTES + PIECE_HEADER_BYTES


def joined(packets: Sequence[Buffer]) -> Sequence[Buffer]:
    """The packets of one read as the kernel gives them: together when their sizes allow it."""
    sizes = [len(packet) for packet in packets]
    if len(sizes) > 1 and len({*sizes[:-1]}) == 1 and 0 < sizes[-1] <= sizes[0]:
        return Run(b"".join(packets), sizes[0])
    return packets


class Line:
    """A sealer, an opener that was told its key, and a clock that the test moves."""

    def __init__(self, seed: int = 1, cipher: str = "aes256") -> None:
        self.random = Random(seed)
        self.cipher = CIPHERS[cipher]
        self.sealer = FrameSealer(self.random.randbytes)
        self.own = OwnKey(self.cipher, SENDER, 1, self.random.randbytes(32))
        self.keys = PeerKeys(self.cipher, READER, SENDER, LINGER_NS)
        self.opener = FrameOpener(self.keys)
        self.now = Nanos(1_000 * MS)
        self.learn(self.own)

    def learn(self, own: OwnKey) -> None:
        """The receiver is told a key."""
        self.keys.learn(own.generation, own.secret, own.next_counter)

    def frame(self, size: int) -> bytes:
        """So many bytes that nobody has seen."""
        return self.random.randbytes(size)

    def seal(self, frame: Buffer, room: int = ROOM) -> list[bytes]:
        """The packets of a frame."""
        return list(self.sealer.seal(self.own, frame, room, self.now))

    def open(self, *packets: Buffer) -> list[Buffer]:
        """All in one read."""
        return self.opener.open(joined(packets), self.now)

    def open_singly(self, packets: Sequence[Buffer]) -> list[Buffer]:
        """Each in a read of its own."""
        return [frame for packet in packets for frame in self.open(packet)]

    def seal_each(self) -> None:
        """Somebody told that frames were spoiled."""
        self.sealer.on_spoiled(self.now)

    def wait(self, span_ns: int) -> None:
        """Time passes, and the opener is told when it asked to be."""
        end = self.now + span_ns
        while (due := self.opener.deadline) is not None and due <= end:
            self.now = due
            self.opener.expire(due)
        self.now = Nanos(end)

    def dropped(self) -> dict[str, int]:
        """What was counted but deliveries, and the pieces of frames that are counted themselves."""
        counters = self.opener.counters
        aside = {"delivered", "pieces"}
        return {what: n for what, n in counters.items() if n and what not in aside}

    def twin(self, packet: bytes) -> bytes:
        """What an injector makes of a packet that he sees: the same but its data."""
        is_piece = decode_header(packet).flags == Flag.PIECE
        kept = LEAD_BYTES if is_piece else HEADER_BYTES
        return packet[:kept] + self.random.randbytes(len(packet) - kept)
