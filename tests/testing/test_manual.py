"""The page for users and the example's tests, run as a user runs them: pytest with the plugin."""

import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "test-your-service.md"
BLOCK = re.compile(r"^( *)```python\n\s*# (\S+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)

PLACE = re.compile(r"at [\d.]+ virtual seconds of Cluster\(3, seed=1\)")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with the files of the page."""
    for _, name, text in BLOCK.findall(PAGE.read_text()):
        (tmp_path / name).write_text(dedent(text))
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
    return tmp_path


def run_pytest(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=50)


def test_page_when_followed_then_its_test_passes_with_every_seed(project: Path) -> None:
    done = run_pytest(project, "--cluster-seeds", "10")
    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


def test_page_when_its_mistake_is_made_then_the_report_is_as_it_says(project: Path) -> None:
    duty = project / "duty.py"
    right = 'await group.send(b"I do it")'
    assert right in duty.read_text()
    duty.write_text(duty.read_text().replace(right, f"self.holder = group.me; {right}"))
    first, again = (run_pytest(project, "--cluster-seed", "1") for _ in range(2))
    assert first.returncode == again.returncode == 1
    place = PLACE.search(first.stdout)
    assert place
    assert place.group() in again.stdout
    assert PLACE.search(PAGE.read_text())
    assert "[seed1]" in first.stdout


def test_example_when_its_tests_are_run_then_they_pass() -> None:
    plugin = ["-p", "unisono.testing.plugin", "--cluster-seeds", "3"]
    done = run_pytest(ROOT, *plugin, "examples/tests")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_run_when_strings_hash_otherwise_then_the_digest_is_the_same() -> None:
    program = "from tests.testing.test_cluster import course; print(course(3))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        ).stdout
        for seed in (1, 2)
    }
    assert len(outputs) == 1
