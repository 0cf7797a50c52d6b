"""The native tongue: blocks over the stream to our own daemon.

Speaks:      the native stream, client side (wire.native).
Counterpart: our daemon.
Keeps:       a block is closed before it grows beyond 32 kB; a larger message is its own block.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from itertools import accumulate, islice
from typing import Final, assert_never, cast

from unisono.base.errors import CsError
from unisono.base.group import Buffer
from unisono.base.limits import BLOCK_BYTES_MAX, CLIENT_UNSENT_BYTES_MAX, MESSAGE_BYTES_MAX
from unisono.client.core import Added, Core, Entry, State, as_bytes, too_big
from unisono.client.intake import Intake
from unisono.client.values import Member, Ring
from unisono.wire import native
from unisono.wire.block import HEADER_BYTES, WORD_BYTES, encode_block, encode_sole

_ROOM: Final = BLOCK_BYTES_MAX - HEADER_BYTES
"""Bytes of a block for payloads and their end offsets."""
_BUFFERED: Final = Added.BUFFERED
_MANY_MAX: Final = 8_192
"""Messages looked at in one step of `add_many`."""
_PIECES_MAX: Final = 256
"""Pieces of one gathering write (ours; IOV_MAX is 1024)."""
_COPY_BYTES_MAX: Final = 4_096
"""What is shorter is copied behind its header; what is not is a piece of its own."""


class NativeCore(Core):
    """A connection to our daemon."""

    __slots__ = (
        "_append",
        "_intake",
        "_output",
        "_pending",
        "_room",
        "_safe",
        "room",
        "unsent_bytes",
    )

    def __init__(self) -> None:
        super().__init__()
        self.unsent_bytes = 0
        """Bytes that are to be sent, without the block at hand."""
        self._output: deque[Buffer] = deque()
        self._pending: list[bytes] = []
        self._append = self._pending.append
        self._room = -1
        """Bytes for the next payload in the block at hand; negative: no block is open."""
        self._safe = False
        self._intake = Intake()
        self.room = self._intake.room
        """Where the driver puts the next bytes that come; then it calls `received`."""

    # -- out ---------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Finish the block at hand: it is to be sent, too."""
        if self._pending:
            self._close_block()

    def output(self) -> list[Buffer]:
        """The next pieces to be sent; the driver says by `sent` how far it came."""
        return list(islice(self._output, _PIECES_MAX))

    def sent(self, count: int) -> None:
        """The first `count` bytes of `output` are gone."""
        output = self._output
        self.unsent_bytes -= count
        while count:
            piece = output[0]
            count -= len(piece)
            if count < 0:
                # So many bytes of its end are left.
                output[0] = memoryview(piece)[count:]
                return
            output.popleft()

    def greet(self) -> None:
        """HELLO."""
        self._put_out(native.encode_hello())

    def _put_out(self, frame: bytes) -> None:
        self._output.append(frame)
        self.unsent_bytes += len(frame)

    def _put_join(self) -> None:
        self._put_out(native.encode_join(self.name, rings=self._rings))

    def _put_leave(self) -> None:
        self._close_block()
        self._put_out(native.encode_leave())

    def add(self, data: Buffer, safe: bool = False) -> Added:
        """Queue one message."""
        # The hot path of the library: `_room` is negative unless a block is open and we are joined.
        if safe is self._safe and type(data) is bytes:
            room = self._room - len(data)
            if room >= 0:
                self._room = room - WORD_BYTES
                self._append(data)
                return _BUFFERED
        return self._open_block(as_bytes(data), safe)

    def _open_block(self, data: bytes, safe: bool) -> Added:
        """Queue a message that does not go into the block at hand."""
        if self.state is not State.JOINED:
            self._check_joined()
        if len(data) > MESSAGE_BYTES_MAX:
            raise too_big(len(data))
        added = Added.FULL if self._pending else Added.FIRST
        self.finish()
        self._safe = safe
        self._append(data)
        self._room = _ROOM - len(data) - 2 * WORD_BYTES
        if self._room >= 0:
            return added
        self._close_block()
        return Added.FULL

    def add_many(self, payloads: Sequence[Buffer], start: int, safe: bool = False) -> int:
        """Queue messages up to the bound of what may be unsent; nothing if one is too big."""
        self._check_joined()
        some = payloads[start : start + _MANY_MAX]
        plain = set(map(type, some)) == {bytes}
        messages = cast(list[bytes], some) if plain else list(map(as_bytes, some))
        sizes = list(map(len, messages))
        if max(sizes, default=0) > MESSAGE_BYTES_MAX:
            raise too_big(max(sizes))
        if safe is not self._safe:
            self._close_block()
            self._safe = safe
        room = self._room + WORD_BYTES if self._pending else _ROOM
        total = sum(sizes) + WORD_BYTES * len(sizes)
        if 0 < total <= room and self.unsent_bytes < CLIENT_UNSENT_BYTES_MAX:
            # All in the block at hand, as most lists are: no need to know where each one ends.
            self._pending += messages
            self._room = room - total - WORD_BYTES
            return start + len(messages)
        ends = list(accumulate(map(WORD_BYTES.__add__, sizes)))
        taken = before = 0
        while taken < len(messages) and self.unsent_bytes < CLIENT_UNSENT_BYTES_MAX:
            room = self._room + WORD_BYTES if self._pending else _ROOM
            stop = bisect_right(ends, before + room, lo=taken)
            if stop == taken and not self._pending:
                stop = taken + 1
            if stop > taken:
                self._pending += messages[taken:stop]
                self._room = room - (ends[stop - 1] - before) - WORD_BYTES
                taken, before = stop, ends[stop - 1]
            if taken < len(messages):
                self._close_block()
        return start + taken

    def fail(self, reason: str) -> None:
        """The connection ended."""
        super().fail(reason)
        self._room = -1

    def _close_block(self) -> None:
        self._room = -1
        pending = self._pending
        if not pending:
            return
        if len(pending) == 1:
            start, payloads = encode_sole(len(pending[0])), pending[0]
        else:
            start, payloads = b"", encode_block(pending)
        head = native.send_header(len(start) + len(payloads), safe=self._safe) + start
        if len(payloads) < _COPY_BYTES_MAX:
            self._put_out(head + payloads)
        else:
            self._put_out(head)
            self._put_out(payloads)
        self._pending = []
        self._append = self._pending.append

    def ask_status(self) -> int:
        """QUERY 1: JSON."""
        question = self._question()
        self._put_out(native.encode_query(question, native.What.STATUS))
        return question

    def ask_members(self, name: bytes) -> int:
        """QUERY 2."""
        question = self._question()
        self._put_out(native.encode_query(question, native.What.MEMBERS, name))
        return question

    def read_members(self, body: bytes) -> tuple[Member, ...]:
        """The members in the body of a VIEW."""
        view = native.decode_view_body(memoryview(body))
        return tuple(self._member(entry.node_id, entry.pid) for entry in view.members)

    # -- in ----------------------------------------------------------------------------------------

    def received(self, count: int) -> bool:
        """`count` bytes came into `room`: whether they made anything happen; WireError."""
        frames = self._intake.frames(count)
        for frame in frames:
            block = native.split_block(frame)
            if block is None:
                self._on_frame(frame)
            else:
                self._on_block(*block)
        if not frames:
            return False
        self.version += 1
        return True

    def _on_frame(self, frame: memoryview) -> None:
        event = native.decode_to_client(frame)
        match event:
            case native.Block(node_id, pid, block):  # by `split_block` already, as a rule
                self._on_block(node_id, pid, block)
            case native.View(members, joined, left):
                self._on_view(
                    *([Entry(*entry) for entry in part] for part in (members, joined, left))
                )
            case native.Ring(ring, nodes):
                self._on_ring(Ring(ring, tuple(nodes)))
            case native.Reply(_, error):
                self._on_reply(error)
            case native.Answer(question, error, body):
                self._on_answer(question, error, bytes(body))
            case native.Progress():
                pass  # of a question that this core never asks
            case native.Welcome(version, node_id, pid, _):
                if version == native.VERSION:
                    self._on_greeted(node_id, pid)
                else:
                    self._on_reply(CsError.VERSION)
            case _:
                assert_never(event)
