"""Keys of a cluster: fixed values, separation by purpose and name, and what must not be printed."""

import hashlib
import hmac

import pytest

from unisono.base.errors import UsageError
from unisono.crypto.keys import derive, group_key

AUTHKEY = bytes(range(256))


def expand(root: bytes, info: bytes) -> bytes:
    """The first block of HKDF-Expand, RFC 5869 section 2.3."""
    return hmac.digest(root, info + b"\x01", hashlib.sha256)


def test_keys_when_derived_then_follow_rfc_5869() -> None:
    keys = derive(AUTHKEY, "demo")
    root = hmac.digest(b"unisono/ust1/psk", AUTHKEY, hashlib.sha256)
    assert keys.psk == expand(root, b"ust1 noise\0demo")
    assert keys.mac1 == expand(root, b"ust1 mac1\0demo")
    assert keys.cookie == expand(root, b"ust1 cookie\0demo")
    assert keys.kid == expand(root, b"ust1 kid\0demo")[:4]
    assert keys.fingerprint == keys.kid.hex()


def test_keys_when_cluster_or_authkey_differ_then_nothing_is_shared() -> None:
    sets = [derive(AUTHKEY, "demo"), derive(AUTHKEY, "demo2"), derive(AUTHKEY[::-1], "demo")]
    values = [value for keys in sets for value in (keys.kid, keys.psk, keys.mac1, keys.cookie)]
    assert len(set(values)) == len(values)


def test_keys_when_printed_then_only_the_fingerprint_shows() -> None:
    keys = derive(AUTHKEY, "demo")
    text = f"{keys!r}{keys}"
    for secret in (keys.psk, keys.mac1, keys.cookie):
        assert secret.hex() not in text
        assert repr(secret)[2:-1] not in text


@pytest.mark.parametrize("size", [0, 127, 4097])
def test_authkey_when_its_size_is_out_of_bounds_then_usage_error(size: int) -> None:
    with pytest.raises(UsageError, match=f"not {size}"):
        derive(bytes(size), "demo")


@pytest.mark.parametrize("size", [128, 256, 4096])
def test_authkey_when_its_size_is_allowed_then_taken(size: int) -> None:
    assert len(derive(bytes(size), "demo").psk) == 32


def test_group_key_when_sender_or_generation_differ_then_differs() -> None:
    secret = bytes(32)
    keys = {group_key(secret, 1, 1), group_key(secret, 2, 1), group_key(secret, 1, 2)}
    assert len(keys) == 3
    assert group_key(secret, 1, 1) == expand(secret, b"ust1 group\0\0\0\1\0\0\0\1")
