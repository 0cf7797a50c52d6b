"""The native door on a socket whose other end the test holds: full, cut, closed, flooded."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TypeAlias

import pytest

from tests.client.test_native_core import ME, OTHER, RING
from unisono.aio.native import NativeConnection
from unisono.aio.waiters import Waiters
from unisono.base.errors import ClusterError, ConnectionLost, CsError
from unisono.base.limits import CLIENT_INBOX_BYTES_MAX, CLIENT_UNSENT_BYTES_MAX
from unisono.client.core import State
from unisono.client.values import Batch, View
from unisono.wire import native
from unisono.wire.block import decode_block, encode_block

Ends: TypeAlias = tuple[NativeConnection, socket.socket]
LARGE = bytes(range(256)) * 400
TURNS_MAX = 10_000


async def turns(until: Callable[[], object]) -> None:
    """Turns of the loop until something is so."""
    for _ in range(TURNS_MAX):
        if until():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to be")


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    """A connection that has joined a group, and the daemon's end of its socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    connection = NativeConnection(ours)
    core = connection.core
    theirs.send(native.encode_welcome(1, 100, RING))
    await turns(lambda: core.state is State.READY)
    connection.order(lambda: core.join(b"g", rings=False))
    await connection.flush()
    assert theirs.recv(4096) == native.encode_join(b"g")
    theirs.send(native.encode_reply(native.Kind.JOIN) + native.encode_view([ME], [ME], []))
    await turns(lambda: core.state is State.JOINED)
    assert isinstance(core.take(), View)
    yield connection, theirs
    connection.close()
    theirs.close()


def block(*payloads: bytes) -> bytes:
    return native.encode_block_frame(OTHER.node_id, OTHER.pid, encode_block(payloads))


def taken(connection: NativeConnection) -> list[bytes]:
    """Every message that has come."""
    found: list[bytes] = []
    while (item := connection.core.take()) is not None:
        assert isinstance(item, Batch)
        found += item.payloads
    return found


def some(theirs: socket.socket, bytes_max: int = 1 << 20) -> bytes:
    """What has arrived at the other end, perhaps nothing."""
    try:
        return theirs.recv(bytes_max)
    except BlockingIOError:
        return b""


def sent(stream: bytes) -> list[bytes]:
    """The messages in a stream of whole frames."""
    frames, used = native.split_frames(memoryview(stream))
    assert used == len(stream)
    found: list[bytes] = []
    for frame in frames:
        send = native.decode_to_daemon(frame)
        assert isinstance(send, native.Send)
        found += decode_block(bytes(send.block))
    return found


async def stuff(connection: NativeConnection) -> int:
    """Send until senders have to wait; how many messages."""
    count = 0
    while connection.flush_soon():
        count += connection.add_many([LARGE] * 10, 0)
        await asyncio.sleep(0)
    return count


async def test_frames_when_they_come_byte_by_byte_then_events_as_ever(ends: Ends) -> None:
    connection, theirs = ends
    found: list[bytes] = []
    for byte in block(b"one", b"two") + block(b"three"):
        theirs.send(bytes([byte]))
        await asyncio.sleep(0)
        found += taken(connection)
    for _ in range(TURNS_MAX):
        found += taken(connection)
        if len(found) == 3:
            break
        await asyncio.sleep(0)
    assert found == [b"one", b"two", b"three"]


async def test_part_of_a_frame_when_it_comes_then_nobody_is_woken(ends: Ends) -> None:
    connection, theirs = ends
    waiting = asyncio.ensure_future(connection.progress(connection.core.version, None))
    data = block(b"one")
    theirs.send(data[:-1])
    for _ in range(10):
        await asyncio.sleep(0)
    assert not waiting.done()
    theirs.send(data[-1:])
    await waiting
    assert taken(connection) == [b"one"]


async def test_send_when_the_socket_takes_parts_then_every_byte_once_and_in_order(
    ends: Ends,
) -> None:
    connection, theirs = ends
    messages = [b"%d" % number + LARGE[number:] for number in range(60)]
    stream = b""

    async def read() -> None:
        nonlocal stream
        while len(stream) < sum(map(len, messages)) + 16 * len(messages):
            # Odd pieces: most writes end in the middle of one.
            stream += some(theirs, 7_777)
            await asyncio.sleep(0)

    reading = asyncio.ensure_future(read())
    start = 0
    while start < len(messages):
        start = connection.add_many(messages, start)
        await connection.flush()
    connection.flush_soon()
    await reading
    assert sent(stream) == messages


