"""Frames: what the ring sends becomes packets of one size, and packets become the frames again.

Speaks:      `FrameSealer.seal(frame, room) -> packets`, `FrameOpener.open(packets) -> frames`.
Counterpart: IP fragments and knet's, which both trust a fragment before anything is proved.
Keeps:       a frame is sealed as a whole and then cut, until a receiver says that pieces that were
             forged spoil it; then each piece is sealed by itself for a while. Nothing that is not
             authentic, and nothing twice, leaves an opener; nothing that comes in raises.
Never:       keys and their generations (crypto.sender_keys), where packets go (secure.links).
"""

from collections.abc import Sequence
from typing import Final

from unisono.base.errors import WireError
from unisono.base.group import Buffer
from unisono.base.ids import MS, SECOND, Nanos, NodeId
from unisono.base.run import Run
from unisono.crypto.sender_keys import OwnKey, PeerKeys
from unisono.secure.assembly import Assembly, Key
from unisono.secure.context import Entropy
from unisono.wire.ust.header import (
    HEADER_BYTES,
    TAG_BYTES,
    Flag,
    Header,
    decode_header,
    is_group,
)
from unisono.wire.ust.pieces import (
    PIECE_HEADER_BYTES,
    Piece,
    count_run,
    decode_piece,
    encode_pieces,
    join_pieces,
)

EACH_NS: Final = 60 * SECOND
"""How long each piece is sealed by itself after the last report of a spoiled frame."""
PATIENCE_NS: Final = 100 * MS
"""Pieces of one frame travel together: a partial frame of this age has lost one on its way, and is
nobody's victim if it must make room for another."""
_SEAL_BYTES: Final = HEADER_BYTES + TAG_BYTES
_LEAD_BYTES: Final = HEADER_BYTES + PIECE_HEADER_BYTES
_SALT_BYTES: Final = 4
_FRAME_BYTES: Final = 8
# As numbers: operations on flags of an enumeration cost more than the rest of a header.
_PIECE: Final = int(Flag.PIECE)
_SEALED_PIECE: Final = int(Flag.SEALED_PIECE)


class FrameSealer:
    """Makes packets of one node's frames."""

    __slots__ = ("_entropy", "each_until")

    def __init__(self, entropy: Entropy) -> None:
        self._entropy = entropy
        self.each_until = Nanos(0)
        """Until then each piece is sealed by itself."""

    def seal(
        self, own: OwnKey, frame: Buffer, room: int, now: Nanos, to: NodeId | None = None
    ) -> Sequence[bytes]:
        """GROUP packets of at most `room` bytes; pieces of one frame as a Run. UsageError.

        With `to`, nobody but that node can open them.
        """
        # Never drawn in advance: what is drawn may come again when a machine is rolled back.
        drawn = self._entropy(_SALT_BYTES + _FRAME_BYTES)
        salt = int.from_bytes(drawn[:_SALT_BYTES], "big")
        if len(frame) + _SEAL_BYTES <= room:
            return [own.seal(frame, salt, 0, to)]
        number = int.from_bytes(drawn[_SALT_BYTES:], "big")
        if now < self.each_until:
            bodies = encode_pieces(number, bytes(frame), room - _SEAL_BYTES)
            return [own.seal(body, salt, _SEALED_PIECE, to) for body in bodies]
        header, sealed = own.seal_parts(frame, salt, _PIECE, to)
        return encode_pieces(number, sealed, room, header)

    def on_spoiled(self, now: Nanos) -> bool:
        """A receiver told that frames were spoiled; whether they were sealed as a whole so far."""
        was_whole = now >= self.each_until
        self.each_until = Nanos(now + EACH_NS)
        return was_whole


