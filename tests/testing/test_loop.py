"""The loop in virtual time: jumps, order, and what it refuses."""

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator

import pytest

from unisono import UsageError
from unisono.base.ids import SECOND
from unisono.sim.scheduler import Scheduler
from unisono.testing.loop import Stuck, VirtualLoop


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
def loop(scheduler: Scheduler) -> Iterator[VirtualLoop]:
    loop = VirtualLoop(scheduler)
    loop.end_ns = 20_000 * SECOND
    yield loop
    loop.close()


def test_sleepers_when_many_then_wake_at_their_times(loop: VirtualLoop) -> None:
    woken: list[tuple[float, int]] = []

    async def sleeper(seconds: int) -> None:
        await asyncio.sleep(seconds)
        woken.append((loop.time(), seconds))

    async def main() -> None:
        await asyncio.gather(*(sleeper(seconds) for seconds in (30, 1, 10_000, 2)))

    loop.run_until_complete(main())
    assert woken == [(seconds, seconds) for seconds in (1, 2, 30, 10_000)]


def test_scheduler_call_when_it_wakes_a_task_then_time_waits_for_the_task(
    loop: VirtualLoop, scheduler: Scheduler
) -> None:
    seen: list[int] = []

    async def main() -> None:
        future: asyncio.Future[None] = loop.create_future()
        scheduler.at(5 * SECOND, future.set_result, None)
        scheduler.at(6 * SECOND, seen.append, 6)
        await asyncio.wait_for(future, 100)
        assert scheduler.now == 5 * SECOND
        assert not seen
        await asyncio.sleep(2)
        assert seen == [6]

    loop.run_until_complete(main())


def test_program_when_it_spins_then_time_passes_all_the_same(
    loop: VirtualLoop, scheduler: Scheduler
) -> None:
    done: list[int] = []
    scheduler.at(SECOND // 10, done.append, 1)

    async def main() -> None:
        while not done:
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def test_tasks_when_in_a_set_then_iterated_in_one_order(loop: VirtualLoop) -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        tasks = [asyncio.create_task(nothing()) for _ in range(5)]
        futures = [loop.create_future() for _ in range(5)]
        assert list({*tasks}) == tasks
        assert list({*futures}) == futures
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())


def test_function_when_meant_for_a_thread_then_called_at_once(loop: VirtualLoop) -> None:
    async def main() -> None:
        assert await asyncio.to_thread(threading.current_thread) is threading.main_thread()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    loop.run_until_complete(main())


def test_socket_when_asked_for_then_refused(loop: VirtualLoop) -> None:
    one, other = socket.socketpair()
    with one, other, pytest.raises(UsageError, match="no sockets"):
        loop.add_reader(one, lambda: None)


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def for_long() -> None:
    await asyncio.sleep(30_000)


@pytest.mark.parametrize("main", [forever, for_long])
def test_loop_when_there_is_no_end_then_stuck(
    loop: VirtualLoop, main: Callable[[], Coroutine[None, None, None]]
) -> None:
    task = loop.create_task(main())
    with pytest.raises(Stuck):
        loop.run_until_complete(task)
    loop.is_over = True
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
