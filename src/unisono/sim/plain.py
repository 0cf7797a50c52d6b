"""PlainGroup: the least that may stand above the ring, so that the ring can be judged alone.

Speaks:      the group port, as the services' engine does; one short exchange after each change.
Counterpart: corosync exec/sync.c, of which this keeps only the barrier.
Keeps:       every member says one hello per regular view; when all are heard, sync is finished.
"""

from struct import Struct
from typing import Final

from unisono.base.group import (
    ConfigurationChanged,
    ConfigurationKind,
    Delivered,
    Multicast,
    SyncFinished,
)
from unisono.base.ids import NO_RING, NodeId, RingId

APPLICATION: Final = b"app"
HELLO: Final = b"hello"
_HELLO_LAYOUT: Final = Struct("<IQI")
assert _HELLO_LAYOUT.size == 16


class PlainGroup:
    """A group machine that sends what it is given and delivers nothing but to the trace."""

    __slots__ = ("_effects", "_heard", "_is_native", "_members", "_node", "_ring", "accepting")

    def __init__(self, node: NodeId, *, is_native: bool = True) -> None:
        self.accepting = False
        self._node = node
        self._is_native = is_native
        self._ring = NO_RING
        self._members: frozenset[NodeId] = frozenset()
        self._heard: set[NodeId] = set()
        self._effects: list[Multicast | SyncFinished] = []

    def receive(self, event: Delivered | ConfigurationChanged, now: int) -> None:
        """One event of the ring."""
        if isinstance(event, Delivered):
            if event.group == HELLO:
                self._on_hello(event)
        elif event.kind is ConfigurationKind.TRANSITIONAL:
            self.accepting = False
            self._ring = NO_RING
        else:
            self._ring = event.ring
            self._members = frozenset(event.members)
            self._heard = set()
            hello = _HELLO_LAYOUT.pack(event.ring.rep, event.ring.seq, self._node)
            self._effects.append(Multicast(HELLO, hello))

    def _on_hello(self, event: Delivered) -> None:
        rep, seq, _ = _HELLO_LAYOUT.unpack(event.payload)
        if RingId(rep, seq) != self._ring:
            return
        self._heard.add(event.origin)
        if self._heard >= self._members and not self.accepting:
            self.accepting = True
            self._effects.append(SyncFinished(native=self._is_native, ring=self._ring))

    def submit(self, request: Multicast, now: int) -> None:
        """One message of the application; only while `accepting`."""
        assert self.accepting, "a driver must not submit while the group does not accept"
        self._effects.append(request)

    def expire(self, now: int) -> None:
        """Nothing is due, ever."""

    def deadline(self) -> None:
        """No timer is used."""

    def drain(self) -> list[Multicast | SyncFinished]:
        """What is to be done, in order."""
        effects, self._effects = self._effects, []
        return effects
