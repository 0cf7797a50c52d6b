"""Transport, crypto, links, ports and multicast addresses."""

import pytest

from tests.config.texts import conf, errors_of, node, read
from unisono.config.network import cluster_address
from unisono.config.settings import UST, TransportSettings

SIX = node("::1", 1)


def link(*lines: str) -> str:
    return "interface {\n" + "\n".join(lines) + "\n}"


@pytest.mark.parametrize("kind", ["udpu", "udp"])
def test_transport_when_unauthenticated_then_exactly_one_warning_says_so(kind: str) -> None:
    [warning] = read(conf("cluster_name: x", transport=kind)).warnings
    assert warning.startswith(f"f:3: totem.transport: {kind} does not authenticate")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (conf(transport="knet"), "found knet; it is not in this version; allowed: ust, udpu, udp"),
        (
            conf("crypto_cipher: aes128\ncrypto_hash: none", transport="knet"),
            "found knet; it is not in this version; allowed: ust, udpu, udp",
        ),
        (conf(transport="tcp"), "found tcp; allowed: ust, udpu, udp"),
        (conf(transport=""), 'found ""; allowed: ust, udpu, udp'),
    ],
)
def test_transport_when_it_is_not_in_this_version_then_one_refusal_names_the_others(
    text: str, error: str
) -> None:
    assert errors_of(text) == [f"f:3: totem.transport: {error}"]


@pytest.mark.parametrize("line", ["", "transport: ust"])
def test_transport_when_absent_then_it_is_the_secure_one_and_nothing_is_warned(line: str) -> None:
    loaded = read(conf().replace("transport: udpu", line))
    assert loaded.warnings == []
    assert loaded.settings.transport.kind == UST
    assert loaded.settings.transport.secure is not None


@pytest.mark.parametrize("kind", ["udpu", "udp"])
@pytest.mark.parametrize(
    ("totem", "culprits"),
    [
        (
            "crypto_cipher: aes256\ncrypto_hash: sha1",
            ["f:5: totem.crypto_cipher", "f:6: totem.crypto_hash"],
        ),
        ("crypto_hash: sha1", ["f:5: totem.crypto_hash"]),
        ("secauth: on", ["f:5: totem.secauth"]),
        ("secauth: on\ncrypto_cipher: none", ["f:5: totem.secauth"]),
        ("secauth: on\ncrypto_cipher: none\ncrypto_hash: none", []),
        ("secauth: off", []),
        ("crypto_cipher: none", []),
        ("crypto_cipher: chacha20", ["f:5: totem.crypto_cipher"]),
    ],
)
def test_crypto_when_the_transport_cannot_then_it_is_refused(
    kind: str, totem: str, culprits: list[str]
) -> None:
    errors = errors_of(conf("cluster_name: x\n" + totem, transport=kind))
    assert [error.partition(": found")[0] for error in errors] == culprits


@pytest.mark.parametrize(
    ("kind", "totem", "nodes", "expected"),
    [
        ("udpu", "", "", TransportSettings("udpu", "192.0.2.1")),
        ("udpu", link("mcastport: 6000"), "", TransportSettings("udpu", "192.0.2.1", 6000)),
        ("udpu", link("mcastport: 0"), "", TransportSettings("udpu", "192.0.2.1", 5405)),
        ("udpu", "", SIX, TransportSettings("udpu", "::1")),
        (
            "udpu",
            "block_unlisted_ips: no",
            "",
            TransportSettings("udpu", "192.0.2.1", block_unlisted_ips=False),
        ),
        (
            "udp",
            "cluster_name: totlab",
            "",
            TransportSettings("udp", "192.0.2.1", multicast_address="239.192.27.0"),
        ),
        (
            "udp",
            "cluster_name: totlab\nip_version: ipv6",
            SIX,
            TransportSettings("udp", "::1", multicast_address="ff15::1be4"),
        ),
        (
            "udp",
            "cluster_name: x\n" + link("mcastaddr: 239.1.2.3", "ttl: 8", "mcastport: 2"),
            "",
            TransportSettings("udp", "192.0.2.1", 2, "239.1.2.3", 8),
        ),
        (
            "udp",
            link("broadcast: yes"),
            "",
            TransportSettings(
                "udp", "192.0.2.1", multicast_address="255.255.255.255", broadcast=True
            ),
        ),
    ],
)
def test_transport_settings_when_read_then_they_are_corosyncs(
    kind: str, totem: str, nodes: str, expected: TransportSettings
) -> None:
    assert read(conf(totem, nodes, transport=kind)).settings.transport == expected


