"""Shrinking: a failing plan is cut down until nothing more can go, and fails in the same way still.

Speaks:      `shrink(plan, name, seconds=..., progress=...) -> Plan`; `describe(plan)`.
Counterpart: Zeller and Hildebrandt's ddmin (Simplifying and Isolating Failure-Inducing Input).
Keeps:       the plan that it returns has failed; so many runs and seconds and no more.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from unisono.base.ids import MS
from unisono.config.settings import RingSettings
from unisono.sim.armour import Armour
from unisono.sim.hazard import Fault
from unisono.sim.network import NetworkOptions
from unisono.sim.plan import Plan
from unisono.sim.run import Outcome, run_plan
from unisono.sim.shrink_moves import nearer_in_time, smaller_messages, without_node

SECONDS: Final = 60.0
"""How long a search may take, unless the caller says otherwise."""
RUNS_MAX: Final = 3_000
"""Runs of one search, whatever the clock says."""
DICE_TRIED: Final = 3
"""Other dice for the network, where what is left out changed what the old ones fall on."""
ROUNDS_MAX: Final = 8
"""How often all ways to be smaller are gone through; the second round rarely finds much."""

_T = TypeVar("_T")


def describe(plan: Plan) -> str:
    """How large a plan is, in one line."""
    return (
        f"{len(plan.nodes)} nodes, {len(plan.faults)} faults, {len(plan.messages)} messages,"
        f" {len(plan.actions)} client actions, {plan.length_ns / MS:.0f} ms"
    )


def failure_of(outcome: Outcome) -> tuple[str, str]:
    """What must stay the same: the property's name, and for an exception what was raised."""
    if outcome.name != "exception":
        return outcome.name, ""
    return outcome.name, outcome.text.splitlines()[-1].partition(":")[0]


