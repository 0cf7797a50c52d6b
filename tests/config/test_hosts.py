"""Addresses: what is local, what a network means, what a resolver may do."""

import pytest

from unisono.config.hosts import (
    StaticHost,
    StaticResolver,
    is_local,
    match_network,
    resolve_address,
    same_address,
)

NOBODY = StaticResolver()


@pytest.mark.parametrize(
    ("address", "own", "expected"),
    [
        ("192.0.2.1", ("192.0.2.1/24",), True),
        ("192.0.2.1", ("192.0.2.1",), True),
        ("192.0.2.2", ("192.0.2.1/24",), False),
        ("127.9.9.9", ("127.0.0.1/8",), True),
        ("127.9.9.9", ("127.0.0.1",), True),
        ("127.9.9.9", ("192.0.2.1/24", "::1/128"), False),
        ("::1", ("::1/128",), True),
        ("fe80::1%eth0", ("fe80::1%eth1/64",), True),
        ("::ffff:192.0.2.1", ("192.0.2.1/24",), False),
        ("a name", ("192.0.2.1/24",), False),
        ("192.0.2.1", ("damaged", "192.0.2.1/24"), True),
    ],
)
def test_is_local_when_asked_then_interfaces_and_the_loopback_network_decide(
    address: str, own: tuple[str, ...], expected: bool
) -> None:
    assert is_local(address, StaticHost(addresses=own)) is expected


@pytest.mark.parametrize(
    ("network", "own", "expected"),
    [
        ("10.1.0.0", ("192.0.2.1/24", "10.1.2.3/16"), "10.1.2.3"),
        ("10.1.2.3", ("10.1.2.4/16", "10.1.2.3/16"), "10.1.2.3"),
        ("10.2.0.0", ("10.1.2.3/16",), None),
        ("10.1.0.0", ("10.1.2.3",), None),
        ("10.1.0.0", ("10.1.2.3/99", "10.1.2.4/16"), "10.1.2.4"),
        ("2001:db8::", ("2001:db8::1/64",), None),
        ("2001:db8::1", ("2001:db8::1/64",), "2001:db8::1"),
        ("a name", ("10.1.2.3/16",), None),
    ],
)
def test_match_network_when_asked_then_ipv4_matches_by_subnet_and_ipv6_exactly(
    network: str, own: tuple[str, ...], expected: str | None
) -> None:
    assert match_network(network, StaticHost(addresses=own)) == expected


def test_resolve_address_when_spelled_oddly_then_the_form_is_the_shortest() -> None:
    assert resolve_address("2001:DB8:0:0::1", "ipv6-4", NOBODY) == "2001:db8::1"


def test_resolve_address_when_the_resolver_talks_nonsense_then_it_is_left_aside() -> None:
    resolver = StaticResolver(hosts={"x": ("nonsense", "192.0.2.9")})
    assert resolve_address("x", "ipv6-4", resolver) == "192.0.2.9"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("::1", "0:0::1", True), ("fe80::1%a", "fe80::1%b", True), ("x", "x", False)],
)
def test_same_address_when_compared_then_spelling_and_zone_do_not_count(
    first: str, second: str, expected: bool
) -> None:
    assert same_address(first, second) is expected
