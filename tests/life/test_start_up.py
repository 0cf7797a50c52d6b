"""A signal at any moment of the start: the statuses are right, and nothing is left behind."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.life import listing
from tests.life.daemons import EXECUTIVE, SECONDS_MAX, Daemon, Place, begin_fork
from tests.life.island import PIDS_MIN, inside, mount, reap

pytestmark = pytest.mark.root
DELAY_MS_MAX = {"exec": 400, "fork": 180}
TRIALS = 24
SIGNALS = (signal.SIGINT, signal.SIGTERM)
INTERRUPTED = "interrupted while starting"
LOST = b"Exception ignored in: <function _get_module_lock"
STOPPED = "stopped before it was a member of a ring"


def _begin(place: Place, way: str, *options: str) -> tuple[int, Any]:
    """A starting `unisonod` in a process group of its own: its pid, and where its words go."""
    place.log.unlink(missing_ok=True)
    words = (place.directory / "words").open("w+b")
    given = place.options(*options)
    if way == "fork":
        return begin_fork(given, words.fileno()), words
    process = subprocess.Popen(
        [*EXECUTIVE, *given], stdin=words, stdout=words, stderr=words, process_group=0
    )
    process.returncode = 0  # this object is not asked again
    return process.pid, words


def _settle(place: Place) -> list[str]:
    """What is left when all have had time to end; empty is right."""
    end = time.monotonic() + SECONDS_MAX / 4
    while len(left := listing.processes()) > 1 and time.monotonic() < end:
        reap()
        time.sleep(0.002)
    files = [str(path) for path in place.instance.glob("*") if path.name != "ringid_1"]
    return [*files, *(f"{pid} {name}" for pid, name in left.items() if pid != 1)]


def _wait(watch: Daemon, words: Any, number: int) -> int:
    """Its status. Python itself may lose an interrupt before ours is the first line that runs."""
    try:
        return watch.wait(SECONDS_MAX / 4)
    except AssertionError:
        if LOST not in Path(words.name).read_bytes():
            raise
    watch.send(number)
    return watch.wait()


def interrupted(way: str, mode: str, seed: int) -> dict[str, Any]:
    """Trials with random delays: how each ended, and what was wrong."""
    dice = random.Random(seed)
    ends: Counter[str] = Counter()
    wrong: list[str] = []
    place = Place("/run/one")
    place.start().stop()
    for trial in range(TRIALS):
        number = SIGNALS[trial % 2]
        delay = dice.uniform(0, DELAY_MS_MAX[way]) / 1000
        to_all = number == signal.SIGINT and trial % 4 < 2
        pid, words = _begin(place, way, *(["-f"] if mode == "front" else []))
        time.sleep(delay)
        watch = Daemon(pid)
        (os.killpg if to_all else os.kill)(pid, number)
        status = _wait(watch, words, number)
        with words:
            words.seek(0)
            said = words.read().decode()
        is_up = mode == "back" and status == 0
        if is_up:  # it was ready before the signal came
            Daemon(int(place.pid_file.read_text())).stop()
        name = f"{signal.Signals(number).name} after {delay * 1000:.0f} ms: {status} {said!r}"
        left = _settle(place)
        # While Python loads there is nothing to undo, and it says itself that it was interrupted.
        is_early = status in (-signal.SIGINT, -signal.SIGTERM) or "KeyboardInterrupt" in said
        is_early = is_early and not place.log.exists()
        is_told = status != 1 or is_early or INTERRUPTED in said or STOPPED in said
        if left or not is_told or (status not in (0, 1) and not is_early):
            wrong.append(f"{name} {left}")
        if "Traceback" in said and not is_early:
            wrong.append(name)
        ends[str(status)] += 1
    return {"ends": dict(ends), "wrong": wrong}


@pytest.mark.parametrize("mode", ["front", "back"])
@pytest.mark.parametrize("way", ["exec", "fork"])
@pytest.mark.timeout(120)
def test_start_when_interrupted_at_any_moment_then_told_and_nothing_left(
    way: str, mode: str
) -> None:
    found = inside(interrupted, way, mode, 20_251, seconds=110)
    assert found["wrong"] == []
    assert sum(found["ends"].values()) == TRIALS
    assert mode == "front" or way == "exec" or found["ends"].get("1", 0) > 2, found["ends"]


def impatient() -> list[object]:
    """Many signals while the daemon leaves: none may cut its end short."""
    found: list[object] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        place = Place("/run/one")
        daemon = place.start()
        daemon.send(signal.SIGTERM)
        while daemon.is_alive:
            daemon.send(number)
            time.sleep(0.0005)
        found.append([daemon.wait(), sorted(os.listdir(place.instance))])
    return found


def test_daemon_when_signalled_again_while_it_ends_then_the_end_is_clean() -> None:
    assert inside(impatient) == [[0, ["ringid_1"]]] * 3


def no_forks(allowed: int) -> list[object]:
    """All pids are taken but those for the starter and `allowed` - 1 more processes."""
    place = Place("/run/one")
    place.start().stop()
    sleepers = []
    try:
        while True:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            sleepers.append(pid)
    except BlockingIOError:  # that was the last one
        for pid in sorted(sleepers)[-allowed:]:
            _end(pid)
            sleepers.remove(pid)
    ran = place.probe()
    for pid in sleepers:
        _end(pid)
    return [ran.status, ran.output.splitlines(), _settle(place)]


def _end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("allowed", [1, 2])
def test_start_when_a_fork_is_refused_then_status_4_and_told(allowed: int) -> None:
    line = "unisonod: cannot go into the background: Resource temporarily unavailable"
    assert inside(no_forks, allowed, pids=PIDS_MIN) == [4, [line], []]


def no_null() -> list[object]:
    """There is no null device."""
    place = Place("/run/one")
    place.start().stop()
    mount("tmpfs", "/dev")
    pid, words = _begin(place, "exec")
    status = Daemon(pid).wait()
    with words:
        words.seek(0)
        return [status, words.read().decode(), _settle(place)]


def test_start_when_there_is_no_null_device_then_status_19_and_told() -> None:
    line = "unisonod: cannot open /dev/null: No such file or directory\n"
    assert inside(no_null) == [19, line, []]


def disk_full_at_the_first_ring() -> list[object]:
    """The ring sequence cannot be stored when the first ring forms: the starter hears of it."""
    place = Place("/run/one", nodes=2)
    place.start().stop()
    size = 4096
    place.instance.rename("/run/before")
    place.instance.mkdir(mode=0o755)
    mount("tmpfs", str(place.instance), "size=64k,mode=755")
    pid, words = _begin(place, "fork")
    place.await_line("Initializing transport")
    with (place.instance / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(size))
    status = Daemon(pid).wait()
    words.close()
    return [status, "cannot store the ring sequence" in place.log.read_text()]


def test_starter_when_the_first_ring_cannot_be_stored_then_status_21() -> None:
    assert inside(disk_full_at_the_first_ring) == [21, True]
