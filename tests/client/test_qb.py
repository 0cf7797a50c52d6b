"""Groups over libqb, both kinds, beside a CPG server of one node in this process."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import unisono
import unisono.blocking
from tests.ipc.local_cpg import LocalCpg, make_servers
from unisono import Message, Ring, View
from unisono.base.clients import Service
from unisono.base.errors import ClusterError, ConnectionLost, CsError
from unisono.base.ids import NodeId, Pid
from unisono.base.limits import MESSAGE_BYTES_MAX
from unisono.client.values import Member, Reason
from unisono.wire.ipc import cpg


@pytest.fixture(params=["shm", "socket"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalCpg]:
    handler = LocalCpg(frozenset([0]), pause_every=20)
    make_servers(handler, request.param, tmp_path)
    yield handler
    for server in handler.servers.values():
        server.close()


pytestmark = pytest.mark.root  # the server's ring files belong to root in these tests


async def messages(group: unisono.Group, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        event = await group.next(timeout=10)
        if isinstance(event, Message):
            found.append(event.data)
    return found


async def test_group_when_over_libqb_then_view_ring_messages_and_leave(
    server: LocalCpg, tmp_path: Path
) -> None:
    async with unisono.connect(tmp_path) as node:
        assert (node.protocol, node.node_id) == ("qb", 7)
        async with node.group("g", rings=True) as group:
            assert await group.next(timeout=10) == View((group.me,), {group.me: Reason.JOIN}, {})
            assert isinstance(await group.next(timeout=10), Ring)
            assert await node.members("g") == (group.me,)
            await group.send(b"hello")
            await group.send(b"safe", safe=True)
            assert await messages(group, 2) == [b"hello", b"safe"]
        assert await node.members("g") == ()
        with pytest.raises(ClusterError) as caught:
            await node.status()
        assert caught.value.code is CsError.NOT_SUPPORTED


async def test_messages_when_flow_control_closes_then_wait_inside_and_keep_their_order(
    server: LocalCpg, tmp_path: Path
) -> None:
    sent = [b"%d" % number for number in range(1_000)]
    async with unisono.connect(tmp_path) as node, node.group("g") as group:
        for message in sent[:500]:
            await group.send(message)
        await group.send_many(sent[500:])
        assert await messages(group, 1_000) == sent


@pytest.mark.parametrize("size", [0, 100_000, 1_047_552, 1_047_553, MESSAGE_BYTES_MAX])
async def test_message_when_large_then_arrives_whole_and_in_order(
    server: LocalCpg, tmp_path: Path, size: int
) -> None:
    large = (bytes(range(251)) * 4200)[:size]
    async with unisono.connect(tmp_path, protocol="qb") as node, node.group("g") as group:
        await group.send(b"before")
        await group.send(large)
        await group.send(b"after")
        assert await messages(group, 3) == [b"before", large, b"after"]


async def test_flood_when_a_slow_reader_then_nothing_is_lost(
    server: LocalCpg, tmp_path: Path
) -> None:
    payload = bytes(50_000)
    async with unisono.connect(tmp_path) as node, node.group("g") as group:

        async def flood() -> None:
            for number in range(200):
                await group.send(b"%3d" % number + payload)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(flood())
            await asyncio.sleep(0.2)
            seen = await messages(group, 200)
    assert [int(message[:3]) for message in seen] == list(range(200))


async def test_daemon_when_it_dies_then_connection_lost_and_on_return_gap(
    server: LocalCpg, tmp_path: Path
) -> None:
    async with (
        unisono.connect(tmp_path) as node,
        unisono.connect(tmp_path, reconnect=True) as patient,
        node.group("g") as group,
        patient.group("h") as staying,
    ):
        assert isinstance(await staying.next(timeout=10), View)
        kind = type(server.servers[Service.CPG]._clients[1]).__name__  # type: ignore[index]  # the first client's number
        for each in server.servers.values():
            each.close()
        await group.next(timeout=10)
        with pytest.raises(ConnectionLost):
            await group.next(timeout=10)
        make_servers(server, "shm" if "Shm" in kind else "socket", tmp_path)
        assert isinstance(await staying.next(timeout=10), unisono.Gap)
        assert isinstance(await staying.next(timeout=10), View)
        await staying.send(b"again")
        assert await messages(staying, 1) == [b"again"]


async def test_view_when_a_node_is_lost_then_its_members_left_with_nodedown(
    server: LocalCpg, tmp_path: Path
) -> None:
    gone = cpg.Member(NodeId(9), Pid(5), cpg.Reason.NODEDOWN)
    async with unisono.connect(tmp_path) as node, node.group("g") as group:
        await group.next(timeout=10)
        server.change(b"g", [gone], [])
        event = await group.next(timeout=10)
        assert isinstance(event, View)
        assert event.left == {Member(NodeId(9), Pid(5)): Reason.NODEDOWN}


async def test_blocking_client_when_over_libqb_then_the_same(
    server: LocalCpg, tmp_path: Path
) -> None:
    def talk() -> list[bytes]:
        seen: list[bytes] = []
        with unisono.blocking.connect(tmp_path, protocol="qb") as node, node.group("g") as group:
            group.send_many([b"%d" % number for number in range(300)])
            group.send(bytes(MESSAGE_BYTES_MAX))
            group.send(b"end")
            assert node.members("g") == (group.me,)
            for event in group:
                if isinstance(event, Message):
                    seen.append(event.data)
                    if event.data == b"end":
                        break
            with pytest.raises(TimeoutError):
                group.next(timeout=0.01)
        return seen

    with ThreadPoolExecutor(1) as threads:
        seen = await asyncio.wrap_future(threads.submit(talk))
    assert seen[:300] == [b"%d" % number for number in range(300)]
    assert seen[300:] == [bytes(MESSAGE_BYTES_MAX), b"end"]