@pytest.mark.parametrize(
    ("name", "four", "six"),
    [
        ("totlab", "239.192.27.0", "ff15::1be4"),  # seen on a running ring
        ("", "239.192.0.0", "ff15::"),
        ("a" * 100, "239.192.255.159", "ff15::ff9f"),
        ("é", "239.192.255.47", "ff15::ff2f"),
    ],
)
def test_cluster_address_when_made_from_a_name_then_it_is_corosyncs(
    name: str, four: str, six: str
) -> None:
    assert (cluster_address(name, 4), cluster_address(name, 6)) == (four, six)


@pytest.mark.parametrize(
    ("kind", "totem", "nodes", "error"),
    [
        ("udp", "", "", "f: totem.interface.mcastaddr: not set, and no totem.cluster_name"),
        ("udp", link("mcastaddr: 10.0.0.1"), "", "f:5: totem.interface.mcastaddr: found 10.0.0.1"),
        ("udp", link("mcastaddr: ff15::1"), "", "allowed: an IPv4 multicast address"),
        ("udp", link("mcastaddr: nowhere"), "", "found nowhere; allowed: an IPv4 multicast"),
        ("udp", "ip_version: ipv6-4\n" + link("mcastaddr: 239.1.1.1"), SIX, "an IPv6 multicast"),
        (
            "udp",
            "ip_version: ipv6\n" + link("broadcast: yes"),
            SIX,
            "f:6: totem.interface.broadcast",
        ),
        ("udp", "cluster_name: x\n" + link("mcastport: 1"), "", "f:6: totem.interface.mcastport"),
        ("udpu", link("ttl: 2"), "", "f:5: totem.interface.ttl: found 2; allowed: 1, unless"),
        ("udpu", link("ttl: 256"), "", "f:5: totem.interface.ttl: found 256; allowed: 0..255"),
        ("udpu", link("knet_link_priority: 2"), "", "unless the transport is ust"),
        ("udpu", link("mcastport: 65536"), "", "found 65536; allowed: 0..65535"),
        (
            "udpu",
            link("linknumber: 1", "mcastport: 9"),
            "",
            "f:5: totem.interface.linknumber: found 1",
        ),
        ("udpu", link("broadcast: maybe"), "", "found maybe; allowed: yes, no"),
    ],
)
def test_link_when_a_rule_is_broken_then_the_place_is_told(
    kind: str, totem: str, nodes: str, error: str
) -> None:
    [line] = errors_of(conf(totem, nodes, transport=kind))
    assert error in line


def test_link_when_given_twice_then_the_last_value_of_each_key_holds() -> None:
    totem = link("mcastport: 6000") + "\n" + link("mcastport: 6001") + "\n" + link("ttl: 1")
    assert read(conf(totem)).settings.transport.port == 6001


def test_link_when_it_holds_nothing_but_another_number_then_it_is_left_aside() -> None:
    assert read(conf(link("linknumber: 3"))).settings.transport.port == 5405


@pytest.mark.parametrize("line", ["mcastaddr: 239.1.1.1", "broadcast: yes"])
def test_link_when_a_key_is_for_udp_only_then_udpu_warns(line: str) -> None:
    loaded = read(conf(link(line)))
    assert loaded.settings.transport.multicast_address == ""
    assert any("is ignored by transport udpu" in warning for warning in loaded.warnings)


def test_bindnetaddr_when_the_node_list_has_the_address_then_it_warns() -> None:
    loaded = read(conf(link("bindnetaddr: 10.0.0.0")))
    assert loaded.settings.transport.bind_address == "192.0.2.1"
    assert any(
        w.startswith("f:5: totem.interface.bindnetaddr: is ignored") for w in loaded.warnings
    )


@pytest.mark.parametrize(
    ("network", "address"),
    [("192.0.2.0", "192.0.2.1"), ("192.0.2.1", "192.0.2.1"), ("127.0.0.0", "127.0.0.0")],
)
def test_bindnetaddr_when_the_local_node_has_no_address_then_its_network_gives_it(
    network: str, address: str
) -> None:
    nodes = node("", 1, "name: host") + node("192.0.2.2", 2)
    totem = "cluster_name: x\n" + link(f"bindnetaddr: {network}")
    settings = read(conf(totem, nodes, transport="udp")).settings
    assert settings.nodes[0].addresses == (address,)
    assert settings.transport.bind_address == address


@pytest.mark.parametrize(
    ("totem", "error"),
    [
        (link("bindnetaddr: 10.0.0.0"), "found 10.0.0.0; allowed: an own address or its network"),
        ("", "nor has the local node a ring0_addr"),
    ],
)
def test_bindnetaddr_when_it_fits_no_local_address_then_it_is_refused(
    totem: str, error: str
) -> None:
    text = conf("cluster_name: x\n" + totem, node("", 1, "name: host"), transport="udp")
    assert any(error in line for line in errors_of(text))
