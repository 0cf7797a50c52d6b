"""Whole files: Debian's own, warnings, quorum, access, logging, system."""

import time
from pathlib import Path

import pytest

from tests.config.texts import HOST, NAMES, conf, errors_of, node, read
from unisono.config import ConfigErrors, load
from unisono.config.settings import (
    UST,
    AccessSettings,
    LinkSettings,
    NodeSettings,
    QuorumSettings,
    SecureSettings,
    TransportSettings,
)

DEBIAN = (Path(__file__).parent / "data" / "debian-corosync.conf").read_text()

HOSTILE_SECONDS_MAX = 10


def warnings_of(text: str) -> list[str]:
    return [w for w in read(text).warnings if "does not authenticate" not in w]


def test_load_when_it_is_debians_file_then_secure_although_it_asks_for_no_crypto() -> None:
    loaded = read(DEBIAN)
    settings = loaded.settings
    assert loaded.warnings == [
        "f:15: totem.crypto_cipher: is ignored by transport ust: it always encrypts",
        "f:16: totem.crypto_hash: is ignored by transport ust: it always encrypts",
    ]
    assert settings.transport == TransportSettings(
        UST, "127.0.0.1", 5405, secure=SecureSettings(links=(LinkSettings(0, 5405),))
    )
    assert settings.nodes == (NodeSettings(1, "node1", ("127.0.0.1",), names=("127.0.0.1",)),)


def test_load_when_debians_file_says_udpu_then_it_loads() -> None:
    loaded = read(DEBIAN.replace("totem {", "totem {\n\ttransport: udpu", 1))
    settings = loaded.settings
    assert settings.node_id == 1
    assert settings.nodes[0].name == "node1"
    assert settings.cluster_name == "debian"
    assert settings.transport.bind_address == "127.0.0.1"
    assert settings.quorum == QuorumSettings(votequorum=True, expected_votes=1)
    assert settings.logging.logfile == "/var/log/corosync/corosync.log"
    assert len(loaded.warnings) == 1


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (conf("tokens: 1"), "f:4: totem.tokens: unknown key is ignored; did you mean token?"),
        (
            conf("two_node: 1"),
            "f:4: totem.two_node: unknown key is ignored; it belongs into section quorum",
        ),
        (conf("zzzzzz: 1"), "f:4: totem.zzzzzz: unknown key is ignored"),
        (
            conf(more="quorum {\ntwo_nodes: 1\n}"),
            "f:13: quorum.two_nodes: unknown key is ignored; did you mean two_node?",
        ),
        (
            conf(more="loggings {\nx {\na: 1\n}\n}"),
            "f:12: loggings: unknown section is ignored; did you mean logging?",
        ),
        (conf(more="TOTEM {\ntoken: abc\n}"), "f:12: TOTEM: unknown section is ignored"),
        (conf(more="token: 5"), "f:12: token: key outside of any section is ignored"),
        (
            conf(more="logging {\nto_logfile: on\n}"),
            "f:13: logging.to_logfile: is without effect, because logging.logfile names no file",
        ),
    ],
)
def test_load_when_a_name_is_unknown_then_one_warning_helps(text: str, warning: str) -> None:
    assert warnings_of(text) == [warning]


def test_load_when_keys_come_later_then_one_warning_names_them_together() -> None:
    more = (
        "quorum {\nprovider: corosync_votequorum\nlast_man_standing: 1\n"
        "device {\nmodel: net\n}\n}\n"
        "logging {\nfunction_name: off\nsyslog_priority: INFO\n}\n"
        "pload {\ncount: 5\n}\n"
    )
    [warning] = warnings_of(conf("downcheck: 0", more=more))
    head, _, names = warning.partition(": accepted, without effect in this version: ")
    assert head == "f"
    assert names.split(", ") == [
        "quorum.last_man_standing (f:14)",
        "quorum.device.model (f:16)",
        "pload.count (f:24)",
    ]


def test_load_when_keys_are_obsolete_then_one_warning_names_them_together() -> None:
    [warning] = warnings_of(conf("nodeid: 5\nrrp_mode: none\nthreads: 0"))
    assert warning == (
        "f: obsolete and ignored: totem.nodeid (f:4), totem.rrp_mode (f:5), totem.threads (f:6)"
    )


