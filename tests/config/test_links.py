"""Links of the secure transport: addresses, ports, heartbeats, and what binds two nodes."""

import pytest

from tests.config.texts import HOST, conf, errors_of, node, read
from unisono.base.ids import MS, SECOND
from unisono.base.limits import SECURE_FRAME_BYTES_MAX
from unisono.config.hosts import StaticHost
from unisono.config.settings import LinkSettings, RingSettings, SecureSettings, TransportSettings

WIDE = StaticHost(("x",), ("127.0.0.1/8", "192.0.2.1/24", "198.51.100.1/24", "2001:db8::1/64"))


def pair(first: str = "ring1_addr: 198.51.100.1", second: str = "ring1_addr: 198.51.100.2") -> str:
    return node("192.0.2.1", 1, first) + node("192.0.2.2", 2, second)


def link(*lines: str) -> str:
    return "interface {\n" + "\n".join(lines) + "\n}"


def secured(
    totem: str = "", nodes: str = "", host: StaticHost = WIDE
) -> tuple[TransportSettings, SecureSettings]:
    transport = read(conf(totem, nodes or pair(), transport="ust"), host).settings.transport
    assert transport.secure is not None
    return transport, transport.secure


def refused(totem: str = "", nodes: str = "") -> list[str]:
    return errors_of(conf(totem, nodes or pair(), transport="ust"), WIDE)


def test_links_when_nodes_have_several_then_addresses_and_names_are_by_number() -> None:
    nodes = node("two", 2, "ring3_addr: 2001:db8::2") + node(
        "192.0.2.1", 1, "ring1_addr: 198.51.100.1\nring3_addr: 2001:DB8:0::1"
    )
    settings = read(conf("", nodes, transport="ust"), WIDE).settings
    two, one = settings.nodes
    assert two.addresses == ("192.0.2.2", "", "", "2001:db8::2")
    assert two.names == ("two", "", "", "2001:db8::2")
    assert one.addresses == ("192.0.2.1", "198.51.100.1", "", "2001:db8::1")
    assert one.names == ("192.0.2.1", "198.51.100.1", "", "2001:DB8:0::1")
    assert settings.transport.secure is not None
    assert [each.number for each in settings.transport.secure.links] == [0, 1, 3]


def test_links_when_nothing_is_set_then_each_has_its_own_port_and_a_quick_heartbeat() -> None:
    transport, secure = secured()
    assert secure == SecureSettings(links=(LinkSettings(0, 5405), LinkSettings(1, 5406)))
    assert (transport.bind_address, transport.port) == ("192.0.2.1", 5405)


def test_links_when_the_local_node_starts_at_a_higher_one_then_it_binds_there() -> None:
    nodes = "".join(node("", n, f"ring2_addr: 192.0.2.{n}") for n in (1, 2))
    transport, secure = secured(nodes=nodes)
    assert (transport.bind_address, transport.port) == ("192.0.2.1", 5407)
    assert [each.number for each in secure.links] == [2]


def test_links_when_interface_sections_are_given_then_they_hold_for_their_number() -> None:
    totem = "\n".join(
        (
            link("linknumber: 1", "mcastport: 7000", "knet_link_priority: 9"),
            link("knet_ping_interval: 50", "knet_ping_timeout: 150", "knet_pong_count: 5"),
            link("linknumber: 1", "knet_link_priority: 8"),
            "link_mode: rr\nknet_mtu: 1400\nknet_pmtud_interval: 7",
        )
    )
    _, secure = secured(totem)
    assert secure.links == (
        LinkSettings(0, 5405, 1, 50 * MS, 150 * MS, 5),
        LinkSettings(1, 7000, 8),
    )
    assert (secure.link_mode, secure.mtu_bytes) == ("rr", 1400)
    assert secure.mtu_interval_ns == 7 * SECOND


