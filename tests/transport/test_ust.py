"""The secure transport's sockets, with a stand-in for its machine, on loopback."""

import asyncio
import contextlib
import socket
import time

import pytest

from tests.transport.standin import ENVELOPE, StandIn, secure_transport
from tests.transport.test_contract import Inbox, Ring, check_transport, run
from unisono.base.errors import ConfigError
from unisono.base.group import Marked, SendTo
from unisono.base.ids import MS, Nanos, NodeId
from unisono.base.limits import SECURE_FRAME_BYTES_MAX
from unisono.base.marks import Mark
from unisono.config.settings import NodeSettings, Settings
from unisono.secure.events import (
    Adopted,
    Begin,
    Farewell,
    KeysChanged,
    PathLimit,
    Paused,
    PeerGone,
    Transmit,
    Unreachable,
)
from unisono.transport import ust
from unisono.transport.knock import KNOCK_SECONDS
from unisono.transport.ust import UstTransport

PORT = 25505
LOOPBACK = tuple((f"127.7.1.{last}",) for last in (1, 2, 3))
TWO_LINKS = tuple((f"127.7.1.{last}", f"127.7.2.{last}") for last in (1, 2, 3))
LOOPBACK_ROOM = 65_507
SECONDS_MAX = 10
HINT_SECONDS_MAX = KNOCK_SECONDS + 0.020


