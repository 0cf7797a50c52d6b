"""The blocking client over a real socket, in one thread and in several."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.client.fake_daemon import FakeDaemon, ThreadedDaemon, daemon_in_thread
from tests.client.test_native_core import ME, RING
from unisono import blocking
from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError
from unisono.base.limits import MESSAGE_BYTES_MAX
from unisono.blocking import Batch, Gap, Message, Reason, View
from unisono.blocking.backend import NativeConnection
from unisono.wire import native
from unisono.wire.block import decode_block, encode_block


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ThreadedDaemon]:
    with daemon_in_thread(tmp_path, distinct_pids=True) as daemon:
        yield daemon


def messages(group: blocking.Group, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        event = group.next(timeout=10)
        if isinstance(event, Message):
            found.append(event.data)
    return found


def test_group_when_used_without_await_then_the_same(
    daemon: ThreadedDaemon, tmp_path: Path
) -> None:
    with blocking.connect(tmp_path) as node, node.group("g") as group:
        assert node.node_id == 1
        assert group.members == (group.me,)
        assert group.next(timeout=10) == View((group.me,), {group.me: Reason.JOIN}, {})
        group.send(b"hello")
        group.send(b"ledger", safe=True)
        seen = []
        for event in group:
            seen.append(event)
            if len(seen) == 2:
                break
        assert seen == [Message(group.me, b"hello"), Message(group.me, b"ledger")]
        assert node.members("g") == (group.me,)
        assert node.status()["node_id"] == 1


def test_send_when_it_returns_then_the_message_is_on_its_way(
    daemon: ThreadedDaemon, tmp_path: Path
) -> None:
    with blocking.connect(tmp_path) as node, node.group("g") as group, node.group("g") as other:
        for number in range(3):
            group.send(b"%d" % number)
            assert messages(other, 1) == [b"%d" % number]


def test_send_many_when_many_then_few_blocks(daemon: ThreadedDaemon, tmp_path: Path) -> None:
    sent = [b"%6d" % number for number in range(20_000)]
    with blocking.connect(tmp_path) as node, node.group("g") as group:
        group.send_many(sent)
        seen: list[bytes] = []
        for event in group.batches():
            if isinstance(event, Batch):
                seen += event.payloads
            if len(seen) == len(sent):
                break
        assert seen == sent
    assert daemon.run(lambda fake: len(fake.blocks)) < 10


def test_message_when_large_then_both_full_sockets_do_not_wait_for_each_other(
    daemon: ThreadedDaemon, tmp_path: Path
) -> None:
    with blocking.connect(tmp_path) as node, node.group("g") as group:
        for number in range(10):
            group.send(bytes([number]) * MESSAGE_BYTES_MAX)
            if number >= 3:
                messages(group, 1)
        assert [message[0] for message in messages(group, 3)] == [7, 8, 9]
        with pytest.raises(ClusterError) as caught:
            group.send(bytes(MESSAGE_BYTES_MAX + 1))
        assert caught.value.code is CsError.TOO_BIG


def test_threads_when_several_send_and_one_reads_then_nothing_is_lost(
    daemon: ThreadedDaemon, tmp_path: Path
) -> None:
    def send(name: int) -> None:
        for step in range(300):
            group.send(b"%d:%d" % (name, step))

    with blocking.connect(tmp_path) as node, node.group("g") as group:
        with ThreadPoolExecutor(4) as threads:
            reader = threads.submit(messages, group, 900)
            for name in range(3):
                threads.submit(send, name)
            seen = reader.result(timeout=30)
        for name in range(3):
            own = [int(m[2:]) for m in seen if m.startswith(b"%d:" % name)]
            assert own == list(range(300))


def test_iteration_when_another_thread_leaves_then_ends(
    daemon: ThreadedDaemon, tmp_path: Path
) -> None:
    with blocking.connect(tmp_path) as node, node.group("g") as group:
        first = threading.Event()

        def read() -> int:
            count = 0
            for _ in group:
                count += 1
                first.set()
            return count

        with ThreadPoolExecutor(1) as threads:
            reader = threads.submit(read)
            assert first.wait(10)
            group.leave()
            assert reader.result(timeout=10) == 1
        with pytest.raises(UsageError):
            group.send(b"late")


def test_next_when_another_thread_closes_then_wakes(daemon: ThreadedDaemon, tmp_path: Path) -> None:
    with blocking.connect(tmp_path) as node, node.group("g") as group:
        group.next(timeout=10)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(group.next)
            time.sleep(0.05)  # the thread is in poll(); nothing tells when
            group.close()
            with pytest.raises(UsageError):
                waiting.result(timeout=10)


def test_next_when_nothing_comes_then_timeout_error(daemon: ThreadedDaemon, tmp_path: Path) -> None:
    with blocking.connect(tmp_path) as node, node.group("g") as group:
        group.next(timeout=10)
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            group.next(timeout=0.05)
        assert time.monotonic() - start >= 0.05


def test_send_when_the_daemon_does_not_read_then_blocks_and_goes_on(
    daemon: ThreadedDaemon, tmp_path: Path
) -> None:
    sent: list[int] = []

    def flood() -> None:
        for number in range(200):
            group.send(b"%3d" % number + bytes(20_000))
            sent.append(number)

    with blocking.connect(tmp_path) as node, node.group("g") as group:
        daemon.run(lambda fake: fake.reading.clear())
        with ThreadPoolExecutor(1) as threads:
            flooding = threads.submit(flood)
            before = -1
            while len(sent) != before or not sent:
                before = len(sent)
                time.sleep(0.1)  # until it has come to a halt
            assert len(sent) < 150
            daemon.run(lambda fake: fake.reading.set())
            assert [int(message[:3]) for message in messages(group, 200)] == list(range(200))
            flooding.result(timeout=10)


def test_daemon_when_it_dies_then_connection_lost(daemon: ThreadedDaemon, tmp_path: Path) -> None:
    with blocking.connect(tmp_path) as node, node.group("g") as group:
        group.next(timeout=10)
        daemon.wait(FakeDaemon.die)
        with pytest.raises(ConnectionLost):
            group.next(timeout=10)
        with pytest.raises(ConnectionLost):
            group.send(b"late")
        with pytest.raises(ConnectionLost):
            node.status()


def test_daemon_when_it_returns_then_gap_view_and_work_goes_on(
    daemon: ThreadedDaemon, tmp_path: Path
) -> None:
    with blocking.connect(tmp_path, reconnect=True) as node, node.group("g") as group:
        group.next(timeout=10)
        daemon.wait(FakeDaemon.die)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(group.next)
            time.sleep(0.1)  # a while without a daemon
            daemon.wait(FakeDaemon.start)
            assert waiting.result(timeout=10) == Gap()
        assert isinstance(group.next(timeout=10), View)
        group.send(b"again")
        assert messages(group, 1) == [b"again"]
        assert node.status()["node_id"] == 1


def test_connect_when_there_is_no_daemon_then_connection_lost(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost), blocking.connect(tmp_path):
        pass


def test_join_when_the_daemon_is_busy_or_silent_then_insists_or_times_out(
    daemon: ThreadedDaemon, tmp_path: Path
) -> None:
    def busy(fake: FakeDaemon) -> None:
        fake.busy_hellos, fake.busy = 2, 2

    daemon.run(busy)
    with blocking.connect(tmp_path, timeout=1) as node:
        with node.group("g"):
            pass

        def silent(fake: FakeDaemon) -> None:
            fake._announce_join = lambda client: None  # type: ignore[method-assign]  # a daemon that misbehaves

        daemon.run(silent)
        with pytest.raises(ClusterError) as caught:
            node.group("g").join()
        assert caught.value.code is CsError.TIMEOUT


def test_send_when_nobody_reads_the_group_then_says_so_instead_of_hanging(
    daemon: ThreadedDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("client.core", "blocking.backend"):
        monkeypatch.setattr(f"unisono.{module}.CLIENT_UNREAD_SECONDS_MAX", 0.1)

    def limit(fake: FakeDaemon) -> None:
        fake.echo_limit = 1_000_000

    daemon.run(limit)
    with blocking.connect(tmp_path) as node, node.group("g") as group:
        with pytest.raises(ClusterError, match="nobody reads") as caught:
            group.send_many([bytes(100_000)] * 300)
        assert caught.value.code is CsError.TIMEOUT


def joined_pair() -> tuple[NativeConnection, socket.socket]:
    """A connection that has joined a group, and the daemon's end of its socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8_192)
    connection = NativeConnection(ours)
    core = connection.core
    theirs.sendall(native.encode_welcome(1, 100, RING))
    connection.progress(core.version, None)
    connection.order(lambda: core.join(b"g", rings=False))
    connection.flush()
    assert theirs.recv(4096) == native.encode_join(b"g")
    theirs.sendall(native.encode_view([ME], [ME], []))
    connection.progress(core.version, None)
    assert isinstance(core.take(), View)
    return connection, theirs


