"""Changes while the log is in use: rotation, other settings, other files. No line is lost."""

import shutil
from dataclasses import replace

import pytest

from tests.observe.conftest import SECONDS_MAX, SILENT
from unisono.base.group import Marked
from unisono.base.marks import Mark
from unisono.config.settings import LoggingSettings, SubsystemLogging
from unisono.observe.lines import Level


def to_file(path, **changes) -> LoggingSettings:
    return replace(SILENT, to_logfile=True, logfile=str(path), timestamp="off", **changes)


def numbers(lines: list[str]) -> list[int]:
    return [int(line.rpartition(" ")[2]) for line in lines]


def write(log, *texts, level=Level.NOTICE, subsystem="MAIN") -> None:
    for text in texts:
        log.write(level, subsystem, str(text))


# -- rotation --------------------------------------------------------------------------------------


def test_reopen_when_the_file_was_moved_then_the_new_one_is_there_before_any_line(make, tmp_path):
    log = make()
    write(log, 1)
    assert log.flush(SECONDS_MAX)
    log.path.rename(tmp_path / "log.1")
    log.reopen()
    assert log.lines() == []
    write(log, 2)
    assert (numbers(log.lines(tmp_path / "log.1")), numbers(log.lines())) == ([1], [2])


def test_file_when_moved_and_nobody_says_so_then_lines_go_into_a_new_one_all_the_same(
    make, tmp_path
):
    log = make()
    write(log, 1)
    assert log.flush(SECONDS_MAX)
    log.path.rename(tmp_path / "log.1")
    write(log, 2)
    assert numbers(log.lines()) == [2]


def test_reopen_when_lines_come_all_the_time_then_each_is_in_exactly_one_file(make, tmp_path):
    log = make()
    files = [log.path]
    for number in range(2_000):
        write(log, number)
        if number % 100 == 50:
            files.append(tmp_path / f"log.{number}")
            log.path.rename(files[-1])
            log.reopen()
            assert log.flush(SECONDS_MAX)
    found = [line for path in files for line in log.lines(path)]
    assert sorted(numbers(found)) == list(range(2_000))


def test_file_when_cut_short_in_place_then_lines_begin_at_its_start(make):
    log = make()
    write(log, 1)
    assert numbers(log.lines()) == [1]
    with log.path.open("r+") as stream:
        stream.truncate(0)
    write(log, 2)
    assert numbers(log.lines()) == [2]
    assert b"\0" not in log.path.read_bytes()


def test_reopen_when_the_file_cannot_be_opened_then_the_old_one_goes_on_and_says_so_each_time(
    make, tmp_path
):
    (tmp_path / "d").mkdir()
    log = make(logfile=str(tmp_path / "d" / "log"))
    write(log, "first")
    assert log.flush(SECONDS_MAX)
    shutil.move(tmp_path / "d", tmp_path / "old")
    for _ in range(2):
        log.reopen()
        assert log.flush(SECONDS_MAX)
    write(log, "second")
    first, *said, second = log.lines(tmp_path / "old" / "log")
    assert first.endswith("first") and second.endswith("second")
    assert len(said) == 2
    assert all(
        line.endswith(
            f"Log target {log.path} cannot be opened: No such file or directory; "
            "the file before stays in use"
        )
        for line in said
    )
    (tmp_path / "d").mkdir()
    write(log, "third")
    assert [line[-5:] for line in log.lines()] == ["third"]


# -- other settings --------------------------------------------------------------------------------


def test_configure_when_the_file_is_another_then_every_line_is_in_one_of_them_in_order(
    make, tmp_path
):
    log = make()
    write(log, *range(500))
    log.configure(to_file(tmp_path / "other"))
    write(log, *range(500, 1000))
    assert numbers(log.lines()) == list(range(500))
    assert numbers(log.lines(tmp_path / "other")) == list(range(500, 1000))


def test_configure_when_the_other_file_cannot_be_opened_then_the_old_one_goes_on_and_says_so(
    make, tmp_path
):
    log = make()
    write(log, "one")
    log.configure(to_file("/no/such/directory/log"))
    assert log.flush(SECONDS_MAX)
    write(log, "two")
    one, said, two = log.lines()
    assert one.endswith("one") and two.endswith("two")
    assert "/no/such/directory/log cannot be opened: No such file or directory; the file" in said
    log.configure(to_file(log.path))
    write(log, "three")
    assert log.lines()[-1].endswith("three")


