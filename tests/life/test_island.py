"""The island itself: private, and with pids that recur."""

import os

import pytest

from tests.life.island import PIDS_MIN, inside, take_next_pid

pytestmark = pytest.mark.root
FORKS = 300


def recur() -> list[int]:
    pids = []
    for number in range(FORKS):
        if number % 3 == 0:
            take_next_pid(350)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        pids.append(pid)
    return pids


def test_island_when_pids_are_few_then_they_recur_and_can_be_chosen() -> None:
    pids = inside(recur, pids=PIDS_MIN)
    assert max(pids) < PIDS_MIN
    assert pids[::3] == [350] * (FORKS // 3)


def furniture() -> dict[str, list[str]]:
    return {path: os.listdir(path) for path in ("/dev/shm", "/run")} | {"me": [str(os.getpid())]}


def test_island_when_entered_then_nothing_of_the_host_is_there() -> None:
    assert inside(furniture) == {"/dev/shm": [], "/run": [], "me": ["1"]}
