"""Sender keys: frames open once, at whoever was told the key, and only from then on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import UsageError
from unisono.base.ids import Nanos, NodeId
from unisono.crypto.sender_keys import CIPHERS, OwnKey, PeerKeys
from unisono.wire.ust.header import decode_header

SENDER = NodeId(3)
LINGER_NS = 10_000
NOW = Nanos(1_000_000)


def own(generation: int = 1, secret: bytes = b"s" * 32, cipher: str = "aes256") -> OwnKey:
    return OwnKey(CIPHERS[cipher], SENDER, generation, secret)


def told(*keys: OwnKey, cipher: str = "aes256") -> PeerKeys:
    peer = PeerKeys(CIPHERS[cipher], NodeId(99), SENDER, LINGER_NS)
    for key in keys:
        peer.learn(key.generation, key.secret, key.next_counter)
    return peer


def opened(peer: PeerKeys, packet: bytes, now: Nanos = NOW) -> bytes | None:
    return peer.open(decode_header(packet), packet, now)


@pytest.mark.parametrize("cipher", CIPHERS)
def test_frame_when_sealed_then_opens_once_and_is_not_in_clear(cipher: str) -> None:
    key = own(cipher=cipher)
    peer = told(key, cipher=cipher)
    packet = key.seal(b"a frame of the ring", salt=7)
    assert b"frame" not in packet
    assert opened(peer, packet) == b"a frame of the ring"
    assert opened(peer, packet) is None
    assert (peer.replayed, peer.forged) == (1, 0)


def test_frame_when_opened_in_two_steps_then_counts_as_seen_from_the_second_on() -> None:
    key = own()
    peer = told(key)
    lead, sealed = key.seal_parts(b"frame", salt=7)
    header = decode_header(lead)
    for _ in range(2):
        assert peer.unseal(header, lead, sealed) == b"frame"
        assert not peer.has_seen(header)
    assert peer.unseal(header, lead, sealed[:-1]) is None
    assert peer.accept(header, NOW)
    assert peer.has_seen(header)
    assert not peer.accept(header, NOW)


@given(at=st.integers(0, (24 + 5 + 16) * 8 - 1))
def test_frame_when_a_bit_flips_then_does_not_open(at: int) -> None:
    key = own()
    peer = told(key)
    packet = bytearray(key.seal(b"frame", salt=1))
    packet[at // 8] ^= 1 << at % 8
    header = decode_header(key.seal(b"frame", salt=1))._replace(counter=0)
    if at // 8 >= 12:  # the header's other fields decide who is asked at all
        header = header._replace(
            salt=int.from_bytes(packet[12:16], "big"), counter=int.from_bytes(packet[16:24], "big")
        )
    assert peer.open(header, bytes(packet), NOW) is None
    assert peer.forged == 1


def test_frames_when_sealed_then_no_nonce_comes_twice() -> None:
    key = own()
    headers = [decode_header(key.seal(b"", salt=5)) for _ in range(100)]
    assert len({(header.salt, header.counter) for header in headers}) == 100


def test_frames_of_before_when_the_key_is_learnt_late_then_never_open() -> None:
    key = own()
    recorded = [key.seal(b"old", salt=1) for _ in range(5)]
    peer = told(key)
    assert [opened(peer, packet) for packet in recorded] == [None] * 5
    assert peer.replayed == 5
    assert opened(peer, key.seal(b"new", salt=1)) == b"new"


def test_key_when_told_again_then_replays_stay_closed() -> None:
    key = own()
    peer = told(key)
    packet = key.seal(b"x", salt=1)
    assert opened(peer, packet) == b"x"
    peer.learn(1, key.secret, 0)
    assert opened(peer, packet) is None


def test_generation_when_a_newer_one_speaks_then_the_older_lingers_and_goes() -> None:
    first, second = own(1, b"1" * 32), own(2, b"2" * 32)
    peer = told(first, second)
    late = [first.seal(b"late", salt=1) for _ in range(3)]
    assert opened(peer, late[0]) == b"late"
    assert peer.deadline is None
    assert opened(peer, second.seal(b"new", salt=1)) == b"new"
    assert peer.deadline == NOW + LINGER_NS
    assert opened(peer, late[1]) == b"late"
    peer.expire(Nanos(NOW + LINGER_NS - 1))
    assert peer.knows(1)
    peer.expire(Nanos(NOW + LINGER_NS))
    assert not peer.knows(1)
    assert peer.knows(2)
    assert peer.deadline is None


def test_generations_when_a_third_comes_then_the_oldest_goes_at_once() -> None:
    peer = told(*(own(number, bytes([number]) * 32) for number in (1, 2, 3)))
    assert [peer.knows(number) for number in (1, 2, 3)] == [False, True, True]


def test_peer_when_forgotten_then_knows_nothing() -> None:
    peer = told(own())
    peer.forget()
    assert not peer.knows(1)


def test_frame_when_from_another_sender_or_generation_then_does_not_open() -> None:
    peer = told(own())
    other = OwnKey(CIPHERS["aes256"], NodeId(4), 1, b"s" * 32)
    assert opened(peer, other.seal(b"x", salt=1)) is None


def test_key_when_worn_then_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unisono.crypto.sender_keys.FRAMES_PER_KEY_MAX", 3)
    key = own()
    for _ in range(3):
        assert not key.is_worn
        key.seal(b"", salt=1)
    assert key.is_worn


def test_key_when_erased_then_the_secret_is_gone() -> None:
    key = own()
    key.erase()
    assert key.secret == bytes(32)


def test_key_when_of_a_wrong_length_then_usage_error() -> None:
    with pytest.raises(UsageError):
        own(secret=b"short")
