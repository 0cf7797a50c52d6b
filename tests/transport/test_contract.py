"""What every transport promises, checked on real sockets: `check_transport(factory)`."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import ConfigError
from unisono.base.group import Buffer, Marked
from unisono.base.ids import NodeId
from unisono.base.limits import GSO_BYTES_MAX, GSO_SEGMENTS_MAX
from unisono.base.marks import Mark
from unisono.config.settings import UDP, UDPU, NodeSettings, Settings, TransportSettings
from unisono.transport.kinds import open_transport
from unisono.transport.port import Transport
from unisono.transport.reader import Sources
from unisono.transport.sender import make_runs

PORT = 25405
LOOPBACK = tuple(f"127.7.0.{last}" for last in (1, 2, 3))
NAMESPACE_V4 = tuple(f"10.77.0.{last}" for last in (1, 2, 3))
NAMESPACE_V6 = tuple(f"fd77::{last}" for last in (1, 2, 3))
SECONDS_MAX = 10


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Inbox:
    """Everything one node received, as (source, bytes)."""

    def __init__(self) -> None:
        self.received: list[tuple[NodeId | None, bytes]] = []
        self.marks: list[Marked] = []
        self._arrived = asyncio.Event()

    def receive(self, datagrams: list[Buffer], source: NodeId | None) -> None:
        self.received += [(source, bytes(datagram)) for datagram in datagrams]
        self._arrived.set()

    async def wait_for(self, count: int) -> list[tuple[NodeId | None, bytes]]:
        async with asyncio.timeout(SECONDS_MAX):
            while len(self.received) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.received

    def payloads(self, source: int) -> list[bytes]:
        return [data for node, data in self.received if node == source]


class Ring:
    """Three nodes of one transport, all in this process."""

    def __init__(self, transports: list[Transport], inboxes: list[Inbox]) -> None:
        self.transports = transports
        self.inboxes = inboxes

    def close(self) -> None:
        for transport in self.transports:
            transport.close()


Factory = Callable[[], Ring]


def settings_of(node: int, addresses: Sequence[str], transport: TransportSettings) -> Settings:
    nodes = tuple(
        NodeSettings(NodeId(number), f"n{number}", (address,))
        for number, address in enumerate(addresses, 1)
    )
    mine = replace(transport, bind_address=addresses[node - 1])
    return Settings(node_id=NodeId(node), nodes=nodes, transport=mine)


def open_node(
    node: int, addresses: Sequence[str], transport: TransportSettings, inbox: Inbox
) -> Transport:
    return open_transport(
        settings_of(node, addresses, transport),
        inbox.receive,
        mark=inbox.marks.append,
        loop=asyncio.get_running_loop(),
    )


def open_ring(addresses: Sequence[str], transport: TransportSettings) -> Ring:
    ring = Ring([], [])
    try:
        for node in range(1, len(addresses) + 1):
            inbox = Inbox()
            ring.transports.append(open_node(node, addresses, transport, inbox))
            ring.inboxes.append(inbox)
    except BaseException:
        ring.close()
        raise
    return ring


async def check_transport(factory: Factory) -> None:
    """The contract of `Transport`; `factory` opens three connected nodes with ids 1, 2 and 3."""
    await _check_send_to_reaches_one_node(factory)
    await _check_send_all_reaches_every_other_node_in_order(factory)
    await _check_unknown_node_is_counted_and_dropped(factory)
    await _check_discard_throws_away_what_waits(factory)
    await _check_token_comes_after_the_multicasts_before_it(factory)
    await _check_closed_transport_is_silent(factory)


async def _check_send_to_reaches_one_node(factory: Factory) -> None:
    with contextlib.closing(factory()) as ring:
        ring.transports[0].send_to(NodeId(2), b"token")
        assert await ring.inboxes[1].wait_for(1) == [(1, b"token")]
        assert ring.inboxes[0].received == ring.inboxes[2].received == []
        assert ring.transports[0].counters.sent == 1
        assert ring.transports[1].counters.received == 1


async def _check_send_all_reaches_every_other_node_in_order(factory: Factory) -> None:
    sizes = [1400] * 70 + [300, 300, 20] + [65_000, 9, 1400, 1472]
    sent = [bytes([number]) * size for number, size in enumerate(sizes)]
    with contextlib.closing(factory()) as ring:
        for transport in ring.transports:
            transport.send_all(sent)
        for inbox in ring.inboxes:
            await inbox.wait_for(2 * len(sent))
        for me, inbox in enumerate(ring.inboxes, 1):
            others = {1, 2, 3} - {me}
            assert {node for node, _ in inbox.received} == others
            for other in others:
                assert inbox.payloads(other) == sent
        assert all(transport.counters.batches_sent for transport in ring.transports)


async def _check_unknown_node_is_counted_and_dropped(factory: Factory) -> None:
    with contextlib.closing(factory()) as ring:
        ring.transports[0].send_to(NodeId(99), b"token")
        assert ring.transports[0].counters.send_errors == 1
        assert [marked.mark for marked in ring.inboxes[0].marks] == [Mark.TARGET_UNKNOWN]


async def _check_discard_throws_away_what_waits(factory: Factory) -> None:
    with contextlib.closing(factory()) as ring:
        ring.transports[0].send_all([b"old"] * 5)
        ring.transports[0].send_to(NodeId(2), b"old token")
        assert ring.transports[1].discard_unread() > 0  # the loop had no turn in between
        ring.transports[0].send_to(NodeId(2), b"new")
        assert await ring.inboxes[1].wait_for(1) == [(1, b"new")]
        assert ring.transports[1].counters.discarded > 0


async def _check_token_comes_after_the_multicasts_before_it(factory: Factory) -> None:
    with contextlib.closing(factory()) as ring:
        for turn in range(20):
            messages = [b"%d-%d" % (turn, number) for number in range(100)]
            ring.transports[0].send_all(messages)
            ring.transports[0].send_to(NodeId(3), b"token")
            received = await ring.inboxes[2].wait_for((turn + 1) * 101)
            assert [data for _, data in received[-101:]] == [*messages, b"token"]


async def _check_closed_transport_is_silent(factory: Factory) -> None:
    with contextlib.closing(factory()) as ring:
        ring.transports[1].close()
        ring.transports[1].close()
        ring.transports[0].send_all([b"hello"])
        await ring.inboxes[2].wait_for(1)
        assert ring.inboxes[1].received == []


UNICAST = TransportSettings(UDPU, "", port=PORT)
MULTICAST_V4 = TransportSettings(UDP, "", port=PORT, multicast_address="239.192.27.7")
MULTICAST_V6 = TransportSettings(UDP, "", port=PORT, multicast_address="ff15::1be7")
BROADCAST = TransportSettings(UDP, "", port=PORT, broadcast=True)


@pytest.mark.parametrize("transport", [UNICAST, MULTICAST_V4], ids=["udpu", "udp"])
async def test_transport_on_loopback_keeps_the_contract(transport):
    await check_transport(lambda: open_ring(LOOPBACK, transport))


@pytest.mark.root
@pytest.mark.parametrize(
    ("addresses", "transport"),
    [
        (NAMESPACE_V4, UNICAST),
        (NAMESPACE_V6, UNICAST),
        (NAMESPACE_V4, MULTICAST_V4),
        (NAMESPACE_V6, MULTICAST_V6),
        (NAMESPACE_V4, BROADCAST),
    ],
    ids=["udpu-v4", "udpu-v6", "udp-v4", "udp-v6", "broadcast"],
)
async def test_transport_in_namespace_keeps_the_contract(enter, addresses, transport):
    def factory():
        with enter():
            return open_ring(addresses, transport)

    await check_transport(factory)


async def test_token_when_its_socket_is_read_first_still_comes_after_the_multicasts():
    with contextlib.closing(open_ring(LOOPBACK, MULTICAST_V4)) as ring:
        ring.transports[0].send_all([b"%d" % number for number in range(100)])
        ring.transports[0].send_to(NodeId(2), b"token")
        ring.transports[1]._tokens.read()  # as if the loop had seen this one only
        received = [data for _, data in ring.inboxes[1].received]
        assert received == [*(b"%d" % number for number in range(100)), b"token"]


@pytest.mark.parametrize("transport", [UNICAST, MULTICAST_V4], ids=["udpu", "udp"])
async def test_unlisted_source_is_counted_and_never_handed_on(transport):
    with (
        contextlib.closing(open_ring(LOOPBACK, transport)) as ring,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        stranger.bind(("127.7.0.99", 0))
        stranger.sendto(b"injected", (LOOPBACK[1], PORT))
        ring.transports[0].send_to(NodeId(2), b"genuine")
        assert await ring.inboxes[1].wait_for(1) == [(1, b"genuine")]
        assert ring.transports[1].counters.unlisted == 1
        assert [marked.text for marked in ring.inboxes[1].marks] == ["127.7.0.99"]


async def test_unlisted_source_when_allowed_is_handed_on_without_a_node():
    allowing = replace(UNICAST, block_unlisted_ips=False)
    with (
        contextlib.closing(open_ring(LOOPBACK, allowing)) as ring,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        stranger.bind(("127.7.0.99", 0))
        stranger.sendto(b"hello", (LOOPBACK[1], PORT))
        assert await ring.inboxes[1].wait_for(1) == [(None, b"hello")]


@pytest.mark.parametrize("transport", [UNICAST, MULTICAST_V4], ids=["udpu", "udp"])
async def test_batch_when_peer_is_a_plain_socket_arrives_as_ordinary_datagrams(transport):
    sent = [bytes([number]) * 1400 for number in range(40)] + [b"tail"]
    node = open_node(1, LOOPBACK[:2], transport, Inbox())
    with contextlib.closing(node), plain_peer(LOOPBACK[1], transport) as peer:
        node.send_all(sent)
        assert node.counters.batches_sent == 1
        assert [peer.recv(65_535) for _ in sent] == sent


@contextlib.contextmanager
def plain_peer(address, transport):
    """A peer that knows nothing of batches, as Corosync's sockets are."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(SECONDS_MAX)
        group = transport.multicast_address
        if group:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            request = socket.inet_aton(group) + socket.inet_aton("127.0.0.1")
            peer.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        peer.bind((group or address, PORT))
        yield peer


