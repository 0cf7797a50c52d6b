"""Timers: the ring's time-outs and constants from the totem section and the number of nodes.

Counterpart: corosync exec/totemconfig.c, totem_volatile_config_read and _validate.
Keeps:       milliseconds in, nanoseconds out; derived values are cut to whole milliseconds in the
             order and precision of the original, so that all members of a ring agree.
"""

from struct import Struct
from typing import Final

from unisono.base.ids import MS
from unisono.base.limits import SECURE_FRAME_BYTES_MAX
from unisono.config.document import Block, row_of
from unisono.config.problems import Report
from unisono.config.settings import (
    NATIVE_MAX_MESSAGES,
    NATIVE_WINDOW_SIZE,
    SECURE_MAX_MESSAGES,
    SECURE_WINDOW_SIZE,
    RingSettings,
)

_FLOAT_LAYOUT: Final = Struct("=f")
assert _FLOAT_LAYOUT.size == 4
_RETRANSMIT_SLACK: Final = 0.2
_HOLD_PART: Final = 0.8
_HOLD_TICK_MS: Final = 10
_CONSENSUS_PART: Final = 1.2
_SCALED_FROM: Final = 2
"""Nodes that the token time-out is meant for; each further one adds the coefficient."""


def token_ms(totem: Block, node_count: int) -> int:
    """Token time-out in force: scaled beyond two nodes, also when it is set by hand."""
    extra = max(0, node_count - _SCALED_FROM) * totem.number("token_coefficient")
    return totem.number("token") + extra


def ring_settings(
    totem: Block, node_count: int, report: Report, *, secure: bool = False
) -> RingSettings:
    """Derive every timer and check the bounds; faults go to `report`. `secure`: transport ust."""
    window = SECURE_WINDOW_SIZE if secure else NATIVE_WINDOW_SIZE
    visit = SECURE_MAX_MESSAGES if secure else NATIVE_MAX_MESSAGES
    token = token_ms(totem, node_count)
    losses = totem.number("token_retransmits_before_loss_const")
    retransmit = _given_or(totem, "token_retransmit", int(token / (losses + _RETRANSMIT_SLACK)))
    hold = _given_or(totem, "hold", int(retransmit * _HOLD_PART - _HOLD_TICK_MS))
    consensus = _given_or(totem, "consensus", _single_precision(_CONSENSUS_PART * token))
    join = totem.number("join")
    times = {
        "token": token,
        "token_retransmit": retransmit,
        "hold": hold,
        "join": join,
        "consensus": consensus,
    }
    times |= {name: totem.number(name) for name in ("merge", "downcheck", "max_network_delay")}
    _check_bounds(totem, times, report)
    if consensus < join:
        report.error(
            totem.place_of("consensus"),
            "totem.consensus",
            f"found {consensus} ms; allowed: at least join, {join} ms",
        )
    return RingSettings(
        token_timeout_ns=token * MS,
        token_warning_percent=totem.number("token_warning"),
        token_retransmit_ns=retransmit * MS,
        hold_ns=hold * MS,
        join_ns=join * MS,
        send_join_ns=totem.number("send_join") * MS,
        consensus_ns=consensus * MS,
        merge_ns=times["merge"] * MS,
        fail_recv_const=totem.number("fail_recv_const"),
        seqno_unchanged_const=totem.number("seqno_unchanged_const"),
        miss_count_const=totem.number("miss_count_const"),
        window_size=totem.number("window_size"),
        max_messages=totem.number("max_messages"),
        native_window_size=_given_or(totem, "window_size", window),
        native_max_messages=_given_or(totem, "max_messages", visit),
        cancel_token_hold_on_retransmit=totem.switch("cancel_token_hold_on_retransmit"),
        net_mtu_bytes=SECURE_FRAME_BYTES_MAX if secure else totem.number("netmtu"),
    )


def _given_or(totem: Block, name: str, derived: int) -> int:
    return totem.number(name) if totem.has(name) else derived


def _single_precision(value: float) -> int:
    """Cut to a whole number after rounding to a C float, as the original does for consensus."""
    (rounded,) = _FLOAT_LAYOUT.unpack(_FLOAT_LAYOUT.pack(value))
    return int(rounded)


def _check_bounds(totem: Block, times: dict[str, int], report: Report) -> None:
    """Every time in force has a least value; a derived one is blamed on what it comes from."""
    for name, value in times.items():
        low = row_of("totem", name).low
        if value >= low:
            continue
        if totem.has(name) or name == "token":
            reason = f"found {value} ms; allowed: at least {low} ms"
        else:
            token = times["token"]
            reason = f"comes to {value} ms for a token of {token} ms; allowed: at least {low} ms"
        report.error(totem.place_of(name if totem.has(name) else "token"), f"totem.{name}", reason)
