"""The schema: its rows are sound, and the man page's keys are in it."""

import pytest

from unisono.config.schema import SECTIONS, Key, Kind, Status, as_markdown, key_row

ROWS = [(path, key) for path, row in SECTIONS.items() for key in row.keys]


@pytest.mark.parametrize(("path", "key"), ROWS, ids=lambda value: getattr(value, "name", value))
def test_row_when_it_has_a_default_then_the_default_is_allowed(path: str, key: Key) -> None:
    match key.default:
        case int() as number:
            assert key.low <= number <= key.high
        case str() as word if key.kind is Kind.WORD:
            assert word in key.choices
    assert key.meaning
    assert key.default or not key.zero_is_default or key.derived
    assert not set(key.choices) & set(key.choices_later)
    assert key.pattern is not None or key_row(path, key.name) is key


@pytest.mark.parametrize("path", SECTIONS)
def test_section_when_listed_then_its_names_are_unique_and_its_parent_is_known(path: str) -> None:
    names = [key.name for key in SECTIONS[path].keys]
    assert len(names) == len(set(names))
    parent = path.rpartition(".")[0]
    assert not parent or parent in SECTIONS


MAN_PAGE = """
totem: version clear_node_high_bit crypto_model crypto_hash crypto_cipher secauth keyfile key
totem: link_mode netmtu transport cluster_name config_version ip_version token token_warning
totem: token_coefficient token_retransmit knet_compression_model knet_compression_threshold
totem: knet_compression_level hold token_retransmits_before_loss_const join send_join consensus
totem: merge downcheck fail_recv_const seqno_unchanged_const heartbeat_failures_allowed
totem: max_network_delay window_size max_messages miss_count_const knet_pmtud_interval knet_mtu
totem: block_unlisted_ips cancel_token_hold_on_retransmit
totem.interface: linknumber knet_link_priority knet_ping_interval knet_ping_timeout ttl
totem.interface: knet_ping_precision knet_pong_count knet_transport bindnetaddr broadcast
totem.interface: mcastaddr mcastport
logging: timestamp fileline function_name blackbox to_stderr to_logfile to_syslog logfile
logging: logfile_priority syslog_facility syslog_priority debug
logging.logger_subsys: subsys to_stderr to_logfile to_syslog logfile debug syslog_facility
quorum: provider expected_votes two_node wait_for_all last_man_standing votes auto_tie_breaker
quorum: last_man_standing_window auto_tie_breaker_node allow_downscale expected_votes_tracking
quorum.device: model timeout sync_timeout votes master_wins
quorum.device.net: host port tls algorithm tie_breaker connect_timeout force_ip_version
quorum.device.heuristics: mode timeout sync_timeout interval exec_check_master
nodelist.node: ring0_addr ring7_addr nodeid name quorum_votes
system: qb_ipc_type sched_rr priority move_to_root_cgroup allow_knet_handle_fallback state_dir
resources: watchdog_device watchdog_timeout
nozzle: name ipaddr ipprefix macaddr
pload: count size
uidgid: uid gid
"""


@pytest.mark.parametrize("line", MAN_PAGE.split("\n")[1:-1])
def test_key_row_when_the_man_page_has_the_key_then_it_is_found(line: str) -> None:
    section, _, names = line.partition(": ")
    assert [name for name in names.split() if key_row(section, name) is None] == []


@pytest.mark.parametrize(
    ("section", "name"),
    [
        ("totem", "tokens"),
        ("nodelist.node", "ring_addr"),
        ("nodelist.node", "ring01_addr"),
        ("x", "y"),
    ],
)
def test_key_row_when_unknown_then_none(section: str, name: str) -> None:
    assert key_row(section, name) is None


def test_as_markdown_when_rendered_then_every_section_and_key_has_its_row() -> None:
    text = as_markdown({"totem.token"})
    for path, key in ROWS:
        assert f"## {path}\n" in text
        rows = [line for line in text.splitlines() if line.startswith(f"| `{key.name}` |")]
        assert any(key.meaning in row and key.status.value in row for row in rows), key.name
    widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| `")}
    assert widths == {5}
    (token,) = [line for line in text.splitlines() if line.startswith("| `token` |")]
    assert "| in effect | yes |" in token
    assert text.count("| in effect | yes |") == 1


def test_transport_when_nothing_is_said_then_it_is_the_secure_one() -> None:
    row = key_row("totem", "transport")
    assert row is not None
    assert row.default == "ust"
    assert row.choices == ("ust", "udpu", "udp")
    assert row.choices_later == ("knet",)


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ("totem", "crypto_cipher keyfile key ust_private_key_file link_mode knet_mtu"),
        ("totem", "knet_pmtud_interval"),
        ("totem.interface", "knet_link_priority knet_ping_interval knet_ping_timeout"),
        ("totem.interface", "knet_pong_count"),
        ("nodelist.node", "ringN_addr ust_pubkey"),
    ],
)
def test_status_when_a_key_works_with_ust_only_then_the_table_says_so(
    section: str, names: str
) -> None:
    rows = {key.name: key for key in SECTIONS[section].keys}
    for name in names.split():
        assert rows[name].status is Status.EFFECT
        assert "(ust)" in rows[name].meaning


@pytest.mark.parametrize("name", ["knet_compression_model", "crypto_model", "crypto_hash"])
def test_status_when_a_key_is_for_knet_then_the_table_says_so(name: str) -> None:
    row = key_row("totem", name)
    assert row is not None
    assert row.status is Status.KNET
