"""Told: authkeys on their way from node to node, in pieces, until they have arrived.

Keeps:       a key is told until its holder says so in the ring's order, a bounded number of times;
             of each peer one key is put together at a time.
"""

from dataclasses import dataclass
from typing import Final

from unisono.base.errors import WireError
from unisono.base.ids import MS, Nanos, NodeId
from unisono.crypto.keys import AUTHKEY_BYTES_MAX, AUTHKEY_BYTES_MIN
from unisono.wire.ust.records import Rotate

TELL_AGAIN_NS: Final = 200 * MS


@dataclass(slots=True)
class Telling:
    """A key that one node is told."""

    kid: bytes
    is_active: bool
    due: Nanos
    left: int
    """How often yet."""


class Tellings:
    """The keys that this node tells others, one to each."""

    __slots__ = ("_of",)

    def __init__(self) -> None:
        self._of: dict[NodeId, Telling] = {}

    def want(self, node: NodeId, telling: Telling) -> None:
        """Tell it, unless the node is being told this already."""
        present = self._of.get(node)
        if present is None or (present.kid, present.is_active) != (telling.kid, telling.is_active):
            self._of[node] = telling

    def drop(self, node: NodeId) -> None:
        """It has the key, or another tells it."""
        self._of.pop(node, None)

    @property
    def deadline(self) -> Nanos | None:
        """When the next one is due."""
        return min((telling.due for telling in self._of.values() if telling.left), default=None)

    def take(self, now: Nanos) -> list[tuple[NodeId, Telling]]:
        """Those that are due; the next time is set. With `left` 0 it was the last time.

        One that was told for the last time stays, so that it does not begin anew.
        """
        taken = []
        for node, telling in self._of.items():
            if telling.left and telling.due <= now:
                telling.due = Nanos(now + TELL_AGAIN_NS)
                telling.left -= 1
                taken.append((node, telling))
        return taken


class Assembly:
    """One authkey that a peer tells in pieces."""

    __slots__ = ("_pieces", "_what")

    def __init__(self) -> None:
        self._what: tuple[bytes, bool, int] | None = None
        self._pieces: dict[int, bytes] = {}

    def add(self, record: Rotate) -> bytes | None:
        """Take a piece; the key when it is whole. WireError."""
        if not AUTHKEY_BYTES_MIN <= record.size <= AUTHKEY_BYTES_MAX:
            raise WireError(f"authkey of {record.size} bytes")
        what = record.kid, record.is_active, record.size
        if what != self._what:
            self._what = what
            self._pieces.clear()
        self._pieces[record.start] = record.piece
        whole = b"".join(piece for _, piece in sorted(self._pieces.items()))
        if len(whole) < record.size:
            return None
        self._what = None
        self._pieces.clear()
        return whole
