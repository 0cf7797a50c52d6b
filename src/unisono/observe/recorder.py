"""The flight recorder: what this process did last, in memory that outlives it.

Counterpart: libqb lib/log_blackbox.c.
Keeps:       the memory is written and never read; where the next cell goes is known to this
             process alone. Recording never raises and never waits. Of a fatal signal Python's
             fault handler says more, behind the cells: no code of ours could run then.
Never:       a payload or a key: only marks, their numbers, and texts that a log may show.
"""

import faulthandler
import os
import struct
import time
import weakref
from collections.abc import Callable, Container
from typing import Final, NamedTuple, Protocol, TypeAlias

from unisono.base.errors import UsageError
from unisono.base.group import Marked
from unisono.base.limits import FLIGHT_CELLS, FLIGHT_CELLS_MAX, FLIGHT_LAST_WORDS_BYTES
from unisono.base.marks import Mark
from unisono.linux.life import boot_id, start_ticks
from unisono.linux.sealed_memory import SealedMemory
from unisono.wire.blackbox.dump_file import CELL_BYTES
from unisono.wire.blackbox.flight import (
    CELL_LAYOUT,
    HEADER_BYTES,
    KIND_SKIP,
    MARK_CELL,
    MARK_LAYOUT,
    TEXT_CELLS_MAX,
    FlightHeader,
    FlightRecord,
    encode_header,
    encode_record,
)

Witness: TypeAlias = Callable[[Marked], None]
_NOWHERE: Final = memoryview(bytearray())
"""Where a closed recorder writes: every record fails there."""


class MarkRecorder(Protocol):
    """The fast way to record."""

    def __call__(self, mark: int, a: int = 0, b: int = 0, /) -> None:
        """Record a mark without text."""
        ...


class _Pen(NamedTuple):
    """Where the next cell goes, and what writes there."""

    mark: MarkRecorder
    shortcut: Callable[[dict[Mark, int], Container[Mark], Callable[[Marked], None]], Witness]
    use: Callable[[memoryview], None]
    """Begin anew in this memory."""
    where: Callable[[], tuple[int, int]]
    """Place and number of the next cell."""
    move: Callable[[int, int], None]
    """The next cell is here now; the ring's end is its start."""


def _make_pen(end: int, write: Callable[[FlightRecord], None]) -> _Pen:
    """A pen; `write` takes what it cannot.

    A closure, and the same lines twice in it: attributes and a call more would cost a mark half
    as much again, and the daemon makes one at each visit of the token.
    """
    pack, now, refused = MARK_LAYOUT.pack_into, time.monotonic_ns, struct.error
    last = end - CELL_BYTES
    view, at, number = _NOWHERE, HEADER_BYTES, 0

    def mark(mark: int, a: int = 0, b: int = 0, /) -> None:
        nonlocal at, number
        try:
            pack(view, at, number, now(), b, a, mark, MARK_CELL, number)
        except refused:  # a closed recorder, or numbers that need more room
            write(FlightRecord(0, 0, mark, a, b))
            return
        number += 1
        at = at + CELL_BYTES if at < last else HEADER_BYTES

    def shortcut(
        counts: dict[Mark, int], told: Container[Mark], tell: Callable[[Marked], None]
    ) -> Witness:
        def witness(marked: Marked) -> None:
            nonlocal at, number
            kind = marked.mark
            counts[kind] += 1
            if marked.text or kind in told:
                tell(marked)
                return
            try:
                pack(view, at, number, now(), marked.b, marked.a, kind, MARK_CELL, number)
            except refused:
                write(FlightRecord(0, 0, kind, marked.a, marked.b))
                return
            number += 1
            at = at + CELL_BYTES if at < last else HEADER_BYTES

        return witness

    def use(fresh: memoryview) -> None:
        nonlocal view, at, number
        view, at, number = fresh, HEADER_BYTES, 0

    def where() -> tuple[int, int]:
        return at, number

    def move(to: int, next_number: int) -> None:
        nonlocal at, number
        at, number = HEADER_BYTES if to == end else to, next_number

    return _Pen(mark, shortcut, use, where, move)