def test_configure_when_a_first_file_cannot_be_opened_then_the_others_say_so_and_it_comes_later(
    make, tmp_path, receiver
):
    log = make(to_logfile=False, to_syslog=True)
    path = tmp_path / "later" / "log"
    log.configure(to_file(path, to_syslog=True))
    assert receiver.read().endswith(f"{path} cannot be opened: No such file or directory")
    write(log, "lost")
    assert log.flush(SECONDS_MAX)
    path.parent.mkdir()
    write(log, "kept")
    gap, kept = log.lines(path)
    assert "Lines missing here: 2" in gap  # the complaint about the file is one of them
    assert kept.endswith("kept")


def test_configure_when_levels_change_then_marks_and_sentences_follow_at_once(make):
    log = make()
    log.mark(Marked(Mark.STATE_ENTERED, text="silent"))
    log.configure(to_file(log.path, debug="on"))
    log.mark(Marked(Mark.STATE_ENTERED, text="told"))
    log.configure(to_file(log.path, logfile_priority="error"))
    log.mark(Marked(Mark.TOKEN_LOST))
    write(log, "warning", level=Level.WARNING)
    write(log, "error", level=Level.ERROR)
    assert [line.split()[-1] for line in log.lines()] == ["told", "error"]


def test_configure_when_levels_change_then_who_asks_which_marks_are_told_need_not_ask_anew(make):
    log = make()
    told = log.told
    assert Mark.STATE_ENTERED not in told and Mark.TOKEN_LOST in told
    log.configure(to_file(log.path, debug="on"))
    assert Mark.STATE_ENTERED in told
    log.configure(to_file(log.path, logfile_priority="error"))
    assert Mark.TOKEN_LOST not in told
    log.close()
    assert not told


def test_configure_when_the_form_changes_then_lines_before_it_keep_theirs(make):
    log = make(timestamp="off")
    write(log, "one")
    log.configure(to_file(log.path, format="json"))
    write(log, "two")
    first, second = log.lines()
    assert first.endswith("[MAIN  ] one") and second.startswith('{"time": ')


def test_configure_when_a_subsystem_goes_its_own_way_and_comes_back_then_lines_follow(
    make, tmp_path
):
    own = SubsystemLogging(False, False, True, str(tmp_path / "own"), subsystem="TOTEM")
    log = make()
    write(log, 1, subsystem="TOTEM")
    log.configure(to_file(log.path, subsystems=(own,)))
    write(log, 2, subsystem="TOTEM")
    assert numbers(log.lines(tmp_path / "own")) == [2]
    log.configure(to_file(log.path))
    write(log, 3, subsystem="TOTEM")
    assert numbers(log.lines()) == [1, 3]


def test_configure_when_targets_go_and_come_then_only_those_that_are_wanted_get_lines(
    make, receiver, capfd
):
    log = make(to_stderr=True)
    write(log, 1)
    log.configure(to_file(log.path, to_syslog=True, syslog_facility="local0"))
    write(log, 2)
    log.configure(to_file(log.path, to_stderr=True))
    write(log, 3)
    assert numbers(log.lines()) == [1, 2, 3]
    assert receiver.read().startswith("<133>")
    log.close()
    assert numbers(capfd.readouterr().err.splitlines()) == [1, 3]


def test_configure_when_a_file_gives_way_to_standard_error_then_no_file_takes_its_place(
    make, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    log = make()
    write(log, 1)
    log.configure(replace(SILENT, to_stderr=True, to_syslog=True))
    write(log, 2)
    log.close()
    assert numbers(capfd.readouterr().err.splitlines()) == [2]
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


@pytest.mark.parametrize("times", [50])
def test_configure_when_done_again_and_again_then_nothing_piles_up(make, tmp_path, times):
    log = make()
    for number in range(times):
        write(log, number)
        log.configure(to_file(tmp_path / f"log{number % 3}", to_stderr=number % 2 == 0))
    assert log.flush(SECONDS_MAX)
    assert set(log.lost_lines().values()) == {0}
    log.close()
    found = [line for path in tmp_path.glob("log*") for line in log.lines(path)]
    assert sorted(numbers(found)) == list(range(times))