@pytest.mark.root
async def test_batch_when_the_kernel_refuses_segments_goes_out_one_by_one(enter, namespace):
    sent = [bytes([number]) * 1400 for number in range(10)]

    run("ip", "-n", namespace, "link", "set", "lo", "mtu", "1300")
    try:
        with enter():
            ring = open_ring(NAMESPACE_V4, UNICAST)
        with contextlib.closing(ring):
            ring.transports[0].send_all(sent)  # 1400 bytes do not fit into packets of 1300
            await ring.inboxes[1].wait_for(10)
            assert ring.inboxes[1].payloads(1) == ring.inboxes[2].payloads(1) == sent
            assert ring.transports[0].counters.batches_sent == 0
            assert [marked.mark for marked in ring.inboxes[0].marks] == [Mark.SEGMENTATION_REFUSED]
    finally:
        run("ip", "-n", namespace, "link", "set", "lo", "mtu", "65536")


@pytest.mark.root
async def test_send_when_the_queue_is_full_counts_and_drops(enter, namespace):
    far = (NAMESPACE_V4[0], "10.77.0.200")

    run(*f"tc -n {namespace} qdisc add dev ring0 root tbf rate 8kbit burst 70000 limit 50m".split())
    try:
        with enter():
            node = open_node(1, far, UNICAST, inbox := Inbox())
        with contextlib.closing(node):
            for _ in range(400):
                node.send_all([bytes(1400)] * 40)
            assert node.counters.send_dropped > 0
            assert node.counters.send_errors == 0
            assert inbox.marks == []
    finally:
        run(*f"tc -n {namespace} qdisc del dev ring0 root".split())


