"""Processes: the programs under test as the simulated machines see them.

Keeps:       one process id for all connections of a process; who is dead connects no more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeAlias

import unisono
from unisono.aio.backend import Connection
from unisono.aio.native import NativeConnection
from unisono.aio.node import TIMEOUT_SECONDS
from unisono.base.errors import ConnectionLost, UsageError
from unisono.base.ids import NodeId, Pid
from unisono.ipc.endpoint import Endpoint
from unisono.testing.stream import Stream

if TYPE_CHECKING:
    from unisono.testing.cluster import Cluster

Opener: TypeAlias = Callable[[Endpoint], Awaitable[Connection]]


class Process:
    """A process on a simulated machine; made by `Cluster.process` and `Cluster.spawn`.

    It is the `instance` that its programs give to `unisono.connect`. Programs that were spawned
    may as well call `unisono.connect()`: they reach the daemon of their machine.
    """

    def __init__(self, cluster: "Cluster", node: NodeId, pid: Pid) -> None:
        self.node = node
        self.pid = pid
        self.task: asyncio.Task[Any] | None = None
        """What was spawned, if it was."""
        self.is_alive = True
        self.was_awaited = False
        self._cluster = cluster
        self._streams: list[Stream] = []

    def __fspath__(self) -> str:
        return f"/simulated/{self.node}/{self.pid}"

    def __str__(self) -> str:
        return f"{self.node}:{self.pid}"

    @property
    def failure(self) -> BaseException | None:
        """What the spawned program raised, once it did; None for one that was killed."""
        task = self.task
        if task is None or not self.is_alive or not task.done() or task.cancelled():
            return None
        return task.exception()

    def connect(self, *, reconnect: bool = False, timeout: float = TIMEOUT_SECONDS) -> unisono.Node:
        """`unisono.connect` to the daemon of this machine, as this process."""
        return unisono.connect(self, reconnect=reconnect, timeout=timeout)

    def kill(self) -> None:
        """SIGKILL: its connections end, and so does what was spawned."""
        self.is_alive = False
        streams, self._streams = self._streams, []
        for stream in streams:
            stream.kill()
        if self.task is not None:
            self.task.cancel()

    async def wait(self) -> Any:
        """What the spawned program returns, once it does; raises what it raises, None if killed."""
        if self.task is None:
            raise UsageError("nothing was spawned in this process")
        self.was_awaited = True
        await asyncio.wait([self.task])
        return self.task.result() if self.is_alive else None

    async def open(self, endpoint: Endpoint) -> Connection:
        """Connect to the local daemon; ConnectionLost when there is none."""
        if not self.is_alive:
            await self._do_nothing()
        desk = self._cluster.desk(self.node)
        if endpoint.name == "cpg" or not desk.node.running:
            raise ConnectionLost(f"no daemon at {endpoint}")
        stream = desk.connect(self.pid)
        self._streams = [each for each in self._streams if not each.is_closed]
        self._streams.append(stream)
        return NativeConnection(stream)

    async def _do_nothing(self) -> None:
        """A dead process does not even fail, but a test that goes on with its node is wrong."""
        if self.task is None:
            raise UsageError(f"process {self} was killed")
        await asyncio.get_running_loop().create_future()

    def start(
        self,
        program: Callable[..., Any],
        arguments: tuple[Any, ...],
        context: Context,
    ) -> None:
        """Run `program(self, *arguments)` as a task of the running loop."""
        coroutine = program(self, *arguments)
        self.task = asyncio.get_running_loop().create_task(
            coroutine, name=f"process {self}", context=context
        )
