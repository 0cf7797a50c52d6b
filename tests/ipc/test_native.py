"""The native server: frames up whole, frames down gathered, back-pressure both ways."""

import os
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.clients import (
    ClientConnected,
    ClientGone,
    ClientRequest,
    Credentials,
    Service,
)
from unisono.base.errors import CsError, WireError
from unisono.base.group import Marked
from unisono.base.limits import CLIENT_OUTPUT_BYTES_MAX, NATIVE_FRAME_BYTES_MAX
from unisono.base.marks import Mark
from unisono.ipc.endpoint import instance_endpoint
from unisono.ipc.native import FrameCutter, NativeServer
from unisono.wire import native

SECONDS_MAX = 10


def frame(body: bytes, kind: int = 4) -> bytes:
    return struct.pack("<IBBH", 8 + len(body), kind, 0, 0) + body


class Echo:
    """A handler that sends every frame back as an event and keeps what it was told."""

    def __init__(self) -> None:
        self.server: NativeServer
        self.told: list[ClientConnected | ClientGone] = []
        self.frames: list[bytes] = []
        self.marks: list[Mark] = []
        self.refusal = 0
        self.echo = True
        self.pause_after = 0

    def mark(self, marked: Marked) -> None:
        self.marks.append(marked.mark)

    def submitted(self) -> None:
        pass

    def admit(self, service: Service, credentials: Credentials) -> int:
        assert service is Service.NATIVE
        assert (credentials.pid, credentials.uid) == (os.getpid(), os.geteuid())
        return self.refusal

    def submit(self, request: ClientConnected | ClientRequest | ClientGone) -> None:
        if not isinstance(request, ClientRequest):
            self.told.append(request)
            return
        self.frames.append(bytes(request.message))
        if self.echo:
            head, body = request.message[:8], request.message[8:]
            self.server.notify(request.client, [head, b"", body])
        if len(self.frames) == self.pause_after:
            self.server.pause()


@pytest.fixture
async def echo(tmp_path: Path) -> AsyncIterator[Echo]:
    handler = Echo()
    endpoint = instance_endpoint(tmp_path, "unisono.sock")
    handler.server = NativeServer(
        Service.NATIVE, endpoint, handler, marks=handler.mark, handshake_seconds_max=0.3
    )
    handler.server.start()
    yield handler
    handler.server.close()


async def dial(echo: Echo) -> anyio.abc.SocketStream:
    assert echo.server.endpoint.path is not None
    return await anyio.connect_unix(echo.server.endpoint.path)


async def read_exactly(stream: anyio.abc.SocketStream, count: int) -> bytes:
    data = b""
    with anyio.fail_after(SECONDS_MAX):
        while len(data) < count:
            data += await stream.receive(count - len(data))
    return data


async def until(condition: object) -> None:
    """Turn the loop until the condition (a callable) holds."""
    assert callable(condition)
    with anyio.fail_after(SECONDS_MAX):
        while not condition():
            await anyio.sleep(0.001)


async def test_frames_when_sent_then_come_back_whole_and_in_order(echo: Echo) -> None:
    frames = [frame(os.urandom(size)) for size in (0, 1, 50_000, 7, 1 << 20, 300_000, 0, 12)]
    async with await dial(echo) as stream, anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, b"".join(frames))
        assert await read_exactly(stream, sum(map(len, frames))) == b"".join(frames)
    await until(lambda: len(echo.told) == 2)
    assert echo.frames == frames
    assert isinstance(echo.told[0], ClientConnected)
    assert echo.told[1] == ClientGone(echo.told[0].client)


async def test_frames_when_they_come_byte_by_byte_then_whole(echo: Echo) -> None:
    frames = frame(b"first", 1) + frame(b"second")
    async with await dial(echo) as stream:
        for byte in frames:
            await stream.send(bytes([byte]))
        assert await read_exactly(stream, len(frames)) == frames


@pytest.mark.parametrize("length", [0, 7, NATIVE_FRAME_BYTES_MAX + 1, 0xFFFFFFFF])
@pytest.mark.parametrize("greeted", [False, True])
async def test_frame_when_its_length_lies_then_that_client_ends(
    echo: Echo, length: int, greeted: bool
) -> None:
    async with await dial(echo) as good, await dial(echo) as bad:
        await good.send(frame(b"x", 1))
        await read_exactly(good, 9)
        if greeted:
            await bad.send(frame(b"", 1))
            await read_exactly(bad, 8)
        await bad.send(struct.pack("<IBBH", length, 4, 0, 0))
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await read_exactly(bad, 1)
        await good.send(frame(b"y"))
        await read_exactly(good, 9)