def test_load_when_keys_belong_to_knet_then_nothing_is_said() -> None:
    totem = "link_mode: rr\nknet_mtu: 1300\nkeyfile: /x\ninterface {\nknet_pong_count: 3\n}"
    assert warnings_of(conf(totem)) == []


def test_load_when_many_things_are_wrong_then_all_are_told() -> None:
    text = conf(
        "token: x\nnetmtu = 5\nlink_mode: fast", node("192.0.2.1", 0), "system {\nsched_rr: on\n}"
    )
    assert [error.partition(": found")[0] for error in errors_of(text.replace("2", "3", 1))] == [
        "f:5",
        "f:2: totem.version",
        "f:4: totem.token",
        "f:6: totem.link_mode",
        "f:11: nodelist.node.nodeid",
        "f:15: system.sched_rr",
    ]


def test_load_when_braces_are_wrong_then_nothing_is_called_absent() -> None:
    assert errors_of(conf(more="}")) == [
        "f:12: found `}` where no section is open; allowed: one per `{`"
    ]
    assert len(errors_of("totem {\nversion: 2\n")) == 1


def test_load_when_errors_abound_then_the_rest_is_counted() -> None:
    errors = errors_of(conf("token: x\n" * 150))
    assert len(errors) == 101
    assert errors[-1] == "f: 50 more errors are not shown"


def test_load_when_warnings_abound_then_the_rest_is_counted() -> None:
    warnings = read(conf(more="".join(f"abc{n} {{\n}}\n" for n in range(150)))).warnings
    assert len(warnings) == 101
    assert warnings[-1] == "f: 51 more warnings are not shown"  # the transport's is one of them


def test_load_when_names_of_one_warning_abound_then_the_rest_is_counted() -> None:
    more = "".join(f"exec_{n}: /bin/true\n" for n in range(60))
    [warning] = warnings_of(conf(more=f"quorum {{\ndevice {{\nheuristics {{\n{more}}}\n}}\n}}"))
    assert warning.endswith(", 10 more")


def test_load_when_a_file_is_as_hostile_as_it_can_be_then_it_ends_soon() -> None:
    start = time.process_time()
    subsystems = "logging {\nlogger_subsys {\n}\n}\n#%d\n"
    for text in ("a%d {\n}\n", "tokens%d: 1\n", "totem {\n#%d\n", subsystems):
        errors_of("totem {\n}\n" + "".join(text % n for n in range(5_000)))
    assert time.process_time() - start < HOSTILE_SECONDS_MAX


def test_config_errors_when_printed_then_every_line_is_there() -> None:
    with pytest.raises(ConfigErrors) as caught:
        read(conf("token: x\nhold: y"))
    assert str(caught.value).splitlines() == caught.value.errors
    assert len(caught.value.errors) == 2


def test_load_when_a_section_is_repeated_then_it_is_merged_and_the_last_key_wins() -> None:
    text = conf("token: 1000\nconfig_version: 3", more="totem {\ntoken: 2000\n}")
    settings = read(text).settings
    assert settings.ring.token_timeout_ns == 2_000_000_000
    assert settings.config_version == 3


# -- quorum ----------------------------------------------------------------------------------------

TRIO = "".join(node(f"192.0.2.{n}", n, f"quorum_votes: {n}") for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("quorum", "expected"),
    [
        ("", QuorumSettings(False, 6, 1)),
        ("provider: corosync_votequorum", QuorumSettings(True, 6, 1)),
        ("expected_votes: 9", QuorumSettings(False, 9, 1)),
        ("two_node: 2", QuorumSettings(False, 6, 1, two_node=True, wait_for_all=True)),
        ("two_node: 1\nwait_for_all: 0", QuorumSettings(False, 6, 1, two_node=True)),
        ("wait_for_all: 1", QuorumSettings(False, 6, 1, wait_for_all=True)),
        ("two_node: 1\nauto_tie_breaker: 1", QuorumSettings(False, 6, 1)),
    ],
)
def test_quorum_when_read_then_votes_come_from_the_list_and_two_node_waits(
    quorum: str, expected: QuorumSettings
) -> None:
    assert read(conf("", TRIO, f"quorum {{\n{quorum}\n}}")).settings.quorum == expected


