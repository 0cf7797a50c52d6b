"""The node list: addresses, node ids, and which node is local."""

import pytest

from tests.config.texts import HOST, conf, errors_of, node, read
from unisono.config.hosts import StaticHost
from unisono.config.settings import NodeSettings

PAIR = node("192.0.2.1", 1) + node("192.0.2.2", 2)
LOOPBACK = "".join(node(f"127.0.0.{n}", n) for n in (1, 2, 3))


def test_nodes_when_listed_then_settings_keep_order_names_and_votes() -> None:
    nodes = node("two", 7, "name: second\nquorum_votes: 3") + node("192.0.2.1", 5)
    settings = read(conf("", nodes)).settings
    assert settings.nodes == (
        NodeSettings(7, "second", ("192.0.2.2",), 3, ("two",)),
        NodeSettings(5, "192.0.2.1", ("192.0.2.1",), 1, ("192.0.2.1",)),
    )
    assert settings.node_id == 5
    assert settings.transport.bind_address == "192.0.2.1"


@pytest.mark.parametrize(
    ("totem", "transport", "address"),
    [
        ("", "udpu", "2001:db8::3"),
        ("ip_version: ipv6-4", "udpu", "2001:db8::3"),
        ("ip_version: ipv4-6", "udpu", "192.0.2.3"),
        ("ip_version: ipv4", "udpu", "192.0.2.3"),
        ("ip_version: ipv6", "udpu", "2001:db8::3"),
        ("cluster_name: x", "udp", "192.0.2.3"),
        ("cluster_name: x\nip_version: ipv6-4", "udp", "2001:db8::3"),
    ],
)
def test_address_when_a_name_has_both_families_then_ip_version_chooses(
    totem: str, transport: str, address: str
) -> None:
    host = StaticHost(names=("both",), addresses=("192.0.2.3/24", "2001:db8::3/64"))
    settings = read(conf(totem, node("both", 1), transport=transport), host).settings
    assert settings.nodes[0].addresses == (address,)


@pytest.mark.parametrize(
    ("totem", "address"),
    [
        ("ip_version: ipv6", "192.0.2.1"),
        ("ip_version: ipv4", "::1"),
        ("ip_version: ipv4", "six"),
        ("", "nowhere"),
        ("", "192.0.2.1/24"),
        ("", ""),
    ],
)
def test_address_when_nothing_fits_then_it_is_refused(totem: str, address: str) -> None:
    [error] = errors_of(conf(totem, f"node {{\nring0_addr: {address}\nnodeid: 1\n}}\n"))
    assert "nodelist.node.ring0_addr: found " in error
    assert "allowed: an address" in error


@pytest.mark.parametrize(
    ("totem", "node_id"),
    [
        ("", 0xC0000201),
        ("clear_node_high_bit: yes", 0x40000201),
        ("clear_node_high_bit: no", 0xC0000201),
    ],
)
def test_node_id_when_absent_then_the_ipv4_address_gives_it(totem: str, node_id: int) -> None:
    assert read(conf(totem, node("192.0.2.1"))).settings.node_id == node_id


@pytest.mark.parametrize(
    ("nodes", "error"),
    [
        (node("::1"), "f:7: nodelist.node.nodeid: not set, and ::1 does not give one"),
        (node("192.0.2.1", 0), "f:9: nodelist.node.nodeid: found 0; allowed: 1..4294967295"),
        (node("192.0.2.1", 1 << 32), "f:9: nodelist.node.nodeid: found 4294967296"),
        (
            node("192.0.2.1", 9) + node("192.0.2.2", 9),
            "f:13: nodelist.node.nodeid: found 9, which f:9 has already",
        ),
        (
            node("192.0.2.1") + node("192.0.2.2", 0xC0000201),
            "f:12: nodelist.node.nodeid: found 3221225985, which f:7 has already",
        ),
        (node("192.0.2.1", 1) + node("::1", 2), "f:12: nodelist.node.ring0_addr: found ::1"),
        (node("192.0.2.1", 1) + node("", 2), "f:11: nodelist.node.ring0_addr: not set"),
        (
            node("192.0.2.1", 1, "ring1_addr: 192.0.2.9"),
            "f:10: nodelist.node.ring1_addr: found link 1",
        ),
        (node("192.0.2.1", 1, "ring8_addr: 192.0.2.9"), "allowed: ring0_addr..ring7_addr"),
        ("\n", "f: nodelist.node: no node section"),
        ("".join(node("192.0.2.1", n) for n in range(1, 386)), "found 385 nodes; allowed: 1..384"),
    ],
)
def test_nodes_when_a_rule_is_broken_then_the_place_is_told(nodes: str, error: str) -> None:
    assert any(error in line for line in errors_of(conf("", nodes)))


def test_nodes_when_an_address_or_name_is_given_twice_then_it_warns() -> None:
    nodes = node("192.0.2.1", 1, "name: a") + node("192.0.2.1", 2, "name: a")
    warnings = read(conf("", nodes)).warnings
    assert "f:13: nodelist.node.ring0_addr: 192.0.2.1 is given twice, first at f:8" in warnings
    assert "f:15: nodelist.node.name: a is given twice, first at f:10" in warnings


