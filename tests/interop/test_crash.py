"""A daemon dies in the middle of everything: its dump, its clients, its return."""

import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.interop.cpg_client import CpgClient, build
from tests.interop.crashes import (
    SECONDS_MAX,
    await_event,
    children,
    kill,
    signal_and_watch,
    start_client,
    without_clients,
)
from tests.interop.lab import DAEMONS, Lab
from tests.interop.rings import assert_load_ordered, history
from tests.interop.secure_lab import secure
from tests.interop.test_blackbox import ours, qb_blackbox

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

VICTIM = 2
PER_SECOND = 100_000
PER_SECOND_MIN = 50_000
REPORTS = 5
LAST_RECORD_NS = 1_000_000
ATTEMPTS_MAX = 5
LINES_COMPARED = 1_000
NATIVE_NS = 100_000_000
LIBQB_NS = 1_000_000_000
CS_ERR_LIBRARY = 2
FATAL = [signal.SIGKILL, signal.SIGSEGV]
PID_FILE = "/run/corosync.pid"
DAEMONS["s"] = (
    sys.executable,
    str(Path(__file__).with_name("supervisor.py")),
    *DAEMONS["u"],
)
"""A kind of daemon more: Unisono's, started again whenever it ends."""


def per_second(client: CpgClient) -> float:
    """Messages delivered to it, over the newest reports."""
    first, *_, last = client.all("delivered")[-REPORTS:]
    return float((last["count"] - first["count"]) / (last["t"] - first["t"]) * 1e9)


def load(lab: Lab) -> CpgClient:
    """A client whose 64 B messages have flowed for a while, not always the same."""
    client = start_client(lab, VICTIM, "load", "crash", PER_SECOND)
    lab.clients[VICTIM] = client
    reports = random.randint(2 * REPORTS, 4 * REPORTS)
    lab.wait("messages flow", lambda: len(client.all("delivered")) >= reports)
    del lab.clients[VICTIM]
    return client


