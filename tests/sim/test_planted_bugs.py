"""Every planted bug is noticed by a checker within the seeds of the smoke run."""

import pytest

from tests.sim.planted import PLANTED, PLANTED_IN_SERVICES
from unisono.sim.run import Request, run_seed

SEEDS_MAX = 300

EXPECTED = {
    "recovery is skipped": {"virtual synchrony"},
    "delivered before the gap is filled": {"virtual synchrony", "gap freedom", "agreed order"},
    "the transitional view is forgotten": {"transitional views"},
    "the ring sequence is never stored": {"unique views"},
    "companions come from other rings": {"transitional views"},
    "safe is agreed": {"safe delivery"},
    "safe after one rotation": {"safe delivery"},
    "messages are forgotten at once": {"virtual synchrony", "liveness", "self delivery"},
    "nothing missing is asked for": {"liveness", "self delivery", "virtual synchrony"},
    "strangers are not heard": {"liveness"},
    "the rest of the old ring is dropped": {"self delivery", "virtual synchrony"},
    "own messages come twice": {"integrity"},
    "own packets are read backwards": {"causal order", "agreed order"},
    "a bit flips while packing": {"integrity"},
    "half a message goes on to newcomers": {"virtual synchrony", "gap freedom", "liveness"},
    "aru passes over a hole": {"virtual synchrony", "liveness", "gap freedom", "self delivery"},
    "ring sequences of others are not learnt": {"unique views"},
    "the dead stay in their groups": {"no ghosts"},
    "lists of newcomers are not read": {"no ghosts"},
    "a block is lost on the way to clients": {"group agreement"},
    "the exchange does not wait for all": {"no ghosts", "virtual synchrony", "liveness"},
}
ALL = PLANTED | PLANTED_IN_SERVICES


def test_planted_bugs_when_listed_then_each_has_its_checkers() -> None:
    assert EXPECTED.keys() == ALL.keys()
    assert len(PLANTED) >= 10


@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", ALL)
def test_planted_bug_when_seeds_are_run_then_a_checker_of_its_property_fires(
    bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ALL[bug](monkeypatch)
    stack = "services" if bug in PLANTED_IN_SERVICES else ""
    seen = []
    for seed in range(1, SEEDS_MAX + 1):
        outcome = run_seed(Request(seed, stack=stack))
        if outcome.name in EXPECTED[bug]:
            return
        if not outcome.ok:
            seen.append(f"{seed}: {outcome.name}")
    pytest.fail(f"not noticed within {SEEDS_MAX} seeds; others that fired: {seen}")
