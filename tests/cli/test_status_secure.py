"""`unisono status` on the secure transport: real daemons, one of which has another key."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from unisono.cli import peers
from unisono.cli.demo.daemons import Daemon, configuration, free_network, make_key

SECONDS_MAX = 30.0


def _status(directory: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "unisono.cli.main", "status", "--seconds", "0", *options]
    return subprocess.run(
        [*command, "--instance", str(directory)], check=False, capture_output=True, text=True
    )


def _await(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _transport(directory: Path) -> dict:
    answer = _status(directory, "--json")
    if not answer.stdout:
        return {}
    return json.loads(answer.stdout)["daemon"]["transport"]


def _all_up(directory: Path, count: int) -> bool:
    links = [link for peer in _transport(directory).get("peers", []) for link in peer["links"]]
    return sum(link["up"] and link["latency_us"] > 0 for link in links) == count


def test_status_shows_links_and_ends_with_2_when_a_key_differs(tmp_path: Path) -> None:
    network = free_network(3)
    text = configuration(3, network, make_key(tmp_path))
    (tmp_path / "other").mkdir()
    other = configuration(3, network, make_key(tmp_path / "other"))
    daemons = [Daemon(tmp_path / f"n{index}", index, text) for index in range(2)]
    daemons.append(Daemon(tmp_path / "n2", 2, other))
    with ExitStack() as stack:
        for daemon in daemons[:2]:
            stack.callback(daemon.stop)
            daemon.start()
        _await(lambda: _all_up(tmp_path / "n0", 1))
        answer = _status(tmp_path / "n0")
        assert (answer.returncode, answer.stderr) == (0, "")
        lines = [line.split() for line in answer.stdout.splitlines()]
        key = _transport(tmp_path / "n0")["key"]
        assert ["transport", "ust,", "key", key] in lines
        assert any(line[:5] == ["node", "2", "link", "0", "up"] for line in lines)
        assert any(line == ["node", "3", "no", "session"] for line in lines)

        stack.callback(daemons[2].stop)
        daemons[2].start()
        for directory in (tmp_path / "n0", tmp_path / "n2"):
            _await(lambda directory=directory: _status(directory).returncode == 2)
            theirs = _transport(tmp_path / "n2" if directory.name == "n0" else tmp_path / "n0")
            ours = _transport(directory)
            wanted = f"reason=key-differs theirs={theirs['key']} ours={ours['key']}"
            assert wanted in _status(directory).stdout
        for daemon in daemons:
            log = (daemon.directory / "log").read_text()
            assert "Invalid digest" in log
            assert (tmp_path / "authkey").read_bytes().hex() not in log


def _link(**changes: object) -> dict:
    usual = {"link": 0, "up": True, "one_way": False, "latency_us": 215, "losses": 0, "mtu": 1500}
    return {**usual, **changes}


def _peer(*links: dict, **changes: object) -> dict:
    usual = {"node": 2, "session": "0a", "key": "aa", "gone": False, "links": list(links)}
    return {**usual, **changes}


@pytest.mark.parametrize(
    ("peer", "lines"),
    [
        (
            _peer(_link(), _link(link=1, up=False, one_way=True, latency_us=0, losses=4)),
            [
                "  node 2     link 0  up      0.21 ms  MTU 1500",
                "             link 1  DOWN, one way         -  MTU 1500  4 pings lost",
            ],
        ),
        (_peer(_link(), session=""), ["  node 2     no session"]),
        (_peer(_link(), gone=True), ["  node 2     gone"]),
        (
            _peer(_link(), key="cc"),
            [
                "  node 2     link 0  up      0.21 ms  MTU 1500",
                "             session made with key cc, which is none of ours",
            ],
        ),
    ],
)
def test_peer_is_described_link_by_link(peer: dict, lines: list[str]) -> None:
    transport = {"kind": "ust", "key": "aa", "peers": [peer]}
    assert list(peers.describe_peers(transport)) == ["peers", *lines]


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 0),
        ({"key": "bb"}, 0),  # the next key, while an operator changes it
        ({"key": "cc"}, 1),
        ({"key": "cc", "links": [_link(up=False)]}, 0),
        ({"key": ""}, 0),
    ],
)
def test_faults_are_peers_that_are_up_with_a_foreign_key(changes: dict, count: int) -> None:
    transport = {"kind": "ust", "key": "aa", "key_next": "bb", "peers": [_peer(_link(), **changes)]}
    assert peers.faults(transport) == count


def test_faults_are_complaints_too_and_absent_without_the_secure_transport() -> None:
    assert peers.faults({"kind": "ust", "complaints": [{}, {}]}) == 2
    assert peers.faults({"kind": "udpu"}) == 0


@pytest.mark.parametrize(
    ("transport", "text"),
    [
        ({"kind": "udpu"}, "udp unicast, unauthenticated: for rings with Corosync members"),
        ({"kind": "ust", "key": "aa", "key_next": "", "key_previous": "bb"},
         "ust, key aa, previous bb"),
    ],
)  # fmt: skip
def test_transport_is_described_in_a_line(transport: dict, text: str) -> None:
    assert peers.describe_transport(transport) == text