def shrink(
    plan: Plan,
    name: str,
    *,
    seconds: float = SECONDS,
    progress: Callable[[str], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Plan:
    """The smallest plan found that fails as `plan` does. Raises ValueError if that is not `name`.

    `seconds` bound the search by `clock`; `progress` is told each smaller plan.
    """
    outcome = run_plan(plan)
    if outcome.name != name:
        raise ValueError(f"the plan does not fail with {name!r} but {outcome.name or 'not at all'}")
    return _Search(plan, outcome, clock() + seconds, progress, clock).search()


class _Search:
    """The best plan so far, and what has been tried."""

    def __init__(
        self,
        plan: Plan,
        outcome: Outcome,
        until: float,
        progress: Callable[[str], None] | None,
        clock: Callable[[], float],
    ) -> None:
        self._best = plan
        self._failure = failure_of(outcome)
        self._ended_ns = outcome.simulated_ns
        self._until = until
        self._progress = progress
        self._clock = clock
        self._runs = 0
        self._in_vain: set[Plan] = set()

    def search(self) -> Plan:
        """All ways to be smaller, until none helps or the time is over."""
        for _ in range(ROUNDS_MAX):
            before = self._best
            self._end_early()
            self._fewer_nodes()
            self._fewer("faults", _pairs(self._best.faults))
            self._fewer("messages", [(each,) for each in self._best.messages])
            self._fewer("actions", [(each,) for each in self._best.actions])
            self._plainer()
            self._sooner()
            if self._best == before or self._is_over():
                break
        return self._best

    # -- trying -----------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        return self._runs >= RUNS_MAX or self._clock() >= self._until

    def _try(self, plan: Plan, *, dice: int = 0) -> bool:
        """Whether `plan`, or the same with other dice, fails likewise: then it is the best."""
        own = self._best.seed
        others = [seed for seed in range(1, dice + 2) if seed != own][:dice]
        return any(self._try_one(replace(plan, seed=seed)) for seed in (own, *others))

    def _try_one(self, plan: Plan) -> bool:
        if plan == self._best or plan in self._in_vain or self._is_over():
            return False
        self._runs += 1
        outcome = run_plan(plan)
        if failure_of(outcome) != self._failure:
            self._in_vain.add(plan)
            return False
        self._best, self._ended_ns = plan, outcome.simulated_ns
        if self._progress is not None:
            self._progress(f"{self._runs} runs: {describe(plan)}")
        return True

    # -- ways to be smaller -----------------------------------------------------------------------

    def _end_early(self) -> None:
        """The storm ends where the run failed, or as early as it can."""
        plan = self._best
        if self._ended_ns < plan.length_ns:
            self._try(_until(plan, self._ended_ns + 1))
        low, high = 0, self._best.length_ns
        while high - low > max(MS, high // 50) and not self._is_over():
            middle = (low + high) // 2
            if self._try(_until(self._best, middle)):
                high = self._best.length_ns
            else:
                low = middle

    def _fewer_nodes(self) -> None:
        for node in reversed(self._best.nodes):
            if len(self._best.nodes) > 1:
                self._try(without_node(self._best, node), dice=DICE_TRIED)

    def _fewer(self, name: str, groups: Sequence[tuple[_T, ...]]) -> None:
        """Leave out groups of events, ever smaller sets of them at a time (ddmin)."""
        kept = list(groups)
        chunk = len(kept)
        while chunk and not self._is_over():
            start = 0
            while start < len(kept):
                rest = kept[:start] + kept[start + chunk :]
                events = sorted((each for group in rest for each in group), key=_time_of)
                smaller = replace(self._best, **{name: tuple(events)})  # type: ignore[arg-type]  # of its own kind
                if self._try(smaller, dice=DICE_TRIED if chunk == 1 and len(kept) < 8 else 0):
                    kept = rest
                else:
                    start += chunk
            chunk = chunk // 2 if chunk > 1 else 0

    def _plainer(self) -> None:
        """Settings that say nothing; small messages; everybody there from the start."""
        plan = self._best
        calm = NetworkOptions(delay_min_ns=plan.quiet.delay_min_ns, delay_mean_ns=0)
        self._try(replace(plan, quiet=calm))
        usual = RingSettings()
        for name in ("window_size", "max_messages", "miss_count_const", "fail_recv_const"):
            plain = replace(self._best.settings, **{name: getattr(usual, name)})
            self._try(replace(self._best, settings=plain))
        self._try(replace(self._best, settings=replace(self._best.settings, send_join_ns=0)))
        self._try(replace(self._best, votequorum=False))
        self._try(replace(self._best, armour=Armour()))
        self._try(replace(self._best, is_native=True))
        self._try(replace(self._best, starts=tuple((0, node) for _, node in self._best.starts)))
        for smaller in smaller_messages(self._best):
            self._try(smaller(self._best))

    def _sooner(self) -> None:
        """Less time between the events."""
        token = self._best.settings.token_timeout_ns
        for gap in (MS, 20 * MS, token // 2, 2 * token, 6 * token):
            if self._try(nearer_in_time(self._best, gap)):
                return


def _time_of(event: object) -> int:
    time: int = getattr(event, "time")  # noqa: B009  # of any kind of event
    return time


def _pairs(faults: Iterable[Fault]) -> list[tuple[Fault, ...]]:
    """Faults that belong together, together."""
    groups: dict[tuple[int, int], list[Fault]] = {}
    for number, fault in enumerate(faults):
        groups.setdefault((fault.pair, 0 if fault.pair else number), []).append(fault)
    return [tuple(group) for group in groups.values()]


def _until(plan: Plan, length: int) -> Plan:
    """The plan without what comes at `length` or later."""
    return replace(
        plan,
        length_ns=length,
        starts=tuple(start for start in plan.starts if start[0] < length),
        faults=tuple(each for each in plan.faults if each.time < length),
        messages=tuple(each for each in plan.messages if each.time < length),
        actions=tuple(each for each in plan.actions if each.time < length),
    )