async def test_peer_when_silent_then_ended_and_never_announced(echo: Echo) -> None:
    async with await dial(echo) as stream:
        await stream.send(b"\x08\0\0")
        with pytest.raises(anyio.EndOfStream):
            await read_exactly(stream, 1)
    assert echo.told == []


@pytest.mark.parametrize(
    ("refusal", "error"),
    [(11, CsError.TRY_AGAIN), (13, CsError.ACCESS), (38, CsError.NOT_SUPPORTED)],
)
async def test_peer_when_refused_then_told_why(echo: Echo, refusal: int, error: CsError) -> None:
    echo.refusal = refusal
    async with await dial(echo) as stream:
        await stream.send(native.encode_hello())
        answer = native.decode_to_client(memoryview(await read_exactly(stream, 16)))
        assert answer == native.Reply(native.Kind.HELLO, error)
        with pytest.raises(anyio.EndOfStream):
            await read_exactly(stream, 1)
    assert echo.told == []
    assert echo.marks == [Mark.CLIENT_REFUSED]


async def test_server_when_paused_then_nothing_goes_up_and_resume_goes_on(echo: Echo) -> None:
    echo.pause_after = 3
    frames = [frame(bytes([n])) for n in range(8)]
    async with await dial(echo) as stream:
        await stream.send(b"".join(frames))
        assert await read_exactly(stream, 27) == b"".join(frames[:3])
        await stream.send(frame(b"later"))
        await anyio.sleep(0.02)
        assert len(echo.frames) == 3
        echo.server.resume()
        assert await read_exactly(stream, 9 * 5 + 13) == b"".join([*frames[3:], frame(b"later")])


async def test_client_when_it_does_not_read_then_its_output_waits_and_is_bounded(
    echo: Echo,
) -> None:
    echo.echo = False
    async with await dial(echo) as stream:
        await stream.send(frame(b"hello", 1))
        await until(lambda: echo.told)
        client = echo.told[0].client
        chunk = bytes(1 << 20)
        echo.server.notify(client, [chunk])
        await until(lambda: 0 < echo.server.output_bytes < len(chunk))
        assert await read_exactly(stream, len(chunk)) == chunk
        await until(lambda: echo.server.output_bytes == 0)
        for _ in range(CLIENT_OUTPUT_BYTES_MAX // len(chunk) + 1):
            echo.server.notify(client, [chunk])
        await until(lambda: len(echo.told) == 2)
        assert Mark.CLIENT_TOO_SLOW in echo.marks


async def test_disconnect_when_a_reply_waits_then_it_is_sent_first(echo: Echo) -> None:
    async with await dial(echo) as stream:
        await stream.send(frame(b"", 1))
        await read_exactly(stream, 8)
        client = echo.told[0].client
        echo.server.notify(client, [b"goodbye"])
        echo.server.disconnect(client, "said so")
        assert len(echo.told) == 1
        assert await read_exactly(stream, 7) == b"goodbye"
        with pytest.raises(anyio.EndOfStream):
            await read_exactly(stream, 1)
    assert echo.told[1] == ClientGone(client)


async def test_frames_when_many_small_pieces_wait_then_all_are_sent(echo: Echo) -> None:
    async with await dial(echo) as stream:
        await stream.send(frame(b"", 1))
        await read_exactly(stream, 8)
        client = echo.told[0].client
        pieces = [bytes([n % 256]) * (n % 5) for n in range(5_000)]
        echo.server.notify(client, pieces)
        whole = b"".join(pieces)
        assert await read_exactly(stream, len(whole)) == whole


async def test_descriptors_when_passed_by_a_client_then_they_are_dropped(echo: Echo) -> None:
    before = set(os.listdir("/proc/self/fd"))
    left, right = socket.socketpair()
    left.close()
    async with await dial(echo) as stream:
        await stream.send(frame(b"", 1))
        await read_exactly(stream, 8)
        raw = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        socket.send_fds(raw, [frame(b"take this")], [right.fileno()])
        await read_exactly(stream, 17)
        right.close()
        assert len(set(os.listdir("/proc/self/fd")) - before) <= 2


@given(st.lists(st.binary(max_size=40), max_size=10), st.data())
def test_cutter_when_the_stream_is_cut_anywhere_then_same_frames(
    bodies: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(frame, bodies))
    cutter, found, at = FrameCutter(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 30))
        cutter.feed(stream[at : at + step])
        at += step
        while (one := cutter.next()) is not None:
            found.append(bytes(one))
    assert found == [frame(body) for body in bodies]


@given(st.binary(max_size=200))
def test_cutter_when_fed_noise_then_wire_error_only(noise: bytes) -> None:
    cutter = FrameCutter()
    cutter.feed(noise)
    try:
        while cutter.next() is not None:
            continue
    except WireError:
        return