class Recorder:
    """A ring of cells in sealed memory; closed until `open`, and in every forked child."""

    __slots__ = (
        "__weakref__", "_announce", "_catches", "_cells", "_end", "_memory", "_node_id", "_pen",
        "mark", "missed",
    )  # fmt: skip

    def __init__(
        self,
        node_id: int,
        *,
        cells: int = FLIGHT_CELLS,
        announce: Callable[[Marked], None] = lambda _marked: None,
    ) -> None:
        """`announce` hears when recording fails and when it goes on; it may log and count."""
        if not TEXT_CELLS_MAX <= cells <= FLIGHT_CELLS_MAX:
            raise UsageError(f"{cells} cells; use {TEXT_CELLS_MAX} to {FLIGHT_CELLS_MAX}")
        self._node_id = node_id
        self._cells = cells
        self._end = HEADER_BYTES + cells * CELL_BYTES
        self._announce = announce
        self._memory: SealedMemory | None = None
        self._pen = _make_pen(self._end, self._write)
        self.mark = self._pen.mark
        """Record a mark without text, its number and two more: the fast way."""
        self._catches = False
        self.missed = 0
        """Records that found the recorder closed, or memory gone."""

    def open(self) -> bool:
        """Begin to record, in the process that will go on; False, and announced, when refused."""
        if self._memory is not None:
            return True
        try:
            memory = SealedMemory("unisono-flight", self.ring_bytes)
        except OSError as error:
            self._announce(Marked(Mark.RECORDER_FAILED, error.errno or 0, 0, str(error.strerror)))
            return False
        memory.view[:HEADER_BYTES] = encode_header(self._header())
        self._memory = memory
        self._pen.use(memory.view)
        _watch_forks(self)
        if self.missed:
            self._announce(Marked(Mark.RECORDER_RESUMED, self.missed, 0, ""))
        return True

    def catch_fatal_signals(self) -> None:
        """Let SIGSEGV and its like write their name and the traceback behind the cells.

        In the whole process, and nowhere else from now on; until `close`, and not in children.
        """
        if self._memory is None:
            return
        # The size is sealed: a text that is too long for the room is refused, never waited for.
        os.lseek(self._memory.descriptor, self._end, os.SEEK_SET)
        faulthandler.enable(self._memory.descriptor, all_threads=False)
        self._catches = True

    def close(self) -> None:
        """Record no more; the keeper has its own hold on the memory."""
        if self._catches:  # before its descriptor is another's
            faulthandler.disable()
            self._catches = False
        self._pen.use(_NOWHERE)
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()

    @property
    def descriptor(self) -> int:
        """The memory, for the keeper; -1 when closed."""
        return -1 if self._memory is None else self._memory.descriptor

    @property
    def ring_bytes(self) -> int:
        """Header, cells, and room for last words."""
        return self._end + FLIGHT_LAST_WORDS_BYTES

    def shortcut(
        self, counts: dict[Mark, int], told: Container[Mark], tell: Callable[[Marked], None]
    ) -> Witness:
        """What counts a mark and records it, in one call; those with text or in `told`: `tell`."""
        return self._pen.shortcut(counts, told, tell)

    def record(self, mark: int, a: int = 0, b: int = 0, text: str = "") -> None:
        """Record a mark; with text it takes several cells and more time."""
        if text:
            self._write(FlightRecord(0, 0, mark, a, b, text=text))
        else:
            self.mark(mark, a, b)

    def log(self, priority: int, function: str, text: str, *, line: int = 0, tag: int = 0) -> None:
        """Record a log line; `priority` as in syslog(3), trace 8."""
        self._write(FlightRecord(0, 0, 0, 0, 0, priority, function, line, tag, text))

    def _write(self, record: FlightRecord) -> None:
        if self._memory is None:
            self.missed += 1
            return
        now = time.monotonic_ns()
        at, number = self._pen.where()
        data = encode_record(number, now, record)
        if at + len(data) > self._end:
            at, number = self._skip_to_start(at, number, now)
            data = encode_record(number, now, record)
        view = self._memory.view
        # The text first: a head is only there when all that it speaks of is.
        view[at : at + CELL_BYTES] = _EMPTY_CELL
        view[at + CELL_BYTES : at + len(data)] = data[CELL_BYTES:]
        view[at : at + CELL_BYTES] = data[:CELL_BYTES]
        self._pen.move(at + len(data), number + len(data) // CELL_BYTES)

    def _skip_to_start(self, at: int, number: int, now: int) -> tuple[int, int]:
        """Leave the rest of the end free; where to write instead."""
        assert self._memory is not None
        left = (self._end - at) // CELL_BYTES
        fields = (number, now, 0, 0, 0, KIND_SKIP, left, number)
        CELL_LAYOUT.pack_into(self._memory.view, at, *fields)
        return HEADER_BYTES, number + left

    def _header(self) -> FlightHeader:
        pid = os.getpid()
        return FlightHeader(
            cells=self._cells,
            boot_id=boot_id(),
            pid=pid,
            node_id=self._node_id & 0xFFFFFFFF,
            start_ticks=start_ticks(pid),
            monotonic_ns=time.monotonic_ns(),
            realtime_ns=time.time_ns(),
        )


_EMPTY_CELL: Final = bytes(CELL_BYTES)
_recorders: "weakref.WeakSet[Recorder]" = weakref.WeakSet()
_hooks: list[str] = []


def _watch_forks(recorder: Recorder) -> None:
    """A child writes nothing into its parent's memory: each would overwrite what the other says."""
    if not _hooks:
        os.register_at_fork(after_in_child=_close_all)
        _hooks.append("registered")  # once in a process: there is no way to take it back
    _recorders.add(recorder)


def _close_all() -> None:
    for recorder in list(_recorders):
        recorder.close()
