"""What every test gets: nothing may leak or block the loop, and what is left out says why.

Asynchronous tests need no mark (anyio's plugin, automatic mode) and run on asyncio.
"""

import asyncio
import gc
import inspect
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

import pytest
from blockbuster import BlockBuster
from hypothesis import HealthCheck, settings

from tests import requirements

settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=5_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

TESTS = Path(__file__).parent
INTEROP_SECONDS_MAX = 300
THREAD_SECONDS_MAX = 2.0
LOOP_TURNS_MAX = 50
KERNEL_OBJECTS = ("socket:", "pipe:", "anon_inode:", "/memfd:", "/dev/shm/")
"""What a test must close itself; ordinary files may belong to pytest, hypothesis or coverage."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


# -- what is left out, and how to repeat what failed ---------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too")


def _why_left_out(item: pytest.Item) -> str:
    if item.get_closest_marker("slow") and not item.config.getoption("--slow"):
        return "takes minutes: give --slow"
    interop = item.get_closest_marker("interop") is not None
    if (interop or item.get_closest_marker("root")) and os.geteuid() != 0:
        return "needs root (network namespaces, other users' credentials)"
    if interop and not shutil.which("corosync"):
        return "needs Debian's corosync: make setup as root"
    return ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if TESTS in item.path.parents else ""
        if folder == "interop":
            item.add_marker(pytest.mark.interop)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(INTEROP_SECONDS_MAX))
        if reason := _why_left_out(item):
            item.add_marker(pytest.mark.skip(reason=reason))
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            _guard_loop(item.fixturenames)


def _guard_loop(names: list[str]) -> None:
    """Let the guards of the loop enclose all but those of the process. The list is shared."""
    if "no_leaked_tasks" not in names:
        first = names.index("nothing_left_behind") + 1
        names[first:first] = ["loop_never_blocked", "no_leaked_tasks"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reporter = terminalreporter
    seed = getattr(reporter.config.option, "randomly_seed", None)
    for report in [*reporter.stats.get("failed", []), *reporter.stats.get("error", [])]:
        node = report.nodeid.rpartition("@")[0] or report.nodeid
        order = f" -p randomly --randomly-seed={seed}" if isinstance(seed, int) else ""
        reporter.write_line(f"repeat: {sys.executable} -m pytest '{node}'{order}")
    for line in requirements.table(reporter.stats):
        reporter.write_line(line)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """An empty directory with a short name: a socket's path has to fit into 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="unisono-") as directory:
        yield Path(directory)


# -- leaks ------------------------------------------------------------


def _descriptors() -> dict[str, str]:
    """Each open kernel object of this process, by descriptor."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:
            continue
        if target.startswith(KERNEL_OBJECTS):
            found[entry] = target
    return found


def _shared_memory() -> set[str]:
    """Segments that carry this process's id; others belong to tests that run beside this one."""
    mine = str(os.getpid())
    return {name for name in os.listdir("/dev/shm") if mine in name.split("-")}


def _new_descriptors(before: dict[str, str]) -> dict[str, str]:
    return {fd: target for fd, target in _descriptors().items() if before.get(fd) != target}


def _new_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    """Threads that the test started and that do not end soon."""
    end = time.monotonic() + THREAD_SECONDS_MAX
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(max(0.0, end - time.monotonic()))
    return [thread for thread in left if thread.is_alive()]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No descriptor, thread or shared-memory segment survives its test."""
    descriptors, threads, segments = _descriptors(), set(threading.enumerate()), _shared_memory()
    yield
    if left := _new_threads(threads):
        pytest.fail(f"threads left running: {[thread.name for thread in left]}")
    if _new_descriptors(descriptors):
        gc.collect()  # what only a reference cycle holds is not a leak
    if open_still := _new_descriptors(descriptors):
        pytest.fail(f"descriptors left open: {open_still}")
    if mapped := _shared_memory() - segments:
        pytest.fail(f"shared memory left behind: {sorted(mapped)}")


@cache
def _blocking_calls() -> BlockBuster:
    """Calls that no coroutine of ours may make. Files are left out: small local ones are stored
    synchronously on purpose (the ring sequence must be on disk before the next datagram leaves).
    """
    buster = BlockBuster("unisono")
    buster.functions = {
        name: function
        for name, function in buster.functions.items()
        if name.startswith(("time.", "socket.", "builtins."))
    }
    return buster


@pytest.fixture
def loop_never_blocked() -> Iterator[None]:
    """A sleep or a blocking socket call under the loop raises where it happens."""
    _blocking_calls().activate()
    try:
        yield
    finally:
        _blocking_calls().deactivate()


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """Every task that the test or its fixtures started has ended when they have."""
    before = asyncio.all_tasks()
    yield
    for _ in range(LOOP_TURNS_MAX):
        if not _tasks_since(before):
            return
        await asyncio.sleep(0)
    pytest.fail(f"tasks left running: {[task.get_name() for task in _tasks_since(before)]}")


def _tasks_since(before: set[asyncio.Task[object]]) -> list[asyncio.Task[object]]:
    """New tasks, without the one that the test runner makes for each of its own steps."""
    return [
        task
        for task in asyncio.all_tasks() - before
        if "TestRunner" not in getattr(task.get_coro(), "__qualname__", "")
    ]
