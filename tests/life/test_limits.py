"""Limits: memory locking and priority are asked for once; a refusal is told once, and harmless."""

import os
import resource
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.life import listing
from tests.life.daemons import Place, forked
from tests.life.island import NOBODY, inside
from unisono.linux.process import raise_priority

pytestmark = pytest.mark.root
PRIORITY = "Could not raise the priority:"
MEMORY = "Could not lock memory:"
REAL_TIME = "system {\n    sched_rr: yes\n}\n"


def _place(*, real_time: bool, owner: int) -> Place:
    place = Place("/run/one", more=REAL_TIME if real_time else "")
    place.instance.mkdir(mode=0o755)
    for path in (place.directory, place.instance):
        os.chown(path, owner, owner)
    return place


def asked(real_time: bool, uid: int) -> dict[str, Any]:
    """A daemon of this user whose limits allow nothing: what it told, and how it runs."""
    place = _place(real_time=real_time, owner=uid)
    if uid:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
        resource.setrlimit(resource.RLIMIT_NICE, (0, 0))
    assert forked(place.options(), uid=uid).status == 0
    pid = int(place.pid_file.read_text())
    os.seteuid(uid)  # a client trusts its own user's daemon, and root's
    marks = place.status()["daemon"]["marks"]
    os.seteuid(0)
    log = place.log.read_text()
    memory = Path(f"/proc/{pid}/status").read_text()
    keeper = [number for number, name in listing.processes().items() if name == "unisono-keeper"]
    tasks = {int(name) for name in os.listdir(f"/proc/{pid}/task")} - {pid}
    return {
        "log": [log.count(PRIORITY), log.count(MEMORY)],
        "marks": [marks.get("priority_refused", 0), marks.get("memory_lock_refused", 0)],
        "why": [line.partition(": ")[2] for line in log.splitlines() if "Could not" in line],
        "locked": int(memory.partition("VmLck:")[2].split()[0]),
        "main": _policy(pid),
        "nice": os.getpriority(os.PRIO_PROCESS, pid),
        "threads": sorted({_policy(task) for task in tasks}),
        "keeper": sorted({_policy(number) for number in keeper}),
        "counts": [len(tasks), len(keeper)],
    }


def _policy(task: int) -> int:
    return os.sched_getscheduler(task) & ~os.SCHED_RESET_ON_FORK


@pytest.mark.parametrize(
    ("real_time", "why"), [(False, "nice -15"), (True, "SCHED_RR")], ids=["nice", "real time"]
)
def test_limits_when_refused_then_each_is_told_once(real_time: bool, why: str) -> None:
    found = inside(asked, real_time, NOBODY)
    assert found["log"] == [1, 1]
    assert found["marks"] == [1, 1]
    assert any(why in each for each in found["why"])
    assert any("RLIMIT_MEMLOCK is 0 bytes" in each for each in found["why"])
    assert (found["locked"], found["main"], found["nice"]) == (0, os.SCHED_OTHER, 0)


@pytest.mark.parametrize("real_time", [False, True], ids=["nice", "real time"])
def test_limits_when_granted_then_nothing_is_told(real_time: bool) -> None:
    found = inside(asked, real_time, 0)
    assert (found["log"], found["marks"], found["why"]) == ([0, 0], [0, 0], [])
    assert found["locked"] > 0
    assert found["main"] == (os.SCHED_RR if real_time else os.SCHED_OTHER)
    assert found["nice"] == (0 if real_time else -15)
    assert found["threads"] == found["keeper"] == [os.SCHED_OTHER]
    assert min(found["counts"]) >= 1


def late() -> list[object]:
    """Policies of a thread and of a process that are begun by one with real-time priority."""
    assert raise_priority(real_time=True) == ""
    policies = [_policy(0)]
    thread = threading.Thread(target=lambda: policies.append(_policy(0)))
    thread.start()
    thread.join()
    child = os.fork()
    if child == 0:
        os._exit(_policy(0))
    policies.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return [*policies]


def test_real_time_when_a_thread_or_process_is_begun_later_then_it_does_not_inherit() -> None:
    assert inside(late) == [os.SCHED_RR, os.SCHED_OTHER, os.SCHED_OTHER]
