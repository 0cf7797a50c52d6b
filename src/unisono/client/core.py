"""The core of one connection: what it has joined, what came in, what is to go out.

Speaks:      nothing itself; `native` and `cpg` are the two tongues.
Counterpart: corosync lib/cpg.c.
Keeps:       views and messages in the order of arrival; own view completes a join or a leave;
             what was handed out decides `members`, so that it fits the stream of events.
Never:       waits, reads a clock, touches a socket.
See:         the drivers (aio, blocking) call `receive`, then look at `version` to wake waiters.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError, WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.ids import NodeId, Pid
from unisono.base.limits import (
    CLIENT_ANSWERS_MAX,
    CLIENT_INBOX_BYTES_MAX,
    CLIENT_SENDERS_MAX,
    CLIENT_UNREAD_SECONDS_MAX,
    GROUP_NAME_BYTES_MAX,
    MESSAGE_BYTES_MAX,
)
from unisono.client.values import REASONS, Batch, BatchEvent, Gap, Member, Reason, Ring, View
from unisono.wire.block import decode_block, sole_payload

_ENTRY_BYTES: Final = 64
"""What a waiting entry of the inbox counts beside its bytes."""


class State(Enum):
    """Where a connection stands."""

    GREETING = "greeting"
    READY = "ready"
    JOINING = "joining"
    JOINED = "joined"
    LEAVING = "leaving"
    LEFT = "left"
    LOST = "lost"


class Added(Enum):
    """Answer to a message that was added: does the driver have to do something?"""

    BUFFERED = 0
    """No: a flush is due already."""
    FIRST = 1
    """Flush at the end of this turn."""
    FULL = 2
    """Flush now, and wait if the socket is full."""


@event
class Block:
    """A block as it came, with `sender`; decoded only when the user asks for it."""

    sender: Member
    block: bytes


@event
class Answer:
    """Answer to a question; `error` is a cs_error_t."""

    error: int
    body: bytes


class Entry(NamedTuple):
    """A process in a list of the wire."""

    node_id: NodeId
    pid: Pid
    reason: int


class Core(ABC):
    """State of one connection. Drivers own it; `fail` is the last thing that happens to it."""

    __slots__ = (
        "_answers",
        "_gave",
        "_questions",
        "_rings",
        "_senders",
        "_took",
        "dropped_blocks",
        "inbox",
        "lost",
        "me",
        "members",
        "name",
        "refused",
        "state",
        "version",
    )

    def __init__(self) -> None:
        self.state = State.GREETING
        self.me = Member(NodeId(0), Pid(0))
        """This process, once READY."""
        self.name = b""
        self.members: tuple[Member, ...] = ()
        """Members of the group as of the last view that was handed out."""
        self.inbox: deque[Block | BatchEvent] = deque()
        self.refused: CsError | None = None
        """The daemon's no to the greeting, the join or the leave; cleared by the next try."""
        self.lost = ""
        """Why the connection ended, in state LOST."""
        self.version = 0
        """Grows whenever something came in: drivers wake waiters when it did."""
        self.dropped_blocks = 0
        """Blocks of other members that were malformed."""
        self._rings = False
        self._took = 0
        self._gave = 0
        self._senders: dict[tuple[int, int], Member] = {}
        self._questions = 0
        self._answers: dict[int, Answer | None] = {}

    # -- orders of the driver; each leaves something to send ---------------------------------------

    @abstractmethod
    def greet(self) -> None:
        """Introduce ourselves; READY follows, or `refused`."""

    def join(self, name: bytes, *, rings: bool) -> None:
        """Ask to join; JOINED follows with the view that shows us, or READY with `refused`."""
        if self.state is not State.READY:
            raise UsageError(f"join in state {self.state.value}")
        if len(name) > GROUP_NAME_BYTES_MAX:
            what = f"group name of {len(name)} bytes, at most {GROUP_NAME_BYTES_MAX}"
            raise ClusterError(CsError.NAME_TOO_LONG, what)
        self.name, self._rings = name, rings
        self.refused = None
        self.state = State.JOINING
        self._put_join()

    def leave(self) -> None:
        """Ask to leave; LEFT follows with the view that shows it. Unread events are discarded."""
        if self.state is not State.JOINED:
            raise UsageError(f"leave in state {self.state.value}")
        self.refused = None
        self.state = State.LEAVING
        self._gave = self._took
        self.inbox.clear()
        self._put_leave()

    @abstractmethod
    def add(self, data: Buffer, safe: bool = False) -> Added:
        """Queue one message; UsageError unless joined, TOO_BIG above 1 MiB."""

    @abstractmethod
    def add_many(self, payloads: Sequence[Buffer], start: int, safe: bool = False) -> int:
        """Queue messages from index `start` on, as many as is sensible; where it stopped."""

    @abstractmethod
    def ask_status(self) -> int:
        """Ask for the daemon's status; the number under which the answer will be found."""

    @abstractmethod
    def ask_members(self, name: bytes) -> int:
        """Ask for a group's members; the number under which the answer will be found."""

    @abstractmethod
    def read_members(self, body: bytes) -> tuple[Member, ...]:
        """The members in an answer to `ask_members`; WireError."""

    # -- events of the driver ----------------------------------------------------------------------

    def fail(self, reason: str) -> None:
        """The connection ended. What came before may still be taken."""
        if self.state is not State.LOST:
            self.state = State.LOST
            self.lost = reason
            self.version += 1

    def check(self) -> None:
        """ConnectionLost if the connection has ended: a fresh exception for each who waits."""
        if self.state is State.LOST:
            raise ConnectionLost(self.lost)

    # -- what the user takes -----------------------------------------------------------------------

    @property
    def taken_bytes(self) -> int:
        """Bytes that were taken so far."""
        return self._gave

    @property
    def inbox_bytes(self) -> int:
        """Bytes that wait to be taken."""
        return self._took - self._gave

    def take(self) -> BatchEvent | None:
        """The oldest event that waits, or None."""
        while self.inbox:
            item = self.inbox.popleft()
            if isinstance(item, Block):
                self._gave += len(item.block) + _ENTRY_BYTES
                try:
                    return Batch(item.sender, decode_block(item.block))
                except WireError:
                    # A member sent it and every member drops it alike: the order stays the same.
                    self.dropped_blocks += 1
                    continue
            self._gave += _ENTRY_BYTES
            if isinstance(item, View):
                self.members = item.members
            elif isinstance(item, Batch):
                self._gave += sum(map(len, item.payloads))
            return item
        return None

    def continue_after(self, before: "Core") -> None:
        """Take over the unread events of a lost connection, then a Gap, before our first view."""
        self.inbox.extendleft(reversed([*before.inbox, Gap()]))
        self._took += before.inbox_bytes + _ENTRY_BYTES
        self.members = before.members

    def has_answer(self, question: int) -> bool:
        """Whether the answer has come."""
        return self._answers.get(question) is not None

    def forget(self, question: int) -> Answer | None:
        """The answer if it has come; afterwards nobody waits for it."""
        return self._answers.pop(question, None)

    def check_read(self, taken: int, waited: float) -> None:
        """ClusterError TIMEOUT when a send that waits `waited` seconds would wait for ever.

        The inbox is full and nothing was taken since `taken`: so the daemon cannot hand over what
        it has, so it stops reading what we send.
        """
        full = self.inbox_bytes > CLIENT_INBOX_BYTES_MAX
        if full and taken == self._gave and waited >= CLIENT_UNREAD_SECONDS_MAX:
            what = "nobody reads the events of this group, so nothing more can be sent to it"
            raise ClusterError(CsError.TIMEOUT, what)

    # -- for the tongues ---------------------------------------------------------------------------

    @abstractmethod
    def _put_join(self) -> None:
        """Queue a JOIN of `name`."""

    @abstractmethod
    def _put_leave(self) -> None:
        """Queue a LEAVE."""

    def _question(self) -> int:
        if len(self._answers) >= CLIENT_ANSWERS_MAX:
            raise ClusterError(CsError.NO_RESOURCES, "too many questions without an answer")
        self._questions = self._questions + 1 & 0x7FFF_FFFF
        self._answers[self._questions] = None
        return self._questions

    def _on_greeted(self, node_id: NodeId, pid: Pid) -> None:
        self.me = Member(node_id, pid)
        self.state = State.READY

    def _on_reply(self, error: int) -> None:
        """The answer to our greeting, join or leave."""
        if error == CsError.OK:
            return
        self.refused = cs_error(error)
        if self.state is State.JOINING:
            self.state = State.READY
        elif self.state is State.LEAVING:
            self.state = State.JOINED

    def _on_answer(self, question: int, error: int, body: bytes) -> None:
        if question in self._answers:
            self._answers[question] = Answer(error, body)

    def _on_view(
        self, members: Iterable[Entry], joined: Iterable[Entry], left: Iterable[Entry]
    ) -> None:
        now = tuple(self._member(entry.node_id, entry.pid) for entry in members)
        gone = self._with_reasons(left)
        if self.state is State.LEAVING:
            if self.me in gone:
                self.state = State.LEFT
            return
        if self.state is State.JOINING and self.me in now:
            self.state = State.JOINED
            self.members = self.members or now
        if self.state is State.JOINED:
            self._put(View(now, self._with_reasons(joined), gone))

    def _on_ring(self, ring: Ring) -> None:
        if self._rings and self.state in (State.JOINING, State.JOINED):
            self._put(ring)

    def _on_block(self, node_id: int, pid: int, block: memoryview) -> None:
        if self.state is not State.JOINED:
            return
        # What is kept is copied here, once: the view ends with the next read.
        sender, payload = self._member(node_id, pid), sole_payload(block)
        if payload is None:
            self.inbox.append(Block(sender, bytes(block)))
            self._took += len(block) + _ENTRY_BYTES
        else:
            self.inbox.append(Batch(sender, [bytes(payload)]))
            self._took += len(payload) + _ENTRY_BYTES

    def _put(self, item: BatchEvent) -> None:
        self.inbox.append(item)
        self._took += _ENTRY_BYTES

    def _member(self, node_id: int, pid: int) -> Member:
        """One object for each member: senders compare fast and cost nothing per message."""
        member = self._senders.get((node_id, pid))
        if member is None:
            if len(self._senders) >= CLIENT_SENDERS_MAX:
                self._senders.clear()
            member = Member(NodeId(node_id), Pid(pid))
            self._senders[node_id, pid] = member
        return member

    def _with_reasons(self, entries: Iterable[Entry]) -> dict[Member, Reason]:
        return {
            self._member(node_id, pid): REASONS.get(reason, Reason.UNDEFINED)
            for node_id, pid, reason in entries
        }

    def _check_joined(self) -> None:
        self.check()
        if self.state is not State.JOINED:
            raise UsageError("not in the group: join first (`async with`), and do not send after")


def as_bytes(data: Buffer) -> bytes:
    """A copy that the caller cannot change any more; TypeError for what is not bytes-like."""
    return data if type(data) is bytes else bytes(memoryview(data))


def too_big(length: int) -> ClusterError:
    """The refusal of a message above 1 MiB."""
    what = f"message of {length} bytes, at most {MESSAGE_BYTES_MAX}"
    return ClusterError(CsError.TOO_BIG, what)


def cs_error(code: int) -> CsError:
    """The error with this number; LIBRARY for a number that is none."""
    try:
        return CsError(code)
    except ValueError:
        return CsError.LIBRARY
