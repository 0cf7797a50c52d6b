"""The directory of dumps: requirements BB4 (foreign names), BB10 (bounds) and BB12 (mode)."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from unisono.base.limits import FLIGHT_DUMPS_MAX
from unisono.linux.dump_directory import (
    list_dumps,
    prune_dumps,
    write_dump,
    write_for_libqb,
)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize("how", ["nameless", "named", "without proc"])
def test_bb12_dump_when_written_then_whole_and_for_its_owner_alone(
    tmp_path: Path, directory: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "named":
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_WRONLY)
    elif how == "without proc":
        real = os.link
        monkeypatch.setattr(os, "link", lambda source, name, **rest: real(
            source.replace("/proc/", "/nowhere/"), name, **rest))  # fmt: skip
    old = os.umask(0)
    try:
        name = write_dump(directory, b"x" * 300_000)
    finally:
        os.umask(old)
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"x" * 300_000
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_bb10_dumps_when_many_then_the_newest_few_stay(tmp_path: Path, directory: int) -> None:
    names = []
    for _ in range(100):
        names.append(write_dump(directory, b"dump"))
        prune_dumps(directory, names[-1])
    assert sorted(each.name for each in tmp_path.iterdir()) == names[-FLIGHT_DUMPS_MAX:]


def test_bb10_dumps_when_large_then_their_bytes_are_bounded(directory: int) -> None:
    names = [write_dump(directory, b"x" * 100) for _ in range(5)]
    assert prune_dumps(directory, names[-1], bytes_max=250) == [names[2], names[1], names[0]]
    assert prune_dumps(directory, names[-1], bytes_max=10) == [names[3]]
    assert list_dumps(directory) == [(names[-1], 100)]


def test_bb10_dumps_when_there_is_a_file_for_libqb_too_then_both_count_and_go_together(
    tmp_path: Path, directory: int
) -> None:
    names = [write_dump(directory, b"x" * 100) for _ in range(3)]
    beside = [write_for_libqb(directory, name, b"y" * 50) for name in names]
    assert [Path(name).stem for name in beside] == [Path(name).stem for name in names]
    assert list_dumps(directory) == [(name, 150) for name in names]
    assert prune_dumps(directory, names[-1], bytes_max=250) == [names[1], names[0]]
    left = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert left == {names[2]: 0o600, beside[2]: 0o600}


def test_dump_when_the_clock_was_set_back_then_the_new_one_stays(directory: int) -> None:
    newest = write_dump(directory, b"x")
    later = "flight-29990101T000000.000000Z-0123456789abcdef.dump"
    os.close(os.open(later, os.O_CREAT | os.O_WRONLY, dir_fd=directory))
    assert prune_dumps(directory, newest, count_max=1) == [later]
    assert list_dumps(directory) == [(newest, 1)]


def test_bb4_foreign_files_when_in_the_directory_then_untouched(
    tmp_path: Path, directory: int
) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    old_style = ["fdata", "qb-corosync-1-blackbox-header", "fdata-2026-11-21T15:00:00-1"]
    for name in old_style:
        (tmp_path / name).symlink_to(target)
    mine = "flight-20000101T000000.000000Z-0123456789abcdef.dump"
    (tmp_path / mine).symlink_to(target)
    (tmp_path / mine.replace("2000", "2001", 1)).mkdir()
    draft = tmp_path / f".flight-{'0' * 32}.draft"
    draft.write_text("left over by a writer that died")
    names = [write_dump(directory, b"dump") for _ in range(3)]
    prune_dumps(directory, names[-1], count_max=1)
    assert not draft.exists()
    kept = {*old_style, mine, mine.replace("2000", "2001", 1), "target", names[-1]}
    assert {each.name for each in tmp_path.iterdir()} == kept
    assert target.read_text() == "precious"