class End(Inbox):
    """One node: its transport, its machine, and what both said."""

    def __init__(self, node, addresses, *, ports=(PORT, PORT + 1), machine=None, **changes):
        super().__init__()
        self.gone = []
        self.told = []
        self.failures = []
        self._changed = asyncio.Event()
        links = range(max(map(len, addresses)))
        others = tuple(NodeId(n) for n in range(1, len(addresses) + 1) if n != node)
        self.machine = machine or StandIn(NodeId(node), others, tuple(links))
        self.machine.on_submit = lambda _request: self._changed.set()
        self.settings = Settings(
            node_id=NodeId(node),
            nodes=tuple(
                NodeSettings(NodeId(number), f"n{number}", each)
                for number, each in enumerate(addresses, 1)
            ),
            transport=secure_transport(*ports[: len(links)]),
            **changes,
        )
        self.transport = UstTransport(
            self.settings,
            self.receive,
            mark=self.marks.append,
            loop=asyncio.get_running_loop(),
            machine=self.machine,
            gone=self.gone.append,
            told=self.told.append,
            on_failure=self.failures.append,
        )

    async def until(self, condition):
        async with asyncio.timeout(SECONDS_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def close(self):
        self.transport.close()


@contextlib.contextmanager
def ends(*addresses, **more):
    made = []
    try:
        for node in range(1, len(addresses) + 1):
            made.append(End(node, addresses, **more))
        yield made
    finally:
        for end in made:
            end.close()


def open_ring():
    made = [End(node, LOOPBACK) for node in (1, 2, 3)]
    return Ring([end.transport for end in made], made)


async def turn_loop(times=3):
    for _ in range(times):
        await asyncio.sleep(0)


async def soon(condition):
    async with asyncio.timeout(SECONDS_MAX):
        while not condition():
            await asyncio.sleep(0.005)


async def test_transport_keeps_the_contract():
    await check_transport(open_ring)


async def test_begin_comes_after_the_limits_of_the_links():
    with ends(*TWO_LINKS) as (a, _, _):
        assert a.machine.requests == [
            PathLimit(0, LOOPBACK_ROOM),
            PathLimit(1, LOOPBACK_ROOM),
            Begin(),
        ]


async def test_packets_of_one_transmit_reach_each_node_over_each_link_in_one_send_each():
    packets = [bytes([number]) * 1199 for number in range(50)] + [b"tail"]
    with ends(*TWO_LINKS) as (a, b, c):
        a.transport.send_all(packets)
        for end in (b, c):
            await end.wait_for(2 * len(packets))
            assert {(source, link) for source, node, link in end.machine.sources if node == 1} == {
                (f"127.7.1.1:{PORT}", 0),
                (f"127.7.2.1:{PORT + 1}", 1),
            }
            assert sorted(end.payloads(1)) == sorted(packets * 2)
        assert a.transport.counters.batches_sent == 4


@pytest.mark.parametrize("room", [1200, 1232, 1452, 1472, 8952, 8972])
async def test_largest_frame_leaves_in_one_send(room):
    """Sealed and cut for any room there is: 40 bytes of each packet are headers and tag."""
    pieces = -(-SECURE_FRAME_BYTES_MAX // (room - 40))
    packets = [bytes(room)] * (pieces - 1) + [bytes(SECURE_FRAME_BYTES_MAX % (room - 40) + 40)]
    with ends(*LOOPBACK[:2]) as (a, b):
        a.machine.effects.append(Transmit(((NodeId(2), 0),), packets))
        a.transport.submit(KeysChanged())
        assert a.transport.counters.batches_sent == 1
        async with asyncio.timeout(SECONDS_MAX):
            while b.transport.counters.received < len(packets):
                await asyncio.sleep(0)
        assert b.transport.counters.bytes_received == sum(map(len, packets))


async def test_source_that_no_node_has_is_handed_on_without_a_node():
    with (
        ends(*LOOPBACK) as (a, _, _),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        stranger.bind(("127.7.1.99", 0))
        stranger.sendto(ENVELOPE + b"hello", (LOOPBACK[0][0], PORT))
        async with asyncio.timeout(SECONDS_MAX):
            while not a.machine.sources:
                await asyncio.sleep(0)
        assert a.machine.sources == [(f"127.7.1.99:{stranger.getsockname()[1]}", None, 0)]
        assert a.transport.counters.unlisted == 1


# -- what the kernel tells ---------------------------------------------------------------------


async def test_port_of_a_peer_when_closed_is_told_at_once():
    with ends(*LOOPBACK) as (a, b, c):
        b.close()
        began = time.monotonic()
        a.transport.send_all([b"token"])
        await a.until(lambda: a.machine.asked(Unreachable))
        assert time.monotonic() - began < HINT_SECONDS_MAX
        assert a.machine.asked(Unreachable) == [Unreachable(NodeId(2), 0)]
        assert await c.wait_for(1) == [(1, b"token")]
        assert (a.failures, a.marks) == ([], [])


async def test_sends_while_a_port_is_closed_are_not_lost_to_the_others():
    """Each datagram to the closed port makes the next send fail, whoever that is for."""
    sent = [b"%d" % number * (1 + number % 3) for number in range(200)]
    with ends(*LOOPBACK) as (a, b, c):
        b.close()
        for datagram in sent:
            a.transport.send_all([datagram])
        await c.wait_for(len(sent))
        assert c.payloads(1) == sent
        assert a.transport.counters.send_errors == 0
        await a.until(lambda: a.machine.asked(Unreachable))
        assert a.transport.counters.receive_errors == 0
        assert a.marks == []


async def test_batches_while_a_port_is_closed_stay_batches():
    sent = [bytes(1000)] * 20
    with ends(*LOOPBACK) as (a, b, c):
        b.close()
        for _ in range(5):
            a.transport.send_all(sent)
        await c.wait_for(5 * len(sent))
        assert a.transport.counters.batches_sent == 10
        assert a.marks == []


async def test_knocks_while_a_port_is_closed_give_one_hint_at_a_time():
    with ends(*LOOPBACK[:2]) as (a, b):
        b.close()
        began = time.monotonic()
        await a.until(lambda: len(a.machine.asked(Unreachable)) >= 4)
        knocks = (time.monotonic() - began) / KNOCK_SECONDS + 1
        assert len(a.machine.asked(Unreachable)) <= knocks
        assert a.transport.counters.receive_errors == 0
        assert a.marks == []


async def test_port_of_a_peer_that_is_gone_is_left_in_peace_until_it_is_back():
    with ends(*LOOPBACK[:2]) as (a, b):
        heard = b.transport.counters
        await soon(lambda: heard.knocks)
        a.machine.effects.append(PeerGone(NodeId(2)))
        a.transport.send_all([])
        await soon(lambda: a.gone == [2])
        knocks = heard.knocks
        await asyncio.sleep(4 * KNOCK_SECONDS)
        assert heard.knocks <= knocks + 1  # it may have been on its way
        a.machine.effects.append(Adopted(NodeId(2), b"", False))
        a.transport.send_all([])
        await soon(lambda: heard.knocks > knocks + 2)


async def test_knock_is_counted_and_no_packet():
    with ends(*LOOPBACK[:2]) as (a, b):
        await soon(lambda: a.transport.counters.knocks and b.transport.counters.knocks)
        assert a.machine.sources == []
        assert a.transport.counters.received == 0


async def test_ring_socket_when_a_port_is_closed_hears_nothing_of_it():
    """What ICMP says can be forged, and would make the next send or receive fail."""
    with ends(*LOOPBACK[:2]) as (a, b):
        b.close()
        sock = a.transport._links[0]._socket
        for _ in range(20):
            sock.sendto(b"anybody?", (LOOPBACK[1][0], PORT))
        await a.until(lambda: a.machine.asked(Unreachable))
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


async def test_datagram_larger_than_the_device_is_counted_and_is_no_error():
    with ends(*LOOPBACK[:2]) as (a, b):
        link = a.transport._links[0]
        link.room = 1000  # as if the device took less
        a.transport.send_to(NodeId(2), bytes(65_507))  # one byte too many, with the envelope
        a.transport.send_to(NodeId(2), b"next")
        assert await b.wait_for(1) == [(1, b"next")]
        assert a.transport.counters.too_large == 1
        assert a.transport.counters.send_errors == 0


@pytest.mark.root
async def test_limit_when_the_device_takes_less_is_told_at_once_and_nothing_is_fragmented(
    enter, namespace
):
    addresses = tuple((f"10.77.0.{last}", f"fd77::{last}") for last in (1, 2))
    mtu = f"ip -n {namespace} link set %s mtu %d"
    with enter(), contextlib.ExitStack() as stack:
        a, b = stack.enter_context(ends(*addresses))
        assert a.machine.limits() == [(0, 1500 - 28), (1, 1500 - 48)]
        for device in ("ring0", "lo"):
            run(*(mtu % (device, 1400)).split())
        try:
            a.transport.send_all([bytes(1399)] * 5)
            await a.until(lambda: len(a.machine.limits()) == 4)
            assert a.machine.limits()[2:] == [(0, 1400 - 28), (1, 1400 - 48)]
            assert a.transport.counters.too_large == 10
            a.transport.send_all([bytes(1351)] * 5)
            await b.wait_for(10)
            assert a.transport.counters.batches_sent == 2  # not given up for good
        finally:
            for device, back in (("ring0", 1500), ("lo", 65_536)):
                run(*(mtu % (device, back)).split())
        a.transport._look()
        await a.until(lambda: len(a.machine.limits()) == 6)
        assert a.machine.limits()[4:] == [(0, 1500 - 28), (1, 1500 - 48)]


# -- addresses ---------------------------------------------------------------------------------


async def test_node_when_readdressed_is_sent_to_and_known_at_its_new_address():
    moved = (LOOPBACK[0], ("127.7.1.77",))
    with ends(*LOOPBACK[:2]) as (a, old):
        a.transport.send_to(NodeId(2), b"before")
        await old.wait_for(1)
        with contextlib.closing(End(2, moved)) as new:
            new.transport.send_to(NodeId(1), b"early")
            async with asyncio.timeout(SECONDS_MAX):
                while not a.machine.sources:
                    await asyncio.sleep(0)
            a.transport.readdress(NodeId(2), 0, "127.7.1.77")
            a.transport.send_to(NodeId(2), b"after")
            assert await new.wait_for(1) == [(1, b"after")]
            new.transport.send_to(NodeId(1), b"answer")
            assert await a.wait_for(1) == [(2, b"answer")]
        assert len(old.received) == 1


async def test_readdress_of_nobody_changes_nothing():
    with ends(*LOOPBACK[:2]) as (a, b):
        for node, link in ((1, 0), (9, 0), (2, 7)):
            a.transport.readdress(NodeId(node), link, "127.7.1.77")
        a.transport.send_to(NodeId(2), b"token")
        assert await b.wait_for(1) == [(1, b"token")]


async def test_way_that_leads_nowhere_is_counted_and_the_others_are_used():
    addresses = (TWO_LINKS[0], (TWO_LINKS[1][0], ""), (TWO_LINKS[2][0], "::1"))
    with ends(*addresses[:1], *addresses[1:2]) as (a, b):
        a.transport.send_to(NodeId(2), b"token")
        assert await b.wait_for(1) == [(1, b"token")]
        assert a.transport.counters.send_errors == 1
    with contextlib.closing(End(1, addresses)) as a:
        assert a.transport._links[1].target(NodeId(3)) is None  # another family


async def test_open_when_no_address_is_there_says_so_in_one_line():
    with pytest.raises(ConfigError, match=r"cannot bind to 192\.0\.2\.1:\d+: .*nodelist"):
        End(1, (("192.0.2.1",), LOOPBACK[1]))


async def test_open_when_an_address_is_in_use_leaves_nothing_open():
    with ends(*TWO_LINKS[:1]):
        with pytest.raises(ConfigError, match="Address already in use"):
            End(1, (("127.7.3.1", "127.7.2.1"),))


async def test_link_whose_address_is_not_there_is_marked_and_opened_when_it_is():
    absent = (LOOPBACK[0][0], "192.0.2.1")
    with contextlib.closing(End(1, (absent, LOOPBACK[1]))) as a:
        assert [marked.mark for marked in a.marks] == [Mark.LINK_NOT_OPENED]
        assert a.marks[0].a == 1
        assert a.machine.limits() == [(0, LOOPBACK_ROOM)]
        a.transport._nodes[NodeId(1)] = NodeSettings(NodeId(1), "n1", TWO_LINKS[0])
        a.transport._look()
        assert a.machine.limits() == [(0, LOOPBACK_ROOM), (1, LOOPBACK_ROOM)]


# -- the machine's owner -----------------------------------------------------------------------


async def test_what_the_machine_says_of_peers_and_keys_goes_to_its_owner():
    adopted = Adopted(NodeId(2), b"kid4", is_new_life=True)
    with ends(*LOOPBACK[:2]) as (a, _):
        marked = Marked(Mark.LINK_UP, 2)
        a.machine.effects += [adopted, PeerGone(NodeId(2)), marked]
        a.transport.submit(KeysChanged())
        await turn_loop()
        assert (a.told[1:], a.gone, a.marks) == ([adopted], [2], [marked])


async def test_what_comes_of_a_send_of_the_ring_waits_for_the_loop():
    with ends(*LOOPBACK[:2]) as (a, _):
        a.machine.effects.append(PeerGone(NodeId(2)))
        a.transport.send_to(NodeId(2), b"token")
        assert a.gone == []
        await turn_loop()
        assert a.gone == [2]


async def test_farewell_is_the_last_word():
    with ends(*LOOPBACK[:2]) as (a, _):
        a.transport.farewell()
        a.transport.close()
        a.transport.farewell()
        a.transport.close()
        a.transport.send_to(NodeId(2), b"token")
        a.transport.submit(KeysChanged())
        assert a.machine.requests[-1] == Farewell()


async def test_timer_follows_the_machines_deadline():
    with ends(*LOOPBACK[:2]) as (a, _):
        due = a.machine.due = Nanos(time.monotonic_ns() + 20 * MS)
        a.transport.submit(KeysChanged())
        a.machine.due = Nanos(due - 15 * MS)
        a.transport.submit(KeysChanged())
        async with asyncio.timeout(SECONDS_MAX):
            while not a.machine.expired:
                await asyncio.sleep(0)
        assert due - 15 * MS <= a.machine.expired[0] < due


async def test_process_that_stood_still_is_told_before_anything_else():
    """The timer should have come more than half a token time-out ago."""
    half = 1_500 * MS
    with ends(*LOOPBACK[:2]) as (a, b):
        clock = time.monotonic_ns()
        a.transport._clock = lambda: clock
        a.machine.due = Nanos(clock)
        a.transport.submit(KeysChanged())
        clock += half - 10 * MS
        await turn_loop()
        assert a.machine.expired
        assert not a.machine.asked(Paused)

        a.machine.due = Nanos(clock)
        a.transport.submit(KeysChanged())
        clock += half + 10 * MS
        await turn_loop()
        assert len(a.machine.asked(Paused)) == 1

        a.machine.due = Nanos(clock + half)
        a.transport.submit(KeysChanged())
        clock += 3 * half
        b.transport.send_to(NodeId(1), b"late")
        await a.wait_for(1)
        assert len(a.machine.asked(Paused)) == 2


@pytest.mark.parametrize("verb", ["receive", "expire", "drain"])
async def test_error_of_the_machine_is_told_once_and_closes_everything(verb):
    def broken(*_):
        raise AssertionError(verb)

    with ends(*LOOPBACK[:2]) as (a, b):
        setattr(a.machine, verb, broken)
        if verb == "expire":
            a.transport._on_timer()
        b.transport.send_to(NodeId(1), b"token")
        b.transport.send_to(NodeId(1), b"token")
        async with asyncio.timeout(SECONDS_MAX):
            while not a.failures:
                await asyncio.sleep(0)
        await turn_loop()
        assert [str(error) for error in a.failures] == [verb]
        assert a.transport._links[0]._socket.fileno() < 0


async def test_error_of_the_machine_while_the_ring_sends_goes_to_the_ring():
    def broken(request, now):
        assert not isinstance(request, SendTo), "broken"

    with ends(*LOOPBACK[:2]) as (a, _):
        a.machine.submit = broken
        with pytest.raises(AssertionError, match="broken"):
            a.transport.send_to(NodeId(2), b"token")


async def test_status_tells_what_the_devices_take():
    with ends(*TWO_LINKS[:2]) as (a, _):
        assert a.transport.status() == {
            "peers": [],
            "device_bytes": {"0": LOOPBACK_ROOM, "1": LOOPBACK_ROOM},
        }


async def test_devices_are_looked_at_again_and_again(monkeypatch):
    monkeypatch.setattr(ust, "LOOK_SECONDS", 0.001)
    with ends(*LOOPBACK[:1]) as (a,):
        link = a.transport._links[0]
        looks = []
        link._mtu_bytes = 1
        original = a.machine.submit
        a.machine.submit = lambda request, now: (looks.append(request), original(request, now))
        link.room = 1000
        await a.until(lambda: looks == [PathLimit(0, LOOPBACK_ROOM)])