@pytest.mark.parametrize(
    ("quorum", "error"),
    [
        ("provider: corosync_ykd", "found corosync_ykd; allowed: corosync_votequorum"),
        ("two_node: 256", "found 256; allowed: 0..255"),
        (
            "two_node: 1\ndevice {\nmodel: net\n}",
            "f:13: quorum.two_node: found 1 beside a quorum device",
        ),
        ("device {\nvotes: x\n}", "f:14: quorum.device.votes: found x"),
    ],
)
def test_quorum_when_it_cannot_be_then_it_is_refused(quorum: str, error: str) -> None:
    assert any(error in line for line in errors_of(conf(more=f"quorum {{\n{quorum}\n}}")))


# -- who may connect -------------------------------------------------------------------------------


def test_access_when_granted_in_several_places_then_all_count() -> None:
    more = "uidgid {\nuid: alice\nuid: 7\ngid: +9\n}\nuidgid {\ngid: haclient\n}"
    extra = [("d/a", "uidgid {\nuid: 8\n}\n"), ("d/b", ""), ("d/c", "# none\n")]
    assert read(conf(more=more), extra=extra).settings.access == AccessSettings(
        uids=frozenset({1000, 7, 8}), gids=frozenset({9, 189})
    )


@pytest.mark.parametrize(
    ("name", "line", "key", "value"),
    [
        ("nobody-here", 13, "uid", "nobody-here"),
        ("-1", 13, "uid", "-1"),
        ("4294967295", 13, "uid", "4294967295"),
        ("", 13, "uid", '""'),
    ],
)
def test_access_when_a_user_is_unknown_then_it_is_refused(
    name: str, line: int, key: str, value: str
) -> None:
    [error] = errors_of(conf(more=f"uidgid {{\nuid: {name}\n}}"))
    assert (
        error == f"f:{line}: uidgid.{key}: found {value}; allowed: a user of this host, or a number"
    )


def test_access_when_another_key_is_given_then_it_is_refused() -> None:
    [error] = errors_of(conf(more="uidgid {\nuser: alice\n}"))
    assert error == "f:13: uidgid.user: unknown key; allowed: uid, gid"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("totem {\ntoken: 5\n}", "d/x:1: totem: found in a file of uidgid.d"),
        ("uid: 5", "d/x:1: uid: found in a file of uidgid.d"),
        ("uidgid {\nuid: nobody-here\n}", "d/x:2: uidgid.uid: found nobody-here"),
        ("uidgid {", "d/x:1: uidgid: section is never closed"),
    ],
)
def test_access_when_an_extra_file_is_wrong_then_it_fails_the_load(text: str, error: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read(conf(), extra=[("d/x", text)])
    assert caught.value.errors[0].startswith(error)


def test_access_when_the_systems_lookup_raises_then_the_name_is_unknown() -> None:
    class Raising:
        def resolve(self, name: str, ip_version: str) -> list[str]:
            raise OSError(name)

        def user(self, name: str) -> int | None:
            raise KeyError(name)

        def group(self, name: str) -> int | None:
            raise KeyError(name)

    nodes = node("192.0.2.1", 1) + node("some.host", 2)
    with pytest.raises(ConfigErrors) as caught:
        load(conf("", nodes, "uidgid {\nuid: a\ngid: b\n}"), "f", [], Raising(), HOST)
    assert len(caught.value.errors) == 3


# -- system ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "ipc_type", "sched_rr"),
    [
        ("", "shm", False),
        ("qb_ipc_type: native", "shm", False),
        ("qb_ipc_type: shm\nsched_rr: no", "shm", False),
        ("qb_ipc_type: socket\nsched_rr: yes", "socket", True),
    ],
)
def test_system_when_read_then_real_time_is_only_on_demand(
    system: str, ipc_type: str, sched_rr: bool
) -> None:
    settings = read(conf(more=f"system {{\n{system}\n}}")).settings
    assert (settings.ipc_type, settings.sched_rr) == (ipc_type, sched_rr)


def test_load_when_only_numeric_addresses_are_used_then_nothing_is_resolved() -> None:
    class Forbidden:
        def resolve(self, name: str, ip_version: str) -> list[str]:
            raise AssertionError(name)

        user = group = NAMES.user

    load(conf(), "f", [], Forbidden(), HOST)
