"""Labels: what the checkers need to tell messages and joins apart, put on and taken off unseen.

Speaks:      frames of the native stream (wire.native) between the door's core and the engine.
Keeps:       every message carries a number of its own, so that equal contents are not one message;
             every connection has a process id of its own, so that who joins again is somebody new.
             Programs see neither.
"""

from collections.abc import Sequence
from itertools import count
from struct import Struct
from typing import Final

from unisono.base.ids import Pid
from unisono.wire import native
from unisono.wire.block import decode_block, encode_block

_NUMBER: Final = Struct("<Q")
CONNECTION_STEP: Final = 100_000
"""Added to a process id for each further connection of the process."""


class Labels:
    """The numbers of one run."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers = count(1)

    def put(self, frame: native.Send) -> tuple[bytes, list[bytes]]:
        """The SEND with numbered messages, and these messages."""
        payloads = [
            _NUMBER.pack(next(self._numbers)) + payload for payload in decode_block(frame.block)
        ]
        return native.encode_send(encode_block(payloads), safe=frame.safe), payloads


def take(frame: native.Block, payloads: Sequence[memoryview]) -> bytes:
    """The BLOCK with the messages as they were sent."""
    block = encode_block([payload[_NUMBER.size :] for payload in payloads])
    return native.encode_block_frame(frame.node_id, true_pid(frame.pid), block)


def connection_pid(pid: int, ordinal: int) -> Pid:
    """The process id under which the engine knows a process's connection number `ordinal`."""
    assert pid < CONNECTION_STEP
    return Pid(ordinal * CONNECTION_STEP + pid)


def true_pid(pid: int) -> Pid:
    """The process id that programs see."""
    return Pid(pid % CONNECTION_STEP)


def true_view(view: native.View) -> native.View:
    """The view with the process ids that programs see, sorted as the engine sorts."""
    return native.View(_true(view.members), _true(view.joined), _true(view.left))


def _true(members: Sequence[native.Member]) -> list[native.Member]:
    return sorted(native.Member(node, true_pid(pid), reason) for node, pid, reason in members)
