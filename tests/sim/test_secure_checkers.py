"""The checkers of the secure transport: each fires on a broken trace only."""

from collections.abc import Sequence

import pytest

from tests.sim.test_checkers import R1, R2, boot, crash, entering, judge, p, view
from unisono.base.ids import NodeId
from unisono.sim.checkers import Checker, Violation
from unisono.sim.checkers.authenticity import Authenticity
from unisono.sim.checkers.common_key import CommonKey
from unisono.sim.checkers.nonce_uniqueness import NonceUniqueness
from unisono.sim.checkers.single_acceptance import SingleAcceptance
from unisono.sim.checkers.steadfast_views import SteadfastViews
from unisono.sim.checkers.wire_secrecy import WireSecrecy
from unisono.sim.trace import (
    Accepted,
    Entrusted,
    Fact,
    KeysHeld,
    PacketSent,
    Record,
    RolledBack,
    Said,
    Sealed,
    Secret,
    Synced,
)
from unisono.wire.ust.handshake import ANSWER_BYTES, HELLO_BYTES
from unisono.wire.ust.header import Header, PacketType

KEY = bytes(range(100, 132))
OTHER = bytes(range(200, 232))
TEXT = b"the first of all messages, as it was said"
NONCE = bytes(12)
SEAL = KEY + NONCE


def packet(node: int, body: bytes, kind: PacketType = PacketType.GROUP, key: int = 1) -> PacketSent:
    header = Header(kind, 0, key, NodeId(node), 7, 9).encode()
    return PacketSent(0, p(node), NodeId(2), 0, header + body)


def hello(node: int, ephemeral: bytes, rest: bytes = b"") -> PacketSent:
    body = (bytes(4) + ephemeral + rest).ljust(HELLO_BYTES - 24, b"\0")
    return packet(node, body, PacketType.HELLO)


def answer(node: int, ephemeral: bytes) -> PacketSent:
    return packet(node, (bytes(8) + ephemeral).ljust(ANSWER_BYTES - 24, b"\1"), PacketType.ANSWER)


def given(node: int, frame: bytes, target: int = 0) -> Entrusted:
    return Entrusted(0, p(node), NodeId(target), frame)


def taken(node: int, frame: bytes, seal: bytes = b"", origin: int = 1, life: int = 1) -> Accepted:
    return Accepted(0, p(node, life), NodeId(origin), frame, seal)


def held(node: int, *kids: bytes, life: int = 1) -> KeysHeld:
    return KeysHeld(0, p(node, life), frozenset(kids))


def synced(*nodes: int) -> list[Record]:
    return [Synced(0, p(node), True) for node in nodes]


TOGETHER: list[Record] = [
    boot(1),
    boot(2),
    *view(1, R1, (1, 2), ()),
    *view(2, R1, (1, 2), ()),
    *synced(1, 2),
]

LEGAL: list[tuple[str, Checker, Sequence[Record | Fact]]] = [
    (
        "noise",
        WireSecrecy(),
        [Said(0, p(1), TEXT), Secret(p(1), "psk", KEY), packet(1, bytes(range(160, 240)))],
    ),
    (
        "eight bytes by chance, and zeros in both",
        WireSecrecy(),
        [
            Said(0, p(1), bytes(40)),
            Secret(p(1), "psk", KEY),
            packet(1, bytes(40) + KEY[:8] + bytes(8)),
        ],
    ),
    (
        "two nonces, two keys",
        NonceUniqueness(),
        [
            Sealed(0, p(1), KEY, NONCE),
            Sealed(0, p(1), KEY, NONCE[1:] + b"\1"),
            Sealed(0, p(2), OTHER, NONCE),
        ],
    ),
    (
        "one packet over two links, and the same place in another session",
        NonceUniqueness(),
        [
            packet(1, TEXT, PacketType.PAIR),
            packet(1, TEXT, PacketType.PAIR),
            packet(1, TEXT[1:], PacketType.PAIR, key=2),
        ],
    ),
    (
        "a HELLO with another second MAC",
        NonceUniqueness(),
        [hello(1, KEY), hello(1, KEY, bytes(56)), answer(2, OTHER)],
    ),
    (
        "as often as it was sent",
        SingleAcceptance(),
        [
            given(1, TEXT),
            given(1, TEXT),
            taken(2, TEXT, SEAL),
            taken(2, TEXT, SEAL[1:]),
            taken(3, TEXT, SEAL),
            taken(3, TEXT),
        ],
    ),
    (
        "again in another life, and after a roll-back",
        SingleAcceptance(),
        [
            given(1, TEXT),
            taken(2, TEXT, SEAL),
            taken(2, TEXT, SEAL, life=2),
            RolledBack(0, p(2, 2), noticed=True),
            taken(2, TEXT, SEAL, life=2),
        ],
    ),
    (
        "sealed when the receiver lived",
        SingleAcceptance(),
        [boot(2), Sealed(5, p(1), KEY, NONCE), given(1, TEXT), taken(2, TEXT, SEAL)],
    ),
    (
        "to all, and to one",
        Authenticity(),
        [
            given(1, TEXT),
            taken(2, TEXT),
            given(1, KEY, 3),
            taken(3, KEY),
            given(1, OTHER, 3),
            given(1, OTHER, 2),
            taken(2, OTHER),
        ],
    ),
    (
        "half a rotation",
        CommonKey(),
        [
            *(fact for node in (1, 2) for fact in (boot(node), held(node, b"old"))),
            held(1, b"new", b"old"),
            held(1, b"new"),
            *view(1, R1, (1, 2), ()),
            *view(2, R1, (1, 2), ()),
        ],
    ),
    (
        "the stranger is another life",
        CommonKey(),
        [
            boot(1),
            held(1, b"old"),
            boot(2),
            held(2, b"other"),
            crash(2),
            *view(1, R1, (1, 2), ()),
        ],
    ),
    ("formed once", SteadfastViews(), TOGETHER),
    (
        "one starts, one ends",
        SteadfastViews(),
        [
            *TOGETHER,
            boot(3),
            *view(1, R2, (1, 2, 3), (1, 2), (1, 2)),
            *view(2, R2, (1, 2, 3), (1, 2), (1, 2)),
            entering(3, R2, (1, 2, 3), ()),
            *synced(1, 2, 3),
            crash(3),
            *view(1, R1, (1, 2), (1, 2), (1, 2, 3)),
        ],
    ),
    (
        "not yet synced",
        SteadfastViews(),
        [*TOGETHER[:-1], *view(1, R2, (1, 2), (1, 2), (1, 2))],
    ),
]

