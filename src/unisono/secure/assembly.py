"""Assembly: frames of one peer of which some pieces have come, in any order.

Speaks:      `add(key, header, piece, bodies)` -> the body when its last piece has come.
Keeps:       the first piece for a place stays, whoever sends another; at most so many frames and
             bytes, of which the oldest goes first.
Never:       whether a body is authentic (secure.frames).
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

from unisono.base.group import Buffer
from unisono.base.ids import SECOND, Nanos
from unisono.base.limits import SECURE_PARTIAL_BYTES_MAX, SECURE_PARTIAL_FRAMES_MAX
from unisono.wire.ust.header import Header
from unisono.wire.ust.pieces import Piece

PARTIAL_NS: Final = SECOND
"""A frame whose pieces have not come by then is lost; the ring has asked for it again long ago."""
Key: TypeAlias = tuple[bytes, int, int, int, int]
"""Pieces of one frame agree in it: header or generation, frame, pieces, total, step."""


class Partial:
    """A frame of which some pieces have come."""

    __slots__ = ("born", "bytes", "header", "missing", "pieces")

    def __init__(self, header: Header, count: int, born: Nanos) -> None:
        self.header = header
        self.born = born
        self.bytes = 0
        self.missing = count
        self.pieces: list[bytes | None] = [None] * count


class Assembly:
    """The partial frames of one peer."""

    __slots__ = ("_bytes", "_partials", "contradicted", "dropped", "misfit", "repeated")

    def __init__(self) -> None:
        self._partials: dict[Key, Partial] = {}
        """By age: a partial frame keeps its place from its first piece on."""
        self._bytes = 0
        self.contradicted = 0
        """Pieces that differ from an earlier one for the same place."""
        self.dropped = 0
        """Pieces of frames that were pushed out or grew too old."""
        self.misfit = 0
        """Pieces that have not the size of their place."""
        self.repeated = 0
        """Pieces that had come before."""

    def __len__(self) -> int:
        return len(self._partials)

    def add(
        self, key: Key, header: Header, piece: Piece, bodies: Iterable[Buffer], now: Nanos
    ) -> bytes | None:
        """Add `piece` and those that follow it: `bodies` has the data of all. The whole, if it is.

        A whole body is removed, authentic or not.
        """
        partial = self._partials.get(key)
        if partial is None:
            partial = self._partials[key] = Partial(header, piece.pieces, now)
        self._place(partial, piece, bodies)
        if partial.missing:
            return None
        self.remove(key)
        return b"".join([data for data in partial.pieces if data is not None])

    def _place(self, partial: Partial, piece: Piece, bodies: Iterable[Buffer]) -> None:
        """Copy the data of `piece` and its followers to their places, unless these are taken."""
        slots, step = partial.pieces, piece.step
        last, rest = piece.pieces - 1, piece.total - (piece.pieces - 1) * step
        before = partial.bytes
        for number, body in enumerate(bodies, piece.number):
            held = slots[number]
            if held is not None:
                if held == body:
                    self.repeated += 1
                else:
                    self.contradicted += 1
            elif len(body) != (rest if number == last else step):
                self.misfit += 1
            else:
                slots[number] = bytes(body)
                partial.missing -= 1
                partial.bytes += len(body)
        self._bytes += partial.bytes - before

    def remove(self, key: Key) -> None:
        """Forget this frame, if anything of it is here."""
        partial = self._partials.pop(key, None)
        if partial is not None:
            self._bytes -= partial.bytes

    def shed(self) -> list[Partial]:
        """Push out the oldest, as many as are beyond the bounds."""
        shed: list[Partial] = []
        while (
            len(self._partials) > SECURE_PARTIAL_FRAMES_MAX
            or self._bytes > SECURE_PARTIAL_BYTES_MAX
        ):
            shed.append(self._pop_oldest())
        return shed

    @property
    def deadline(self) -> Nanos | None:
        """When `expire` has something to drop."""
        for partial in self._partials.values():
            return Nanos(partial.born + PARTIAL_NS)
        return None

    def expire(self, now: Nanos) -> int:
        """Drop the frames that are too old; how many."""
        count = 0
        while (due := self.deadline) is not None and due <= now:
            self._pop_oldest()
            count += 1
        return count

    def _pop_oldest(self) -> Partial:
        partial = self._partials.pop(next(iter(self._partials)))
        self._bytes -= partial.bytes
        self.dropped += len(partial.pieces) - partial.missing
        return partial
