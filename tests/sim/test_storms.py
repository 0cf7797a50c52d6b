"""Storms: what their files say, and what a wrong file is told."""

from random import Random

import pytest

from unisono.sim.faults import HAZARDS
from unisono.sim.storms import StormError, draw_storm, load_storms, read_storm
from unisono.sim.workload import Workload

GOOD = """
summary = "A test."
weight = 2
[cluster]
nodes = [1, 3]
token_ms = [200]
[storm]
length_tokens = [2, 4]
faults = [0, 5]
[hazards]
crash = 3
rain = 1
[messages]
safe_shares = [1]
[clients.verbs]
doze = 1
"""


def test_load_storms_when_read_then_every_kind_of_fault_is_in_one_of_them() -> None:
    kinds = load_storms()
    assert [kind.name for kind in kinds] == sorted(kind.name for kind in kinds)
    assert len(kinds) >= 10
    used = {name for kind in kinds for name, _ in kind.hazards}
    assert used == set(HAZARDS)
    large = next(kind for kind in kinds if kind.name == "large")
    assert large.nodes == (16, 64)
    assert large.weight == 0


def test_draw_storm_when_drawn_then_by_weight_and_the_same_for_the_same_dice() -> None:
    random = Random(1)
    drawn = [draw_storm(random).name for _ in range(2_000)]
    random = Random(1)
    assert drawn == [draw_storm(random).name for _ in range(2_000)]
    weights = {kind.name: kind.weight for kind in load_storms() if not kind.stack}
    assert set(drawn) == {name for name, weight in weights.items() if weight}
    share = drawn.count("crashes") / drawn.count("calm")
    assert share == pytest.approx(weights["crashes"] / weights["calm"], rel=0.5)


def test_draw_storm_when_named_then_is_that_one_and_the_dice_fall_as_often() -> None:
    one, two = Random(1), Random(1)
    assert draw_storm(one, "large").name == "large"
    draw_storm(two)
    assert one.random() == two.random()
    with pytest.raises(StormError, match="mild: no such storm; there are assault, byzantine, calm"):
        draw_storm(one, "mild")


def test_draw_storm_when_for_a_stack_then_its_own_kinds_are_among_those_drawn() -> None:
    own = {kind.name for kind in load_storms() if kind.stack == "secure"}
    assert own == {"assault", "endurance", "keys", "links", "siege"}
    random = Random(1)
    drawn = [draw_storm(random, stack="secure").name for _ in range(4_000)]
    assert own < set(drawn)
    assert "crashes" in drawn


def test_read_storm_when_good_then_has_what_it_says_and_the_usual_besides() -> None:
    kind = read_storm("test", GOOD)
    assert (kind.nodes, kind.token_ms, kind.faults) == ((1, 3), (200,), (0, 5))
    assert kind.hazards == (("crash", 3), ("rain", 1))
    assert kind.workload.safe_shares == (1,)
    assert kind.workload.verbs == (("doze", 1),)
    assert kind.workload.bursts == Workload().bursts


@pytest.mark.parametrize(
    ("good", "bad", "text"),
    [
        ("weight = 2", "weight = -1", "test.toml: weight: -1; allowed: a whole number from 0"),
        ("weight = 2", "weight = true", "test.toml: weight: True; allowed"),
        ("weight = 2", "", "test.toml: weight: absent; allowed"),
        ("weight = 2", "heaviness = 2", "test.toml: weight: absent"),
        ("weight = 2", "weight = 2\ncolour = 1", "test.toml: colour: unknown; allowed: cluster, "),
        ("weight = 2", "weight = ", "test.toml: "),
        ("[1, 3]", "[3, 1]", "test.toml: cluster.nodes: .* the smaller first"),
        ("[1, 3]", "[1, 65]", "test.toml: cluster.nodes: .* from 1 to 64"),
        ("[1, 3]", "[1, 2, 3]", "test.toml: cluster.nodes: .* two whole numbers"),
        ("[1, 3]", "[1, 2.0]", "test.toml: cluster.nodes"),
        ("[200]", "[]", "test.toml: cluster.token_ms"),
        ("[200]", "[20]", "test.toml: cluster.token_ms: .* from 100 to 10000"),
        ("rain = 1", "hail = 1", "test.toml: hazards.hail: unknown; allowed: partition, "),
        ("rain = 1", "rain = 0", "test.toml: hazards.rain: 0; allowed: .* from 1"),
        ("[1]", "[1.5]", "test.toml: messages.safe_shares: .* from 0.0 to 1.0"),
        ("[1]", "[1]\nnear_faults = 2", "test.toml: messages.near_faults: 2"),
        ("[1]", "[1]\nsizes = ['huge']", "test.toml: messages.sizes: .* a list of word, line"),
        ("[1]", "[1]\nsize = 1", "test.toml: messages.size: unknown; allowed: bursts, "),
        ("doze = 1", "sing = 1", "test.toml: clients.verbs.sing: unknown; allowed: open, "),
        ("[storm]", "storm = 1\n[other]", "test.toml"),
        ('summary = "A test."', 'summary = ""', "test.toml: summary: ; allowed: a text"),
    ],
)
def test_read_storm_when_wrong_then_names_file_key_and_what_is_allowed(
    good: str, bad: str, text: str
) -> None:
    assert GOOD.count(good) == 1
    with pytest.raises(StormError, match=text):
        read_storm("test", GOOD.replace(good, bad))
