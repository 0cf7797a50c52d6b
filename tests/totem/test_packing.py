"""Packing and reassembly are each other's inverse, whatever the sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import WireError
from unisono.base.ids import NodeId
from unisono.base.limits import MULTICAST_BYTES_MAX, SEND_QUEUE_BYTES_MAX
from unisono.totem.packing import FRAGMENT_BYTES_MIN, SendQueue, packet_capacity
from unisono.totem.reassembly import Assembler
from unisono.wire.ring import pg

CAPACITY = packet_capacity(1500)
ME = NodeId(1)
AROUND_THE_BOUNDARY = st.integers(min_value=CAPACITY - 12, max_value=CAPACITY + 12)
SIZES = st.one_of(
    st.integers(min_value=0, max_value=300),
    AROUND_THE_BOUNDARY,
    AROUND_THE_BOUNDARY.map(lambda size: 2 * size),
    st.integers(min_value=0, max_value=20_000),
)


def payload(number: int, size: int) -> bytes:
    """`size` bytes that differ from message to message and from place to place."""
    return bytes((number * 31 + place * 7) & 0xFF for place in range(size))


def packets_of(queue: SendQueue) -> list[bytes]:
    """Everything that waits, as mcast bodies."""
    bodies = []
    while (packet := queue.next_packet()) is not None:
        bodies.append(b"".join(packet.pieces))
    return bodies


def texts(assembler: Assembler, bodies: list[bytes]) -> list[bytes]:
    """The payloads that `bodies` complete."""
    found = []
    for body in bodies:
        for text in assembler.accept(ME, memoryview(body)):
            _groups, start = pg.decode_prefix(text)
            found.append(bytes(text[start:]))
    return found


def test_packet_capacity_when_mtu_is_1500_then_as_corosync() -> None:
    assert CAPACITY == 1402


@given(st.lists(SIZES, max_size=12), st.integers(min_value=300, max_value=9000), st.booleans())
def test_packing_when_reassembled_then_every_message_is_whole(
    sizes: list[int], mtu: int, dense: bool
) -> None:
    capacity = packet_capacity(mtu)
    queue = SendQueue(capacity)
    queue.is_dense = dense
    messages = [payload(number, size) for number, size in enumerate(sizes)]
    for message in messages:
        queue.push(b"a", message, safe=False)
    bodies = packets_of(queue)
    assert all(len(body) <= capacity + pg.PACKET_HEADER_BYTES for body in bodies)
    assert texts(Assembler(), bodies) == messages
    assert queue.bytes_waiting == 0


@given(st.lists(SIZES, min_size=1, max_size=6), st.booleans(), st.data())
def test_reassembly_when_the_beginning_is_missing_then_only_whole_messages_come(
    sizes: list[int], dense: bool, data: st.DataObject
) -> None:
    """A joiner hears the tail of what was begun before its time."""
    queue = SendQueue(CAPACITY)
    queue.is_dense = dense
    messages = [payload(number, size) for number, size in enumerate(sizes)]
    for message in messages:
        queue.push(b"a", message, safe=False)
    bodies = packets_of(queue)
    skipped = data.draw(st.integers(min_value=0, max_value=len(bodies)))
    found = texts(Assembler(), bodies[skipped:])
    assert found == messages[len(messages) - len(found) :]
    if skipped == 0:
        assert found == messages


def test_packing_when_dense_then_packets_are_full() -> None:
    capacity = packet_capacity(62_400)
    queue = SendQueue(capacity)
    queue.is_dense = True
    for number in range(20):
        queue.push(b"a", payload(number, 35_000), safe=False)
    bodies = packets_of(queue)
    assert len(bodies) == 12
    assert all(len(body) > capacity - FRAGMENT_BYTES_MIN for body in bodies[:-1])


def test_reassembly_when_message_starts_again_then_the_half_one_is_dropped() -> None:
    queue = SendQueue(CAPACITY)
    message = payload(1, 5000)
    queue.push(b"a", message, safe=False)
    first = queue.next_packet()
    assert first is not None
    queue.restart_partial()
    assembler = Assembler()
    bodies = [b"".join(first.pieces), *packets_of(queue)]
    assert texts(assembler, bodies) == [message]
    assert assembler.orphans == 1


def test_reassembly_when_fragment_numbers_wrap_then_message_is_whole() -> None:
    queue = SendQueue(CAPACITY)
    message = bytes(range(256)) * 4096
    queue.push(b"a", message, safe=False)
    bodies = packets_of(queue)
    assert len(bodies) > 2 * 255
    assert texts(Assembler(), bodies) == [message]


def test_reassembly_when_a_message_never_ends_then_memory_is_bounded() -> None:
    assembler = Assembler()
    piece = bytes(60_000)
    for number in range(2 * MULTICAST_BYTES_MAX // len(piece)):
        continuation = 0 if number == 0 else (number - 1) % 255 + 1
        header = pg.encode_packet_header(number % 255 + 1, continuation, [len(piece)])
        assert assembler.accept(ME, memoryview(header + piece)) == []
        held = sum(unfinished.bytes_held for unfinished in assembler._unfinished.values())
        assert held <= MULTICAST_BYTES_MAX
    assert assembler.orphans > 0


def test_reassembly_when_origins_interleave_then_each_has_its_own_buffer() -> None:
    queues = {node: SendQueue(CAPACITY) for node in (NodeId(1), NodeId(2))}
    assembler = Assembler()
    for node, queue in queues.items():
        queue.push(b"a", payload(node, 4000), safe=False)
    found: dict[NodeId, bytes] = {}
    while any(queues.values()):
        for node, queue in queues.items():
            packet = queue.next_packet()
            assert packet is not None
            for text in assembler.accept(node, memoryview(b"".join(packet.pieces))):
                found[node] = bytes(text[pg.decode_prefix(text)[1] :])
    assert found == {node: payload(node, 4000) for node in queues}


def test_send_queue_when_full_then_says_so_and_an_empty_one_takes_any() -> None:
    queue = SendQueue(CAPACITY)
    assert queue.has_room(MULTICAST_BYTES_MAX)
    while queue.has_room(100_000):
        queue.push(b"a", bytes(100_000), safe=False)
    assert queue.bytes_waiting <= SEND_QUEUE_BYTES_MAX
    assert not queue.has_room(100_000)


def test_next_packet_when_one_message_is_safe_then_the_packet_is() -> None:
    queue = SendQueue(CAPACITY)
    queue.push(b"a", b"agreed", safe=False)
    queue.push(b"a", b"safe", safe=True)
    packet = queue.next_packet()
    assert packet is not None
    assert packet.safe
    assert [bytes(text) for _, text in packet.complete] == [b"agreed", b"safe"]


@given(st.binary(max_size=80))
def test_decode_packet_when_bytes_are_random_then_wire_error_only(body: bytes) -> None:
    try:
        _fragmented, _continuation, parts = pg.decode_packet(memoryview(body))
    except WireError:
        return
    assert sum(map(len, parts)) + 8 + 2 * len(parts) == len(body)


@given(st.binary(max_size=40))
def test_decode_prefix_when_bytes_are_random_then_wire_error_only(message: bytes) -> None:
    try:
        groups, start = pg.decode_prefix(message)
    except WireError:
        return
    assert start <= len(message)
    assert sum(map(len, groups)) + 2 + 2 * len(groups) == start


def test_decode_prefix_when_cut_then_wire_error() -> None:
    prefix = pg.encode_prefix(b"unisono")
    for cut in range(len(prefix)):
        with pytest.raises(WireError):
            pg.decode_prefix(prefix[:cut])
    assert pg.decode_prefix(prefix + b"x") == ([b"unisono"], len(prefix))


def test_repeat_partial_when_a_message_was_begun_then_its_end_is_void_and_it_comes_whole() -> None:
    queue = SendQueue(CAPACITY)
    message = payload(1, 5000)
    queue.push(b"a", message, safe=False)
    queue.push(b"a", b"next", safe=False)
    first = queue.next_packet()
    assert first is not None
    queue.repeat_partial()
    packets = []
    while (packet := queue.next_packet()) is not None:
        packets.append(packet)
    told = [bytes(text) for packet in packets for _, text in packet.complete]
    assert told == [message, b"next"]
    bodies = [b"".join(packet.pieces) for packet in packets]
    assert texts(Assembler(), bodies) == [message, b"next"]
    waited = Assembler()
    assert texts(waited, [b"".join(first.pieces), *bodies]) == [message, message, b"next"]
    assert queue.bytes_waiting == 0


def test_repeat_partial_when_nothing_was_begun_then_nothing_changes() -> None:
    queue = SendQueue(CAPACITY)
    queue.push(b"a", b"whole", safe=False)
    queue.repeat_partial()
    assert texts(Assembler(), packets_of(queue)) == [b"whole"]