async def test_flush_when_too_much_is_unsent_then_waits_until_a_quarter_is_left(
    ends: Ends,
) -> None:
    connection, theirs = ends
    core = connection.core
    count = await stuff(connection)
    assert core.unsent_bytes >= CLIENT_UNSENT_BYTES_MAX
    assert connection.add_many([LARGE], 0) == 0, "more than the bound was taken"
    waiting = asyncio.ensure_future(connection.flush())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    stream = b""
    while not waiting.done():
        stream += some(theirs, 10_000)
        await asyncio.sleep(0)
    assert core.unsent_bytes <= CLIENT_UNSENT_BYTES_MAX // 4
    assert connection.flush_soon()
    while core.unsent_bytes:
        stream += some(theirs)
        await asyncio.sleep(0)
    assert sent(stream + some(theirs)) == [LARGE] * count


async def test_reader_when_the_inbox_is_full_then_the_socket_fills_and_nothing_is_lost(
    ends: Ends,
) -> None:
    connection, theirs = ends
    core, stream, written = connection.core, memoryview(block(LARGE) * 100), 0

    def write() -> bool:
        """Write what finds room."""
        nonlocal written
        try:
            written += theirs.send(stream[written:])
        except BlockingIOError:
            return False
        return True

    for _ in range(TURNS_MAX):
        if not write() and core.inbox_bytes > CLIENT_INBOX_BYTES_MAX:
            break
        await asyncio.sleep(0)
    assert written < len(stream)
    before = core.inbox_bytes
    for _ in range(20):
        await asyncio.sleep(0)
    assert core.inbox_bytes == before, "it went on reading"
    found = taken(connection)
    for _ in range(TURNS_MAX):
        write()
        with suppress(ClusterError):
            await connection.progress(core.version, asyncio.get_running_loop().time())
        found += taken(connection)
        if len(found) == 100:
            break
    assert found == [LARGE] * 100


async def test_peer_when_it_closes_in_a_frame_then_lost_after_what_was_whole(ends: Ends) -> None:
    connection, theirs = ends
    theirs.send(block(b"whole") + block(b"half")[:-1])
    theirs.close()
    await turns(lambda: connection.core.state is State.LOST)
    assert taken(connection) == [b"whole"]
    with pytest.raises(ConnectionLost, match="closed"):
        await connection.flush()


@pytest.mark.parametrize("is_full", [False, True])
async def test_send_when_the_peer_is_gone_then_what_it_wrote_before_is_received(
    ends: Ends, is_full: bool
) -> None:
    connection, theirs = ends
    if is_full:
        await stuff(connection)
    for number in range(50):
        theirs.send(block(b"%d" % number, b"second"))
    theirs.close()
    # Nothing has been read yet: without a full socket, the write is the first to meet the end.
    connection.add_many([b"late"], 0)
    connection.core.finish()
    with pytest.raises(ConnectionLost):
        await connection.flush()
    assert taken(connection)[::2] == [b"%d" % number for number in range(50)]


async def test_close_when_the_socket_has_room_then_all_is_sent_before_the_end(ends: Ends) -> None:
    connection, theirs = ends
    connection.add(b"one", False)
    connection.add(b"two", False)
    connection.close()
    assert sent(theirs.recv(4096)) == [b"one", b"two"]
    assert theirs.recv(4096) == b""
    with pytest.raises(ConnectionLost, match="closed"):
        await connection.flush()


async def test_close_when_the_socket_is_full_then_ends_all_the_same(ends: Ends) -> None:
    connection, theirs = ends
    count = await stuff(connection)
    flushing = asyncio.ensure_future(connection.flush())
    await asyncio.sleep(0)
    connection.close()
    with pytest.raises(ConnectionLost):
        await flushing
    stream = b""
    with suppress(BlockingIOError):
        while data := theirs.recv(1 << 20):
            stream += data
    frames, _ = native.split_frames(memoryview(stream))
    assert 0 < len(frames) < count


async def test_nonsense_when_it_comes_then_lost_and_the_socket_is_closed(ends: Ends) -> None:
    connection, theirs = ends
    theirs.send(b"\xff" * 100)
    await turns(lambda: connection.core.state is State.LOST)
    with pytest.raises(ConnectionLost, match="protocol"):
        await connection.flush()
    with pytest.raises(BrokenPipeError):
        theirs.send(b"x")


async def test_waiters_when_woken_then_all_in_the_order_they_came() -> None:
    waiters = Waiters()
    order: list[int] = []

    async def wait(number: int) -> None:
        await waiters.wait(None)
        order.append(number)

    tasks = [asyncio.ensure_future(wait(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.sleep(0)
    waiters.wake()
    await asyncio.wait(tasks)
    assert order == [0, 1, 3, 4]


async def test_waiters_when_nobody_wakes_them_then_time_does() -> None:
    waiters = Waiters()
    await waiters.wait(None, 0.001)
    await waiters.wait(waiters.loop.time() + 60, 0.001)
    for seconds in (None, 60):
        with pytest.raises(ClusterError) as caught:
            await waiters.wait(waiters.loop.time() + 0.001, seconds)
        assert caught.value.code is CsError.TIMEOUT
