"""The umbrella command: finds its parts, starts fast, fails in words."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unisono.base.errors import UsageError
from unisono.cli import main as umbrella
from unisono.cli.demo import source
from unisono.cli.demo.view import View, bar


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "unisono.cli.main", *arguments],
        check=False,
        capture_output=True,
        text=True,
    )


def test_command_without_arguments_lists_all_commands() -> None:
    answer = _run()
    assert answer.returncode == 2
    assert all(name in answer.stdout for name in umbrella.COMMANDS)


def test_command_when_unknown_says_so() -> None:
    answer = _run("nonsense")
    assert answer.returncode == 2
    assert "nonsense" in answer.stderr


def test_version_is_printed_without_loading_the_loop() -> None:
    script = (
        "import sys; from unisono.cli.main import main; status = main(['version']);"
        "heavy = {'asyncio', 'unisono.aio', 'unisono.executive'} & set(sys.modules);"
        "sys.exit(status or ','.join(heavy) or 0)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("unisono ")


def test_status_without_a_daemon_fails_in_one_line(tmp_path: Path) -> None:
    answer = _run("status", "--instance", str(tmp_path))
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "no daemon" in answer.stderr


def test_output_when_nobody_reads_it_ends_quietly() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        answer = subprocess.run(
            [sys.executable, "-m", "unisono.cli.main", "version"],
            check=False,
            stdout=write_end,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(write_end)
    assert (answer.returncode, answer.stderr) == (umbrella.EXIT_PIPE_CLOSED, "")


def test_source_of_a_text_file_is_its_lines(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_bytes(b"one\ntwo")
    assert source.read_items(text) == [(b"line 1", b"one\n"), (b"line 2", b"two")]


def test_source_of_a_directory_is_its_files_with_large_ones_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"s")
    large = bytes(source.PIECE_BYTES_MAX) + b"rest"
    (tmp_path / "large").write_bytes(large)
    items = dict(source.read_items(tmp_path))
    assert items[b"small"] == b"s"
    assert items[b"large#0"] + items[b"large#1"] == large


def test_source_without_anything_to_feed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        source.read_items(tmp_path)
    with pytest.raises(UsageError):
        source.read_items(tmp_path / "absent")


@pytest.mark.parametrize(("share", "drawn"), [(-1.0, "...."), (0.5, "##.."), (2.0, "####")])
def test_bar_shows_its_share(share: float, drawn: str) -> None:
    assert bar(share, 4) == drawn


def test_view_without_a_terminal_writes_no_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    view = View(live=False)
    view.say("hello")
    view.show(["a row"], 0.5, "half")
    view.close()
    assert capsys.readouterr().out == "hello\n 50%  half\n"
