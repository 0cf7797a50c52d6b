"""Assembly: messages that came in fragments are whole again, one at a time for each sender.

Counterpart: corosync lib/cpg.c, cpg_dispatch, assembly_list.
Keeps:       bounded memory: one message per sender, no more senders than a group has members.
"""

from collections.abc import Iterable
from typing import Final

from unisono.base.limits import PARTIAL_MESSAGE_BYTES_MAX, PARTIAL_SENDERS_MAX
from unisono.client.values import Member
from unisono.wire.ipc.cpg import Fragment, PartialDeliver

_FIRST: Final = Fragment.FIRST
_LAST: Final = Fragment.LAST


class Assembly:
    """Fragments by sender. A message that does not add up is dropped."""

    __slots__ = ("_parts", "dropped")

    def __init__(self) -> None:
        self._parts: dict[Member, bytearray] = {}
        self.dropped = 0
        """Messages that were given up."""

    def add(self, sender: Member, part: PartialDeliver) -> bytes | None:
        """The whole message if this was its last fragment."""
        if part.fragment == _FIRST:
            self.forget([sender])
            if len(self._parts) >= PARTIAL_SENDERS_MAX:
                self.dropped += 1
                return None
            self._parts[sender] = bytearray()
        whole = self._parts.get(sender)
        if whole is None:
            return None
        whole += part.payload
        if len(whole) > min(part.message_bytes, PARTIAL_MESSAGE_BYTES_MAX):
            self.forget([sender])
            return None
        if part.fragment != _LAST:
            return None
        if len(whole) != part.message_bytes:
            self.forget([sender])
            return None
        return bytes(self._parts.pop(sender))

    def forget(self, senders: Iterable[Member]) -> None:
        """These senders left, or begin again: what they did not finish is dropped."""
        for sender in senders:
            if self._parts.pop(sender, None) is not None:
                self.dropped += 1
