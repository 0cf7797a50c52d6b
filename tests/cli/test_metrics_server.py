"""The server of `unisono metrics` at its bounds, in this process."""

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from unisono.base.limits import METRICS_REQUEST_BYTES_MAX, METRICS_REQUESTS_MAX
from unisono.cli.metrics import asking as asking_module
from unisono.cli.metrics import server as server_module
from unisono.cli.metrics.asking import Asking
from unisono.cli.metrics.server import Server
from unisono.linux.listening import Listener
from unisono.observe.metric_table import measure_silence

SECONDS_MAX = 10
GET = b"GET /metrics HTTP/1.1\r\n\r\n"


async def _page(accept: str) -> tuple[bytes, str]:
    return b"page", accept or "text/plain"


@asynccontextmanager
async def _serving(
    path: Path, page: Callable[[str], Awaitable[tuple[bytes, str]]] = _page
) -> AsyncIterator[str]:
    """The path of a socket on which a server answers with `page`."""
    listener = Listener(f"unix:{path / 'socket'}")
    try:
        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
            server = Server(listener.socket, page, tasks)
            try:
                yield str(path / "socket")
            finally:
                server.close()
    finally:
        listener.close()


async def _exchange(path: str, request: bytes) -> bytes:
    """Everything that comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_answer_when_read_then_it_is_whole_and_the_last_one(tmp_path: Path) -> None:
    async with _serving(tmp_path) as path:
        assert await _exchange(path, b"GET /metrics HTTP/1.1\r\nAccept: a/b\r\n\r\n") == (
            b"HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 4\r\nConnection: close\r\n"
            b"\r\npage"
        )


async def test_request_when_it_comes_byte_by_byte_then_answered(tmp_path: Path) -> None:
    async with _serving(tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        for byte in GET:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        assert (await reader.read()).endswith(b"page")
        writer.close()
        await writer.wait_closed()


async def test_request_when_of_the_largest_size_then_answered_and_beyond_refused(
    tmp_path: Path,
) -> None:
    async with _serving(tmp_path) as path:
        start = b"GET /metrics HTTP/1.1\r\nX: "
        filled = start + bytes(METRICS_REQUEST_BYTES_MAX - len(start) - 4)
        assert (await _exchange(path, filled + b"\r\n\r\n")).endswith(b"page")
        assert b" 431 " in await _exchange(path, filled + bytes(5))


async def test_request_when_it_does_not_end_in_time_then_the_connection_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "METRICS_REQUEST_SECONDS_MAX", 0.1)
    async with _serving(tmp_path) as path:
        assert await _exchange(path, b"GET /metr") == b""


async def test_answer_when_nobody_takes_it_in_time_then_the_connection_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "METRICS_REQUEST_SECONDS_MAX", 0.1)

    async def page(_accept: str) -> tuple[bytes, str]:
        return bytes(16 << 20), "text/plain"

    async with _serving(tmp_path, page) as path:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.setblocking(False)
            await asyncio.get_running_loop().sock_connect(stream, path)
            stream.send(GET)
            await asyncio.sleep(0.2)  # so long nobody reads: that is what is tried here
            taken = 0
            while chunk := await asyncio.get_running_loop().sock_recv(stream, 1 << 20):
                taken += len(chunk)
            assert taken < 16 << 20


async def test_connections_when_one_too_many_then_the_oldest_ends(tmp_path: Path) -> None:
    async with _serving(tmp_path) as path:
        pairs = [await asyncio.open_unix_connection(path) for _ in range(METRICS_REQUESTS_MAX)]
        assert (await _exchange(path, GET)).endswith(b"page")
        assert await pairs[0][0].read() == b""
        for reader, writer in pairs[1:]:
            writer.write(GET)
            assert (await reader.read()).endswith(b"page")
        for _reader, writer in pairs:
            writer.close()
            await writer.wait_closed()


async def test_server_when_closed_then_those_who_wait_are_ended_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "METRICS_REQUEST_SECONDS_MAX", 2 * SECONDS_MAX)
    async with _serving(tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"GET")
        assert (await _exchange(path, GET)).endswith(b"page")  # so that the first is accepted, too
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()


async def test_server_when_closed_then_it_accepts_nobody_though_the_socket_is_open(
    tmp_path: Path,
) -> None:
    listener = Listener(f"unix:{tmp_path / 'socket'}")
    try:
        async with asyncio.TaskGroup() as tasks:
            Server(listener.socket, _page, tasks).close()
            _reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
            for _ in range(5):
                await asyncio.sleep(0)
            listener.socket.accept()[0].close()
            writer.close()
            await writer.wait_closed()
    finally:
        listener.close()


async def test_server_when_out_of_descriptors_then_it_looks_away_and_accepts_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_away = asyncio.Event()
    look_away = Server._look_away

    def noted(server: Server) -> None:
        look_away(server)
        looked_away.set()

    monkeypatch.setattr(Server, "_look_away", noted)
    monkeypatch.setattr(server_module, "ACCEPT_PAUSE_SECONDS", 0.05)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with _serving(tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        second = socket.socket(socket.AF_UNIX)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            second.connect(path)
            await looked_away.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        second.send(GET)
        second.setblocking(False)
        answer = b""
        while chunk := await asyncio.get_running_loop().sock_recv(second, 4096):
            answer += chunk
        assert answer.endswith(b"page")
        second.close()
        writer.write(GET)
        assert (await reader.read()).endswith(b"page")
        writer.close()
        await writer.wait_closed()


# -- asking --------------------------------------------------------------------------------------


async def test_question_when_who_asked_first_goes_then_the_others_are_answered(
    instance: Path,
) -> None:
    told: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        asking = Asking(instance, tasks, told.append)
        first, second = (tasks.create_task(asking.answer()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        measured = await second
        assert await asking.answer() is measured  # in the same tenth of a second
    assert measured[0].samples == [((), 1.0)]
    assert told == []


async def test_question_when_the_pause_is_over_then_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking_module, "METRICS_ASK_SECONDS_MIN", 0)
    told: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        asking = Asking(tmp_path, tasks, told.append)
        answers = [await asking.answer() for _ in range(3)]
    assert answers == [measure_silence()] * 3
    assert answers[0] is not answers[1]
    assert len(told) == 1


async def test_question_when_no_descriptor_is_left_then_silence_in_words(tmp_path: Path) -> None:
    told: list[str] = []
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with asyncio.TaskGroup() as tasks:
        asking = Asking(tmp_path, tasks, told.append)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            assert await asking.answer() == measure_silence()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert os.strerror(24) in told[0]


async def test_question_when_closed_then_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_instance: Path) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asking_module, "measure_daemon", never)
    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
        asking = Asking(tmp_path, tasks, print)
        waiting = tasks.create_task(asking.answer())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.close()
    assert waiting.cancelled()