class FrameOpener:
    """Makes frames of one peer's packets."""

    __slots__ = ("_claimed", "_foreign", "_frames", "_keys", "_lost", "_malformed",
                 "_pieces", "_replayed", "_sealed", "_spoiled", "_spoiled_untold", "_unknown",
                 "_unknown_untold")  # fmt: skip

    def __init__(self, keys: PeerKeys) -> None:
        self._keys = keys
        self._claimed = Assembly()
        """Pieces that prove nothing."""
        self._sealed = Assembly()
        """Pieces that were sealed by themselves: nobody who forges can fill this one."""
        self._frames = 0
        self._malformed = 0
        self._foreign = 0
        self._unknown = 0
        self._replayed = 0
        self._spoiled = 0
        self._lost = 0
        self._pieces = 0
        self._spoiled_untold = 0
        self._unknown_untold: int | None = None

    # -- what the owner asks -----------------------------------------------------------------------

    @property
    def counters(self) -> dict[str, int]:
        """Frames: `delivered`, `spoiled` by forged pieces, `lost` with a piece on its way.

        Packets that were dropped: `pieces` of such frames, `malformed`, `foreign` (they name
        another sender), `unknown` (generation), `forged`, `replayed` (opened before, or too old).
        """
        kept = self._claimed, self._sealed
        return {
            "delivered": self._frames,
            "spoiled": self._spoiled,
            "lost": self._lost,
            "pieces": self._pieces + sum(table.dropped for table in kept),
            "malformed": self._malformed + sum(table.misfit for table in kept),
            "foreign": self._foreign,
            "unknown": self._unknown,
            "forged": self._keys.forged + sum(table.contradicted for table in kept),
            "replayed": self._keys.replayed
            + self._replayed
            + sum(table.repeated for table in kept),
        }

    def take_unknown(self) -> int | None:
        """A generation that packets named and that is not known, once."""
        unknown, self._unknown_untold = self._unknown_untold, None
        return unknown

    def take_spoiled(self) -> int:
        """Frames that forged pieces cost since the last call."""
        spoiled, self._spoiled_untold = self._spoiled_untold, 0
        return spoiled

    @property
    def has_spoiled(self) -> bool:
        """Whether there are spoiled frames to tell of."""
        return bool(self._spoiled_untold)

    @property
    def deadline(self) -> Nanos | None:
        """When `expire` has something to drop."""
        dues = self._claimed.deadline, self._sealed.deadline
        return min((due for due in dues if due is not None), default=None)

    def expire(self, now: Nanos) -> None:
        """Give up the frames whose pieces did not come in time."""
        self._lost += self._claimed.expire(now) + self._sealed.expire(now)

    # -- packets -----------------------------------------------------------------------------------

    def open(self, batch: Sequence[Buffer], now: Nanos) -> list[Buffer]:
        """The new and authentic frames in these packets of the peer, in order; never raises."""
        if isinstance(batch, Run):
            whole = self.open_whole(batch, now)
            if whole is not None:
                return [whole]
            batch = batch.cut()
        frames: list[Buffer] = []
        at = 0
        while at < len(batch):
            at = self.open_run(batch, at, frames, now)
            if at < len(batch):
                self._malformed += 1
                at += 1
        return frames

    def open_whole(self, run: Run, now: Nanos) -> bytes | None:
        """The frame, if `run` is all its pieces in order and no other packet; never raises.

        So one read brings it as a rule. None has changed nothing: look at each packet then.
        """
        keys = self._keys
        try:
            header = decode_header(run.data)
        except WireError:
            return None
        if not header.flags & _PIECE or header.sender != keys.sender:
            return None
        if not keys.knows(header.key) or keys.has_seen(header):
            return None
        sealed = join_pieces(run, HEADER_BYTES)
        if sealed is None:
            return None
        lead = run.data[:HEADER_BYTES]
        opened = keys.unseal(header, lead, sealed)
        if opened is None or not keys.accept(header, now):
            return None
        if self._claimed:
            _, _, pieces, total, step, _ = piece = decode_piece(run[0][HEADER_BYTES:])
            self._claimed.remove((lead, piece.frame, pieces, total, step))
        self._frames += 1
        return opened

    def open_run(self, batch: Sequence[Buffer], at: int, frames: list[Buffer], now: Nanos) -> int:
        """Add to `frames` what opens from `at` on; where that ends: at a packet of another type."""
        before = len(frames)
        while at < len(batch) and is_group(batch[at]):
            try:
                at += self._take(batch, at, frames, now)
            except WireError:
                self._malformed += 1
                at += 1
        self._frames += len(frames) - before
        return at

    def _take(self, batch: Sequence[Buffer], at: int, frames: list[Buffer], now: Nanos) -> int:
        """Take one packet, or several that are pieces in a row; how many. WireError."""
        packet = batch[at]
        header = decode_header(packet)
        keys = self._keys
        if header.sender != keys.sender:
            self._foreign += 1
            return 1
        if not keys.knows(header.key):
            self._unknown += 1
            self._unknown_untold = header.key
            return 1
        if header.flags & _PIECE:
            return self._take_pieces(header, batch, at, frames, now)
        opened = keys.open(header, packet, now)
        if opened is not None and header.flags & _SEALED_PIECE:
            opened = self._add_sealed(header, decode_piece(opened), now)
        if opened is not None:
            frames.append(opened)
        return 1

    def _add_sealed(self, header: Header, piece: Piece, now: Nanos) -> bytes | None:
        """A piece that was sealed by itself; the frame if it is whole."""
        frame, _, pieces, total, step, data = piece
        key = header.key.to_bytes(4, "big"), frame, pieces, total, step
        whole = self._sealed.add(key, header, piece, (data,), now)
        self._lost += len(self._sealed.shed())
        return whole

    def _take_pieces(
        self, header: Header, batch: Sequence[Buffer], at: int, frames: list[Buffer], now: Nanos
    ) -> int:
        """Pieces in a row, of a frame that was sealed as a whole; how many. WireError."""
        lead = bytes(batch[at][:HEADER_BYTES])
        piece = decode_piece(memoryview(batch[at])[HEADER_BYTES:])
        frame, _, pieces, total, step, _ = piece
        # A number that was opened before opens nothing, whether these are its true pieces or not.
        if self._keys.has_seen(header):
            count = count_run(batch, at, piece, HEADER_BYTES)
            self._replayed += count
            return count
        count = count_run(batch, at, piece, HEADER_BYTES)
        bodies = [packet[_LEAD_BYTES:] for packet in batch[at : at + count]]
        opened = None
        if count == pieces:
            opened = self._keys.unseal(header, lead, b"".join(bodies))
        key = lead, frame, pieces, total, step
        if opened is not None:
            self._claimed.remove(key)
        else:
            opened = self._add_claimed(key, header, piece, bodies, now)
        if opened is not None and self._keys.accept(header, now):
            frames.append(opened)
        return count

    def _add_claimed(
        self, key: Key, header: Header, piece: Piece, bodies: list[Buffer], now: Nanos
    ) -> bytes | None:
        """Pieces that prove nothing; the frame if it is whole and authentic."""
        whole = self._claimed.add(key, header, piece, bodies, now)
        for partial in self._claimed.shed():
            # One that was opened meanwhile, from other copies of its pieces, is no loss.
            if now - partial.born >= PATIENCE_NS:
                self._lost += 1
            elif not (self._keys.knows(partial.header.key) and self._keys.has_seen(partial.header)):
                self._spoil()
        if whole is None:
            return None
        opened = self._keys.unseal(header, key[0], whole)
        if opened is None:
            self._pieces += piece.pieces
            self._spoil()
        return opened

    def _spoil(self) -> None:
        self._spoiled += 1
        self._spoiled_untold += 1
