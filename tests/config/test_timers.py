"""Timers: the values that real Corosync nodes had in force, and the bounds."""

import pytest

from tests.config.texts import conf, node, read
from unisono.base.ids import MS
from unisono.config import ConfigErrors
from unisono.config.settings import RingSettings

THREE = "".join(node(f"192.0.2.{n}", n) for n in (1, 2, 3))


def ring(totem: str = "", nodes: str = "") -> RingSettings:
    return read(conf(totem, nodes)).settings.ring


def milliseconds(settings: RingSettings) -> tuple[float, ...]:
    times = (
        settings.token_timeout_ns,
        settings.token_retransmit_ns,
        settings.hold_ns,
        settings.consensus_ns,
    )
    return tuple(time / MS for time in times)


def test_ring_when_nothing_is_set_then_the_defaults_hold() -> None:
    assert ring() == RingSettings()


@pytest.mark.parametrize(
    ("totem", "nodes", "expected"),
    [
        ("", "", (3000, 714, 561, 3600)),
        ("token: 1000", "", (1000, 238, 180, 1200)),
        ("token: 1000", THREE, (1650, 392, 303, 1980)),  # seen on a running ring
        ("", THREE, (3650, 869, 685, 4380)),
        ("token: 1000\ntoken_coefficient: 0", THREE, (1000, 238, 180, 1200)),
        ("token: 0", "", (3000, 714, 561, 3600)),
        ("token: 1000\ntoken_retransmits_before_loss_const: 10", "", (1000, 98, 68, 1200)),
        ("token: 1000\ntoken_retransmit: 100", "", (1000, 100, 70, 1200)),
        ("token: 1000\ntoken_retransmit: 100\nhold: 0", "", (1000, 100, 70, 1200)),
        ("token: 1000\nhold: 14\nconsensus: 50", "", (1000, 238, 14, 50)),
        ("token: 126", "", (126, 30, 14, 151)),
        ("token: 1005", "", (1005, 239, 181, 1206)),
        ("token: 29\ntoken_coefficient: 97", THREE, (126, 30, 14, 151)),
        ("token: 20000001", "", (20000001, 4761905, 3809514, 24000002)),  # a C float rounds
    ],
)
def test_ring_when_token_is_set_then_the_others_follow(
    totem: str, nodes: str, expected: tuple[int, ...]
) -> None:
    assert milliseconds(ring(totem, nodes)) == expected


def test_ring_when_every_key_is_set_then_it_is_taken() -> None:
    totem = (
        "token_warning: 0\njoin: 60\nsend_join: 80\nmerge: 250\nfail_recv_const: 9\n"
        "seqno_unchanged_const: 8\nmiss_count_const: 7\nwindow_size: 6\nmax_messages: 5\n"
        "cancel_token_hold_on_retransmit: yes\nnetmtu: 8982"
    )
    assert ring(totem) == RingSettings(
        token_warning_percent=0,
        join_ns=60 * MS,
        send_join_ns=80 * MS,
        merge_ns=250 * MS,
        fail_recv_const=9,
        seqno_unchanged_const=8,
        miss_count_const=7,
        window_size=6,
        max_messages=5,
        native_window_size=6,
        native_max_messages=5,
        cancel_token_hold_on_retransmit=True,
        net_mtu_bytes=8982,
    )


@pytest.mark.parametrize(
    "name",
    [
        "token_retransmits_before_loss_const",
        "join",
        "merge",
        "fail_recv_const",
        "seqno_unchanged_const",
        "miss_count_const",
        "window_size",
        "max_messages",
        "netmtu",
        "consensus",
        "token_retransmit",
    ],
)
def test_ring_when_zero_is_written_then_the_default_holds(name: str) -> None:
    assert ring(f"{name}: 0") == RingSettings()


@pytest.mark.parametrize(
    ("totem", "error"),
    [
        ("token: 29", "f:4: totem.token: found 29 ms; allowed: at least 30 ms"),
        ("token: 125", "f:4: totem.token_retransmit: comes to 29 ms for a token of 125 ms"),
        ("token_retransmit: 29", "f:4: totem.token_retransmit: found 29 ms"),
        ("hold: 13", "f:4: totem.hold: found 13 ms; allowed: at least 14 ms"),
        ("join: 29", "f:4: totem.join: found 29 ms"),
        ("merge: 29", "f:4: totem.merge: found 29 ms"),
        ("downcheck: 29", "f:4: totem.downcheck: found 29 ms"),
        ("max_network_delay: 29", "f:4: totem.max_network_delay: found 29 ms"),
        ("consensus: 29", "f:4: totem.consensus: found 29 ms; allowed: at least 30 ms"),
        ("consensus: 49", "f:4: totem.consensus: found 49 ms; allowed: at least join, 50 ms"),
        ("join: 3601", "totem.consensus: found 3600 ms; allowed: at least join, 3601 ms"),
        ("token_warning: 101", "f:4: totem.token_warning: found 101; allowed: 0..100 %"),
        ("token: 1000ms", "f:4: totem.token: found 1000ms; allowed: 30..4294967295 ms"),
        ("token: 4294967296", "f:4: totem.token: found 4294967296"),
        ("token: -1", "f:4: totem.token: found -1"),
        ("token: ١٠٠٠", "f:4: totem.token: found ١٠٠٠"),
        ("token: 1_000", "f:4: totem.token: found 1_000"),
        ("netmtu: 255", "f:4: totem.netmtu: found 255; allowed: 256..65507 bytes"),
    ],
)
def test_ring_when_a_bound_is_broken_then_key_and_bound_are_told(totem: str, error: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        ring(totem)
    assert any(error in line for line in caught.value.errors), caught.value.errors