@pytest.mark.root
async def test_send_when_there_is_no_route_counts_and_marks(enter):
    with enter():
        node = open_node(1, (NAMESPACE_V4[0], "10.99.0.1"), UNICAST, inbox := Inbox())
    with contextlib.closing(node):
        node.send_to(NodeId(2), b"token")
        assert node.counters.send_errors == 1
        assert [marked.mark for marked in inbox.marks] == [Mark.SEND_FAILED]
        assert "10.99.0.1" in inbox.marks[0].text


@pytest.mark.parametrize("transport", [UNICAST, MULTICAST_V4], ids=["udpu", "udp"])
async def test_node_when_readdressed_is_sent_to_and_known_at_its_new_address(transport):
    moved = (LOOPBACK[0], "127.7.0.77", LOOPBACK[2])
    node = open_node(1, LOOPBACK, transport, inbox := Inbox())
    with contextlib.closing(node):
        other = open_node(2, moved, transport, heard := Inbox())
        with contextlib.closing(other):
            for nobody in ((1, 0), (9, 0), (2, 1)):
                node.readdress(NodeId(nobody[0]), nobody[1], "127.7.0.88")
            node.readdress(NodeId(2), 0, "127.7.0.77")
            node.send_to(NodeId(2), b"token")
            node.send_all([b"message"])
            assert {data for _, data in await heard.wait_for(2)} == {b"token", b"message"}
            other.send_to(NodeId(1), b"answer")
            assert await inbox.wait_for(1) == [(2, b"answer")]
        node.farewell()
        assert node.status() == {}


