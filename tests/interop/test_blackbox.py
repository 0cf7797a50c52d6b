"""Black boxes and Debian's qb-blackbox: requirement BB15, both directions, on the spot.

The texts of what qb-blackbox gets wrong by itself (a doubled percent sign) stand in tests/wire.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.observe.test_keeper import Dying, await_end
from unisono.cli.blackbox import run

SOURCE = Path(__file__).parents[1] / "vectors" / "blackbox" / "entries.c"
ENTRY = re.compile(r"(?:emerg|alert|crit|error|warning|notice|info|debug|trace) +\w{3} \d\d ")
SIGKILL = 9


def qb_blackbox(path: Path) -> list[str]:
    """The entries that it prints."""
    tool = shutil.which("qb-blackbox")
    assert tool, "needs Debian's libqb-tools: make setup as root"
    # Its ring has a fixed name in /dev/shm, which a reader that died leaves behind.
    for left in Path("/dev/shm").glob("qb-create_from_file-*"):
        left.unlink()
    answer = subprocess.run([tool, path], capture_output=True, check=True)
    lines = answer.stdout.decode(errors="replace").split("\n")
    return [line.replace("\x1b", "?") for line in lines if ENTRY.match(line)]


def ours(arguments: list[str | Path], capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    assert run([str(each) for each in arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("rounds", [1, 12, 100])
def test_bb15_libqb_s_dump_when_made_here_then_both_show_the_same(
    tmp_path: Path, rounds: int, capsys: pytest.CaptureFixture[str]
) -> None:
    program, dump = tmp_path / "entries", tmp_path / "dump"
    subprocess.run(["gcc", SOURCE, "-o", program, "-lqb"], check=True)
    made = subprocess.Popen([program, dump, "4000", str(rounds)], stdout=subprocess.DEVNULL)
    assert made.wait(30) == 0
    for left in Path("/dev/shm").glob(f"qb-entries-{made.pid}-blackbox-*"):
        left.unlink()
    shown = ours([dump], capsys)
    assert len(shown) >= 9
    assert shown == qb_blackbox(dump)


def test_bb15_our_dump_when_a_daemon_was_killed_then_both_show_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state, exported = tmp_path / "state", tmp_path / "exported"
    state.mkdir()
    dying = Dying(state, tmp_path / "counter")
    dying.kill(SIGKILL)
    await_end(dying.keeper)
    (dump,) = state.glob("*.dump")
    shown = ours([dump], capsys)
    assert shown[-1].endswith("ended(0):0: The daemon ended without a word")
    assert shown[-2].split("b=")[1].split()[0] in {str(dying.recorded), str(dying.recorded + 1)}
    assert ours([dump, "--libqb", exported], capsys) == []
    assert shown == qb_blackbox(exported)
    assert shown == qb_blackbox(dump.with_suffix(".qb")), "its keeper wrote that beside it"
    assert os.stat(exported).st_size > len(shown) * 40