def test_stream_when_it_is_cut_and_the_socket_takes_parts_then_whole_both_ways() -> None:
    connection, theirs = joined_pair()
    core = connection.core
    messages = [b"%d" % number + bytes(30_000 * (number % 4)) for number in range(40)]
    with theirs, ThreadPoolExecutor(1) as pool:

        def echo() -> list[bytes]:
            """Read all that is sent, a little at a time, and give it back as badly cut."""
            stream, found = b"", list[bytes]()
            while len(found) < len(messages):
                stream += theirs.recv(5_555)
                frames, used = native.split_frames(memoryview(stream))
                for frame in frames:
                    sent = native.decode_to_daemon(frame)
                    assert isinstance(sent, native.Send)
                    found += decode_block(bytes(sent.block))
                stream = stream[used:]
            back = memoryview(
                b"".join(native.encode_block_frame(2, 9, encode_block([one])) for one in found)
            )
            for start in range(0, len(back), 6_666):
                theirs.sendall(back[start : start + 6_666])
            return found

        echoing = pool.submit(echo)
        start = 0
        while start < len(messages):
            start = connection.add_many(messages, start, False)
            connection.flush()
        seen: list[bytes] = []
        while len(seen) < len(messages):
            version = core.version
            item = core.take()
            if isinstance(item, Batch):
                seen += item.payloads
            else:
                connection.progress(version, time.monotonic() + 10)
        assert echoing.result(10) == messages == seen
        connection.close()


def test_send_when_the_peer_is_gone_then_what_it_wrote_before_is_received() -> None:
    connection, theirs = joined_pair()
    for number in range(50):
        theirs.sendall(native.encode_block_frame(2, 9, encode_block([b"%d" % number, b"second"])))
    theirs.close()
    connection.add(b"late", False)
    with pytest.raises(ConnectionLost):
        connection.flush()
    found = []
    while isinstance(item := connection.core.take(), Batch):
        found.append(item.payloads[0])
    assert found == [b"%d" % number for number in range(50)]
    connection.close()


class Interrupted(socket.socket):
    """A socket that is interrupted when it has sent."""

    def sendmsg(self, *arguments: Any) -> int:
        super().sendmsg(*arguments)
        raise KeyboardInterrupt


def test_send_when_interrupted_with_who_knows_how_much_sent_then_the_connection_ends() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = NativeConnection(Interrupted(fileno=ours.detach()))
    connection.order(connection.core.greet)
    with theirs, pytest.raises(KeyboardInterrupt):
        connection.flush()
    with pytest.raises(ConnectionLost, match="interrupted"):
        connection.flush()
