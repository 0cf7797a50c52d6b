"""Shrinking: what a failing run is cut down to fails likewise, and says itself as a scenario."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from unisono.base.ids import MS, NodeId
from unisono.sim import shrink as shrinking
from unisono.sim.hazard import Fault
from unisono.sim.network import NetworkOptions
from unisono.sim.plan import Plan, draw_plan
from unisono.sim.plan_words import PlanError, read_plan, run_words, write_plan, write_scenario
from unisono.sim.run import Outcome, Request, run_plan
from unisono.sim.script import ScriptError, run_script
from unisono.sim.shrink import describe, failure_of, shrink
from unisono.sim.shrink_moves import nearer_in_time, smaller_messages, without_node
from unisono.sim.workload import ClientAction, Message
from unisono.totem import Totem
from unisono.totem.delivery import Delivery

SEEDS_MAX = 60
ONE, TWO, THREE = NodeId(1), NodeId(2), NodeId(3)


def small_plan(**changes: object) -> Plan:
    """A plan of three nodes in which nothing breaks."""
    plan = draw_plan(Request(1, nodes=3, stack="ring"))
    plain = replace(
        plan,
        nodes=(ONE, TWO, THREE),
        starts=((0, ONE), (0, TWO), (5 * MS, THREE)),
        faults=(),
        messages=(),
        actions=(),
        quiet=NetworkOptions(delay_mean_ns=0),
        length_ns=200 * MS,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]  # named by each test


def fault(time: int, verb: str, *arguments: object, pair: int = 0) -> Fault:
    return Fault(time, verb, arguments, pair)


@pytest.fixture
def swallows_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: every third packet is never delivered."""
    deliver = Delivery._open

    def wrong(self: Delivery, message: object, effects: list[object]) -> None:
        before = len(effects)
        deliver(self, message, effects)  # type: ignore[arg-type]  # the replaced method's own
        if getattr(message, "seq", 0) % 3 == 0:
            del effects[before:]

    monkeypatch.setattr(Delivery, "_open", wrong)


def first_failure() -> tuple[Plan, Outcome]:
    """The first seed that fails, of those with something to cut away."""
    for seed in range(1, SEEDS_MAX + 1):
        plan = draw_plan(Request(seed, stack="ring"))
        if len(plan.nodes) >= 3 and len(plan.faults) >= 4 and len(plan.messages) >= 20:
            outcome = run_plan(plan)
            if not outcome.ok:
                return plan, outcome
    pytest.fail("no seed fails with a bug planted")


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("swallows_packets")
def test_failing_seed_when_shrunk_then_is_smaller_and_its_scenario_repeats_the_failure() -> None:
    plan, outcome = first_failure()
    told: list[str] = []
    small = shrink(plan, outcome.name, seconds=20, progress=told.append)
    again = run_plan(small)
    assert again.name == outcome.name
    assert len(small.nodes) < len(plan.nodes)
    assert len(small.faults) * 2 <= len(plan.faults)
    assert len(small.messages) * 4 <= len(plan.messages)
    assert small.length_ns <= plan.length_ns
    assert told[-1].endswith(describe(small))

    text = write_scenario(small, again, origin=f"--seed {plan.seed} --stack ring")
    assert text.startswith(f"# Cut down from --seed {plan.seed} --stack ring. It came to: ")
    assert run_script(text) == text
    assert f"\nverdict: {again.text}\n" in text
    lines = [line for line in text.splitlines() if line.startswith(("plan", "at "))]
    assert run_plan(read_plan(lines)).digest == again.digest


@pytest.mark.timeout(120)
def test_scenario_of_a_plan_when_the_bug_is_gone_then_its_verdict_is_ok() -> None:
    sides = ((ONE, TWO), (THREE,))
    plan = small_plan(
        faults=(fault(60 * MS, "partition", *sides), fault(2_000 * MS, "rejoin", *sides)),
        messages=(Message(100 * MS, ONE, 50, True),),
        length_ns=2_100 * MS,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Totem, "_hear_stranger", lambda *_: None)
        broken = run_plan(plan)
        text = write_scenario(plan, broken)
    assert "It came to: liveness" in text
    mended = run_script(text)
    assert mended != text
    assert mended.endswith("\nverdict: ok\n")
    assert "deliver from=1 m1[50]" in mended


@pytest.mark.parametrize("stack", ["ring", "services", "secure"])
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6, 7, 8])
def test_plan_when_written_and_read_then_is_the_same(seed: int, stack: str) -> None:
    plan = draw_plan(Request(seed, stack=stack))
    assert read_plan(write_plan(plan)) == plan


def test_plan_when_it_has_clients_then_its_words_tell_their_views_and_messages() -> None:
    plan = small_plan(
        stack="services",
        actions=(
            ClientAction(50 * MS, ONE, "open", 0, b"red", True, (), False),
            ClientAction(60 * MS, TWO, "open", 0, b"red", False, (), False),
            ClientAction(120 * MS, ONE, "send", 0, b"red", True, (7,), False),
        ),
    )
    told = run_words(write_plan(plan)).splitlines()
    assert "c1.1000,c2.1000: gets m1[7] from c1.1000" in told
    assert told[-1] == "verdict: ok"


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "plan seed=",
        "plan seed=1",
        "at x kill 1",
        "at 1.0",
        "at 1.0 send 1 5",
        "plan settings no_such_setting=1",
    ],
)
def test_words_when_they_say_no_plan_then_the_script_is_wrong(line: str) -> None:
    with pytest.raises(PlanError):
        read_plan([line])
    with pytest.raises(ScriptError):
        run_script(f"plan seed=1\n{line}\n----\n")


