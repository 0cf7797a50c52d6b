"""`unisono blackbox`: requirements BB13 (another boot), BB14 (exit 2), BB15 (the same lines)."""

import json
import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from unisono.base.errors import UnisonoError
from unisono.base.limits import FLIGHT_LAST_WORDS_BYTES
from unisono.cli.blackbox import describe, newest_dump, request_dump, run
from unisono.linux.life import boot_id, start_ticks
from unisono.wire.blackbox.dump_file import DIED, REQUESTED, encode_dump
from unisono.wire.blackbox.entry import PRIORITIES, Entry
from unisono.wire.blackbox.flight import (
    CELL_BYTES,
    CELL_LAYOUT,
    KIND_MARK,
    FlightHeader,
    FlightRecord,
    encode_header,
    encode_record,
)
from unisono.wire.blackbox.libqb import decode_libqb, encode_libqb

VECTORS = Path(__file__).parents[1] / "vectors" / "blackbox"
CELLS = 64
WHEN_NS = 1_795_274_611_703_000_000
LINE = re.compile(
    r"(?P<priority>\w+) +(?P<stamp>\w{3} \d\d \d\d:\d\d:\d\d\.(?P<millis>\d{3})) "
    r"(?P<function>[^(]*)\((?P<line>\d+)\):(?P<tag>\d+): (?P<text>.*)"
)


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        patch.delenv("UNISONO_INSTANCE", raising=False)
        time.tzset()
        yield
    time.tzset()


def ours(boot: bytes | None = None, pid: int = 4711, why: int = DIED, words: bytes = b"") -> bytes:
    ticks = start_ticks(pid)
    header = FlightHeader(CELLS, boot_id() if boot is None else boot, pid, 3, ticks, 0, 0)
    cells = CELL_LAYOUT.pack(0, 1_000_000, 7, 5, 103, KIND_MARK, 1, 0)
    cells += encode_record(
        1, 2_000_000, FlightRecord(1, 0, 0, 0, 0, 4, "main", 20, 8, "75% \x1b[31mof ä")
    )
    ring = encode_header(header) + cells.ljust(CELLS * CELL_BYTES, b"\0")
    ring += words.ljust(FLIGHT_LAST_WORDS_BYTES, b"\0")
    return encode_dump(ring, why, 2_000_000, WHEN_NS)


OUR_LINES = [
    "debug   Nov 21 15:23:31.702 token_duplicate(103):1: Token from 5 seen before, dropped (b=7)",
    "warning Nov 21 15:23:31.703 main(20):8: 75% ?[31mof ä",
    "crit    Nov 21 15:23:31.703 ended(0):0: The daemon ended without a word",
]
WORDS = b"Fatal Python error: Bus error\n\nStack (most recent call first):\n  File \x1b\n"


def place(directory: Path, data: bytes, year: int = 2026) -> Path:
    path = directory / f"flight-{year}0101T000000.000000Z-0123456789abcdef.dump"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["plain", "wrapped"])
def test_bb15_libqb_s_dump_when_shown_then_as_qb_blackbox_shows_it(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(VECTORS / f"{name}.dump")]) == 0
    shown = (VECTORS / f"{name}.txt").read_text().replace("\x1b", "?")
    assert capsys.readouterr().out == shown


def test_bb15_corosync_s_dump_when_shown_then_as_qb_blackbox_but_for_its_defect(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([str(VECTORS / "corosync.dump")]) == 0
    shown = capsys.readouterr().out.splitlines()
    theirs = (VECTORS / "corosync.txt").read_text().splitlines()
    assert len(shown) == len(theirs) > 300
    different = [pair for pair in zip(shown, theirs, strict=True) if pair[0] != pair[1]]
    assert [tuple(line.partition("every ")[2] for line in pair) for pair in different] == [
        (
            "2250 ms (75% of Token Timeout)",
            "2250 ms (75%it timeout (714 ms) of Token Timeout)",
        )
    ]


def test_bb15_corosync_s_lines_when_taken_apart_and_shown_then_the_same() -> None:
    """Also through a dump of libqb: nothing of a line is lost in it."""
    lines = (VECTORS / "corosync.txt").read_text().splitlines()
    entries = []
    for line in lines:
        found = LINE.fullmatch(line)
        assert found
        when = time.strptime(f"2026 {found['stamp'][:-4]}", "%Y %b %d %H:%M:%S")
        when_ns = int(time.mktime(when)) * 10**9 + int(found["millis"]) * 10**6
        priority = PRIORITIES.index(found["priority"])
        place_of = (found["function"], int(found["line"]), int(found["tag"]))
        entries.append(Entry(when_ns, priority, *place_of, found["text"]))
    assert [describe(entry) for entry in entries] == lines
    assert decode_libqb(encode_libqb(entries))[0] == entries


def test_dump_when_shown_then_its_entries_and_whose_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(place(tmp_path, ours()))]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == OUR_LINES
    assert "3 entries of pid 4711 on node 3; it ended without a word\n" in shown.err
    assert "warning" not in shown.err


