"""An asyncio loop in virtual time: when no task can go on, time jumps to whatever comes next.

Keeps:       the scheduler's clock is the loop's; tasks and futures hash by their ordinal, so that
             a set of them is iterated alike in every run.
Never:       sleeps, polls a descriptor, starts a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextvars import Context
from functools import partial
from itertools import count
from math import ceil
from selectors import SelectorKey, SelectSelector
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack

from unisono.base.errors import UsageError
from unisono.base.ids import MS, SECOND, Nanos
from unisono.sim.scheduler import Scheduler
from unisono.testing.stream import Stream

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

LEAP_NS_MAX: Final = SECOND
"""Longest jump between two looks at what else the loop may have to do (an interrupt, say)."""
TURNS_PER_MS: Final = 100
"""Turns of the loop that may find work at one instant; a program that spins spends time, too."""

PLEAS_MAX: Final = 3
"""How often tasks are cancelled that go on waiting after the end."""
_NO_DESCRIPTORS: Final = "no sockets or pipes in virtual time: give the test a stand-in"


class Stuck(Exception):
    """The run does not end: nothing can happen any more, or too much virtual time has passed."""


class _Task(asyncio.Task[Any]):
    """A task that hashes by its ordinal."""

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        *,
        ordinal: int,
        **named: Any,
    ) -> None:
        self._ordinal = ordinal
        super().__init__(coroutine, **named)

    def __hash__(self) -> int:
        return self._ordinal


class _Future(asyncio.Future[Any]):
    """A future that hashes by its ordinal."""

    def __init__(self, *, ordinal: int, loop: asyncio.AbstractEventLoop) -> None:
        self._ordinal = ordinal
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._ordinal


class _Leaper(SelectSelector):
    """A selector of nothing: to wait is to let the scheduler run."""

    def __init__(self, leap: Callable[[float | None], None]) -> None:
        super().__init__()
        self._leap = leap

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        """Only the loop's own pipe, which is the first to come."""
        if self.get_map():
            raise UsageError(_NO_DESCRIPTORS)
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Let virtual time pass; no descriptor ever becomes ready."""
        self._leap(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs over `scheduler`'s time, up to `end_ns`; Stuck beyond."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.end_ns = 0
        self.is_over = False
        """The simulated world has stopped; only the tasks' last turns are left."""
        self._scheduler = scheduler
        self._woken = False
        self._turns = 0
        self._pleas = 0
        self._ordinals = count(1)
        super().__init__(_Leaper(self._leap))
        self.set_task_factory(self._make_task)

    # -- for asyncio -------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual seconds."""
        return self._scheduler.now / SECOND

    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """As any loop; and time stops until it is done."""
        self._woken = True
        return super().call_soon(callback, *args, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by its ordinal."""
        return _Future(ordinal=next(self._ordinals), loop=self)

    def run_in_executor(
        self,
        executor: Executor | None,
        func: Callable[[Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """Call `func` at once: threads would bring their own order of events."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # whatever it raises belongs to who awaits
            future.set_exception(error)
        return future

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **named: Any,
    ) -> _Task:
        return _Task(coroutine, ordinal=next(self._ordinals), loop=loop, **named)

    def add_reader(
        self, fd: FileDescriptorLike, callback: Callable[[Unpack[_Ts]], Any], *args: *_Ts
    ) -> None:
        """Watch a simulated socket for what arrives."""
        _simulated(fd).watch_input(partial(callback, *args))

    def remove_reader(self, fd: FileDescriptorLike) -> bool:
        """Do not watch it any more."""
        _simulated(fd).watch_input(None)
        return True

    def add_writer(
        self, fd: FileDescriptorLike, callback: Callable[[Unpack[_Ts]], Any], *args: *_Ts
    ) -> None:
        """Watch a simulated socket for room."""
        _simulated(fd).watch_room(partial(callback, *args))

    def remove_writer(self, fd: FileDescriptorLike) -> bool:
        """Do not watch it any more."""
        _simulated(fd).watch_room(None)
        return True

    # -- time --------------------------------------------------------------------------------------

    def _leap(self, timeout: float | None) -> None:
        """Nothing is ready for `timeout` seconds, unless the world makes it so before."""
        scheduler = self._scheduler
        self._woken = False
        if timeout is not None and timeout <= 0:
            self._turns += 1
            self._pass(MS if self._turns % TURNS_PER_MS == 0 else 0)
            return
        self._turns = 0
        if timeout is None and self.is_over and self._pleas < PLEAS_MAX:
            self._plead()
            return
        if timeout is None and (self.is_over or not scheduler.waiting):
            raise Stuck("nothing can happen any more: every task waits for another")
        if scheduler.now >= self.end_ns and not self.is_over:
            raise Stuck(f"no end after {self.end_ns // SECOND} virtual seconds")
        self._pass(LEAP_NS_MAX if timeout is None else min(ceil(timeout * SECOND), LEAP_NS_MAX))

    def _plead(self) -> None:
        """Cancel again what did not end when it was told to: nothing else will wake it."""
        self._pleas += 1
        for task in sorted(asyncio.all_tasks(self), key=hash):
            task.cancel()

    def _pass(self, duration_ns: int) -> None:
        """Let so much time pass, less if something becomes ready."""
        scheduler = self._scheduler
        if self.is_over:
            scheduler.now = Nanos(scheduler.now + duration_ns)
            return
        # The scheduler's bound is one for a whole run; here it serves for one leap.
        scheduler.calls = 0
        scheduler.run_until(scheduler.now + duration_ns, lambda: self._woken)


def _simulated(fd: FileDescriptorLike) -> Stream:
    if not isinstance(fd, Stream):
        raise UsageError(_NO_DESCRIPTORS)
    return fd
