"""Views in words: the membership lines that administrators look for in the log.

Counterpart: corosync exec/totemsrp.c, log of memb_state_operational_enter.
"""

from collections.abc import Iterable

from unisono.base.group import ConfigurationChanged


def membership_text(event: ConfigurationChanged, left: Iterable[int]) -> str:
    """`A new membership (1.c) was formed. Members joined: 2 left: 3` for a regular configuration.

    `left` is told by the transitional configuration before it.
    """
    joined, gone = _numbers(event.joined), _numbers(left)
    text = f"A new membership ({event.ring}) was formed. Members"
    return text + (f" joined:{joined}" if joined else "") + (f" left:{gone}" if gone else "")


def members_text(event: ConfigurationChanged) -> str:
    """`Members[3]: 1 2 3`."""
    return f"Members[{len(event.members)}]:{_numbers(event.members)}"


def _numbers(nodes: Iterable[int]) -> str:
    return "".join(f" {node}" for node in sorted(nodes))
