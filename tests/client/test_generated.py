"""The blocking client is what its generator makes of the asyncio client."""

import inspect
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from unisono import aio, blocking

ROOT = Path(__file__).parents[2]
GENERATOR = ROOT / "tools/generate_blocking.py"


def run(generator: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(generator), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_blocking_client_when_compared_then_is_current() -> None:
    done = run(GENERATOR, "--check")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["session.py", "group.py", "node.py"])
def test_blocking_client_when_edited_or_its_source_is_then_check_fails(
    tmp_path: Path, name: str
) -> None:
    for part in ("tools", "src"):
        shutil.copytree(ROOT / part, tmp_path / part)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    generator = tmp_path / "tools" / GENERATOR.name
    assert run(generator, "--check").returncode == 0
    edited = tmp_path / "src/unisono/blocking" / name
    edited.write_text(edited.read_text() + "\nEXTRA = 1\n")
    done = run(generator, "--check")
    assert done.returncode == 1
    assert name in done.stdout
    assert run(generator).returncode == 0
    assert run(generator, "--check").returncode == 0
    assert "EXTRA" not in edited.read_text()


@pytest.mark.parametrize("name", ["Node", "Group"])
def test_blocking_client_when_compared_then_has_the_same_methods_and_nothing_to_await(
    name: str,
) -> None:
    ours, theirs = getattr(blocking, name), getattr(aio, name)
    public = [each for each in dir(theirs) if not each.startswith("_")]
    assert public == [each for each in dir(ours) if not each.startswith("_")]
    for each in vars(ours).values():
        assert not inspect.iscoroutinefunction(each)
        assert not inspect.isasyncgenfunction(each)
    source = inspect.getsource(sys.modules[ours.__module__])
    assert "Generated from" in source.splitlines()[0]
    assert "await" not in source and "async" not in source
