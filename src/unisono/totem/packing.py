"""The send queue: messages wait whole, and become packets only when the token is here.

Counterpart: corosync exec/totempg.c (mcast_msg), which packs when a message is queued.
Keeps:       a message leaves the queue when its last fragment has become part of a packet, so that
             a message begun on one ring can be sent again, whole, on the next.
Never:       a sequence number, a ring.
"""

from collections import deque
from typing import Final

from unisono.base.group import Buffer
from unisono.base.limits import SEND_QUEUE_BYTES_MAX
from unisono.wire.ring.pg import (
    LENGTH_BYTES,
    PACKET_HEADER_BYTES,
    PART_BYTES_MAX,
    encode_packet_header,
    encode_prefix,
)
from unisono.wire.ring.srp import MCAST_HEADER_BYTES

FRAGMENT_NUMBER_MAX: Final = 255
FRAGMENT_BYTES_MIN: Final = 512
"""A smaller beginning of a message is not worth putting it together again."""
MESSAGE_OVERHEAD_BYTES: Final = 64
"""What a queued message is charged beyond its bytes, so that empty messages are bounded, too."""


def packet_capacity(net_mtu_bytes: int) -> int:
    """Bytes for lengths and parts in one packet.

    Two mcast headers are kept free, so that the packet still fits when recovery wraps it
    (corosync exec/totemsrp.c, net_mtu).
    """
    return net_mtu_bytes - 2 * MCAST_HEADER_BYTES - PACKET_HEADER_BYTES


class Packet:
    """One packet ready to be sent: gather `pieces`; `complete` are the messages that end in it."""

    __slots__ = ("complete", "pieces", "safe")

    def __init__(
        self, pieces: list[Buffer], *, safe: bool, complete: list[tuple[bytes, Buffer]]
    ) -> None:
        self.pieces = pieces
        self.safe = safe
        self.complete = complete


class _Waiting:
    __slots__ = ("group", "length", "payload", "prefix", "safe")

    def __init__(self, group: bytes, prefix: bytes, payload: Buffer, *, safe: bool) -> None:
        self.group = group
        self.prefix = prefix
        self.payload = payload
        self.length = len(prefix) + len(payload)
        self.safe = safe

    def cut(self, start: int, end: int) -> list[Buffer]:
        """The pieces of bytes `start` to `end` of prefix and payload."""
        head = len(self.prefix)
        payload = self.payload
        if start >= head:
            if start == head and end == self.length:
                return [payload]
            return [memoryview(payload)[start - head : end - head]]
        if end == self.length and start == 0:
            return [self.prefix, payload]
        return [self.prefix[start:end], memoryview(payload)[: max(0, end - head)]]


class SendQueue:
    """Messages that wait for the token, first in, first out; bounded in bytes."""

    __slots__ = (
        "_capacity",
        "_fragment",
        "_is_void",
        "_offset",
        "_prefixes",
        "_waiting",
        "bytes_waiting",
        "is_dense",
    )

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[_Waiting] = deque()
        self._offset = 0
        self._fragment = 0
        self._is_void = False
        self._prefixes: dict[bytes, bytes] = {}
        self.bytes_waiting = 0
        self.is_dense = False
        """Fill packets to the brim: every member of the ring is Unisono, and reads on behind a
        fragment that it cannot use."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def packets(self) -> int:
        """About how many packets are waiting: what the token's backlog counts."""
        return -(-self.bytes_waiting // self._capacity)

    def has_room(self, payload_bytes: int) -> bool:
        """Whether a message of that size would be taken; an empty queue takes any."""
        charge = payload_bytes + MESSAGE_OVERHEAD_BYTES
        return not self._waiting or self.bytes_waiting + charge <= SEND_QUEUE_BYTES_MAX

    def push(self, group: bytes, payload: Buffer, *, safe: bool) -> None:
        """Queue one message; its bytes must not change afterwards."""
        prefix = self._prefixes.get(group)
        if prefix is None:
            prefix = self._prefixes[group] = encode_prefix(group)
        self._waiting.append(_Waiting(group, prefix, payload, safe=safe))
        self.bytes_waiting += len(payload) + MESSAGE_OVERHEAD_BYTES

    def restart_partial(self) -> None:
        """Send the message that has begun to leave from its beginning again."""
        self._offset = 0
        self._fragment = 0
        self._is_void = False

    def repeat_partial(self) -> None:
        """End the message that has begun to leave, as a part that nobody keeps; then send it whole.

        Members forget the beginning with the ring it was sent on, but Corosync's go on waiting
        for the end, and would take nothing else before it.
        """
        self._is_void = self._offset > 0

    def take_over(self, other: "SendQueue") -> None:
        """Append every message that waits in `other`, whole, and leave that one empty."""
        self._waiting += other._waiting
        self.bytes_waiting += other.bytes_waiting
        other._waiting.clear()
        other.bytes_waiting = 0
        other.restart_partial()

    def next_packet(self) -> Packet | None:
        """Take as much as one packet holds, or None when nothing waits.

        Unless `is_dense`, a message that would fit a packet of its own is not cut, and the last
        fragment of a message travels alone, as Corosync sends it: a joiner that never heard its
        beginning drops the whole packet.
        """
        waiting = self._waiting
        if not waiting:
            return None
        capacity = self._capacity
        room = capacity
        continuation = self._fragment
        fragmented = 0
        safe = False
        lengths: list[int] = []
        pieces: list[Buffer] = []
        complete: list[tuple[bytes, Buffer]] = []
        while waiting:
            message = waiting[0]
            offset = self._offset
            rest = message.length - offset
            if rest + LENGTH_BYTES <= room and rest <= PART_BYTES_MAX:
                end = message.length
                if not self._is_void:
                    waiting.popleft()
                    self.bytes_waiting -= len(message.payload) + MESSAGE_OVERHEAD_BYTES
                    complete.append((message.group, message.payload))
                self.restart_partial()
            elif lengths and self._is_full(rest, room):
                break
            else:
                end = offset + min(room - LENGTH_BYTES, PART_BYTES_MAX)
                fragmented = self._fragment = self._fragment % FRAGMENT_NUMBER_MAX + 1
                self._offset = end
            safe = safe or message.safe
            lengths.append(end - offset)
            pieces += message.cut(offset, end)
            room -= end - offset + LENGTH_BYTES
            if fragmented or (continuation and not self.is_dense):
                break
        header = encode_packet_header(fragmented, continuation, lengths)
        return Packet([header, *pieces], safe=safe, complete=complete)

    def _is_full(self, rest: int, room: int) -> bool:
        """Whether a message of `rest` bytes, too large for the `room` left, begins a new packet."""
        if self.is_dense:
            return room <= FRAGMENT_BYTES_MIN
        return rest + LENGTH_BYTES <= self._capacity or room <= LENGTH_BYTES
