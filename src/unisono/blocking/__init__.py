"""The blocking door: the same names as asyncio's, without `await`; safe in a thread.

Speaks:      with the local daemon, through the client core.
Counterpart: corosync lib/cpg.c with cpg_dispatch(CS_DISPATCH_BLOCKING).
Keeps:       a send has gone to the daemon when the call returns; iteration blocks.
Never:       an event loop, a thread of its own.
See:         `session`, `group` and `node` are made from `unisono.aio` (make rewrite).
"""

from unisono.base.errors import ClusterError, ConnectionLost, UnisonoError, UsageError
from unisono.blocking.group import Group
from unisono.blocking.node import Node, connect
from unisono.client.values import Batch, Gap, Member, Message, Reason, Ring, View

__all__ = [
    "Batch",
    "ClusterError",
    "ConnectionLost",
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
    "connect",
]
