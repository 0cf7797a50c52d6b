"""The block format: what goes in comes out, and nothing but WireError escapes the decoder."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import WireError
from unisono.wire.block import (
    block_bytes,
    count_block,
    decode_block,
    encode_block,
    encode_sole,
    sole_payload,
)

PAYLOADS = st.lists(st.binary(max_size=40), max_size=20)


@given(PAYLOADS)
def test_block_when_decoded_then_equals_what_was_encoded(payloads: list[bytes]) -> None:
    block = encode_block(payloads)
    assert decode_block(block) == payloads
    assert [bytes(view) for view in decode_block(memoryview(block))] == payloads
    assert count_block(block) == len(payloads)
    assert block_bytes(len(payloads), sum(map(len, payloads))) == len(block)


def test_block_when_encoded_then_has_the_documented_layout() -> None:
    assert encode_block([b"ab", b"", b"c"]) == pack("<IIII", 3, 2, 2, 3) + b"abc"
    assert encode_block([]) == pack("<I", 0)


def test_block_when_given_any_buffer_then_encodes_it() -> None:
    block = encode_block([bytearray(b"one"), memoryview(b"two"), b"three"])
    assert decode_block(block) == [b"one", b"two", b"three"]


def test_block_when_a_view_is_decoded_then_payloads_are_views_and_bytes_give_bytes() -> None:
    block = encode_block([b"one"])
    assert isinstance(decode_block(memoryview(block))[0], memoryview)
    assert isinstance(decode_block(block)[0], bytes)


def test_block_when_it_starts_at_an_odd_address_then_decodes() -> None:
    block = b"x" + encode_block([b"one", b"two"])
    assert decode_block(memoryview(block)[1:]) == [b"one", b"two"]


@given(PAYLOADS)
def test_block_when_cut_or_extended_at_any_byte_then_wire_error(payloads: list[bytes]) -> None:
    block = encode_block(payloads)
    for cut in range(len(block)):
        with pytest.raises(WireError):
            decode_block(block[:cut])
    with pytest.raises(WireError):
        decode_block(block + b"\0")


@pytest.mark.parametrize(
    "block",
    [
        pack("<I", 1),
        pack("<I", 0xFFFF_FFFF) + b"x" * 40,
        pack("<III", 2, 3, 2) + b"ab",
        pack("<III", 2, 0xFFFF_FFFF, 2) + b"ab",
        pack("<II", 1, 1) + b"ab",
    ],
    ids=["no-ends", "huge-count", "ends-fall", "end-outside", "bytes-left-over"],
)
def test_block_when_its_ends_are_wrong_then_wire_error(block: bytes) -> None:
    with pytest.raises(WireError):
        decode_block(block)


@given(st.binary(max_size=200))
def test_block_when_bytes_are_random_then_wire_error_or_round_trip(junk: bytes) -> None:
    try:
        payloads = decode_block(junk)
    except WireError:
        return
    assert encode_block(payloads) == junk


@given(PAYLOADS)
def test_sole_payload_when_there_is_one_then_it_and_else_none(payloads: list[bytes]) -> None:
    block = memoryview(encode_block(payloads))
    assert sole_payload(block) == (payloads[0] if len(payloads) == 1 else None)
    if len(payloads) == 1:
        assert encode_sole(len(payloads[0])) + payloads[0] == block
        for cut in range(len(block)):
            assert sole_payload(block[:cut]) is None