def test_bb8_dump_when_a_fatal_signal_ended_the_daemon_then_its_last_words_and_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place(tmp_path, ours(words=WORDS))
    assert run([str(path)]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        *OUR_LINES[:2],
        "crit    Nov 21 15:23:31.703 fatal_signal(0):0: Fatal Python error: Bus error",
        "crit    Nov 21 15:23:31.703 fatal_signal(0):0: Stack (most recent call first):",
        "crit    Nov 21 15:23:31.703 fatal_signal(0):0:   File ?",
    ]
    assert "5 entries of pid 4711 on node 3; it died of SIGBUS\n" in shown.err
    assert run([str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signal"] == "SIGBUS"


def test_bb13_dump_when_of_another_boot_or_process_then_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([str(place(tmp_path, ours(bytes(16))))]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == OUR_LINES
    assert "warning: this dump was made before the host was started last" in shown.err
    data = ours(pid=os.getpid(), why=REQUESTED)
    assert run([str(place(tmp_path, data))]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == OUR_LINES[:2]
    assert f"pid {os.getpid()} on node 3; asked for while it ran, it runs now" in shown.err


def test_dump_when_not_named_then_the_newest_of_the_instance(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path, b"old", 2025)
    place(tmp_path, ours())
    (tmp_path / "zzz.dump").write_bytes(b"foreign")
    assert run(["--instance", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == OUR_LINES
    monkeypatch.setenv("UNISONO_INSTANCE", str(tmp_path))
    assert run(["--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["entries"][1]["text"] == "75% \x1b[31mof ä"
    assert (told["pid"], told["why"], told["this_boot"], told["running"]) == (
        4711,
        "died",
        True,
        False,
    )


def test_dump_when_there_is_none_then_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for arguments in (
        ["--instance", str(tmp_path)],
        ["--instance", str(tmp_path / "absent")],
        [str(tmp_path / "absent")],
        [str(tmp_path)],
        [str(fifo)],
    ):
        assert run(arguments) == 1
        shown = capsys.readouterr()
        assert shown.err.startswith("unisono blackbox: ")
        assert not shown.out
    with pytest.raises(UnisonoError):
        newest_dump(tmp_path)


def test_bb14_dump_when_damaged_then_exit_2_and_what_is_whole_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = bytearray((VECTORS / "plain.dump").read_bytes())
    data[data.index(b"\xa1\xa1\xa1\xa1", 60)] ^= 1
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    assert run([str(damaged)]) == 2
    shown = capsys.readouterr()
    wanted = (VECTORS / "plain.txt").read_text().replace("\x1b", "?").splitlines()
    assert shown.out.splitlines() == wanted[:1] + wanted[2:]
    assert "damaged: no entry begins at byte" in shown.err
    for nonsense in (b"", b"nonsense", ours()[:100], b"\0" * 5_000):
        damaged.write_bytes(nonsense)
        assert run([str(damaged)]) == 2
        shown = capsys.readouterr()
        assert not shown.out
        assert len(shown.err.splitlines()) == 1


def test_dump_when_converted_for_qb_blackbox_then_a_new_file_with_the_same_entries(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = place(tmp_path, ours()), tmp_path / "out"
    old = os.umask(0)
    try:
        assert run([str(path), "--libqb", str(out)]) == 0
    finally:
        os.umask(old)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert not capsys.readouterr().out
    assert run([str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == OUR_LINES
    before = out.read_bytes()
    assert run([str(path), "--libqb", str(out)]) == 1
    assert "File exists" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_entry_when_its_time_is_impossible_then_shown_without() -> None:
    for when_ns in (-1, 2**63, 2**70):
        assert describe(Entry(when_ns, 6, "f", 1, 2, "t")) == (
            "info    ??? ?? ??:??:??.??? f(1):2: t"
        )


def test_request_when_no_daemon_can_be_asked_then_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--request", "--instance", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
    with pytest.raises(UnisonoError):
        request_dump(None)
    with pytest.raises(SystemExit):
        run(["--request", "file"])