def test_value_when_it_has_blanks_then_it_cannot_be_said() -> None:
    with pytest.raises(PlanError, match="one word"):
        write_plan(small_plan(faults=(fault(1, "kill", "a b"),)))


# -- how much may be tried ------------------------------------------------------------------------


def test_shrink_when_the_plan_fails_otherwise_then_refuses() -> None:
    with pytest.raises(ValueError, match="not at all"):
        shrink(small_plan(), "liveness")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Plan]]:
    """Runs are only noted; they fail while two certain messages and one crash are there."""
    seen: list[Plan] = []
    outcome = run_plan(small_plan(length_ns=1))

    def run(plan: Plan) -> Outcome:
        seen.append(plan)
        sizes = {message.size for message in plan.messages}
        verbs = {each.verb for each in plan.faults}
        fails = {13, 31} <= sizes and "kill" in verbs
        return replace(outcome, name="bad" if fails else "", simulated_ns=plan.length_ns)

    monkeypatch.setattr(shrinking, "run_plan", run)
    yield seen
    assert seen


LARGE = small_plan(
    messages=tuple(Message((100 + size) * MS // 1, ONE, size, True) for size in range(60)),
    faults=tuple(
        part
        for number in range(1, 11)
        for part in (
            fault(number * MS, "kill" if number == 4 else "pause", ONE, pair=number),
            fault((number + 20) * MS, "resume", ONE, pair=number),
        )
    ),
)


def test_shrink_when_three_events_matter_then_these_and_what_belongs_to_them_are_left(
    runs: list[Plan],
) -> None:
    small = shrink(LARGE, "bad")
    assert sorted(message.size for message in small.messages) == [13, 31]
    assert [each.pair for each in small.faults] == [4, 4]
    assert small.nodes == (ONE,)
    assert small.length_ns < 10 * MS
    assert not any(message.safe for message in small.messages)
    assert len(runs) < 400


def test_shrink_when_the_time_is_over_then_gives_what_it_has(runs: list[Plan]) -> None:
    ticks = count()
    small = shrink(LARGE, "bad", seconds=20, clock=lambda: float(next(ticks)))
    assert len(runs) < 25
    assert len(small.messages) >= 2


def test_failure_when_it_is_an_exception_then_what_was_raised_must_stay_the_same() -> None:
    outcome = run_plan(small_plan(length_ns=1))
    raised = replace(outcome, name="exception", text="exception: at 1 ms:\nTraceback\nKeyError: 7")
    assert failure_of(raised) == ("exception", "KeyError")
    assert failure_of(replace(outcome, name="liveness")) == ("liveness", "")


# -- one move at a time ---------------------------------------------------------------------------


def test_node_when_left_out_then_nothing_is_said_of_it_any_more() -> None:
    faults = (
        fault(1, "kill", THREE),
        fault(2, "partition", (ONE, THREE), (TWO,)),
        fault(3, "partition", (THREE,), (ONE, TWO)),
        fault(4, "flap", 5 * MS, (THREE,), (ONE,)),
        fault(5, "clog", (ONE, TWO), (THREE, ONE)),
        fault(6, "cut_one_way", TWO, THREE),
        fault(7, "sieve", "token", ONE, THREE, 0.5),
        fault(8, "kill_within", ONE, 3),
        fault(9, "weather", ("loss", 0.1)),
        fault(10, "configure", ONE, 500, (TWO, THREE)),
        fault(11, "link_weather", (ONE, THREE), ("loss", 0.3)),
    )
    messages = (Message(1, THREE, 5, False), Message(2, ONE, 5, False))
    small = without_node(small_plan(faults=faults, messages=messages), THREE)
    assert small.nodes == (ONE, TWO)
    assert small.starts == ((0, ONE), (0, TWO))
    assert small.messages == messages[1:]
    assert [(each.time, each.arguments) for each in small.faults] == [
        (2, ((ONE,), (TWO,))),
        (3, ((ONE, TWO),)),
        (4, (5 * MS, (ONE,))),
        (5, ((ONE, TWO),)),
        (8, (ONE, 3)),
        (9, (("loss", 0.1),)),
        (10, (ONE, 500, (TWO,))),
    ]


def test_events_when_moved_nearer_then_keep_their_order_and_short_distances() -> None:
    plan = small_plan(
        starts=((0, ONE), (3, TWO)),
        faults=(fault(100, "kill", ONE), fault(101, "start", ONE)),
        messages=(Message(101, TWO, 5, False),),
        length_ns=1000,
    )
    near = nearer_in_time(plan, 10)
    assert near.starts == ((0, ONE), (3, TWO))
    assert [each.time for each in near.faults] == [13, 14]
    assert near.messages[0].time == 14
    assert near.length_ns == 24


def test_messages_when_made_smaller_then_one_thing_changes_at_a_time() -> None:
    action = ClientAction(1, ONE, "send", 0, b"red", True, (500, 4, 5_000), True)
    plan = small_plan(actions=(action,), messages=(Message(1, ONE, 400, True),))
    made = [change(plan) for change in smaller_messages(plan)]
    assert [(each.actions[0].sizes, each.actions[0].safe) for each in made] == [
        ((8, 4, 8), True),
        ((100, 4, 100), True),
        ((500, 4, 1_000), True),
        ((500, 4, 5_000), False),
        ((500,), True),
        ((500, 4, 5_000), True),
        ((500, 4), True),
    ]
    assert [each.messages[0].size for each in made[:3]] == [8, 100, 400]
    assert not made[3].messages[0].safe
