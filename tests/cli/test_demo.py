"""The demonstration for real: three daemons, one of them killed, and nothing left behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(150)
STOP_SECONDS_MAX = 30.0


def _hear_interrupts() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and that is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _demo(folder: Path, *arguments: str | Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "unisono.cli.main", "demo", *arguments],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509  these tests have no threads
    )


def _processes_of(folder: Path) -> list[str]:
    """Command lines that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        if entry.name.isdigit() and str(folder) in line:
            found.append(line)
    return found


def test_demo_of_a_text_file_ends_with_equal_replicas(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"".join(b"line %d\n" % number for number in range(5_000)))
    folder = tmp_path / "run"
    folder.mkdir()
    with _demo(folder, "--input", text, "--seconds", "8") as demo:
        output, _ = demo.communicate()
    assert demo.returncode == 0, output
    assert "all replicas agree, nothing was lost" in output
    digests = re.findall(r"\b[0-9a-f]{64}\b", output)
    assert len(digests) == 4
    assert len(set(digests)) == 1
    assert not list(folder.iterdir())
    assert not _processes_of(folder)


def test_demo_when_interrupted_leaves_nothing_behind(tmp_path: Path) -> None:
    with _demo(tmp_path, "--seconds", "20") as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "three daemons on one ring" in line:
                break
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=STOP_SECONDS_MAX)
    assert demo.returncode == 130
    assert not list(tmp_path.iterdir())
    assert not _processes_of(tmp_path)


def test_demo_without_input_says_so(tmp_path: Path) -> None:
    with _demo(tmp_path, "--input", tmp_path / "absent") as demo:
        output, _ = demo.communicate()
    assert demo.returncode == 1
    assert "absent" in output
