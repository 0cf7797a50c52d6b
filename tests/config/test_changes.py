"""What a running daemon does with each directive of a configuration that was read again."""

from dataclasses import fields, replace

import pytest

from unisono.base.ids import MS, NodeId
from unisono.config import changes
from unisono.config.changes import Change, compare
from unisono.config.schema import SECTIONS, Status
from unisono.config.settings import (
    UDPU,
    UST,
    AccessSettings,
    LinkSettings,
    LoggingSettings,
    NodeSettings,
    QuorumSettings,
    RingSettings,
    SecureSettings,
    Settings,
    SubsystemLogging,
    TransportSettings,
)

LINKS = (LinkSettings(0, 5405), LinkSettings(1, 5406))
RUNNING = Settings(
    NodeId(1),
    tuple(NodeSettings(NodeId(n), f"n{n}", (f"192.0.2.{n}", f"198.51.100.{n}")) for n in (1, 2)),
    TransportSettings(UST, "192.0.2.1", secure=SecureSettings(key="secret", links=LINKS)),
)
SECURE = RUNNING.transport.secure
assert SECURE is not None


def with_secure(**what: object) -> Settings:
    assert SECURE is not None
    secure = replace(SECURE, **what)
    return replace(RUNNING, transport=replace(RUNNING.transport, secure=secure))


def with_node(number: int, **what: object) -> Settings:
    nodes = (replace(n, **what) if n.node_id == number else n for n in RUNNING.nodes)
    return replace(RUNNING, nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (RingSettings, changes._RING),
        (QuorumSettings, changes._QUORUM),
        (AccessSettings, changes._ACCESS),
        (LoggingSettings, changes._LOGGING),
        (TransportSettings, {**changes._TRANSPORT, "secure": None}),
        (SecureSettings, {**changes._SECURE, "links": None}),
        (LinkSettings, changes._LINK),
        (NodeSettings, changes._NODE),
        (Settings, {**changes._TOP, **changes._PARTS, "nodes": None, "transport": None}),
    ],
)
def test_field_of_the_settings_when_any_then_it_has_a_row(kind: type, rows: dict) -> None:
    assert {field.name for field in fields(kind)} == set(rows)


def test_configuration_when_the_same_then_nothing_changes() -> None:
    found = compare(RUNNING, replace(RUNNING))
    assert (found.settings, found.applied, found.refused) == (RUNNING, (), ())


APPLIED = {
    "timer": (
        replace(RUNNING, ring=replace(RUNNING.ring, token_timeout_ns=5000 * MS)),
        Change("totem.token", "3000 ms", "5000 ms"),
    ),
    "version": (replace(RUNNING, config_version=7), Change("totem.config_version", "0", "7")),
    "log": (
        replace(RUNNING, logging=replace(RUNNING.logging, debug="on")),
        Change("logging.debug", "off", "on"),
    ),
    "subsystem": (
        replace(
            RUNNING,
            logging=replace(RUNNING.logging, subsystems=(SubsystemLogging(subsystem="TOTEM"),)),
        ),
        Change("logging.logger_subsys", "", "TOTEM"),
    ),
    "users": (
        replace(RUNNING, access=AccessSettings(uids=frozenset((9, 3)))),
        Change("uidgid.uid", "", "3 9"),
    ),
    "votes": (
        replace(RUNNING, quorum=replace(RUNNING.quorum, expected_votes=5)),
        Change("quorum.expected_votes", "0", "5"),
    ),
    "link": (
        with_secure(links=(LINKS[0], replace(LINKS[1], priority=9))),
        Change("totem.interface 1 knet_link_priority", "1", "9"),
    ),
    "mode": (with_secure(link_mode="rr"), Change("totem.link_mode", "passive", "rr")),
    "moved": (
        with_node(2, addresses=("192.0.2.9", "198.51.100.2")),
        Change("nodelist.node 2 ringN_addr", "192.0.2.2 198.51.100.2", "192.0.2.9 198.51.100.2"),
    ),
    "came": (
        replace(RUNNING, nodes=(*RUNNING.nodes, NodeSettings(NodeId(3), "n3", ("192.0.2.3", "")))),
        Change("nodelist.node 3 ringN_addr", "", "192.0.2.3"),
    ),
    "left": (
        replace(RUNNING, nodes=RUNNING.nodes[:1]),
        Change("nodelist.node 2 ringN_addr", "192.0.2.2 198.51.100.2", ""),
    ),
}


