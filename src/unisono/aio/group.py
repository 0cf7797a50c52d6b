"""A process group: join it, send to it, receive from it in the agreed order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from unisono.aio.backend import Connection, Lock, now, sleep
from unisono.aio.session import insist
from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError
from unisono.base.group import Buffer
from unisono.client.core import Added, State
from unisono.client.values import Batch, BatchEvent, Event, Member, Message

if TYPE_CHECKING:
    from unisono.aio.node import Node

_PATIENCE: Final = frozenset(
    {CsError.LIBRARY, CsError.TRY_AGAIN, CsError.TIMEOUT, CsError.BUSY, CsError.EXIST}
)
"""What a rejoin lives through: the daemon is away, forming its ring, or still forgetting us."""
_BUFFERED: Final = Added.BUFFERED
_BACK_OFF_SECONDS_MIN: Final = 0.05
_BACK_OFF_SECONDS_MAX: Final = 5.0


class Group:
    """A closed process group; made by `Node.group`, joined by `async with` or `join`.

    Several tasks may send; one should receive. Events that nobody receives are kept up to a
    bound; beyond it the daemon, and in the end every sender of the group, has to wait: so read
    while you send. A send that waits for its own reader's sake ends with TIMEOUT.
    """

    __slots__ = (
        "_add",
        "_connection",
        "_me",
        "_messages",
        "_name",
        "_node",
        "_recovering",
        "_rings",
    )

    def __init__(self, node: Node, name: bytes, *, rings: bool) -> None:
        self._node = node
        self._name = name
        self._rings = rings
        self._connection: Connection | None = None
        self._add: Callable[[Buffer, bool], Added] = _refuse
        self._me: Member | None = None
        self._messages: Iterator[Message] = iter(())
        self._recovering = Lock()

    # -- membership --------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self.join()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A daemon that is gone, or too busy to answer, takes us out of the group by itself.
        with suppress(ConnectionLost):
            try:
                await self.leave()
            except ClusterError as reason:
                if reason.code is not CsError.TIMEOUT:
                    raise

    async def join(self) -> None:
        """Join; done when the view that contains this process has arrived (and waits to be read).

        ClusterError EXIST (this process is in the group already), NAME_TOO_LONG, ACCESS, TIMEOUT.
        """
        if self._connection is not None:
            raise UsageError("joined already")
        self._use(await self._enter(now() + self._node.timeout))

    async def leave(self) -> None:
        """Leave; done when the group has seen it. Unread events are discarded, iteration ends."""
        connection = self._connection
        if connection is None:
            return
        core = connection.core
        try:
            if core.state is State.JOINED:
                deadline = now() + self._node.timeout
                await insist(connection, core.leave, lambda: core.state is State.LEFT, deadline)
        finally:
            self.close()

    def close(self) -> None:
        """Drop the connection at once: to the others, this process ended."""
        connection, self._connection = self._connection, None
        self._add = _refuse
        self._messages = iter(())
        self._node.groups.discard(self)
        if connection is not None:
            connection.close()

    @property
    def name(self) -> bytes:
        """The group's name."""
        return self._name

    @property
    def me(self) -> Member:
        """This process as the group knows it; UsageError before the first join."""
        if self._me is None:
            raise UsageError("join the group first")
        return self._me

    @property
    def members(self) -> tuple[Member, ...]:
        """The members as of the last view received from this object (at first, the join's)."""
        return () if self._connection is None else self._connection.core.members

    # -- sending -----------------------------------------------------------------------------------

    async def send(self, data: Buffer, *, safe: bool = False) -> None:
        """Send one message of at most 1 MiB; waits only while too much is unsent.

        Messages of one turn travel together. `safe`: nobody receives it before every member of
        the ring holds it. ClusterError TOO_BIG; ConnectionLost; UsageError when not joined.
        """
        try:
            added = self._add(data, safe)
        except ConnectionLost:
            await self._recover(self._connection)
            added = self._add(data, safe)
        if added is not _BUFFERED:
            await self._flush(self._connection, added)

    async def send_many(self, payloads: Sequence[Buffer], *, safe: bool = False) -> None:
        """Send messages in order: cheaper than one `send` each, with the same waiting."""
        start = 0
        while start < len(payloads):
            connection = self._connection
            if connection is None:
                _refuse(b"", False)
                return
            try:
                start = connection.add_many(payloads, start, safe)
            except ConnectionLost:
                await self._recover(connection)
            else:
                added = Added.FULL if start < len(payloads) else Added.FIRST
                await self._flush(connection, added)

    async def _flush(self, connection: Connection | None, added: Added) -> None:
        """Send what is complete. A connection lost meanwhile is found again if so configured."""
        if connection is None:
            return
        try:
            if added is Added.FULL or not connection.flush_soon():
                await connection.flush()
        except ConnectionLost:
            await self._recover(connection)

    # -- receiving ---------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        """Events one by one; ends when the group is left. Stopping in between loses nothing."""
        return self._events()

    async def _events(self) -> AsyncGenerator[Event, None]:
        while True:
            for message in self._messages:
                yield message
            item = await self._take(None)
            if item is None:
                return
            if isinstance(item, Batch):
                self._messages = map(Message, repeat(item.sender), item.payloads)
            else:
                yield item

    async def batches(self) -> AsyncGenerator[BatchEvent, None]:
        """Events with messages in lists as they travelled: the fastest way to receive."""
        while True:
            rest = list(self._messages)
            if rest:
                yield Batch(rest[0].sender, [message.data for message in rest])
            item = await self._take(None)
            if item is None:
                return
            yield item

    async def next(self, timeout: float | None = None) -> Event:
        """The next event; TimeoutError after `timeout` seconds; UsageError when not joined."""
        deadline = None if timeout is None else now() + timeout
        while True:
            for message in self._messages:
                return message
            try:
                item = await self._take(deadline)
            except ClusterError as reason:
                if reason.code is CsError.TIMEOUT:
                    raise TimeoutError("no event came in time") from reason
                raise
            if item is None:
                raise UsageError("not in the group: there is no next event")
            if not isinstance(item, Batch):
                return item
            self._messages = map(Message, repeat(item.sender), item.payloads)

    async def _take(self, deadline: float | None) -> BatchEvent | None:
        """The next event with messages still together; None when the group is left."""
        while True:
            connection = self._connection
            if connection is None:
                return None
            core = connection.core
            seen = core.version
            item = core.take()
            if item is not None:
                return item
            if core.state is State.LEAVING or core.state is State.LEFT:
                return None
            if core.state is State.LOST:
                await self._recover(connection)
            else:
                await connection.progress(seen, deadline)

    # -- finding the daemon, and finding it again --------------------------------------------------

    def _use(self, connection: Connection) -> None:
        self._connection = connection
        self._add = connection.add
        self._me = connection.core.me
        self._node.groups.add(self)

    async def _enter(self, deadline: float) -> Connection:
        connection = await self._node.open_connection(deadline)
        core = connection.core
        try:
            await insist(
                connection,
                lambda: core.join(self._name, rings=self._rings),
                lambda: core.state is State.JOINED,
                deadline,
            )
        except BaseException:
            connection.close()
            raise
        return connection

    async def _recover(self, lost: Connection | None) -> None:
        """Rejoin after `lost`, if so configured; else ConnectionLost. One does it for all."""
        if lost is None:
            return
        if not self._node.reconnect:
            lost.core.check()
        delay = _BACK_OFF_SECONDS_MIN
        async with self._recovering:
            while self._connection is lost:
                try:
                    found = await self._enter(now() + self._node.timeout)
                except ClusterError as reason:
                    if reason.code not in _PATIENCE:
                        raise
                    await sleep(delay)
                    delay = min(delay * 2, _BACK_OFF_SECONDS_MAX)
                    continue
                if self._connection is not lost:
                    found.close()
                    return
                found.core.continue_after(lost.core)
                self._use(found)
                lost.close()


def _refuse(_data: Buffer, _safe: bool) -> Added:
    raise UsageError("not in the group: join first (`async with`), and do not send after leaving")
