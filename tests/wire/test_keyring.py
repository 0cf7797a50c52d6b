"""What members tell each other about authkeys: written, read, and nothing else is."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import WireError
from unisono.wire.service import native
from unisono.wire.service.keyring import (
    Held,
    Order,
    Ordered,
    decode_keyring,
    encode_held,
    encode_ordered,
)

KIDS = st.binary(min_size=4, max_size=4)
HELD = st.builds(
    Held,
    st.integers(0, (1 << 32) - 1),
    KIDS,
    st.none() | KIDS,
    st.none() | KIDS,
    st.lists(KIDS, max_size=16).map(tuple),
)


@given(HELD)
def test_held_when_written_then_read_and_refused_when_cut(held: Held) -> None:
    body = encode_held(held)
    assert decode_keyring(body) == held
    for length in range(len(body)):
        with pytest.raises(WireError):
            decode_keyring(body[:length])


@given(st.sampled_from(Order), KIDS)
def test_order_when_written_then_read_and_nothing_but_a_fingerprint(
    order: Order, kid: bytes
) -> None:
    body = encode_ordered(Ordered(order, kid))
    assert body == bytes([order, 0, 0, 0]) + kid
    assert decode_keyring(memoryview(body)) == Ordered(order, kid)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(8),
        b"\x04" + bytes(7),
        b"\x40\0\x11\0" + bytes(16 + 17 * 4),
        b"\x41" + bytes(19),
    ],
)
def test_body_when_it_is_neither_then_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        decode_keyring(body)


@given(st.binary(max_size=120))
def test_body_when_random_then_wire_error_or_nothing(body: bytes) -> None:
    with contextlib.suppress(WireError):
        decode_keyring(body)


def test_message_when_it_is_about_keys_then_its_body_is_passed_on() -> None:
    message = native.encode_keyring(b"body")
    assert native.decode_native(memoryview(message)) == native.Keyring(memoryview(b"body"))
