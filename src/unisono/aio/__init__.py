"""The asyncio door: `connect`, nodes and groups for programs with an event loop.

Speaks:      with the local daemon, through the client core.
Counterpart: corosync lib/cpg.c for programs that dispatch themselves.
Keeps:       waiting is the only thing an `await` adds: state changes happen in the core.
Never:       starts a task or a thread that outlives the call (a libqb connect borrows one).
See:         `session`, `group` and `node` are the source of `unisono.blocking`.
"""

from unisono.aio.group import Group
from unisono.aio.node import Node, connect

__all__ = ["Group", "Node", "connect"]
