"""Hunt: the first seed at which a mutant is noticed, and who noticed it.

Keeps:       a seed that fails without the mutant shows nothing about it; what a checker says goes
             before an exception or a livelock, as long as it comes soon after.
"""

import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import LineGone, Mutant
from unisono.sim.run import Request, run_seed

SEEDS_MAX: Final = 2_000
PATIENCE_SEEDS: Final = 100
"""Seeds beyond the first exception or livelock in which a checker may still speak up."""
SEED_SECONDS_MAX: Final = 4.0
"""Processor time for one seed: a mutant may keep the ring so busy that the run hardly ends."""
ACCIDENTS: Final = {"exception", "livelock"}
"""Ways to be noticed that are no property."""


@dataclass(frozen=True, slots=True)
class Catch:
    """A mutant was noticed: by whom, and at which seed."""

    checker: str
    seed: int


@dataclass(frozen=True, slots=True)
class Report:
    """How a hunt ended; `catch` is None when the mutant survived, or could not be planted."""

    mutant: str
    catch: Catch | None
    seconds: float
    problem: str = ""
    """Why it could not be planted."""


class _TooLong(BaseException):
    """Not an Exception: those are what a run looks for."""


@contextmanager
def _bounded(seconds: float) -> Iterator[None]:
    def stop(_signal: int, _frame: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def judge(mutant: Mutant, seed: int) -> Catch | None:
    """Run one seed with the mutant; a run that takes too long shows nothing."""
    try:
        with mutant.planted(), _bounded(SEED_SECONDS_MAX):
            outcome = run_seed(Request(seed, stack=mutant.stack, storm=mutant.storm))
    except _TooLong:
        return None
    if "NameError" in outcome.text:
        raise LineGone(f"{mutant.name}: the wrong line names what its file does not know")
    return None if outcome.ok else Catch(outcome.name, seed)


def hunt(mutant: Mutant, seeds: Iterable[int]) -> Catch | None:
    """The first catch among `seeds`."""
    accident: Catch | None = None
    for seed in seeds:
        if accident is not None and seed > accident.seed + PATIENCE_SEEDS:
            break
        catch = judge(mutant, seed)
        if catch is None or (accident is not None and catch.checker in ACCIDENTS):
            continue
        if not run_seed(Request(seed, stack=mutant.stack, storm=mutant.storm)).ok:
            continue
        if catch.checker not in ACCIDENTS:
            return catch
        accident = catch
    return accident


def report(task: tuple[str, int]) -> Report:
    """Hunt the mutant of that name through seeds 1 to that number; for worker processes."""
    name, last = task
    begin = time.monotonic()
    try:
        catch = hunt(MUTANTS[name], range(1, last + 1))
    except LineGone as gone:
        return Report(name, None, 0.0, str(gone))
    return Report(name, catch, time.monotonic() - begin)