@pytest.mark.parametrize(
    ("totem", "lines", "expected"),
    [
        ("", (), (100, 400)),
        ("token: 1000", (), (100, 400)),  # 250 and 500 by Corosync's rule
        ("token: 300", (), (75, 150)),
        ("token: 300", ("knet_pong_count: 3",), (50, 100)),
        ("", ("knet_ping_interval: 0", "knet_ping_timeout: 0"), (100, 400)),
        ("", ("knet_ping_interval: 750", "knet_ping_timeout: 1500"), (750, 1500)),
        ("", ("knet_ping_interval: 300",), (300, 600)),
        ("", ("knet_ping_timeout: 60",), (30, 60)),
        ("", ("knet_ping_timeout: 2000",), (100, 2000)),
        ("token: 126", ("knet_pong_count: 255",), (1, 2)),
    ],
)
def test_heartbeat_when_partly_given_then_the_rest_follows(
    totem: str, lines: tuple[str, ...], expected: tuple[int, int]
) -> None:
    _, secure = secured(totem + "\n" + link(*lines))
    found = secure.links[0]
    assert (found.ping_interval_ns // MS, found.ping_timeout_ns // MS) == expected


def test_heartbeat_when_the_token_is_scaled_then_the_time_in_force_counts() -> None:
    nodes = "".join(node(f"192.0.2.{n}", n) for n in range(1, 5))
    _, secure = secured("token: 130\ntoken_coefficient: 100", nodes)  # 330 ms
    assert secure.links[0].ping_interval_ns == 82 * MS
    assert secure.links[0].ping_timeout_ns == 165 * MS


@pytest.mark.parametrize(
    ("totem", "error"),
    [
        (
            link("knet_ping_interval: 100", "knet_ping_timeout: 100"),
            (
                "f:6: totem.interface.knet_ping_timeout: found 100 ms; "
                "allowed: more than knet_ping_interval, 100 ms"
            ),
        ),
        (
            link("linknumber: 8"),
            "f:5: totem.interface.linknumber: found 8; allowed: 0..7",
        ),
        (
            link("linknumber: 1", "knet_transport: sctp"),
            "f:6: totem.interface.knet_transport: found sctp; allowed with transport ust: udp",
        ),
        (link("ttl: 2"), "f:5: totem.interface.ttl: found 2; allowed: 1, unless the transport is"),
        (link("knet_pong_count: 256"), "f:5: totem.interface.knet_pong_count: found 256; allowed:"),
        ("knet_mtu: 1279", "f:4: totem.knet_mtu: found 1279; allowed with transport ust: 0 or"),
        ("knet_mtu: 65536", "f:4: totem.knet_mtu: found 65536; allowed with transport ust: 0 or"),
    ],
)
def test_link_when_it_cannot_be_then_the_place_is_told(totem: str, error: str) -> None:
    [line] = refused(totem)
    assert line.startswith(error)


@pytest.mark.parametrize(
    ("totem", "warning"),
    [
        (link("mcastaddr: 239.1.1.1"), "f:5: totem.interface.mcastaddr: is ignored by"),
        (link("broadcast: yes"), "f:5: totem.interface.broadcast: is ignored by"),
        (link("bindnetaddr: 10.0.0.0"), "f:5: totem.interface.bindnetaddr: is ignored by"),
        (
            link("linknumber: 5", "mcastport: 9"),
            "f:5: totem.interface: link 5 is without effect: no node has a ring5_addr",
        ),
        ("netmtu: 1400", "f:4: totem.netmtu: is ignored by transport ust"),
    ],
)
def test_link_when_a_key_is_of_no_use_then_it_warns(totem: str, warning: str) -> None:
    [line] = read(conf(totem, pair(), transport="ust"), WIDE).warnings
    assert line.startswith(warning)


@pytest.mark.parametrize("text", [link("linknumber: 5"), link("knet_ping_precision: 9"), ""])
def test_link_when_it_asks_for_nothing_then_nothing_is_said(text: str) -> None:
    assert read(conf(text, pair(), transport="ust"), WIDE).warnings == []


# -- the node list ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("nodes", "error"),
    [
        (
            pair(second="ring1_addr: 2001:db8::2"),
            (
                "f:15: nodelist.node.ring1_addr: found 2001:db8::2; allowed: the family of "
                "198.51.100.1 (f:10)"
            ),
        ),
        (
            pair() + node("", 3, "ring2_addr: 192.0.2.3"),
            (
                "f:17: nodelist.node: node 192.0.2.3 has no link in common with node 192.0.2.1 "
                "(f:7); allowed: ringN_addr of one N"
            ),
        ),
        (
            pair(second="ring1_addr: 192.0.2.9\nring8_addr: 10.0.0.1"),
            "f:16: nodelist.node.ring8_addr: found link 8; allowed: ring0_addr..ring7_addr",
        ),
        (
            pair(second="ring1_addr: nowhere"),
            "f:15: nodelist.node.ring1_addr: found nowhere; allowed: an address, or a name that",
        ),
        (pair(second="ring1_addr:"), 'f:15: nodelist.node.ring1_addr: found ""; allowed: an addre'),
        (
            pair("ring1_addr: 203.0.113.1"),
            (
                "f:10: nodelist.node.ring1_addr: node 192.0.2.1 is this host, but its address "
                "203.0.113.1 is not local"
            ),
        ),
        (pair() + node("", 3), "f:17: nodelist.node.ring0_addr: not set; allowed: an address or a"),
    ],
)
def test_nodes_when_a_link_is_wrong_then_the_place_is_told(nodes: str, error: str) -> None:
    [line] = refused(nodes=nodes)
    assert line.startswith(error)


