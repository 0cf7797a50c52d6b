"""Finding the daemon, its credentials, and questions to it."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unisono
from tests.client.fake_daemon import FakeDaemon
from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError
from unisono.client.discovery import cpg_endpoint, find_instance, native_endpoint
from unisono.wire import native


async def test_node_when_opened_then_knows_id_protocol_and_status(tmp_path: Path) -> None:
    async with FakeDaemon(tmp_path, node_id=7), unisono.connect(str(tmp_path)) as node:
        assert node.node_id == 7
        assert node.protocol == "native"
        assert await node.status() == {"node_id": 7, "clients": 1}


async def test_members_when_asked_for_any_group_then_as_the_daemon_knows(tmp_path: Path) -> None:
    async with FakeDaemon(tmp_path), unisono.connect(tmp_path) as node:
        assert await node.members("g") == ()
        async with node.group(b"g") as group:
            assert await node.members(b"g") == (group.me,)


async def test_questions_when_asked_at_once_then_each_gets_its_answer(tmp_path: Path) -> None:
    async with FakeDaemon(tmp_path) as daemon, unisono.connect(tmp_path) as node:
        async with node.group("g") as group:
            answers = await asyncio.gather(*[node.members(name) for name in ["g", "h"] * 20])
        assert answers == [(group.me,), ()] * 20
        requests = [f.request for f in daemon.frames if isinstance(f, native.Query)]
        assert len(set(requests)) == 40


async def test_question_when_the_daemon_does_not_know_it_then_its_error(tmp_path: Path) -> None:
    async with FakeDaemon(tmp_path) as daemon, unisono.connect(tmp_path) as node:
        on_frame = daemon._on_frame

        def refuse(client: object, frame: native.ToDaemon) -> None:
            if isinstance(frame, native.Query):
                frame.what = 99
            on_frame(client, frame)  # type: ignore[arg-type]  # a daemon that misbehaves

        daemon._on_frame = refuse  # type: ignore[method-assign]  # a daemon that misbehaves
        with pytest.raises(ClusterError) as caught:
            await node.status()
        assert caught.value.code is CsError.NOT_SUPPORTED


async def test_connect_when_there_is_no_daemon_then_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost, match=rf"{tmp_path}/unisono.sock, {tmp_path}/cpg"):
        async with unisono.connect(tmp_path):
            pass
    with pytest.raises(ConnectionLost, match=rf"{tmp_path}/unisono.sock"):
        async with unisono.connect(tmp_path, protocol="native"):
            pass


async def test_connect_when_the_socket_is_stale_then_connection_lost(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "unisono.sock"))
    with pytest.raises(ConnectionLost):
        async with unisono.connect(tmp_path):
            pass


async def test_connect_when_the_environment_names_an_instance_then_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNISONO_INSTANCE", str(tmp_path))
    async with FakeDaemon(tmp_path, node_id=9), unisono.connect() as node:
        assert node.node_id == 9
    assert find_instance("/elsewhere") == Path("/elsewhere")


def test_endpoints_when_there_is_no_instance_then_abstract_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("UNISONO_INSTANCE", raising=False)
    assert find_instance(None) is None
    assert native_endpoint(None).address == b"\0unisono".ljust(108, b"\0")
    assert str(cpg_endpoint(Path("/run/one"))) == "/run/one/cpg"


async def test_connect_when_busy_then_waits(tmp_path: Path) -> None:
    async with FakeDaemon(tmp_path) as daemon:
        daemon.busy_hellos = 3
        async with unisono.connect(tmp_path):
            pass
        assert daemon.frames.count(native.Hello(1)) == 4


async def test_connect_when_refused_then_says_why(tmp_path: Path) -> None:
    async with FakeDaemon(tmp_path) as daemon:
        daemon.refuse_hello = CsError.ACCESS
        with pytest.raises(ClusterError) as caught:
            async with unisono.connect(tmp_path):
                pass
    assert caught.value.code is CsError.ACCESS


async def test_connect_when_the_daemon_speaks_another_version_then_refused(
    tmp_path: Path,
) -> None:
    async with FakeDaemon(tmp_path) as daemon:
        daemon.version = 2
        with pytest.raises(ClusterError) as caught:
            async with unisono.connect(tmp_path):
                pass
    assert caught.value.code is CsError.VERSION


async def test_connect_when_the_daemon_is_silent_then_timeout(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "unisono.sock"))
        listener.listen()
        with pytest.raises(ClusterError) as caught:
            async with unisono.connect(tmp_path, timeout=0.1):
                pass
    assert caught.value.code is CsError.TIMEOUT


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[Path]:
    """A directory where uid 65534 listens: the kernel remembers who called listen()."""
    serve = (
        "import os, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); os.setuid(65534)\n"
        "s.listen(); print(flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", serve, str(tmp_path / "unisono.sock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield tmp_path
        process.communicate()


@pytest.mark.root
async def test_connect_when_another_user_poses_as_the_daemon_then_security(impostor: Path) -> None:
    with pytest.raises(ClusterError, match="uid 65534") as caught:
        async with unisono.connect(impostor):
            pass
    assert caught.value.code is CsError.SECURITY


def test_connect_when_the_protocol_is_unknown_then_usage_error() -> None:
    with pytest.raises(UsageError, match="'auto', 'native' or 'qb'"):
        unisono.connect(protocol="tcp")


async def test_node_when_used_before_it_is_open_then_usage_error(tmp_path: Path) -> None:
    node = unisono.connect(tmp_path)
    with pytest.raises(UsageError):
        _ = node.node_id
    with pytest.raises(UsageError):
        await node.status()


def test_import_when_of_the_package_then_light_and_names_are_found() -> None:
    code = (
        "import sys, unisono\n"
        "heavy = {'asyncio', 'socket', 'json'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert all(hasattr(unisono, name) for name in unisono.__all__)\n"
        "assert set(unisono.__all__) <= set(dir(unisono))\n"
        "assert not hasattr(unisono, 'nonsense')\n"
        "forbidden = ('executive', 'totem', 'services', 'transport')\n"
        "loaded = [m for m in sys.modules if m.startswith('unisono.')]\n"
        "assert not [m for m in loaded if m.split('.')[1] in forbidden], loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
