"""Reassembly: packets of one origin back to whole messages.

Counterpart: corosync exec/totempg.c (assembly, throw_away_mode).
Keeps:       at most one unfinished message per origin, bounded in bytes.
"""

from unisono.base.ids import NodeId
from unisono.base.limits import MULTICAST_BYTES_MAX
from unisono.wire.ring.pg import decode_packet


class _Unfinished:
    __slots__ = ("bytes_held", "fragment", "pieces")

    def __init__(self) -> None:
        self.fragment = 0
        self.pieces: list[memoryview] = []
        self.bytes_held = 0


class Assembler:
    """The unfinished messages of every origin; one instance per kind of traffic."""

    __slots__ = ("_unfinished", "orphans")

    def __init__(self) -> None:
        self._unfinished: dict[NodeId, _Unfinished] = {}
        self.orphans = 0
        """Fragments dropped because the rest of their message was never received here."""

    def accept(self, origin: NodeId, body: memoryview) -> list[memoryview]:
        """The messages that `body` (an mcast body) completes. Raises WireError.

        A joiner hears the tail of a message whose head was sent before its time: dropped and
        counted.
        """
        fragmented, continuation, parts = decode_packet(body)
        unfinished = self._unfinished.pop(origin, None)
        if continuation:
            if unfinished is None or unfinished.fragment != continuation:
                self.orphans += 1
                unfinished = None
                if len(parts) == 1:
                    # What continues an orphan is an orphan: its own continuation must not match.
                    return []
                del parts[0]
            elif len(parts) > 1 or not fragmented:
                pieces = [*unfinished.pieces, parts[0]]
                parts[0] = memoryview(b"".join(pieces))
                unfinished = None
        elif unfinished is not None:
            self.orphans += 1
            unfinished = None
        if fragmented:
            self._keep(origin, unfinished or _Unfinished(), fragmented, parts.pop())
        return parts

    def _keep(
        self, origin: NodeId, unfinished: _Unfinished, fragment: int, piece: memoryview
    ) -> None:
        unfinished.bytes_held += len(piece)
        if unfinished.bytes_held > MULTICAST_BYTES_MAX:
            self.orphans += 1
            return
        unfinished.fragment = fragment
        unfinished.pieces.append(piece)
        self._unfinished[origin] = unfinished

    def forget(self, origin: NodeId) -> None:
        """Drop what `origin` left unfinished."""
        self._unfinished.pop(origin, None)

    def clear(self) -> None:
        """Drop everything unfinished."""
        self._unfinished.clear()