def test_nodes_when_two_others_share_no_link_then_it_is_refused_on_every_node() -> None:
    nodes = (
        node("192.0.2.1", 1, "ring1_addr: 198.51.100.1")
        + node("192.0.2.2", 2)
        + node("", 3, "ring1_addr: 198.51.100.3")
    )
    [error] = refused(nodes=nodes)
    assert "node 198.51.100.3 has no link in common with node 192.0.2.2" in error


@pytest.mark.parametrize(
    ("nodes", "place"),
    [
        (node("192.0.2.1", 1) + node("192.0.2.1", 2), "ring0_addr: found 192.0.2.1 with port 5405"),
        (pair("ring1_addr: 192.0.2.1"), "ring1_addr: found 192.0.2.1 with port 5405"),
        (pair(second="ring1_addr: 192.0.2.1"), "ring1_addr: found 192.0.2.1 with port 5405"),
    ],
)
def test_nodes_when_two_have_one_socket_then_it_is_refused(nodes: str, place: str) -> None:
    [error] = refused(link("linknumber: 1", "mcastport: 5405"), nodes)
    assert place in error
    assert "which f:" in error


def test_nodes_when_two_links_have_one_address_and_two_ports_then_it_is_accepted() -> None:
    transport, _ = secured(nodes=pair("ring1_addr: 192.0.2.1", "ring1_addr: 192.0.2.2"))
    assert transport.bind_address == "192.0.2.1"


@pytest.mark.parametrize(
    ("host", "nodes"),
    [
        (StaticHost(("x",), ("192.0.2.1", "198.51.100.1")), pair()),
        (StaticHost(("x",), ("198.51.100.1",)), pair().replace("ring0_addr: 192.0.2.1\n", "")),
        (StaticHost(("own-alias",), ("192.0.2.1",)), node("", 1, "ring4_addr: own-alias")),
        (StaticHost(("x",), ("192.0.2.1",)), node("", 1, "ring4_addr: own-alias")),
    ],
)
def test_local_node_when_it_is_known_by_any_link_then_it_is_found(
    host: StaticHost, nodes: str
) -> None:
    text = conf("", nodes, transport="ust").replace("ring0_addr: 192.0.2.2\n", "")
    assert read(text, host).settings.node_id == 1


def test_local_node_when_a_later_link_bears_the_host_name_then_it_goes_before_addresses() -> None:
    host = StaticHost(("own-alias",), ("127.0.0.1/8", "192.0.2.1"))
    nodes = node("127.0.0.1", 1) + node("127.0.0.2", 2, "ring1_addr: own-alias")
    assert read(conf("", nodes, transport="ust"), host).settings.node_id == 2


def test_local_node_when_none_is_local_then_every_link_was_sought() -> None:
    [error] = errors_of(conf("", pair(), transport="ust"), StaticHost(("x",), ("127.0.0.1",)))
    assert "sought 192.0.2.1, 198.51.100.1, 192.0.2.2, 198.51.100.2; this host has" in error


# -- the ring --------------------------------------------------------------------------------------


def test_ring_when_the_transport_is_secure_then_frames_are_large_and_windows_small() -> None:
    ring = read(conf("netmtu: 1400", transport="ust"), HOST).settings.ring
    assert ring == RingSettings(
        native_window_size=50, native_max_messages=17, net_mtu_bytes=SECURE_FRAME_BYTES_MAX
    )


def test_ring_when_windows_are_given_then_they_hold_with_the_secure_transport_too() -> None:
    ring = read(conf("window_size: 80\nmax_messages: 9", transport="ust"), HOST).settings.ring
    assert (ring.native_window_size, ring.native_max_messages) == (80, 9)