BROKEN: list[tuple[str, Checker, Sequence[Record | Fact]]] = [
    ("a message", WireSecrecy(), [Said(0, p(1), TEXT), packet(1, b"xyz" + TEXT)]),
    ("half a key", WireSecrecy(), [Secret(p(1), "psk", KEY), packet(1, b"1234567" + KEY[16:])]),
    ("no header", WireSecrecy(), [PacketSent(0, p(1), NodeId(2), 0, TEXT)]),
    (
        "one nonce twice",
        NonceUniqueness(),
        [Sealed(0, p(1), KEY, NONCE), Sealed(0, p(1), KEY, NONCE)],
    ),
    (
        "two writers of one key",
        NonceUniqueness(),
        [Sealed(0, p(1), KEY, NONCE), Sealed(0, p(2), KEY, NONCE + b"\1")],
    ),
    (
        "two packets at one place of a session",
        NonceUniqueness(),
        [packet(1, TEXT, PacketType.PAIR), packet(1, TEXT[1:], PacketType.PAIR)],
    ),
    ("an ephemeral key in two handshakes", NonceUniqueness(), [hello(1, KEY), answer(1, KEY)]),
    (
        "one seal twice",
        SingleAcceptance(),
        [given(1, TEXT), given(1, TEXT), taken(2, TEXT, SEAL), taken(2, TEXT, SEAL)],
    ),
    (
        "oftener than it was sent",
        SingleAcceptance(),
        [given(1, TEXT), taken(2, TEXT), taken(2, TEXT)],
    ),
    (
        "of a former life",
        SingleAcceptance(),
        [Sealed(-1, p(1), KEY, NONCE), given(1, TEXT), boot(2), taken(2, TEXT, SEAL)],
    ),
    ("never sent", Authenticity(), [given(2, TEXT), taken(2, TEXT)]),
    ("sent to another", Authenticity(), [given(1, TEXT, 3), taken(2, TEXT)]),
    (
        "no key in common",
        CommonKey(),
        [boot(1), held(1, b"old"), boot(2), held(2, b"other"), *view(1, R1, (1, 2), ())],
    ),
    (
        "all are together and something happens",
        SteadfastViews(),
        [*TOGETHER, *view(1, R2, (1,), (1,), (1, 2))],
    ),
]


@pytest.mark.parametrize(
    ("checker", "records"), [row[1:] for row in LEGAL], ids=[f"{c.name}: {n}" for n, c, _ in LEGAL]
)
def test_secure_checker_when_the_trace_is_legal_then_is_silent(
    checker: Checker, records: Sequence[Record | Fact]
) -> None:
    judge(checker, records)


@pytest.mark.parametrize(
    ("checker", "records"),
    [row[1:] for row in BROKEN],
    ids=[f"{c.name}: {n}" for n, c, _ in BROKEN],
)
def test_secure_checker_when_its_property_is_broken_then_fires(
    checker: Checker, records: Sequence[Record | Fact]
) -> None:
    with pytest.raises(Violation) as caught:
        judge(checker, records)
    assert caught.value.name == checker.name