@pytest.mark.parametrize("name", APPLIED)
def test_directive_when_it_can_change_then_the_new_value_holds(name: str) -> None:
    read, change = APPLIED[name]
    found = compare(RUNNING, read)
    assert found.applied == (change,)
    assert found.refused == ()
    assert found.settings == read


REFUSED = {
    "transport": (
        replace(RUNNING, transport=TransportSettings(UDPU, "192.0.2.1")),
        "totem.transport",
    ),
    "name": (replace(RUNNING, cluster_name="other"), "totem.cluster_name"),
    "mtu": (replace(RUNNING, ring=replace(RUNNING.ring, net_mtu_bytes=9000)), "totem.netmtu"),
    "recorder": (
        replace(RUNNING, logging=replace(RUNNING.logging, blackbox=False)),
        "logging.blackbox",
    ),
    "cipher": (with_secure(cipher="chacha20"), "totem.crypto_cipher"),
    "new link": (
        with_secure(links=(*LINKS, LinkSettings(2, 5407))),
        "totem.interface 2 linknumber",
    ),
    "no link": (with_secure(links=LINKS[:1]), "totem.interface 1 linknumber"),
    "port": (
        with_secure(links=(LINKS[0], replace(LINKS[1], port=7))),
        "totem.interface 1 mcastport",
    ),
    "own address": (
        with_node(1, addresses=("192.0.2.8", "198.51.100.1")),
        "nodelist.node 1 ringN_addr",
    ),
    "public key": (with_node(2, public_key=bytes(32)), "nodelist.node 2 ust_pubkey"),
    "not in the list": (
        replace(RUNNING, node_id=NodeId(2), nodes=RUNNING.nodes[1:]),
        "nodelist.node.nodeid",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_directive_when_it_cannot_change_then_it_is_named_and_the_former_value_holds(
    name: str,
) -> None:
    read, directive = REFUSED[name]
    found = compare(RUNNING, read)
    assert [change.directive for change in found.refused] == [directive]
    assert found.applied == ()
    assert set(found.settings.nodes) == set(RUNNING.nodes)
    assert replace(found.settings, nodes=()) == replace(RUNNING, nodes=())


def test_changes_when_some_can_and_some_cannot_then_each_as_it_is() -> None:
    read = replace(
        RUNNING, cluster_name="other", ring=replace(RUNNING.ring, token_timeout_ns=9 * MS)
    )
    found = compare(RUNNING, read)
    assert [change.directive for change in found.applied] == ["totem.token"]
    assert [change.directive for change in found.refused] == ["totem.cluster_name"]
    assert found.settings == replace(RUNNING, ring=read.ring)


def test_key_when_it_is_another_then_no_byte_of_it_is_shown() -> None:
    found = compare(RUNNING, with_secure(key="another secret"))
    assert found.refused == (Change("totem.key", "", ""),)


def test_directives_that_can_change_when_listed_then_the_schema_has_them_in_effect() -> None:
    found = changes.reloadable()
    keys = {f"{path}.{key.name}": key for path, row in SECTIONS.items() for key in row.keys}
    assert found <= keys.keys()
    in_effect = {name for name in found if keys[name].status is Status.EFFECT}
    assert {"totem.token", "nodelist.node.ringN_addr", "logging.debug"} <= in_effect
    assert "logging.blackbox" not in found
