"""Groups over a real socket, asyncio: order, views, back-pressure, death and return."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

import unisono
from tests.client.fake_daemon import FakeDaemon
from unisono import Gap, Member, Message, Reason, Ring, View
from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError
from unisono.base.limits import CLIENT_INBOX_BYTES_MAX, MESSAGE_BYTES_MAX
from unisono.client.values import Batch
from unisono.wire import native
from unisono.wire.block import encode_block


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[FakeDaemon]:
    async with FakeDaemon(tmp_path, distinct_pids=True) as daemon:
        yield daemon


def connect(daemon: FakeDaemon, *, reconnect: bool = False, timeout: float = 10) -> unisono.Node:
    return unisono.connect(daemon.path.parent, reconnect=reconnect, timeout=timeout)


async def messages(group: unisono.Group, count: int) -> list[bytes]:
    """The next `count` messages; other events are skipped."""
    found: list[bytes] = []
    while len(found) < count:
        event = await group.next(timeout=10)
        if isinstance(event, Message):
            found.append(event.data)
    return found


async def test_group_when_joined_then_first_event_is_the_view_with_me(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("orders") as group:
        assert group.name == b"orders"
        assert group.members == (group.me,)
        event = await group.next(timeout=10)
        assert event == View((group.me,), {group.me: Reason.JOIN}, {})
        assert group.me.node_id == node.node_id == 1


async def test_message_when_sent_then_comes_back_to_the_sender_too(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as one, node.group("g") as two:
        await one.send(b"hello")
        for group in (one, two):
            async for event in group:
                if isinstance(event, Message):
                    assert event == Message(one.me, b"hello")
                    break


async def test_messages_when_several_send_at_once_then_same_order_everywhere(
    daemon: FakeDaemon,
) -> None:
    async with connect(daemon) as node:
        async with node.group("g") as one, node.group("g") as two, node.group("g") as three:
            groups = [one, two, three]

            async def work(number: int, group: unisono.Group) -> list[bytes]:
                for step in range(500):
                    await group.send(b"%d:%d" % (number, step))
                    if step % 50 == 0:
                        await asyncio.sleep(0)
                return await messages(group, 1500)

            async with asyncio.TaskGroup() as tasks:
                seen = [tasks.create_task(work(*pair)) for pair in enumerate(groups)]
            orders = [task.result() for task in seen]
            assert orders[0] == orders[1] == orders[2]
            for number in range(3):
                prefix = b"%d:" % number
                own = [int(m[2:]) for m in orders[0] if m.startswith(prefix)]
                assert own == list(range(500))


async def test_messages_when_sent_in_one_turn_then_travel_as_one_block(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        for number in range(100):
            await group.send(b"%d" % number)
        assert await messages(group, 100) == [b"%d" % number for number in range(100)]
        assert len(daemon.blocks) == 1


async def test_message_when_single_then_leaves_after_one_turn(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        for number in range(3):
            await group.send(b"%d" % number)
            assert await messages(group, 1) == [b"%d" % number]
        assert len(daemon.blocks) == 3


async def test_view_when_another_comes_and_goes_then_reasons_are_told(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        await group.next(timeout=10)
        async with node.group("g") as other:
            who = other.me
            assert await group.next(timeout=10) == View((group.me, who), {who: Reason.JOIN}, {})
            assert group.members == (group.me, who)
        assert await group.next(timeout=10) == View((group.me,), {}, {who: Reason.LEAVE})
        other = node.group("g")
        await other.join()
        who = other.me
        other.close()
        await group.next(timeout=10)
        assert await group.next(timeout=10) == View((group.me,), {}, {who: Reason.PROCDOWN})


async def test_members_when_a_view_is_unread_then_as_before(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as group, node.group("g") as other:
        assert other.members == (group.me, other.me)
        assert group.members == (group.me,)
        await group.next(timeout=10)
        await group.next(timeout=10)
        assert group.members == (group.me, other.me)


async def test_iteration_when_left_and_resumed_then_nothing_is_lost(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        await group.send_many([b"%d" % number for number in range(10)])
        seen: list[bytes] = []
        while len(seen) < 6:
            async for event in group:
                if isinstance(event, Message):
                    seen.append(event.data)
                    break
        async for batch in group.batches():
            assert isinstance(batch, Batch)
            assert batch.sender == group.me
            seen += batch.payloads
            break
        assert seen == [b"%d" % number for number in range(10)]


async def test_iteration_when_group_is_left_then_ends(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        started = asyncio.Event()

        async def read() -> int:
            count = 0
            async for _ in group:
                count += 1
                started.set()
            return count

        async with asyncio.TaskGroup() as tasks:
            reader = tasks.create_task(read())
            await started.wait()
            await group.leave()
        assert reader.result() == 1
        with pytest.raises(UsageError):
            await group.next()
        with pytest.raises(UsageError):
            await group.send(b"late")
        with pytest.raises(UsageError):
            await group.send_many([b"late"])


async def test_group_when_left_and_joined_again_then_works(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node:
        group = node.group("g")
        for _ in range(3):
            async with group:
                await group.send(b"hello")
                assert await messages(group, 1) == [b"hello"]


async def test_safe_when_asked_for_then_the_daemon_is_told(daemon: FakeDaemon) -> None:
    sent: list[bool] = []
    daemon._on_frame = lambda client, frame, pass_on=daemon._on_frame: (  # type: ignore[misc]  # a daemon that misbehaves
        sent.append(frame.safe) if isinstance(frame, native.Send) else None,
        pass_on(client, frame),
    )[1]
    async with connect(daemon) as node, node.group("g") as group:
        await group.send(b"ledger", safe=True)
        await group.send(b"hello")
        await group.send_many([b"a", b"b"], safe=True)
        assert await messages(group, 4) == [b"ledger", b"hello", b"a", b"b"]
    assert sent == [True, False, True]


@pytest.mark.parametrize("size", [0, 1, 40_000, MESSAGE_BYTES_MAX])
async def test_message_when_of_any_size_then_arrives_whole(daemon: FakeDaemon, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    async with connect(daemon) as node, node.group("g") as group:
        await group.send(data[:size])
        await group.send(b"end")
        assert await messages(group, 2) == [data[:size], b"end"]


async def test_message_when_above_one_mebibyte_then_too_big(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        with pytest.raises(ClusterError, match="at most 1048576") as caught:
            await group.send(bytes(MESSAGE_BYTES_MAX + 1))
        assert caught.value.code is CsError.TOO_BIG
        await group.send(b"still fine")
        assert await messages(group, 1) == [b"still fine"]


async def test_ring_when_asked_for_then_told(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g", rings=True) as group:
        await group.next(timeout=10)
        assert await group.next(timeout=10) == Ring(daemon.ring, (1,))
        daemon.change_ring([1, 2])
        assert await group.next(timeout=10) == Ring(daemon.ring, (1, 2))


async def test_send_when_the_daemon_does_not_read_then_waits_and_goes_on(
    daemon: FakeDaemon,
) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        daemon.reading.clear()
        payload = bytes(20_000)
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for _ in range(200):
                await group.send(payload)
                sent += 1

        async with asyncio.TaskGroup() as tasks:
            flooding = tasks.create_task(flood())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await asyncio.shield(flooding)
            assert 0 < sent < 150
            daemon.reading.set()
            assert await messages(group, 200) == [payload] * 200


@pytest.mark.parametrize("many", [True, False], ids=["send_many", "send"])
async def test_send_when_one_a_turn_and_the_daemon_does_not_read_then_waits_too(
    daemon: FakeDaemon, many: bool
) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        daemon.reading.clear()
        payload = bytes(20_000)
        sent = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while sent < 2_000:
                    await (group.send_many([payload]) if many else group.send(payload))
                    sent += 1
                    await asyncio.sleep(0)
        assert 0 < sent < 150
        daemon.reading.set()
        assert await messages(group, sent) == [payload] * sent


async def test_send_when_cancelled_while_it_waits_then_the_stream_stays_whole(
    daemon: FakeDaemon,
) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        daemon.reading.clear()
        count = 0
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    await group.send(b"%8d" % count + bytes(10_000))
                    count += 1
        daemon.reading.set()
        await group.send(b"end")
        seen = []
        while not seen or seen[-1] != b"end":
            seen += await messages(group, 1)
        numbers = [int(message[:8]) for message in seen[:-1]]
        # The message whose waiting was cancelled had been taken already.
        assert numbers == list(range(count + 1))


async def test_reader_when_slow_then_what_is_buffered_is_bounded(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as slow, node.group("g") as sender:
        payload = bytes(500_000)
        for _ in range(40):
            await sender.send(payload)
            await messages(sender, 1)
        assert slow._connection is not None
        assert 0 < slow._connection.core.inbox_bytes < CLIENT_INBOX_BYTES_MAX + 1_500_000
        assert await messages(slow, 40) == [payload] * 40


async def test_daemon_when_it_dies_then_every_waiter_gets_connection_lost(
    daemon: FakeDaemon,
) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        await group.send(b"before")
        await messages(group, 1)
        waiting = [asyncio.ensure_future(group.next()) for _ in range(3)]
        await asyncio.sleep(0)
        await daemon.die()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [ConnectionLost] * 3
        assert len({id(result) for result in results}) == 3
        with pytest.raises(ConnectionLost):
            await group.send(b"after")
        with pytest.raises(ConnectionLost):
            await group.send_many([b"after"])
        with pytest.raises(ConnectionLost):
            async for _ in group:
                pass
        with pytest.raises(ConnectionLost):
            await node.status()


async def test_daemon_when_it_dies_then_what_came_before_is_given_first(
    daemon: FakeDaemon,
) -> None:
    async with connect(daemon) as node, node.group("g") as group, node.group("g") as other:
        await other.send(b"before")
        await messages(other, 1)
        await daemon.die()
        seen = []
        with suppress(ConnectionLost):
            async for event in group:
                seen.append(type(event))
        assert seen == [View, View, Message]


async def test_daemon_when_it_dies_while_nothing_is_read_then_all_it_sent_comes_before_the_gap(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unisono.aio.native.CLIENT_INBOX_BYTES_MAX", 50)
    async with connect(daemon, reconnect=True) as node, node.group("g") as group:
        await group.next(timeout=10)
        for number in range(20):
            daemon.say(native.encode_block_frame(2, 9, encode_block([b"%d" % number])))
            await asyncio.sleep(0.001)
        await daemon.die()
        await daemon.start()
        # The first to meet the end is this write: the reader has stopped long ago.
        await group.send(b"late")
        seen = [await group.next(timeout=10) for _ in range(22)]
        assert [event.data for event in seen[:20] if isinstance(event, Message)] == [
            b"%d" % number for number in range(20)
        ]
        assert seen[20] == Gap()
        assert isinstance(seen[21], View)


async def test_daemon_when_it_returns_then_gap_and_view_for_who_reconnects(
    daemon: FakeDaemon,
) -> None:
    async with connect(daemon, reconnect=True) as node, node.group("g") as group:
        await group.next(timeout=10)
        before = group.me
        await daemon.die()

        async def restart() -> None:
            await asyncio.sleep(0.1)
            await daemon.start()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(restart())
            event = await group.next(timeout=10)
        assert event == Gap()
        assert group.me != before
        view = await group.next(timeout=10)
        assert view == View((group.me,), {group.me: Reason.JOIN}, {})
        await group.send(b"again")
        assert await messages(group, 1) == [b"again"]
        assert (await node.status())["node_id"] == 1


async def test_send_when_the_daemon_is_away_then_waits_for_it_and_goes_out(
    daemon: FakeDaemon,
) -> None:
    async with connect(daemon, reconnect=True) as node, node.group("g") as group:
        await daemon.die()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    await group.send(b"lost")
                    await asyncio.sleep(0)
        await daemon.start()
        await group.send(b"found")
        seen = []
        async for event in group:
            seen.append(event)
            if isinstance(event, Message):
                break
        assert [type(event) for event in seen] == [View, Gap, View, Message]
        assert seen[-1] == Message(group.me, b"found")


async def test_daemon_when_it_dies_thrice_then_a_gap_each_time(daemon: FakeDaemon) -> None:
    async with connect(daemon, reconnect=True) as node, node.group("g") as group:
        assert isinstance(await group.next(timeout=10), View)
        for _ in range(3):
            await daemon.die()
            await daemon.start()
            assert isinstance(await group.next(timeout=10), Gap)
            assert isinstance(await group.next(timeout=10), View)


async def test_join_when_the_daemon_is_busy_then_insists(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node:
        daemon.busy = 3
        async with node.group("g") as group:
            daemon.busy = 2
        assert daemon.frames.count(native.Join(b"g", False)) == 4
        assert daemon.frames.count(native.Leave()) == 3
        assert group.members == ()


async def test_join_when_busy_for_too_long_then_try_again(daemon: FakeDaemon) -> None:
    async with connect(daemon, timeout=0.2) as node:
        daemon.busy = 1000
        with pytest.raises(ClusterError) as caught:
            await node.group("g").join()
        assert caught.value.code is CsError.TRY_AGAIN


async def test_join_when_the_daemon_is_silent_then_timeout(daemon: FakeDaemon) -> None:
    daemon._announce_join = lambda client: None  # type: ignore[method-assign]  # a daemon that misbehaves
    async with connect(daemon, timeout=0.2) as node:
        with pytest.raises(ClusterError) as caught:
            await node.group("g").join()
        assert caught.value.code is CsError.TIMEOUT and not caught.value.definite


async def test_join_when_cancelled_then_no_member_is_left(daemon: FakeDaemon) -> None:
    announce = daemon._announce_join
    daemon._announce_join = lambda client: None  # type: ignore[method-assign]  # a daemon that misbehaves
    async with connect(daemon) as node:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await node.group("g").join()
        daemon._announce_join = announce  # type: ignore[method-assign]  # a daemon that misbehaves
        async with node.group("g") as group:
            while await node.members("g") != (group.me,):
                await asyncio.sleep(0.01)


async def test_join_when_this_process_is_in_already_then_exist(tmp_path: Path) -> None:
    async with FakeDaemon(tmp_path) as daemon, connect(daemon) as node, node.group("g"):
        with pytest.raises(ClusterError) as caught:
            await node.group("g").join()
        assert caught.value.code is CsError.EXIST


async def test_group_when_name_is_too_long_then_says_so(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node:
        with pytest.raises(ClusterError) as caught:
            await node.group("n" * 129).join()
        assert caught.value.code is CsError.NAME_TOO_LONG


@pytest.mark.parametrize(
    "data",
    [
        native.frame_header(native.Kind.VIEW, 3) + b"abc",
        b"\xff\xff\xff\xff" + bytes(8),
        native.encode_leave(),
    ],
    ids=["broken-view", "broken-length", "foreign-kind"],
)
async def test_daemon_when_it_talks_nonsense_then_connection_lost(
    daemon: FakeDaemon, data: bytes
) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        await group.next(timeout=10)
        daemon.say(data)
        with pytest.raises(ConnectionLost, match="protocol"):
            await group.next(timeout=10)


async def test_daemon_when_it_dies_in_the_middle_of_a_frame_then_connection_lost(
    daemon: FakeDaemon,
) -> None:
    whole = native.encode_block_frame(1, 1, bytes(100))
    async with connect(daemon) as node, node.group("g") as group:
        await group.next(timeout=10)
        daemon.say(whole[:50])
        with pytest.raises(TimeoutError):
            await group.next(timeout=0.05)
        await daemon.die()
        with pytest.raises(ConnectionLost):
            await group.next(timeout=10)


async def test_next_when_nothing_comes_then_timeout_error(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node, node.group("g") as group:
        await group.next(timeout=1)
        with pytest.raises(TimeoutError):
            await group.next(timeout=0.01)
        with pytest.raises(TimeoutError):
            await group.next(timeout=0)


async def test_group_when_its_body_fails_then_it_is_left_all_the_same(
    daemon: FakeDaemon,
) -> None:
    async with connect(daemon) as node:
        with pytest.raises(ZeroDivisionError):
            async with node.group("g"):
                raise ZeroDivisionError
        assert await node.members("g") == ()
        assert native.Leave() in daemon.frames


async def test_node_when_closed_then_its_groups_are_too(daemon: FakeDaemon) -> None:
    async with connect(daemon) as node:
        group = node.group("g")
        await group.join()
        assert isinstance(group.me, Member)
    with pytest.raises(UsageError):
        await group.send(b"late")


async def test_send_when_nobody_reads_the_group_then_says_so_instead_of_hanging(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("client.core", "aio.native"):
        monkeypatch.setattr(f"unisono.{module}.CLIENT_UNREAD_SECONDS_MAX", 0.1)
    async with connect(daemon) as node, node.group("g") as group:
        daemon.echo_limit = 1_000_000
        with pytest.raises(ClusterError, match="nobody reads") as caught:
            await group.send_many([bytes(100_000)] * 300)
        assert caught.value.code is CsError.TIMEOUT
