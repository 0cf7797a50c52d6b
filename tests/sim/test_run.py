"""Whole runs: repeatable to the byte, without a violation, fast enough to be run often."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from unisono.sim.main import main
from unisono.sim.run import Request, run_seed

SMOKE_FIRST = 1
SMOKE_SEEDS = int(os.environ.get("UNISONO_SIM_SEEDS", "2000"))

REGRESSIONS = [
    line
    for line in (Path(__file__).parent / "regressions.txt").read_text().splitlines()
    if line and not line.startswith("#")
]

_DIGESTS = """
from unisono.sim.run import Request, run_seed
for seed in (3, 7, 11, 24):
    for stack in ("ring", "services", "secure"):
        print(run_seed(Request(seed, stack=stack)).digest)
"""


def digests(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", _DIGESTS],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_run_when_hash_seeds_differ_then_the_trace_is_the_same() -> None:
    first, second = digests("1"), digests("2")
    assert first == second
    assert len(set(first.split())) == 12


def test_run_when_seeds_differ_then_traces_differ() -> None:
    assert run_seed(Request(5, 3)).digest != run_seed(Request(6, 3)).digest


@pytest.mark.timeout(900)
def test_run_when_thousands_of_seeds_then_no_property_is_broken() -> None:
    command = [sys.executable, "-m", "unisono.sim.main", "--verbose", "--jobs", str(os.cpu_count())]
    command += ["--seed", str(SMOKE_FIRST), "--seeds", str(SMOKE_SEEDS)]
    done = subprocess.run(command, capture_output=True, text=True)
    failed = [line for line in done.stdout.splitlines() if "FAILED" in line or "again:" in line]
    assert done.returncode == 0, "\n".join(failed) + done.stderr
    assert f"{SMOKE_SEEDS} seeds, 0 failed" in done.stdout
    # The storm must have been one: tokens were lost, rings broken, messages sent again.
    for mark in ("TOKEN_LOST", "CONSENSUS_TIMEOUT", "RECOVERY_STARTED", "MESSAGE_RETRANSMITTED"):
        assert f"{mark}=" in done.stdout


@pytest.mark.parametrize("line", REGRESSIONS)
def test_run_when_its_seed_found_a_fault_once_then_finds_none(line: str) -> None:
    seed, storm, stack, nodes, what = line.split(maxsplit=4)
    outcome = run_seed(Request(int(seed), int(nodes), stack.strip("-"), storm.strip("-")))
    assert outcome.ok, f"{what}: {outcome.text}"


@pytest.mark.parametrize("nodes", [1, 2, 8])
def test_run_when_the_number_of_nodes_is_given_then_it_is_used(nodes: int) -> None:
    assert run_seed(Request(2, nodes)).nodes == nodes


def test_main_when_all_is_well_then_prints_one_line_and_exits_0(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seed", "3", "--nodes", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert re.match(r"seed 3 \w+ nodes 2: ok,", lines[0])


def test_main_when_many_seeds_then_the_speed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--seeds", "2", "--storm", "calm", "--jobs", "1"]) == 0
    *seeds, speed, verdict = capsys.readouterr().out.splitlines()
    assert [line.split()[2] for line in seeds] == ["calm", "calm"]
    assert "events/s" in speed
    assert "simulated hours a minute" in speed
    assert verdict == "2 seeds, 0 failed"


def test_main_when_a_picture_is_asked_for_then_one_file_and_the_same_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "run.html"
    assert main(["--seed", "3", "--nodes", "2", "--html", str(page)]) == 0
    digest = run_seed(Request(3, 2)).digest[:16]
    assert digest in capsys.readouterr().out
    assert "token moves were not recorded" not in page.read_text()


def test_main_when_a_failing_seed_is_shrunk_then_the_scenario_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unisono.sim.cluster.Cluster.recovery_bound", lambda *_: 1)
    scenario = tmp_path / "small.txt"
    arguments = ["--seed", "4", "--nodes", "2", "--storm", "calm", "--seconds", "3"]
    assert main([*arguments, "--shrink", str(scenario)]) == 1
    assert "FAILED self delivery" in capsys.readouterr().out
    assert "self delivery" in scenario.read_text()


def test_main_when_small_worlds_are_searched_then_tells_how_many_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--search", "--nodes", "2", "--messages", "1", "--faults", "0"]) == 0
    printed = capsys.readouterr().out
    assert "complete" in printed
    assert re.search(r"\d+ states", printed)


def test_main_when_a_seed_fails_then_says_how_to_repeat_it_and_exits_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unisono.sim.cluster.Cluster.recovery_bound", lambda *_: 1)
    assert main(["--seed", "4", "--nodes", "3", "--commit", "abc"]) == 1
    printed = capsys.readouterr().out
    assert "FAILED self delivery" in printed
    assert "again: unisono-sim --seed 4 --nodes 3 --trace   (commit abc)" in printed


def test_storm_of_reloads_when_run_then_settings_change_and_sometimes_not() -> None:
    marks: Counter[str] = Counter()
    for seed in range(1, 41):
        outcome = run_seed(Request(seed, storm="reloads"))
        assert outcome.ok, outcome.text
        marks.update(outcome.marks)
        marks["taken"] += outcome.counts.get("Reconfigured", 0)
    assert marks["RELOAD_ORDERED"] > 100
    assert marks["RELOAD_DROPPED"] > 10
    assert marks["taken"] > 100
