"""Corosync's own programs and libraries, unmodified, in front of our daemon."""

import re
import signal
from collections.abc import Callable

import pytest

from tests.interop.lab import Lab
from tests.interop.rings import assert_load_ordered, assert_same, ring

pytestmark = pytest.mark.timeout(90)
REASON_LEAVE = 2
REASON_PROCESS_DOWN = 5
IPC_KINDS = [pytest.param("shm", id="shm"), pytest.param("socket", id="socket")]
ALONE_AND_MIXED = ["c", "u", "cu", "ucu"]


@pytest.mark.parametrize("ipc", IPC_KINDS)
@pytest.mark.parametrize("kinds", ALONE_AND_MIXED)
def test_libcpg_when_ring_is_up_then_joins_sends_and_leaves(
    laboratory: Callable[..., Lab], kinds: str, ipc: str
) -> None:
    lab = laboratory(kinds, system={"qb_ipc_type": ipc})
    lab.form()
    lab.marked("start")
    lab.send(300, 64)
    lab.finish()
    lab.send(3, 1_000_000)
    lab.finish()
    assert_same(lab.marked("end"), 303 * len(kinds))
    for client in lab.clients.values():
        client.say("members")
    lab.wait("members", lambda: all(c.last("members") for c in lab.clients.values()))
    expected = sorted([n, client.pid] for n, client in lab.clients.items())
    for client in lab.clients.values():
        answer = client.last("members")
        assert answer is not None
        assert sorted(member[:2] for member in answer["members"]) == expected


@pytest.mark.parametrize("ipc", IPC_KINDS)
@pytest.mark.parametrize("kinds", ["c", "u", "cu"])
def test_libcpg_when_a_message_is_larger_than_its_limit_then_the_library_cuts_it_up(
    laboratory: Callable[..., Lab], kinds: str, ipc: str
) -> None:
    lab = laboratory(kinds, system={"qb_ipc_type": ipc})
    lab.form()
    lab.marked("start")
    lab.send(2, 2_500_000)
    lab.finish()
    assert_same(lab.marked("end"), 2 * len(kinds))


@pytest.mark.parametrize("ipc", IPC_KINDS)
@pytest.mark.parametrize("kinds", ["cc", "cu", "uc", "uu"])
def test_clients_when_they_leave_or_die_then_all_members_hear_the_reason(
    laboratory: Callable[..., Lab], kinds: str, ipc: str
) -> None:
    lab = laboratory(kinds, system={"qb_ipc_type": ipc})
    lab.form()
    watcher, leaver = lab.clients[1], lab.clients[2]
    leaver.say("leave")
    lab.wait("left", lambda: watcher.view == leaver.view == {1})
    casualty = lab.join(2)
    lab.wait_views()
    lab.clients.pop(2).kill()
    lab.wait("died", lambda: watcher.view == {1})
    gone = [entry for view in watcher.all("view") for entry in view["left"]]
    assert gone == [[2, leaver.pid, REASON_LEAVE], [2, casualty.pid, REASON_PROCESS_DOWN]]
    lab.join(2)
    lab.wait_views()
    assert_load_ordered(lab)


@pytest.mark.parametrize("ipc", IPC_KINDS)
@pytest.mark.parametrize("kinds", ["cc", "cu", "uu"])
def test_cpgtool_when_asked_then_lists_groups_and_members_alike_everywhere(
    laboratory: Callable[..., Lab], kinds: str, ipc: str
) -> None:
    lab = laboratory(kinds, system={"qb_ipc_type": ipc}, group="orders")
    lab.form()
    pids = {n: client.pid for n, client in lab.clients.items()}
    for n in lab.nodes:
        answer = lab.run(n, "corosync-cpgtool", "-d", ";")
        assert (answer.returncode, answer.stderr) == (0, "")
        print(answer.stdout)
        _, *lines = answer.stdout.splitlines()
        rows = [line.split(";") for line in lines]
        listed = {(row[0], int(row[2]), int(row[1])) for row in rows}
        assert listed == {("orders", node, pid) for node, pid in pids.items()}, answer.stdout
        names = lab.run(n, "corosync-cpgtool", "-n")
        assert "orders" in names.stdout.split()


@pytest.mark.parametrize(
    ("kinds", "transport", "family"),
    [ring("ccc", "udpu", 4), ring("cuc", "udpu", 4), ring("ucu", "udp", 6), ring("uc", "udp", 4)],
)
def test_quorumtool_when_ring_is_mixed_then_corosync_counts_every_vote(
    laboratory: Callable[..., Lab], kinds: str, transport: str, family: int
) -> None:
    lab = laboratory(kinds, transport, family)
    lab.form()
    for n in (n for n, kind in lab.kinds.items() if kind == "c"):
        answer = lab.run(n, "corosync-quorumtool", "-s").stdout
        facts = dict(re.findall(r"^([A-Z][A-Za-z ]+):\s+(\S+)", answer, re.MULTILINE))
        assert facts["Total votes"] == facts["Expected votes"] == str(len(kinds)), answer
        assert facts["Quorate"] == "Yes"
        votes = re.findall(r"^\s+(\d+)\s+(\d+) host\d", answer, re.MULTILINE)
        assert votes == [(str(node), "1") for node in lab.nodes], answer


@pytest.mark.parametrize("kinds", ["cc", "cu", "uu"])
def test_daemon_when_its_clients_are_killed_in_mid_sending_then_goes_on(
    laboratory: Callable[..., Lab], kinds: str
) -> None:
    lab = laboratory(kinds)
    lab.form()
    for _ in range(5):
        lab.send(100_000, 3000, [2])
        lab.flow(50)
        lab.clients.pop(2).kill()
        lab.wait("died", lambda: lab.clients[1].view == {1})
        lab.join(2)
        lab.wait_views()
    assert_load_ordered(lab)


@pytest.mark.parametrize("kinds", ["c", "u"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_daemon_when_told_to_end_then_its_client_learns_and_the_next_start_serves(
    laboratory: Callable[..., Lab], kinds: str, how: signal.Signals
) -> None:
    lab = laboratory(kinds)
    lab.form()
    first = lab.clients[1].last("ring")
    lab.daemons[1].send_signal(how)
    assert lab.daemons.pop(1).wait(20) == 0
    lab.clients.pop(1).close()
    lab.form()
    second = lab.clients[1].last("ring")
    assert first is not None
    assert second is not None
    assert second["seq"] > first["seq"], "the ring sequence was not stored"
