"""Scenario files: commands and what must come of them. UNISONO_REWRITE=1 writes what does come."""

import os
from pathlib import Path

import pytest

from unisono.sim.script import ScriptError, run_script

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=[path.stem for path in SCENARIOS])
def test_scenario_when_run_then_gives_its_output(path: Path) -> None:
    expected = path.read_text()
    real = run_script(expected)
    if os.environ.get("UNISONO_REWRITE") == "1":
        path.write_text(real)
        return
    assert real == expected


def test_scenarios_when_listed_then_there_are_some_and_each_begins_with_words() -> None:
    assert len(SCENARIOS) >= 75
    for path in SCENARIOS:
        assert path.read_text().startswith("# "), f"{path.name}: say what is shown"


def test_script_when_the_output_differs_then_the_real_one_is_returned() -> None:
    assert run_script("nodes 1\n----\nnonsense\n") == (
        "nodes 1\n----\n1: transitional members=-\n1: view ring=1.5 members=1 joined=1\n"
    )


def test_script_when_a_command_is_unknown_then_says_so() -> None:
    with pytest.raises(ScriptError, match="no such command: fly 1"):
        run_script("nodes 1\nfly 1\n----\n")


def test_script_when_a_command_lacks_words_then_says_which() -> None:
    with pytest.raises(ScriptError, match="kill"):
        run_script("nodes 1\nkill\n----\n")
