"""Listening sockets: loopback or a path, and nobody's place is taken who still lives."""

import fcntl
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from unisono.base.errors import UsageError
from unisono.linux.listening import BACKLOG, Listener, NotListening

Listen = Callable[[str], Listener]
OPEN_AND_DIE = "import os, sys; from unisono.linux.listening import Listener; "
OPEN_AND_DIE += "Listener(sys.argv[1]); os._exit(0)"


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Opens a listener that is closed after the test."""
    with ExitStack() as stack:

        def opened(address: str) -> Listener:
            return stack.enter_context(closing(Listener(address)))

        yield opened


def _connect(path: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(str(path))
    return stream


@pytest.mark.parametrize(
    ("address", "where"),
    [("127.0.0.1:0", "http://127.0.0.1:"), ("127.9.8.7:0", "http://127.9.8.7:"),
     ("[::1]:0", "http://[::1]:")],
)  # fmt: skip
def test_listener_when_on_loopback_then_it_tells_its_port(
    listen: Listen, address: str, where: str
) -> None:
    listener = listen(address)
    port = listener.socket.getsockname()[1]
    assert listener.where == f"{where}{port}"
    with socket.create_connection((address.rpartition(":")[0].strip("[]"), port)):
        assert listener.socket.accept()[0].close() is None


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("0.0.0.0:9166", "only loopback"),
        ("[::]:9166", "only loopback"),
        ("192.0.2.1:9166", "only loopback"),
        ("[2001:db8::1]:9166", "only loopback"),
        ("[::ffff:127.0.0.1]:9166", "only loopback"),
        ("localhost:9166", "not a numeric address"),
        (":9166", "not a numeric address"),
        ("127.0.0.1:", "use unix:PATH"),
        ("127.0.0.1:66000", "use unix:PATH"),
        ("127.0.0.1:-1", "use unix:PATH"),
        ("127.0.0.1:\u0665", "use unix:PATH"),
        ("9166", "use unix:PATH"),
        ("unix:", "which path"),
    ],
)
def test_address_when_not_loopback_then_refused_with_the_reason(address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Listener(address)


def test_port_when_taken_then_refused(listen: Listen) -> None:
    address = listen("127.0.0.1:0").where.removeprefix("http://")
    with pytest.raises(NotListening, match="in use"):
        Listener(address)


def test_path_when_listened_on_then_group_may_connect_and_it_goes_away(
    listen: Listen, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    listener = listen(f"unix:{path}")
    mode = path.lstat().st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660
    _connect(path).close()
    listener.close()
    assert os.listdir(tmp_path) == []


def test_path_when_its_server_is_dead_then_replaced(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    subprocess.run([sys.executable, "-c", OPEN_AND_DIE, f"unix:{path}"], check=True)
    with pytest.raises(ConnectionRefusedError), closing(socket.socket(socket.AF_UNIX)) as stream:
        stream.connect(str(path))
    listen(f"unix:{path}")
    _connect(path).close()
    assert os.listdir(tmp_path) == ["socket"]


def test_path_when_its_server_lives_then_refused_and_left_alone(
    listen: Listen, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    listen(f"unix:{path}")
    with pytest.raises(NotListening, match="another server listens there"):
        Listener(f"unix:{path}")
    _connect(path).close()
    assert os.listdir(tmp_path) == ["socket"]


def test_path_when_its_server_lives_and_is_busy_then_refused(
    listen: Listen, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    listen(f"unix:{path}")
    with ExitStack() as stack:
        for _ in range(BACKLOG + 1):
            stack.enter_context(_connect(path))
        with pytest.raises(NotListening, match="another server listens there"):
            Listener(f"unix:{path}")


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_path_when_it_is_no_socket_then_refused_and_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "place"
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("elsewhere")
    before = path.lstat()
    with pytest.raises(NotListening, match="not a socket"):
        Listener(f"unix:{path}")
    assert path.lstat() == before


def test_path_when_another_one_starts_there_then_refused(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        with pytest.raises(NotListening, match="another server starts"):
            Listener(f"unix:{tmp_path}/socket")
    finally:
        os.close(directory)


def test_path_when_it_cannot_be_made_then_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(NotListening, match="No such file"):
        Listener(f"unix:{tmp_path}/nowhere/socket")
    with pytest.raises(NotListening, match="too long"):
        Listener(f"unix:{tmp_path}/{'x' * 100}")
    assert os.listdir(tmp_path) == []


def test_path_when_taken_over_meanwhile_then_left_to_its_new_owner(
    listen: Listen, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    first = listen(f"unix:{path}")
    path.unlink()
    listen(f"unix:{path}")
    first.close()
    _connect(path).close()
