"""Debian's libcpg, cpgtool and Corosync, each in a network and mount namespace of its own."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.root]
ROOT = Path(__file__).parents[2]
SECONDS_MAX = 200.0


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The libcpg program, compiled."""
    if not shutil.which("gcc") or not Path("/usr/include/corosync/cpg.h").exists():
        pytest.skip("needs gcc and libcpg-dev: make setup as root")
    directory = tmp_path_factory.mktemp("probe")
    for path in (directory, *directory.parents):
        if path.name.startswith(("probe", "pytest-")):
            path.chmod(0o755)
    source = Path(__file__).with_name("cpg_probe.c")
    target = str(directory / "cpg_probe")
    subprocess.run(["gcc", "-O2", "-Wall", "-o", target, str(source), "-lcpg"], check=True)
    return target


def in_namespace(*arguments: str) -> dict[str, Any]:
    """Run in_namespace.py where names and shared memory are its own."""
    done = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "--propagation=private",
            sys.executable,
            "-m",
            "tests.ipc.in_namespace",
            *arguments,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["shm", "socket"])
def test_libcpg_when_it_uses_our_server_then_all_comes_back(probe: str, kind: str) -> None:
    results = in_namespace("libcpg", probe, kind)
    for name, count in {
        "small": 10_000,
        "empty": 100,
        "lazy": 3_000,
        "large": 40,
        "largest": 5,
        "fragments": 3,
        "nobody": 1_000,
    }.items():
        run = results[name]
        assert (run["received"], run["bad"], run["node"], run["members"]) == (count, 0, 7, 1)
    assert results["tool"] is True
    report = results["report"]
    assert report["clients"] == 0
    assert set(report["marks"]) == {"CLIENT_CONNECTED", "CLIENT_GONE"}


@pytest.mark.parametrize(("kind", "transport"), [("shm", "ShmClient"), ("socket", "SocketClient")])
def test_our_client_when_it_uses_corosync_then_as_libcpg(kind: str, transport: str) -> None:
    results = in_namespace("corosync", kind)
    assert results["transport"] == transport
    assert results["server"] == [True, 0]
    assert results["cmap"] == "ipc"
    assert results["cfg"] == [1, 3]
    assert results["quorum"] == [1, True]
    assert results["nodes"] == [3]
    exchange = results["cpg"]
    assert exchange["joined"] is True
    assert exchange["ring"] == [3]
    assert exchange["returned"] == 2_005
    assert exchange["fragment"] == [1, True]
    assert exchange["left"] == 2
    assert results["lost"] is True
