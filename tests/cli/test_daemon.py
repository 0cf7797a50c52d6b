"""Commands and documentation against a real daemon."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from unisono import blocking
from unisono.cli import status

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial" / "first-steps.md"
BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)


def _run(instance: Path, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "UNISONO_INSTANCE": str(instance)},
        check=False,
        capture_output=True,
        text=True,
    )


def test_status_of_a_daemon_shows_ring_groups_and_rates(instance: Path) -> None:
    with blocking.connect(instance) as node, node.group("orders"):
        answer = _run(instance, "-m", "unisono.cli.main", "status", "--seconds", "0.5")
    assert (answer.returncode, answer.stderr) == (0, "")
    lines = answer.stdout.splitlines()
    assert any(line.split() == ["members", "1", "(all", "Unisono)"] for line in lines)
    assert any(line.split()[:3] == ["orders", "1", f"1:{os.getpid()}"] for line in lines)
    assert any(line.split()[:2] == ["ring", "token"] for line in lines)


def test_status_as_json_is_what_the_daemon_says(instance: Path) -> None:
    answer = _run(instance, "-m", "unisono.cli.main", "status", "--json", "--seconds", "0")
    assert json.loads(answer.stdout)["members"] == [1]


def test_rates_are_growth_by_time() -> None:
    before = {"messages": {"cpg": 10, "blocks": 1}, "daemon": {"transport": {"kind": "udp"}}}
    after = {"messages": {"cpg": 30, "blocks": 1}, "daemon": {"transport": {"kind": "udp"}}}
    assert status.rates(before, after, 2.0) == {"messages cpg": 10.0}


def test_tutorial_when_followed_prints_what_it_says(instance: Path, tmp_path: Path) -> None:
    blocks = BLOCK.findall(TUTORIAL.read_text())
    programs = [
        (code, blocks[position + 1][1])
        for position, (kind, code) in enumerate(blocks)
        if kind == "python"
    ]
    assert len(programs) >= 2
    for number, (code, expected) in enumerate(programs):
        script = tmp_path / f"program{number}.py"
        script.write_text(code)
        answer = _run(instance, script)
        assert (answer.stderr, answer.stdout) == ("", expected)


def test_first_lines_of_the_readme_work(instance: Path, tmp_path: Path) -> None:
    code = next(code for kind, code in BLOCK.findall((ROOT / "README.md").read_text()))
    script = tmp_path / "first.py"
    script.write_text(code.replace("/tmp/one", str(instance)))
    answer = _run(instance, script)
    assert answer.stderr == ""
    assert "now here: 1:" in answer.stdout
    assert "says b'hello'" in answer.stdout
