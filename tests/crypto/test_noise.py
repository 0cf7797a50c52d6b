"""The handshake: vectors of another implementation, and every way in which it must not open."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import UsageError, WireError
from unisono.crypto.noise import Handshake, StaticKeys

PSK = bytes(range(32))
PROLOGUE = b"unisono/1|demo|1|2"
FIRST, SECOND = b"\x01" * 32, b"\x02" * 32
M1 = bytes.fromhex(
    "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209"
    "19750e70e70fcfa98448e49ba4e6f1bc811c9db4fa39ad"
)
M2 = bytes.fromhex(
    "ce8d3ad1ccb633ec7b70c17814a5c76ecd029685050d344745ba05870e587d59"
    "b830324250ae5986704d1a4f505f1f405b100400daf41c"
)
HASH = bytes.fromhex("21fc50737503d5a881c9593cb2eaa021db930de193e9d9d640828873da3aa108")
TO_RESPONDER = bytes.fromhex("fc6620e296d6a67ea9218281e562b90171249fce9142181a6fe2194deb21f8fe")
TO_INITIATOR = bytes.fromhex("189a1e0941bf4814d435d50687968c1d3ecd6a87988973094258f33a04a2b0e9")


def pair(
    psks: tuple[bytes, bytes] = (PSK, PSK),
    prologues: tuple[bytes, bytes] = (PROLOGUE, PROLOGUE),
    static_keys: tuple[StaticKeys | None, StaticKeys | None] = (None, None),
) -> tuple[Handshake, Handshake]:
    return (
        Handshake(initiator=True, psk=psks[0], prologue=prologues[0], static_keys=static_keys[0]),
        Handshake(initiator=False, psk=psks[1], prologue=prologues[1], static_keys=static_keys[1]),
    )


def public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def test_handshake_when_nnpsk0_then_equals_the_vector_of_another_implementation() -> None:
    initiator, responder = pair()
    hello = initiator.write(FIRST, b"hello-1")
    assert hello == M1
    assert responder.read(hello) == b"hello-1"
    answer = responder.write(SECOND, b"hello-2")
    assert answer == M2
    assert initiator.read(answer) == b"hello-2"
    ours, theirs = initiator.split(), responder.split()
    assert (ours.hash, ours.send, ours.receive) == (HASH, TO_RESPONDER, TO_INITIATOR)
    assert (theirs.hash, theirs.send, theirs.receive) == (HASH, TO_INITIATOR, TO_RESPONDER)


def test_handshake_when_kkpsk0_then_both_agree_and_differ_from_nnpsk0() -> None:
    a, b = b"\x0a" * 32, b"\x0b" * 32
    initiator, responder = pair(static_keys=(StaticKeys(a, public(b)), StaticKeys(b, public(a))))
    assert responder.read(initiator.write(FIRST, b"1")) == b"1"
    assert initiator.read(responder.write(SECOND, b"2")) == b"2"
    ours, theirs = initiator.split(), responder.split()
    assert (ours.send, ours.receive, ours.hash) == (theirs.receive, theirs.send, theirs.hash)
    assert ours.send not in (TO_RESPONDER, TO_INITIATOR)


def test_handshake_when_the_peer_has_another_static_key_then_does_not_open() -> None:
    a, b, rogue = b"\x0a" * 32, b"\x0b" * 32, b"\x0c" * 32
    initiator, responder = pair(
        static_keys=(StaticKeys(rogue, public(b)), StaticKeys(b, public(a)))
    )
    with pytest.raises(WireError):
        responder.read(initiator.write(FIRST, b""))


@pytest.mark.parametrize(
    ("psks", "prologues"),
    [((PSK, PSK[::-1]), (PROLOGUE, PROLOGUE)), ((PSK, PSK), (PROLOGUE, PROLOGUE + b"x"))],
    ids=["psk", "prologue"],
)
def test_handshake_when_keys_or_names_differ_then_does_not_open(
    psks: tuple[bytes, bytes], prologues: tuple[bytes, bytes]
) -> None:
    initiator, responder = pair(psks, prologues)
    with pytest.raises(WireError):
        responder.read(initiator.write(FIRST, b"hello"))


@given(at=st.integers(0, len(M1) * 8 - 1))
def test_hello_when_a_bit_flips_then_does_not_open(at: int) -> None:
    spoiled = bytearray(M1)
    spoiled[at // 8] ^= 1 << at % 8
    _, responder = pair()
    if at == 255:  # X25519 ignores the highest bit of a key, but the hash does not
        assert spoiled != M1
    with pytest.raises(WireError):
        responder.read(bytes(spoiled))


@given(at=st.integers(0, len(M2) * 8 - 1))
def test_answer_when_a_bit_flips_then_does_not_open(at: int) -> None:
    spoiled = bytearray(M2)
    spoiled[at // 8] ^= 1 << at % 8
    initiator, _ = pair()
    initiator.write(FIRST, b"hello-1")
    with pytest.raises(WireError):
        initiator.read(bytes(spoiled))


@pytest.mark.parametrize("length", range(len(M1)))
def test_hello_when_cut_then_wire_error(length: int) -> None:
    _, responder = pair()
    with pytest.raises(WireError):
        responder.read(M1[:length])


def test_answer_when_its_key_has_small_order_then_wire_error() -> None:
    initiator, _ = pair()
    initiator.write(FIRST, b"")
    with pytest.raises(WireError, match="degenerate"):
        initiator.read(bytes(32) + bytes(16))


def test_handshake_when_used_out_of_turn_then_usage_error() -> None:
    initiator, responder = pair()
    with pytest.raises(UsageError):
        responder.write(SECOND, b"")
    with pytest.raises(UsageError):
        initiator.read(M1)
    with pytest.raises(UsageError):
        initiator.split()
    hello = initiator.write(FIRST, b"")
    with pytest.raises(UsageError):
        initiator.write(FIRST, b"")
    initiator.read((responder.read(hello), responder.write(SECOND, b""))[1])
    with pytest.raises(UsageError):
        initiator.read(M2)


def test_handshake_when_a_message_failed_then_it_cannot_be_finished() -> None:
    initiator, responder = pair()
    hello = initiator.write(FIRST, b"")
    with pytest.raises(WireError):
        responder.read(hello[:-1] + b"x")
    with pytest.raises(UsageError):
        responder.read(hello)
    with pytest.raises(UsageError):
        responder.split()


def test_handshake_when_the_psk_has_a_wrong_length_then_usage_error() -> None:
    with pytest.raises(UsageError, match="32 bytes"):
        Handshake(initiator=True, psk=b"short", prologue=b"")
