"""MACs and cookies: bound to the key, to the message, to the address and to the time."""

import pytest

from unisono.base.errors import WireError
from unisono.base.ids import Nanos
from unisono.crypto.cookies import (
    COOKIE_LIFETIME_NS,
    CookieJar,
    first_mac,
    is_first_mac,
    open_cookie,
    second_mac,
)
from unisono.crypto.keys import derive
from unisono.wire.ust.handshake import NO_MAC

KEYS = derive(bytes(range(256)), "demo")
OTHERS = derive(bytes(range(256)), "other")
BODY = b"everything before the MACs"
NONCE = b"n" * 12
HERE, THERE = b"\x0a\0\0\1", b"\x0a\0\0\2"
START = Nanos(5)


def jar_with_cookie(address: bytes = HERE) -> tuple[CookieJar, bytes]:
    jar = CookieJar()
    jar.renew(b"1" * 32, START)
    mac = first_mac(KEYS, BODY)
    return jar, open_cookie(KEYS, jar.issue(KEYS, address, NONCE, mac), mac)


def test_first_mac_when_key_or_body_differ_then_refused() -> None:
    mac = first_mac(KEYS, BODY)
    assert len(mac) == 16
    assert is_first_mac(KEYS, BODY, mac)
    assert not is_first_mac(OTHERS, BODY, mac)
    assert not is_first_mac(KEYS, BODY + b".", mac)


def test_cookie_when_issued_then_opens_for_the_message_it_answers_only() -> None:
    jar, cookie = jar_with_cookie()
    reply = jar.issue(KEYS, HERE, NONCE, first_mac(KEYS, BODY))
    assert cookie not in reply.sealed
    for keys, mac in ((OTHERS, first_mac(KEYS, BODY)), (KEYS, first_mac(KEYS, b"another"))):
        with pytest.raises(WireError):
            open_cookie(keys, reply, mac)


def test_second_mac_when_made_with_the_cookie_then_accepted_from_its_address_only() -> None:
    jar, cookie = jar_with_cookie()
    mac = second_mac(cookie, BODY)
    assert jar.accepts(HERE, BODY, mac)
    assert not jar.accepts(THERE, BODY, mac)
    assert not jar.accepts(HERE, BODY + b".", mac)
    assert second_mac(None, BODY) == NO_MAC
    assert not jar.accepts(HERE, BODY, NO_MAC)


def test_cookie_when_the_secret_is_renewed_then_accepted_once_more_and_then_not() -> None:
    jar, cookie = jar_with_cookie()
    mac = second_mac(cookie, BODY)
    later = Nanos(START + COOKIE_LIFETIME_NS)
    assert not jar.is_due(Nanos(later - 1))
    assert jar.is_due(later)
    jar.renew(b"2" * 32, later)
    assert jar.accepts(HERE, BODY, mac)
    jar.renew(b"3" * 32, Nanos(later + COOKIE_LIFETIME_NS))
    assert not jar.accepts(HERE, BODY, mac)


def test_cookie_when_nothing_was_asked_for_long_then_the_former_secret_is_not_kept() -> None:
    jar, cookie = jar_with_cookie()
    jar.renew(b"2" * 32, Nanos(START + 2 * COOKIE_LIFETIME_NS))
    assert not jar.accepts(HERE, BODY, second_mac(cookie, BODY))
