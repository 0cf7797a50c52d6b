"""Links: the interface sections of the secure transport, as settings of each link.

Counterpart: corosync exec/totemconfig.c, totem_volatile_config_set_*_value of knet's link keys;
             man corosync.conf(5), totem.interface.
Keeps:       a link's silence is always longer than the pause between its pings.
"""

import re
from collections.abc import Sequence
from typing import Final

from unisono.base.ids import MS
from unisono.base.limits import LINKS_MAX
from unisono.config.document import Block, Document
from unisono.config.problems import Report
from unisono.config.settings import UST, LinkSettings

_RING_ADDRESS: Final = re.compile(r"ring([0-9]+)_addr")
_PING_MS_MAX: Final = 100
"""Longest pause between pings that nobody asked for: heartbeats are cheap."""
_TIMEOUT_MS_MAX: Final = 400
"""Longest silence that nobody asked for: another link takes over within half a second."""


def link_of(key: str) -> int | None:
    """The link that `ringN_addr` is about, None for another key."""
    found = _RING_ADDRESS.fullmatch(key)
    return int(found[1]) if found else None


def port_of(document: Document, link: int) -> int:
    """UDP port of a link of the secure transport: as given, else one for each link."""
    block = _block_of(document, link)
    return block.number("mcastport") + (0 if block.has("mcastport") else link)


def link_settings(
    document: Document, numbers: Sequence[int], token_ms: int, report: Report
) -> tuple[LinkSettings, ...]:
    """Settings of the links `numbers`, ascending; `token_ms` is the token time-out in force."""
    return tuple(_settings(document, link, token_ms, report) for link in sorted(numbers))


def check_interfaces(document: Document, used: set[int], report: Report) -> None:
    """What the secure transport cannot do is refused, what it does not need is warned about."""
    for number, block in document.links.items():
        if number >= LINKS_MAX:
            report.error(
                block.place_of("linknumber"),
                "totem.interface.linknumber",
                f"found {number}; allowed: 0..{LINKS_MAX - 1}",
            )
        elif number not in used and set(block.given) - {"linknumber", "ringnumber"}:
            report.warning(
                block.place_of("linknumber"),
                "totem.interface",
                f"link {number} is without effect: no node has a ring{number}_addr",
            )
        _check_keys(block, report)


def _check_keys(block: Block, report: Report) -> None:
    if block.text("knet_transport") != "udp":
        report.error(
            block.place_of("knet_transport"),
            "totem.interface.knet_transport",
            f"found {block.text('knet_transport')}; allowed with transport {UST}: udp",
        )
    if block.number("ttl") != 1:
        report.error(
            block.place_of("ttl"),
            "totem.interface.ttl",
            f"found {block.number('ttl')}; allowed: 1, unless the transport is udp",
        )
    for name in ("bindnetaddr", "mcastaddr", "broadcast"):
        if block.text(name) not in {"", "no"}:
            report.warning(
                block.place_of(name), f"totem.interface.{name}", f"is ignored by transport {UST}"
            )


def _block_of(document: Document, link: int) -> Block:
    return document.links.get(link) or Block("totem.interface")


def _settings(document: Document, link: int, token_ms: int, report: Report) -> LinkSettings:
    block = _block_of(document, link)
    interval, timeout = _heartbeat_ms(block, token_ms)
    if timeout <= interval:
        report.error(
            block.place_of("knet_ping_timeout"),
            "totem.interface.knet_ping_timeout",
            f"found {timeout} ms; allowed: more than knet_ping_interval, {interval} ms",
        )
    return LinkSettings(
        number=link,
        port=port_of(document, link),
        priority=block.number("knet_link_priority"),
        ping_interval_ns=interval * MS,
        ping_timeout_ns=timeout * MS,
        pong_count=block.number("knet_pong_count"),
    )


def _heartbeat_ms(block: Block, token_ms: int) -> tuple[int, int]:
    """Pause between pings and silence of a dead link; what is not given follows what is."""
    pongs = block.number("knet_pong_count")
    interval, timeout = block.number("knet_ping_interval"), block.number("knet_ping_timeout")
    derived = max(2, min(token_ms // pongs, _TIMEOUT_MS_MAX))
    if not interval:
        interval = max(1, min(token_ms // (2 * pongs), _PING_MS_MAX))
        if timeout:
            interval = max(1, min(interval, timeout // 2))
    return interval, timeout or max(derived, 2 * interval)
