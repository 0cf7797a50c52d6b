"""Asking: what the daemon says of itself, asked for at a bounded pace on behalf of all who scrape.

Keeps:       one question at a time, and a pause after its answer; whoever comes in between gets the
             answer that there is. A silent daemon is told of once, until it speaks again.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

from unisono import aio
from unisono.base.errors import ClusterError, CsError, UnisonoError
from unisono.base.limits import METRICS_ANSWER_SECONDS_MAX, METRICS_ASK_SECONDS_MIN
from unisono.observe.metric_table import measure_silence, measure_status
from unisono.observe.metrics import Measured


async def measure_daemon(instance: Path | None) -> list[Measured]:
    """The daemon's metrics now. UnisonoError when there is none, or it takes too long."""
    seconds = METRICS_ANSWER_SECONDS_MAX
    try:
        async with (
            asyncio.timeout(seconds),
            aio.connect(instance, protocol="native", timeout=seconds) as node,
        ):
            status = await node.status()
    except TimeoutError:
        raise ClusterError(CsError.TIMEOUT, "the daemon") from None
    return measure_status(status)


class Asking:
    """Asks one daemon, within a task group of its owner's."""

    __slots__ = ("_answered_at", "_instance", "_is_silent", "_loop", "_question", "_tasks", "_tell")

    def __init__(
        self, instance: Path | None, tasks: asyncio.TaskGroup, tell: Callable[[str], None]
    ) -> None:
        """`tell` hears, in words, when the daemon falls silent and when it answers again."""
        self._instance = instance
        self._tasks = tasks
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._question: asyncio.Task[list[Measured]] | None = None
        self._answered_at = 0.0
        self._is_silent = False

    async def answer(self) -> list[Measured]:
        """The daemon's metrics, a moment old at most; those of silence when it does not answer."""
        question = self._question
        if question is None or (question.done() and self._may_ask()):
            question = self._question = self._tasks.create_task(self._ask())
        # Who asked first may be ended; the others still wait for the same answer.
        return await asyncio.shield(question)

    def close(self) -> None:
        """Wait for no answer any more."""
        if self._question is not None:
            self._question.cancel()

    def _may_ask(self) -> bool:
        return self._loop.time() - self._answered_at >= METRICS_ASK_SECONDS_MIN

    async def _ask(self) -> list[Measured]:
        try:
            measured = await measure_daemon(self._instance)
        except (UnisonoError, OSError) as reason:  # OSError: no descriptor is left to ask with
            if not self._is_silent:
                self._tell(f"no answer: {reason}")
            self._is_silent = True
            return measure_silence()
        else:
            if self._is_silent:
                self._tell("the daemon answers again")
            self._is_silent = False
            return measured
        finally:
            self._answered_at = self._loop.time()
