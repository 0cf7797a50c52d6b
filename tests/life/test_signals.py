"""BB17 and leaving: a signal never kills a member, and SIGTERM ends it within a second."""

import os
import signal
import time

import pytest

from tests.life.daemons import Daemon, Place
from tests.life.island import inside
from tests.life.load import load

pytestmark = pytest.mark.root
HARMLESS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
ROUNDS = 20
LEAVE_SECONDS_MAX = 1.0
BOTH = "Members[2]: 1 2"


def _pair(start: str) -> list[tuple[Place, Daemon]]:
    """Two daemons that are one ring."""
    places = [Place(f"/run/n{number}", node=number, nodes=2) for number in (1, 2)]
    pair = [(place, getattr(place, start)()) for place in places]
    for place in places:
        place.await_line(BOTH)
    return pair


def harmless(start: str) -> list[object]:
    """Rings before and after many signals under load, and whether both daemons live."""
    pair = _pair(start)
    place, daemon = pair[0]
    before = [each.status()["daemon"]["ring"] for each, _ in pair]
    with load(place.instance) as counts:
        for _ in range(ROUNDS):
            for number in HARMLESS:
                daemon.send(number)
                time.sleep(0.005)
    after = [each.status()["daemon"]["ring"] for each, _ in pair]
    alive = [each.is_alive for _, each in pair]
    return [before == after, alive, counts["status"], [each.stop() for _, each in pair]]


@pytest.mark.parametrize("start", ["start", "start_in_front"])
def test_bb17_signal_when_it_means_no_end_then_the_daemon_keeps_its_place(start: str) -> None:
    assert inside(harmless, start) == [True, [True, True], 0, [0, 0]]


def early() -> list[int]:
    """Harmless signals all the time while the daemon starts, both modes; then a clean stop."""
    found = []
    for number in HARMLESS:
        place = Place(f"/run/{number}")
        daemon = Daemon(_start_under_fire(place, number))
        found.append(daemon.stop())
    return found


def _start_under_fire(place: Place, number: int) -> int:
    pid = os.fork()
    if pid == 0:
        end = time.monotonic() + 5.0
        while time.monotonic() < end and not place.log.exists():
            _hit(place, number)
        os._exit(0)
    daemon = place.start()
    os.waitpid(pid, 0)
    return daemon.pid


def _hit(place: Place, number: int) -> None:
    try:
        pid = int(place.pid_file.read_text())
        os.kill(pid, number)
    except (OSError, ValueError):
        return


def test_bb17_signal_when_it_comes_during_the_start_then_the_daemon_comes_up() -> None:
    assert inside(early) == [0, 0, 0]


def leaving(start: str) -> list[object]:
    """How a member under load leaves: status, seconds, and what the other one says of it."""
    pair = _pair(start)
    (place, daemon), (other, second) = pair
    with load(other.instance) as counts, load(place.instance) as own:
        place.await_line("Members")
        began = time.monotonic()
        daemon.send(signal.SIGTERM)
        status = daemon.wait()
        seconds = time.monotonic() - began
        other.await_line("Members[1]: 2")
    marks = other.status()["daemon"]["marks"]
    text = other.log.read_text()
    second.stop()
    return [status, seconds, marks.get("token_lost", 0), text, counts["status"], own["delivered"]]


@pytest.mark.parametrize("start", ["start", "start_in_front"])
def test_sigterm_when_under_load_then_left_within_a_second_and_not_failed(start: str) -> None:
    status, seconds, tokens_lost, text, others_client, _ = inside(leaving, start)
    assert status == 0
    assert seconds < LEAVE_SECONDS_MAX
    assert tokens_lost == 0
    assert "Members left: 1" in text
    assert "failed" not in text.lower()
    assert others_client == 0