def test_nodes_when_a_second_list_follows_then_it_overwrites_by_position() -> None:
    loaded = read(conf("", PAIR, "nodelist {\n" + node("", 8) + "}"))
    assert [n.node_id for n in loaded.settings.nodes] == [8, 2]
    assert any("second node list" in warning for warning in loaded.warnings)


# -- the local node --------------------------------------------------------------------------------


def named(*names: str) -> str:
    return "".join(node(f"127.0.0.{n}", n, f"name: {name}") for n, name in enumerate(names, 1))


@pytest.mark.parametrize(
    ("uname", "nodes", "node_id"),
    [
        ("b", named("a", "b", "c"), 2),
        ("b.x.y", named("a", "b.x", "b.x.y"), 3),
        ("b.x.y", named("a", "b", "b.x"), 3),
        ("b.x.y", named("a", "b"), 2),
        ("b", named("a", "b.x.y"), 2),
        ("b.q", named("a", "b.x.y"), 2),
        ("B", named("a", "b"), 1),  # names are compared as they are: the address decides
        ("127.0.0.2", LOOPBACK, 2),
    ],
)
def test_local_node_when_the_host_name_is_listed_then_corosyncs_order_decides(
    uname: str, nodes: str, node_id: int
) -> None:
    host = StaticHost(names=(uname,), addresses=("127.0.0.1/8",))
    assert read(conf("", nodes), host).settings.node_id == node_id


def test_local_node_when_an_address_resolves_to_a_listed_name_then_it_is_that_one() -> None:
    host = StaticHost(names=("x", "b.example.org"), addresses=("127.0.0.1/8",))
    assert read(conf("", named("a", "b")), host).settings.node_id == 2


@pytest.mark.parametrize(
    ("addresses", "nodes", "node_id"),
    [
        (("192.0.2.2/24", "192.0.2.1/24"), PAIR, 2),  # the host's first address, not the list's
        (("192.0.2.1",), PAIR, 1),
        (("127.0.0.1/8", "2001:db8:0::6/64"), node("192.0.2.1", 1) + node("two", 2), 0),
        (("192.0.2.2/24",), node("192.0.2.1", 1) + node("two", 2), 2),
        (("127.0.0.1/8",), node("127.0.0.3", 3) + node("192.0.2.2", 2), 3),
        (("fe80::1%eth0/64",), node("fe80::1", 4), 4),
    ],
)
def test_local_node_when_no_name_fits_then_the_first_local_address_decides(
    addresses: tuple[str, ...], nodes: str, node_id: int
) -> None:
    host = StaticHost(names=("x",), addresses=addresses)
    text = conf("", nodes)
    if node_id:
        assert read(text, host).settings.node_id == node_id
    else:
        assert errors_of(text, host)


def test_local_node_when_none_is_local_then_one_line_says_what_was_sought() -> None:
    host = StaticHost(names=("x",), addresses=("198.51.100.1/24", "127.0.0.1/8"))
    [error] = errors_of(conf("", PAIR), host)
    assert error == (
        "f:7: nodelist.node: none of the nodes is this host: sought 192.0.2.1, 192.0.2.2; "
        "this host has 198.51.100.1, 127.0.0.1 and the name x"
    )


def test_local_node_when_several_are_local_then_it_warns_which_is_taken() -> None:
    loaded = read(conf("", LOOPBACK))
    assert loaded.settings.node_id == 1
    assert any("are all local; this is taken to be node 127.0.0.1" in w for w in loaded.warnings)


@pytest.mark.parametrize("node_id", [1, 2, 3])
def test_local_node_when_told_then_no_search_is_made(node_id: int) -> None:
    host = StaticHost(names=("x",), addresses=("127.0.0.1/8",), node_id=node_id)
    loaded = read(conf("", LOOPBACK), host)
    assert loaded.settings.node_id == node_id
    assert loaded.settings.transport.bind_address == f"127.0.0.{node_id}"
    assert len(loaded.warnings) == 1


def test_local_node_when_told_an_unlisted_id_then_the_list_is_shown() -> None:
    host = StaticHost(addresses=("127.0.0.1/8",), node_id=9)
    [error] = errors_of(conf("", LOOPBACK), host)
    assert error == "f: nodelist.node.nodeid: this node was told to be 9; the list has 1, 2, 3"


@pytest.mark.parametrize("host", [StaticHost(("b",), HOST.addresses), StaticHost((), ("::1",), 2)])
def test_local_node_when_its_address_is_not_here_then_it_is_refused(host: StaticHost) -> None:
    nodes = node("192.0.2.1", 1, "name: a") + node("192.0.2.77", 2, "name: b")
    [error] = errors_of(conf("", nodes), host)
    assert error.startswith("f:13: nodelist.node.ring0_addr: node b is this host, but its address")
    assert "192.0.2.77 is not local; this host has " in error
