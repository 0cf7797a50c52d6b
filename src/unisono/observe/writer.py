"""Writers: each target of the log has a thread, so that none can hold up the ring or another one.

Keeps:       handing a record over never waits; what a target cannot take is counted and told in
             its place; a thread starts with the first record, in the process that makes it.
"""

import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from unisono.base.limits import (
    LOG_BATCH_LINES_MAX,
    LOG_ORDERS_MAX,
    LOG_QUEUE_LINES_MAX,
    LOG_SEND_SECONDS_MAX,
    LOG_WINDOW_SECONDS,
)
from unisono.observe.formats import Format
from unisono.observe.lines import Level
from unisono.observe.records import Record
from unisono.observe.targets import Target

Order = Callable[[], str | None]
"""Carried out between two lines; says what is wrong with the target, None if it does not know."""
Tell = Callable[[str, "Writer | None"], None]
"""How all targets learn of one's trouble, or all but the given one."""


class _Gap:
    """Records are missing here: how many have been refused since the start."""

    __slots__ = ("refused",)

    def __init__(self, refused: int) -> None:
        self.refused = refused


class Writer:
    """Queue and thread of one target."""

    __slots__ = (
        "__weakref__", "_format", "_gap_told", "_hurry", "_lost", "_noted", "_queue",
        "_quiet_until", "_starting", "_tell", "_thread", "_trouble", "lost_lines", "refused",
        "target",
    )  # fmt: skip

    def __init__(self, target: Target, render: Format, tell: Tell) -> None:
        self.target = target
        self._format = render
        self._tell = tell
        self._trouble = ""
        self._quiet_until = 0.0
        self._reset()
        _writers.add(self)

    def _reset(self) -> None:
        """As new: what waits in a parent's queue is the parent's to write."""
        self._queue: SimpleQueue[Record | Order | _Gap | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._hurry = False
        self.refused = 0
        """Records for which the queue had no room."""
        self._noted = 0
        self.lost_lines = 0
        """Lines that were not written, for whatever reason."""
        self._gap_told = 0
        self._lost = 0

    # -- the ring's side ---------------------------------------------------------------------------

    def put(self, record: Record) -> None:
        """Hand over a record; it is counted when there is no room."""
        queue = self._queue
        if queue.qsize() >= LOG_QUEUE_LINES_MAX:
            self.refused += 1
            self._start()
            return
        if self.refused != self._noted:
            self._noted = self.refused
            queue.put(_Gap(self._noted))
        queue.put(record)
        if self._thread is None:
            self._start()

    def order(self, order: Order) -> bool:
        """Have something done between two lines; False when too much waits to be done."""
        if self._queue.qsize() >= LOG_QUEUE_LINES_MAX + LOG_ORDERS_MAX:
            return False
        self._queue.put(order)
        if self._thread is None:
            self._start()
        return True

    def change_format(self, render: Format) -> None:
        """Lines that are handed over from now on have another form."""

        def change() -> None:
            self._format = render

        self.order(change)

    def stop(self, *, hurry: bool) -> None:
        """End when all is written; in a hurry, without waiting for receivers that are full."""
        self._hurry = hurry
        if self._thread is None:
            self.target.close()
        else:
            self._queue.put(None)

    def join(self, seconds: float) -> bool:
        """Wait for the end; False when the target is stuck, and its thread is left to itself."""
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))
            return not self._thread.is_alive()
        return True

    @property
    def is_running(self) -> bool:
        """Whether there may be something left to write."""
        return self._thread is not None and self._thread.is_alive()

    def _start(self) -> None:
        with self._starting:
            if self.is_running:
                return
            self._thread = None
            thread = threading.Thread(target=self._run, name=f"log {self.target.name}", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads for us: the next record tries again
                return
            self._thread = thread

    # -- the thread's side -------------------------------------------------------------------------

    def _run(self) -> None:
        # Signals are the loop's. Blocked here, SIGTTOU cannot stop the daemon for writing, either.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        queue = self._queue
        going = True
        while going:
            item = self._next()
            lines: list[bytes] = []
            while isinstance(item, Record):
                lines.append(self._format(item))
                if len(lines) == LOG_BATCH_LINES_MAX or queue.empty():
                    break
                item = queue.get()
            if lines:
                self._write(lines)
            if isinstance(item, _Gap):
                self._missed(item.refused)
            elif item is None:
                going = False
            elif not isinstance(item, Record):
                self._carry_out(item)
            if queue.empty() or not going:
                self._catch_up()
        self.target.close()

    def _next(self) -> Record | Order | _Gap | None:
        """The next thing to do; meanwhile a gap that could not be told is tried now and then."""
        while self._lost:
            try:
                return self._queue.get(timeout=LOG_WINDOW_SECONDS)
            except Empty:
                self._catch_up()
        return self._queue.get()

    def _carry_out(self, order: Order) -> None:
        """What was asked for is answered each time, also in the target itself if it still works."""
        trouble = order()
        if trouble is not None:
            self._trouble = trouble
            if trouble:
                self._tell(f"Log target {self.target.name} {trouble}", None)

    def _write(self, lines: list[bytes]) -> None:
        """Write them, and before them how many are missing."""
        gap = [self._gap_line()] if self._lost else []
        patience = 0 if self._hurry else LOG_SEND_SECONDS_MAX
        written, trouble = self.target.write(gap + lines, patience)
        if gap and written:
            self._lost = 0
            written -= 1
        lost = len(lines) - written
        self._lost += lost
        self.lost_lines += lost
        self._note(trouble)

    def _catch_up(self) -> None:
        """All is written: say what is missing, also when nothing more comes."""
        self._missed(self.refused)
        if self._lost:
            self._write([])

    def _missed(self, refused: int) -> None:
        fresh = max(0, refused - self._gap_told)
        self._gap_told += fresh
        self._lost += fresh
        self.lost_lines += fresh

    def _gap_line(self) -> bytes:
        text = f"Lines missing here: {self._lost} that came too fast or could not be written"
        return self._format(Record(time.time(), Level.WARNING, "MAIN", text))

    def _note(self, trouble: str) -> None:
        """Let the other targets know of a trouble when it begins, and not all the time."""
        if trouble == self._trouble:
            return
        self._trouble = trouble
        now = time.monotonic()
        if trouble and now >= self._quiet_until:
            self._quiet_until = now + LOG_WINDOW_SECONDS
            self._tell(f"Log target {self.target.name} {trouble}", self)


_writers: Final[weakref.WeakSet[Writer]] = weakref.WeakSet()


def _forget_parents_threads() -> None:
    for writer in list(_writers):
        writer._reset()


os.register_at_fork(after_in_child=_forget_parents_threads)
