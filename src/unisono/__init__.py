"""Unisono: a high-availability cluster engine; processes see the same messages in the same order.

    async with unisono.connect() as node, node.group("orders") as group:
        await group.send(b"hello")
        async for event in group:
            ...

The same without `await` is `unisono.blocking`. Names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unisono import blocking
    from unisono.aio.group import Group
    from unisono.aio.node import Node, connect
    from unisono.base.errors import (
        ClusterError,
        ConnectionLost,
        CsError,
        UnisonoError,
        UsageError,
        WireError,
    )
    from unisono.client.values import Batch, Gap, Member, Message, Reason, Ring, View

__all__ = [
    "Batch",
    "ClusterError",
    "ConnectionLost",
    "CsError",
    "Gap",
    "Group",
    "Member",
    "Message",
    "Node",
    "Reason",
    "Ring",
    "UnisonoError",
    "UsageError",
    "View",
    "WireError",
    "blocking",
    "connect",
]

_HOMES = {
    "unisono.aio.group": ("Group",),
    "unisono.aio.node": ("Node", "connect"),
    "unisono.base.errors": (
        "ClusterError",
        "ConnectionLost",
        "CsError",
        "UnisonoError",
        "UsageError",
        "WireError",
    ),
    "unisono.client.values": ("Batch", "Gap", "Member", "Message", "Reason", "Ring", "View"),
}


def __getattr__(name: str) -> object:
    """Load a public name from its home; a daemon that imports us loads no client."""
    if name == "blocking":
        return import_module("unisono.blocking")
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(home), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'unisono' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