def test_bb8_daemon_when_it_crashes_under_load_then_the_dump_reaches_to_its_last_millisecond(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two things may fail for want of a processor, and are tried again, a bounded number of times:
    the load, and a daemon that waits its turn while it is killed, and so has done nothing lately.
    """
    seen = []
    with secure("uuu") as lab:
        lab.form()
        without_clients(lab)
        for _ in range(ATTEMPTS_MAX):
            client = load(lab)
            rate = per_second(client)
            death = kill(lab, VICTIM, signal.SIGSEGV)
            client.close()
            last = death.dump.records[-1]
            assert last.monotonic_ns <= death.died_ns
            assert last.monotonic_ns <= death.dump.monotonic_ns
            seen.append((round(rate), (last.monotonic_ns - death.killed_ns) / 1e6))
            if rate >= PER_SECOND_MIN and last.monotonic_ns >= death.killed_ns - LAST_RECORD_NS:
                break
            lab.start(VICTIM)
            lab.wait("it is back", lambda: sorted(lab.clients[VICTIM].ring) == [1, 2, 3])
            without_clients(lab)
        else:
            pytest.fail(f"messages/s, and ms from the signal to the last record: {seen}")
        assert death.dump.signal == "SIGSEGV"
        assert not death.dump.damage
        shown = ours([death.file], capsys)
        assert ours([death.file, "--libqb", tmp_path / "exported"], capsys) == []
        assert "fatal_signal(0):0: Fatal Python error: Segmentation fault" in "\n".join(shown)
        assert len(shown) > LINES_COMPARED
        assert shown[-LINES_COMPARED:] == qb_blackbox(tmp_path / "exported")[-LINES_COMPARED:]


@pytest.mark.parametrize("how", FATAL)
def test_native_clients_when_their_daemon_is_killed_then_they_learn_at_once(
    laboratory: Callable[..., Lab], how: signal.Signals
) -> None:
    lab = laboratory("u")
    lab.form()
    clients = [start_client(lab, 1, style, style) for style in ("aio", "blocking")]
    clients.append(start_client(lab, 1, "load", "load", PER_SECOND))
    try:
        for client in clients:
            await_event(client, "ready")
        await_event(clients[-1], "delivered")
        death = kill(lab, 1, how)
        for client in clients:
            assert 0 < await_event(client, "lost") - death.killed_ns < NATIVE_NS
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("kind", "ipc", "how"),
    [
        ("c", "shm", signal.SIGKILL),
        ("c", "socket", signal.SIGKILL),
        *(("u", ipc, how) for ipc in ("shm", "socket") for how in FATAL),
    ],
)
def test_libcpg_clients_when_their_daemon_is_killed_then_they_learn_as_from_corosync(
    laboratory: Callable[..., Lab], kind: str, ipc: str, how: signal.Signals
) -> None:
    """With shared memory, the descriptor that libqb lets a client watch is the connection, and
    wakes. With sockets it is a datagram socket, which the kernel does not wake when its peer
    dies: who only waits learns at its next call, from Corosync and from us alike.
    """
    lab = laboratory(kind, system={"qb_ipc_type": ipc})
    lab.form()
    idle = lab.clients.pop(1)
    busy = CpgClient(1, lab.network.host(1).command(str(build()), "busy"))
    try:
        await_event(busy, "view")
        busy.send(10_000_000, 64)
        busy.say("report")
        await_event(busy, "report")
        daemon = lab.daemons.pop(1)
        killed_ns, _ = signal_and_watch(daemon.pid, how)
        assert daemon.wait(SECONDS_MAX) == -how
        assert 0 < await_event(busy, "lost") - killed_ns < LIBQB_NS
        assert (busy.last("lost") or {})["code"] == CS_ERR_LIBRARY
        asked_ns = killed_ns
        if ipc == "socket":
            asked_ns = time.monotonic_ns()
            idle.say("members")
        word = "lost" if ipc == "shm" else "error"
        assert 0 < await_event(idle, word) - asked_ns < LIBQB_NS
        assert (idle.last(word) or {})["code"] == CS_ERR_LIBRARY
    finally:
        idle.close()
        busy.close()


def pid_of(lab: Lab, n: int) -> int:
    """The daemon of that host as its pid file has it; 0 without one."""
    file = lab.network.host(n).path(PID_FILE)
    return int(file.read_text() or 0) if file.exists() else 0


def test_daemon_when_it_is_killed_under_load_and_supervised_then_it_returns_with_a_new_ring(
    laboratory: Callable[..., Lab],
) -> None:
    lab = laboratory("usu")
    lab.form()
    lab.marked("start")
    rest = [n for n in lab.nodes if n != VICTIM]
    lab.send(30_000, 64)
    lab.flow(3_000)
    before = pid_of(lab, VICTIM)
    assert before in children(lab.daemons[VICTIM].pid)
    highest = max(event["seq"] for events in lab.rings() for event in events)
    lost = lab.clients.pop(VICTIM)
    signal_and_watch(before, signal.SIGKILL)
    await_event(lost, "lost")
    lost.close()
    lab.finish(rest)
    lab.wait("it is back in the ring", lambda: has_ring(lab, rest, highest, lab.nodes))
    lab.marked("end", rest)
    histories = [history(lab, n, "start") for n in rest]
    assert histories.count(histories[0]) == len(rest), histories
    after = pid_of(lab, VICTIM)
    assert after != before
    assert after in children(lab.daemons[VICTIM].pid)
    lab.join(VICTIM)
    lab.wait_views()
    assert_load_ordered(lab)
    assert lab.clients[VICTIM].all("ring")[0]["seq"] > highest


def has_ring(lab: Lab, nodes: list[int], above: int, members: tuple[int, ...]) -> bool:
    """Whether the clients of these nodes are in a newer ring of these members."""
    rings = [lab.clients[n].last("ring") for n in nodes]
    return all(
        ring and ring["seq"] > above and sorted(ring["members"]) == [*members] for ring in rings
    )