@pytest.mark.parametrize("transport", [UNICAST, MULTICAST_V4], ids=["udpu", "udp"])
async def test_open_when_the_address_is_in_use_says_so_in_one_line(transport):
    with contextlib.closing(open_node(1, LOOPBACK, transport, Inbox())):
        with pytest.raises(ConfigError, match=r"cannot bind to 127\.7\.0\.1:\d+: Address alr"):
            open_node(1, LOOPBACK, transport, Inbox())


@pytest.mark.parametrize("transport", [UNICAST, MULTICAST_V4], ids=["udpu", "udp"])
async def test_open_when_the_address_is_not_local_says_so_in_one_line(transport):
    with pytest.raises(ConfigError, match=r"not an address of this host") as caught:
        open_node(1, ("203.0.113.7", LOOPBACK[1]), transport, Inbox())
    assert "\n" not in str(caught.value)


async def test_open_when_the_kind_is_unknown_names_what_is_allowed():
    with pytest.raises(ConfigError, match="found knet; allowed ust, udpu, udp"):
        open_node(1, LOOPBACK, replace(UNICAST, kind="knet"), Inbox())


@given(st.lists(st.integers(0, 70_000) | st.sampled_from([1, 1400, 1400, 1400]), max_size=300))
def test_make_runs_keeps_order_and_every_bound(sizes):
    datagrams = [bytes(size) for size in sizes]
    runs = make_runs(datagrams)
    assert [data for batch in runs for data in batch] == [data for data in datagrams if data]
    for batch in runs:
        first = len(batch[0])
        assert len(batch) <= GSO_SEGMENTS_MAX
        assert len(batch) == 1 or sum(map(len, batch)) <= GSO_BYTES_MAX
        assert all(len(data) == first for data in batch[:-1])
        assert len(batch) == 1 or 0 < len(batch[-1]) <= first


def test_make_runs_when_sizes_are_equal_fills_each_batch():
    assert [len(batch) for batch in make_runs([bytes(1000)] * 130)] == [64, 64, 2]
    assert [len(batch) for batch in make_runs([bytes(30_000)] * 5)] == [2, 2, 1]


@pytest.mark.parametrize(
    ("configured", "seen"),
    [
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("fe80::1%2", "fe80::1%eth0"),
        ("fe80::1", "fe80::1%eth0"),
        ("FD77:0:0::0001", "fd77::1"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_source_when_spelt_differently_is_the_same_node(configured, seen):
    sources = Sources({configured: NodeId(7)}, block_unlisted=True)
    assert sources.identify((seen, 5405)) == 7
    assert sources.identify(("198.51.100.1", 5405)) < 0
