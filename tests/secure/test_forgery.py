"""A hundred thousand forgeries for every decoder and for the whole machine.

A decoder answers each with a value or WireError; the machine counts each and goes on.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from tests.secure.mutations import FORGERIES, forgeries
from tests.secure.wires import KEYS, Wires
from unisono.base.errors import WireError
from unisono.base.ids import Nanos, NodeId
from unisono.base.limits import COMPLAINT_LINES_MAX
from unisono.base.marks import Mark
from unisono.crypto.cookies import CookieJar, open_cookie
from unisono.crypto.noise import Handshake
from unisono.wire.ust.handshake import (
    MAC_BYTES,
    KeyGrant,
    Payload,
    decode_answer,
    decode_cookie,
    decode_hello,
    decode_payload,
    encode_answer,
    encode_cookie,
    encode_hello,
    encode_payload,
)
from unisono.wire.ust.header import HEADER_BYTES, Flag, Header, PacketType, decode_header
from unisono.wire.ust.pieces import decode_piece, encode_pieces
from unisono.wire.ust.records import (
    Bye,
    Key,
    KeyAck,
    NeedKey,
    Pad,
    Ping,
    Pong,
    Record,
    Spoiled,
    decode_records,
    encode_records,
    rotate_records,
)

MACS = bytes(range(32))
PIECE_HEAD = bytes((1 << 4 | PacketType.GROUP, 0, Flag.PIECE))
PAYLOAD = Payload(bytes(16), 7, 0, 3, 0)
GRANT = KeyGrant(1, bytes(32), 9)
RECORDS: tuple[list[Record], ...] = (
    [Key(1, bytes(32), 5, 3_600_000), KeyAck(2)],
    [Ping(0, 1), Pad(300)],
    [Pong(3, 1 << 40), NeedKey(1), Spoiled(2), Bye()],
    [rotate_records(bytes(4), bytes(256), is_active=True)[0]],
)


def header(kind: PacketType) -> Header:
    return Header(kind, 0, 1, NodeId(1), 2, 3)


def packet_of(kind: PacketType) -> bytes:
    """A well-formed packet of this type."""
    match kind:
        case PacketType.HELLO:
            return encode_hello(header(kind), NodeId(2), bytes(88)) + MACS
        case PacketType.ANSWER:
            return encode_answer(header(kind), NodeId(2), 7, bytes(132)) + MACS
        case PacketType.COOKIE:
            return encode_cookie(header(kind), bytes(12), bytes(32))
        case _:
            return header(kind).encode() + bytes(60)


NOISE = Handshake(initiator=True, psk=KEYS.psk, prologue=b"p").write(b"\1" * 32, bytes(40))


def read_noise(message: bytes) -> object:
    return Handshake(initiator=False, psk=KEYS.psk, prologue=b"p").read(message)


def sealed_cookie() -> bytes:
    jar = CookieJar()
    jar.renew(bytes(32), Nanos(0))
    return encode_cookie(header(PacketType.COOKIE), *jar.issue(KEYS, b"host", bytes(12), b"mac"))


def read_cookie(packet: bytes) -> object:
    return open_cookie(KEYS, decode_cookie(packet), b"mac")


DECODERS: dict[str, tuple[Callable[[bytes], object], Sequence[bytes], int]] = {
    "header": (decode_header, [packet_of(kind) for kind in PacketType], FORGERIES),
    "hello": (decode_hello, [packet_of(PacketType.HELLO)], FORGERIES),
    "answer": (decode_answer, [packet_of(PacketType.ANSWER)], FORGERIES),
    "cookie": (decode_cookie, [packet_of(PacketType.COOKIE)], FORGERIES),
    "payload": (
        decode_payload,
        [encode_payload(PAYLOAD), encode_payload(PAYLOAD, GRANT)],
        FORGERIES,
    ),
    "records": (decode_records, [encode_records(records) for records in RECORDS], FORGERIES),
    "piece": (decode_piece, encode_pieces(5, bytes(3_000), 1_200), FORGERIES),
    "sealed cookie": (read_cookie, [sealed_cookie()], FORGERIES),
    "noise": (read_noise, [NOISE], FORGERIES),
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoder_when_datagrams_are_forged_then_a_value_or_wire_error(name: str) -> None:
    decode, genuine, count = DECODERS[name]
    outcomes: Counter[str] = Counter()
    for packet in forgeries(genuine, count, seed=len(name)):
        try:
            decode(packet)
        except WireError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
    assert outcomes.total() == count
    assert outcomes["refused"] > count // 20
    for packet in genuine:
        decode(packet)


def counted(wires: Wires, number: int) -> Counter[str]:
    """What machine `number` has dropped, by reason."""
    status = wires.machines[number].status(wires.now)
    dropped, peers = status["dropped"], status["peers"]
    assert isinstance(dropped, dict)
    assert isinstance(peers, list)
    total = Counter[str](dropped)
    for peer in peers:
        total.update({name: n for name, n in peer["frames"].items() if name != "delivered"})
    return total


def recording(wires: Wires, kinds: Sequence[PacketType]) -> list[bytes]:
    """Each genuine packet of these types that node 1 sent to node 2."""
    return [
        packet
        for source, node, _, packet in wires.recorded
        if (source, node) == (1, 2) and packet[1] & 0x0F in kinds
    ]


def busy(count: int = 3) -> Wires:
    """Machines that have exchanged packets of every type."""
    wires = Wires(count)
    wires.form()
    for number in range(40):
        wires.send(1, b"%d" % number * 100)
        wires.send(1, bytes([number]) * 5_000)
    wires.run(200)
    return wires


@pytest.mark.parametrize(
    ("kinds", "count"),
    [
        ((PacketType.HELLO, PacketType.ANSWER), FORGERIES // 4),
        ((PacketType.PAIR,), FORGERIES // 4),
        ((PacketType.GROUP,), FORGERIES // 2),
    ],
)
@pytest.mark.parametrize("source", [1, None])
def test_machine_when_datagrams_are_forged_then_each_is_counted_and_nothing_changes(
    kinds: Sequence[PacketType], count: int, source: int | None
) -> None:
    wires = busy()
    genuine = recording(wires, kinds)
    assert genuine
    # While nobody asks for cookies the second MAC means nothing, so these are as good as genuine.
    greetings = {packet[:-MAC_BYTES] for packet in genuine if packet[1] & 0x0F == PacketType.HELLO}
    frames = {number: list(frames) for number, frames in wires.frames.items()}
    before, events = counted(wires, 2), len(wires.events[2])
    uncounted = 0
    for number, packet in enumerate(forgeries(genuine, count, seed=len(kinds))):
        wires.hand(2, [packet], source)
        # A forged piece waits for others; it is its frame that is counted, as lost or spoiled.
        is_piece = packet[1:4] == PIECE_HEAD and len(packet) > HEADER_BYTES
        uncounted += is_piece or packet[:-MAC_BYTES] in greetings
        if number % 500 == 0:
            wires.run(1)
    wires.run(2_000)
    drops = counted(wires, 2) - before
    assert drops.total() + uncounted >= count, drops
    assert wires.frames == frames
    assert wires.events[2][events:] == []
    lines = wires.marked(2, Mark.INVALID_DIGEST)
    assert len(lines) <= COMPLAINT_LINES_MAX
    assert wires.is_formed()
    wires.send(1, b"still here")
    wires.run(100)
    assert wires.frames[2][-1] == (1, b"still here")
