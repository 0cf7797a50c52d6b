"""The simulated cluster as users' tests see it: real client, virtual ring, faults, verdict."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import unisono
from tests.testing.conversation import chatter, collect, contents, gaps, listen, views
from unisono import ConnectionLost, Gap, Message, Reason, UsageError, View
from unisono.base.errors import ClusterError, CsError
from unisono.services.native import Native
from unisono.testing import Cluster, Process, PropertyBroken, Stuck

MakeCluster = Callable[..., Cluster]


def test_messages_when_three_send_at_once_then_ordered_alike_everywhere(
    cluster: MakeCluster,
) -> None:
    c = cluster(3)
    seen: list[list[Any]] = [[], [], []]

    async def main() -> None:
        for node in c.nodes:
            c.spawn(node, chatter, seen[node - 1], 20, 0.001)
        await asyncio.sleep(60)

    c.run(main())
    last = contents(seen[2])
    assert len(last) == 60
    assert contents(seen[0])[-60:] == contents(seen[1])[-60:] == last


def test_messages_when_contents_are_equal_then_each_is_one(cluster: MakeCluster) -> None:
    c = cluster(2)

    async def main() -> list[Any]:
        async with c.connect(1) as a, c.connect(2) as b, a.group("x") as one, b.group("x") as two:
            await one.send_many([b"tick"] * 50)
            await two.send(b"tick", safe=True)
            return [await two.next(timeout=5) for _ in range(52)]

    view, *messages = c.run(main())
    assert isinstance(view, View)
    assert [message.data for message in messages] == [b"tick"] * 51


@pytest.mark.parametrize("size", [0, 1, 40_000, 1 << 20])
def test_message_when_of_any_size_then_arrives_whole(cluster: MakeCluster, size: int) -> None:
    c = cluster(2)
    data = bytes(range(256)) * (size // 256) + b"?" * (size % 256)

    async def main() -> Any:
        async with c.connect(1) as a, c.connect(2) as b, a.group("x") as one, b.group("x") as two:
            await one.send(data)
            await two.next(timeout=5)
            return await two.next(timeout=60)

    event = c.run(main())
    assert isinstance(event, Message)
    assert event.data == data


def test_partition_when_it_comes_then_each_side_has_a_view_and_healed_one(
    cluster: MakeCluster,
) -> None:
    c = cluster(3)
    seen: dict[int, list[Any]] = {1: [], 2: [], 3: []}

    async def main() -> None:
        for node in c.nodes:
            c.spawn(node, listen, seen[node])
            await asyncio.sleep(1)
        c.partition([1], [2, 3])
        await asyncio.sleep(30)
        c.heal()
        await asyncio.sleep(30)

    c.run(main())
    assert views(seen[1]) == [(1,), (1, 2), (1, 2, 3), (1,), (1, 2, 3)]
    assert views(seen[3]) == [(1, 2, 3), (2, 3), (1, 2, 3)]
    merged = seen[3][-1]
    assert set(merged.joined.values()) == {Reason.NODEUP}


def test_status_when_in_the_minority_then_not_quorate(cluster: MakeCluster) -> None:
    c = cluster(3)

    async def main() -> None:
        async with c.connect(1) as a, c.connect(2) as b:
            assert (await a.status())["quorate"]
            c.partition([1], [2, 3])
            await asyncio.sleep(30)
            assert not (await a.status())["quorate"]
            assert (await b.status())["quorate"]

    c.run(main())


def test_cut_when_one_way_then_the_deaf_node_is_alone(cluster: MakeCluster) -> None:
    c = cluster(3)
    seen: list[Any] = []

    async def main() -> None:
        c.spawn(1, listen, [])
        c.spawn(2, listen, seen)
        await asyncio.sleep(5)
        c.cut(1, 2)
        c.cut(3, 2)
        await asyncio.sleep(60)

    c.run(main())
    assert (2,) in views(seen)


def test_crash_when_not_reconnecting_then_connection_lost(cluster: MakeCluster) -> None:
    c = cluster(3)
    seen: list[Any] = []

    async def main() -> None:
        process = c.spawn(2, lambda instance: listen(instance, seen, reconnect=False))
        await asyncio.sleep(1)
        c.crash(2)
        with pytest.raises(ConnectionLost):
            await process.wait()
        with pytest.raises(ConnectionLost, match="no daemon at"):
            await c.connect(2).open()

    c.run(main())
    assert views(seen) == [(2,)]


def test_crash_when_reconnecting_then_gap_and_view(cluster: MakeCluster) -> None:
    c = cluster(3)
    seen: dict[int, list[Any]] = {1: [], 2: []}

    async def main() -> None:
        c.spawn(1, listen, seen[1])
        c.spawn(2, listen, seen[2])
        await asyncio.sleep(1)
        c.crash(2)
        await asyncio.sleep(30)
        c.start(2)
        await asyncio.sleep(30)

    c.run(main())
    *_, gap, view = seen[2]
    assert isinstance(gap, Gap)
    assert isinstance(view, View)
    assert gaps(seen[2]) == 1
    # The same process comes back: its name is the one that it had.
    assert view.members[-1] in seen[2][0].members
    assert views(seen[1])[-2:] == [(1,), (1, 2)]


def test_stop_when_daemon_leaves_then_the_others_know_before_any_timeout(
    cluster: MakeCluster,
) -> None:
    c = cluster(3)
    seen: list[Any] = []

    async def main() -> None:
        c.spawn(1, listen, seen)
        c.spawn(2, listen, [])
        await asyncio.sleep(2)
        c.stop(2)
        await asyncio.sleep(2)
        assert views(seen)[-1] == (1,)

    c.run(main())


def test_pause_when_long_then_node_leaves_and_comes_back(cluster: MakeCluster) -> None:
    c = cluster(3)
    seen: list[Any] = []

    async def main() -> None:
        c.spawn(1, listen, seen)
        c.spawn(3, listen, [])
        await asyncio.sleep(2)
        c.pause(3)
        await asyncio.sleep(30)
        assert views(seen)[-1] == (1,)
        c.resume(3)
        await asyncio.sleep(30)
        assert views(seen)[-1] == (1, 3)

    c.run(main())


def test_kill_when_process_dies_then_the_others_see_procdown(cluster: MakeCluster) -> None:
    c = cluster(2)

    async def main() -> None:
        victim = c.spawn(2, listen, [])
        async with c.connect(1) as node, node.group("x") as group:
            await asyncio.sleep(1)
            victim.kill()
            assert await victim.wait() is None
            seen: list[Any] = [await group.next(timeout=1)]
            while not seen[-1].left:
                seen.append(await group.next(timeout=1))
            assert list(seen[-1].left.values()) == [Reason.PROCDOWN]
        bystander = c.process(1)
        bystander.kill()
        with pytest.raises(UsageError, match="was killed"):
            await bystander.connect().open()

    c.run(main())


def test_power_off_when_machine_goes_then_its_programs_end(cluster: MakeCluster) -> None:
    c = cluster(3)
    seen: list[Any] = []

    async def main() -> None:
        programs = [c.spawn(2, listen, []), c.spawn(2, listen, [])]
        c.spawn(1, listen, seen)
        await asyncio.sleep(1)
        c.power_off(2)
        for program in programs:
            await program.wait()
        await asyncio.sleep(30)
        c.start(2)
        await asyncio.sleep(30)

    c.run(main())
    assert [len(members) for members in views(seen)] == [3, 1]


def test_process_when_twice_in_one_group_then_exist_and_after_leaving_not(
    cluster: MakeCluster,
) -> None:
    c = cluster(2)

    async def main() -> None:
        async with c.process(1).connect() as node:
            async with node.group("x") as first:
                with pytest.raises(ClusterError) as caught:
                    await node.group("x").join()
                assert caught.value.code is CsError.EXIST
                async with node.group("y") as other:
                    assert other.me == first.me
            async with node.group("x") as again:
                assert again.me == first.me
                assert (await again.next(timeout=1)) == View(
                    (again.me,), {again.me: Reason.JOIN}, {}
                )
                assert await node.members("x") == (again.me,)

    c.run(main())


def test_spawned_program_when_it_names_no_instance_then_its_machine_answers(
    cluster: MakeCluster,
) -> None:
    c = cluster(3)
    found: list[int] = []

    async def program(_: object) -> None:
        async with unisono.connect() as node:
            found.append(node.node_id)

    async def main() -> None:
        for node in (3, 1, 2):
            await c.spawn(node, program).wait()
        with pytest.raises(UsageError, match="which machine"):
            await unisono.connect().open()

    c.run(main())
    assert found == [3, 1, 2]


def test_spawned_program_when_it_fails_unawaited_then_the_run_does(cluster: MakeCluster) -> None:
    async def program(_: object) -> None:
        raise LookupError("a bug of the program")

    async def main(c: Cluster) -> None:
        c.spawn(1, program)
        await asyncio.sleep(1)

    c = cluster(1)
    with pytest.raises(LookupError, match="a bug of the program"):
        c.run(main(c))


def test_time_when_an_hour_is_slept_then_it_is_virtual(cluster: MakeCluster) -> None:
    c = cluster(3)

    async def main() -> float:
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time() - start

    before = time.monotonic()
    assert c.run(main()) == pytest.approx(3600)
    # Measured: 0.9 s; the bound leaves room for a busy machine.
    assert time.monotonic() - before < 20


def test_timeouts_of_the_client_when_daemon_sleeps_then_virtual_too(cluster: MakeCluster) -> None:
    c = cluster(2)

    async def main() -> None:
        c.pause(1)
        start = c.now
        with pytest.raises(ClusterError) as caught:
            await c.connect(1, timeout=100).open()
        assert caught.value.code is CsError.TIMEOUT
        assert c.now - start == pytest.approx(100)
        c.resume(1)

    c.run(main())


def course(seed: int) -> tuple[str, list[list[Any]]]:
    """A busy run: its digest, and what each of three programs received."""
    c = Cluster(3, seed=seed)
    seen: list[list[Any]] = [[], [], []]

    async def main() -> None:
        for node in c.nodes:
            c.spawn(node, chatter, seen[node - 1], 40, 0.2)
        await asyncio.sleep(3)
        c.weather(loss=0.05, reorder=0.1)
        c.partition([1, 2], [3])
        await asyncio.sleep(10)
        c.crash(2)
        c.heal()
        await asyncio.sleep(10)
        c.start(2)
        await asyncio.sleep(60)

    c.run(main())
    return c.digest, seen


def test_run_when_repeated_then_same_events_and_with_another_seed_others() -> None:
    first, second, other = course(1), course(1), course(2)
    assert first == second
    assert gaps(first[1][1]) == 1
    assert other[0] != first[0]


def test_reader_when_it_never_reads_then_its_daemon_drops_it(
    cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unisono.testing.desk.CLIENT_OUTPUT_BYTES_MAX", 6 << 20)
    c = cluster(2)

    async def main() -> None:
        async with c.connect(1) as node, node.group("x") as group:
            with pytest.raises(ConnectionLost):
                await group.send_many([bytes(100_000)] * 300)

    c.run(main())


def test_sender_when_reader_is_slow_then_waits_and_nothing_is_lost(cluster: MakeCluster) -> None:
    c = cluster(2)
    count = 200

    async def read_slowly(group: unisono.Group) -> int:
        found = 0
        while found < count:
            found += isinstance(await group.next(), Message)
            await asyncio.sleep(0.1)
        return found

    async def main() -> int:
        async with c.connect(1) as a, c.connect(2) as b, a.group("x") as one, b.group("x") as two:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(read_slowly(two))
                tasks.create_task(collect(one, [])).add_done_callback(lambda _: None)
                await one.send_many([bytes(100_000)] * count)
                assert c.now < 60
                while not reading.done():
                    await asyncio.sleep(1)
                await one.leave()
            return reading.result()

    assert c.run(main()) == count


def test_run_when_a_test_waits_for_ever_then_stuck_and_says_where(cluster: MakeCluster) -> None:
    c = cluster(2)

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck, match="3600 virtual seconds") as caught:
        c.run(main(), hours=1)
    notes = "\n".join(caught.value.__notes__)
    assert __file__ in notes
    assert repr(c) in notes


def test_run_when_a_task_ignores_its_cancellation_then_ends_all_the_same(
    cluster: MakeCluster,
) -> None:
    async def deaf(_: object) -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.get_running_loop().create_future()

    async def main(c: Cluster) -> None:
        c.spawn(1, deaf)
        await asyncio.sleep(1)

    c = cluster(1)
    c.run(main(c))


def test_run_when_it_fails_then_the_seed_is_told() -> None:
    c = Cluster(1, seed=77)

    async def main() -> None:
        raise LookupError

    with pytest.raises(LookupError) as caught:
        c.run(main())
    assert "Cluster(1, seed=77)" in caught.value.__notes__[-1]
    again = main()
    with pytest.raises(UsageError, match="runs once"):
        c.run(again)


def test_run_when_the_cluster_itself_is_wrong_then_property_broken(
    cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_deliver = Native._deliver

    def forgetful(self: Native, origin: Any, message: Any) -> None:
        if self._cluster.node_id != 2 or self.delivered != 3:
            true_deliver(self, origin, message)
        else:
            self.delivered += 1

    monkeypatch.setattr(Native, "_deliver", forgetful)
    c = cluster(3)

    async def main() -> None:
        for node in c.nodes:
            c.spawn(node, chatter, [], 10, 0.1)
        await asyncio.sleep(60)

    with pytest.raises(PropertyBroken, match="group") as caught:
        c.run(main())
    assert "client" in str(caught.value)


async def replica(instance: Process, copies: dict[int, str], *, is_hasty: bool) -> None:
    """Keeps one value. A hasty one believes itself before the group has ordered what it says."""
    async with unisono.connect(instance) as node, node.group("x") as group:
        await asyncio.sleep(1)
        mine = f"from {instance.node}"
        if is_hasty:
            copies[instance.node] = mine
        await group.send(mine.encode())
        async for event in group:
            if isinstance(event, Message) and not (is_hasty and event.sender == group.me):
                copies[instance.node] = event.data.decode()


@pytest.mark.parametrize("is_hasty", [False, True])
def test_replicas_when_one_acts_before_delivery_then_they_diverge(
    cluster: MakeCluster, is_hasty: bool
) -> None:
    c = cluster(3)
    copies: dict[int, str] = {}

    async def main() -> None:
        for node in c.nodes:
            c.spawn(node, lambda instance: replica(instance, copies, is_hasty=is_hasty))
        await asyncio.sleep(10)

    c.run(main())
    assert (len(set(copies.values())) == 1) is not is_hasty
