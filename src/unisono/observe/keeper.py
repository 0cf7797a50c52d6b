"""The keeper as the daemon sees it: started early, asked for dumps, told when all ends well.

Speaks:      with keeper_process.py over a socket that keeps messages apart.
Counterpart: the crash handler and the dump request of corosync exec/main.c, exec/logsys.c.
Keeps:       one keeper to a daemon; a keeper that is gone is told once and leaves no zombie. No
             call waits but `start` (for the process to exist) and `finish`.
"""

import os
import socket
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from unisono.base.event import event
from unisono.base.group import Marked
from unisono.base.limits import FLIGHT_REQUEST_SECONDS_MIN
from unisono.base.marks import Mark
from unisono.linux.spawn import end_child, spawn_module
from unisono.observe.keeper_process import (
    ANSWER_FAILED,
    ANSWER_MADE,
    MESSAGE_BYTES_MAX,
    ORDER_DUMP,
    ORDER_END,
)
from unisono.observe.recorder import Recorder

PATIENCE_SECONDS: Final = 2.0
"""How long `finish` waits: the keeper may be writing a dump that was asked for."""


@event
class DumpMade:
    """A dump that was asked for is there."""

    path: Path


@event
class DumpFailed:
    """A dump that was asked for could not be written."""

    reason: str


class Keeper:
    """The process that holds the recorder's memory and outlives this one by one dump."""

    __slots__ = (
        "__weakref__", "_announce", "_clock", "_directory", "_orders", "_pid", "_requested",
    )  # fmt: skip

    def __init__(
        self,
        directory: Path,
        *,
        announce: Callable[[Marked], None] = lambda _marked: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Dumps go into `directory`; `announce` hears of failures, and may log and count."""
        self._directory = directory
        self._announce = announce
        self._clock = clock
        self._orders: socket.socket | None = None
        self._pid = 0
        self._requested = -float(FLIGHT_REQUEST_SECONDS_MIN)

    def start(self, recorder: Recorder) -> bool:
        """Start the process for an open recorder; False, and announced, when that fails."""
        if self._orders is not None:
            return True
        if recorder.descriptor < 0:
            self._announce(Marked(Mark.KEEPER_ENDED, 0, 0, "there is no recorder to keep"))
            return False
        try:
            self._spawn(recorder.descriptor)
        except OSError as error:
            self._announce(Marked(Mark.KEEPER_ENDED, error.errno or 0, 0, str(error.strerror)))
            return False
        _watch_forks(self)
        return True

    def _spawn(self, ring: int) -> None:
        daemon = os.pidfd_open(os.getpid())
        try:
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with theirs:
                    try:
                        given = (ring, theirs.fileno(), daemon, directory)
                        self._pid = spawn_module("unisono.observe.keeper_process", given)
                    except BaseException:
                        ours.close()
                        raise
            finally:
                os.close(directory)
        finally:
            os.close(daemon)
        ours.setblocking(False)
        self._orders = ours

    @property
    def descriptor(self) -> int:
        """Readable when `receive` has something to tell; -1 without a keeper."""
        return -1 if self._orders is None else self._orders.fileno()

    @property
    def pid(self) -> int:
        """The keeper's process; 0 without one."""
        return self._pid if self._orders is not None else 0

    def request(self) -> bool:
        """Ask for a dump; the answer comes through `receive`. False: too soon, or no keeper."""
        now = self._clock()
        if self._orders is None or now - self._requested < FLIGHT_REQUEST_SECONDS_MIN:
            return False
        try:
            self._orders.send(ORDER_DUMP)
        except OSError:  # gone, or so far behind that it has not read the requests before
            return False
        self._requested = now
        return True

    def receive(self) -> list[DumpMade | DumpFailed]:
        """What the keeper has answered; its own end is announced, and `start` may follow."""
        answers: list[DumpMade | DumpFailed] = []
        while self._orders is not None:
            try:
                message = self._orders.recv(MESSAGE_BYTES_MAX).decode(errors="replace")
            except BlockingIOError:
                break
            except OSError:
                message = ""
            if message.startswith(ANSWER_MADE):
                answers.append(DumpMade(self._directory / message.removeprefix(ANSWER_MADE)))
            elif message:
                answers.append(DumpFailed(message.removeprefix(ANSWER_FAILED)))
            else:
                self._bury()
                self._announce(Marked(Mark.KEEPER_ENDED, 0, 0, "the keeper has ended"))
        return answers

    def finish(self) -> None:
        """All ends well: the keeper ends without a dump."""
        if self._orders is not None:
            with suppress(OSError):  # it is gone already, or will be killed when patience ends
                self._orders.send(ORDER_END)
            self._bury()

    def forget(self) -> None:
        """In a forked child: the keeper is the parent's."""
        orders, self._orders = self._orders, None
        if orders is not None:
            orders.close()

    def _bury(self) -> None:
        self.forget()
        end_child(self._pid, PATIENCE_SECONDS)


_keepers: "weakref.WeakSet[Keeper]" = weakref.WeakSet()
_hooks: list[str] = []


def _watch_forks(keeper: Keeper) -> None:
    if not _hooks:
        os.register_at_fork(after_in_child=_forget_all)
        _hooks.append("registered")  # once in a process: there is no way to take it back
    _keepers.add(keeper)


def _forget_all() -> None:
    for keeper in list(_keepers):
        keeper.forget()
