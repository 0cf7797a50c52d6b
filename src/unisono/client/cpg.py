"""The CPG tongue: one libqb request for each message, to a stock Corosync (or our own daemon).

Speaks:      libqb CPG, client side (wire.ipc.cpg).
Counterpart: corosync lib/cpg.c.
Keeps:       messages above 1,047,552 bytes go as fragments, and again from the first one when a
             view came between them.
Never:       semaphores, sockets: drivers send `output` in order and hand replies to `answer`.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from unisono.base.errors import ClusterError, CsError, WireError
from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.ids import Pid
from unisono.base.limits import CLIENT_UNSENT_BYTES_MAX, CPG_ATOMIC_BYTES_MAX, MESSAGE_BYTES_MAX
from unisono.client.assembly import Assembly
from unisono.client.core import Added, Core, Entry, State, as_bytes, too_big
from unisono.client.values import Batch, Member, Ring
from unisono.wire.ipc import cpg, qb

_GUARANTEES: Final = {False: cpg.GUARANTEE_AGREED, True: cpg.GUARANTEE_SAFE}
_REPLY_HEADER_BYTES: Final = qb.RESPONSE_HEADER.size


@event
class Request:
    """One libqb request; `called` if it has a reply, `multicast` if flow control may hold it."""

    pieces: Sequence[Buffer]
    called: bool = True
    multicast: bool = False
    question: int = 0


@event
class Fragments:
    """A message too large for one request; `at` is where the next fragment begins."""

    message: bytes
    safe: bool
    at: int = 0

    called = True
    multicast = True

    @property
    def pieces(self) -> Sequence[Buffer]:
        """The next fragment."""
        part = memoryview(self.message)[self.at : self.at + CPG_ATOMIC_BYTES_MAX]
        place = cpg.Fragment.CONTINUED
        if self.at == 0:
            place = cpg.Fragment.FIRST
        elif self.at + len(part) == len(self.message):
            place = cpg.Fragment.LAST
        guarantee = _GUARANTEES[self.safe]
        return (cpg.partial_mcast_header(len(part), len(self.message), place, guarantee), part)


class CpgCore(Core):
    """A connection to the CPG service; `pid` is this process's."""

    __slots__ = ("_assembly", "_fragmented", "_pid", "_unsent_bytes", "output")

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._pid = Pid(pid)
        self._unsent_bytes = 0
        self._fragmented = 0
        self._assembly = Assembly()
        self.output: deque[Request | Fragments] = deque()
        """To be sent in order: a request stays at the front until it is sent and answered."""

    # -- out ---------------------------------------------------------------------------------------

    def greet(self) -> None:
        """LOCAL_GET: what is our node id?"""
        self.output.append(Request((cpg.encode_local_get(),)))

    def _put_join(self) -> None:
        flags = cpg.JOIN_DELIVER_INITIAL_TOTEM_CONF if self._rings else 0
        self.output.append(Request((cpg.encode_join(self.name, self._pid, flags),)))

    def _put_leave(self) -> None:
        self.output.append(Request((cpg.encode_leave(self.name, self._pid),)))

    def add(self, data: Buffer, safe: bool = False) -> Added:
        """Queue one message."""
        self._check_joined()
        data = as_bytes(data)
        if len(data) > MESSAGE_BYTES_MAX:
            raise too_big(len(data))
        idle = not self.output
        self._unsent_bytes += len(data)
        if len(data) > CPG_ATOMIC_BYTES_MAX:
            self.output.append(Fragments(data, safe))
            self._fragmented += 1
            return Added.FULL
        header = cpg.mcast_header(len(data), _GUARANTEES[safe])
        self.output.append(Request((header, data), called=False, multicast=True))
        # Fragments have replies, so somebody must wait for them: that is for `flush`.
        if self._fragmented or self._unsent_bytes > CLIENT_UNSENT_BYTES_MAX:
            return Added.FULL
        return Added.FIRST if idle else Added.BUFFERED

    def add_many(self, payloads: Sequence[Buffer], start: int, safe: bool = False) -> int:
        """Queue messages up to the bound of what may be unsent."""
        for index in range(start, len(payloads)):
            if self.add(payloads[index], safe) is Added.FULL:
                return index + 1
        return len(payloads)

    def ask_status(self) -> int:
        """CPG has no such question."""
        raise ClusterError(CsError.NOT_SUPPORTED, "status over libqb")

    def ask_members(self, name: bytes) -> int:
        """MEMBERSHIP."""
        request = cpg.encode_membership_get(name)
        question = self._question()
        self.output.append(Request((request,), question=question))
        return question

    def read_members(self, body: bytes) -> tuple[Member, ...]:
        """The members in the reply."""
        reply = cpg.decode_membership_reply(memoryview(body))
        return tuple(self._member(member.node_id, member.pid) for member in reply.members)

    def sent(self) -> None:
        """The front of `output` was sent, and it has no reply."""
        request = self.output.popleft()
        assert isinstance(request, Request)
        self._unsent_bytes -= len(request.pieces[-1])

    def answer(self, reply: bytes) -> bool:
        """The front of `output` was sent and answered; False: it must be sent (again) later."""
        self.version += 1
        request = self.output[0]
        if isinstance(request, Fragments):
            return self._on_fragment_sent(request, cpg_status(reply))
        self.output.popleft()
        if request.question:
            self._on_answer(request.question, cpg_status(reply), reply)
        elif self.state is State.GREETING:
            error, node_id = cpg.decode_local_get_reply(memoryview(reply))
            self._on_reply(error)
            if error == CsError.OK:
                self._on_greeted(node_id, self._pid)
        else:
            self._on_reply(cpg_status(reply))
        return True

    def _on_fragment_sent(self, request: Fragments, error: int) -> bool:
        match error:
            case CsError.OK:
                request.at += len(request.pieces[-1])
            case CsError.INTERRUPT:
                # A view came between: the receivers have thrown the beginning away.
                request.at = 0
                return False
            case CsError.TRY_AGAIN:
                return False
            case _:
                raise WireError(f"a fragment was refused with error {error}")
        if request.at == len(request.message):
            self.output.popleft()
            self._fragmented -= 1
            self._unsent_bytes -= len(request.message)
        return True

    # -- in ----------------------------------------------------------------------------------------

    def receive(self, events: Sequence[bytes]) -> None:
        """Take events in order; WireError when the daemon talks nonsense."""
        batch: Batch | None = None
        for data in events:
            message = memoryview(data)
            delivered = self._delivered(message)
            if delivered is None:
                self._put_batch(batch)
                batch = None
                self._on_change(message)
                continue
            sender, payload = delivered
            if payload is None:
                continue
            if batch is None or batch.sender is not sender:
                self._put_batch(batch)
                batch = Batch(sender, [])
            assert isinstance(batch.payloads, list)
            batch.payloads.append(payload)
        self._put_batch(batch)
        self.version += 1

    def _delivered(self, message: memoryview) -> tuple[Member, bytes | None] | None:
        """(sender, message, or None if it is not complete); None if this is no delivery."""
        match qb.message_id(message):
            case cpg.Response.DELIVER:
                event = cpg.decode_deliver(message)
                return self._member(event.node_id, event.pid), bytes(event.payload)
            case cpg.Response.PARTIAL_DELIVER:
                part = cpg.decode_partial_deliver(message)
                sender = self._member(part.node_id, part.pid)
                return sender, self._assembly.add(sender, part)
            case _:
                return None

    def _on_change(self, message: memoryview) -> None:
        match qb.message_id(message):
            case cpg.Response.CONFCHG:
                change = cpg.decode_confchg(message)
                if change.name != self.name:
                    return
                parts = [_entries(p) for p in (change.members, change.joined, change.left)]
                self._on_view(*parts)
                self._assembly.forget(Member(gone.node_id, gone.pid) for gone in change.left)
            case cpg.Response.TOTEM_CONFCHG:
                ring = cpg.decode_totem_confchg(message)
                self._on_ring(Ring(ring.ring, tuple(ring.members)))
            case other:
                raise WireError(f"event with id {other}")

    def _put_batch(self, batch: Batch | None) -> None:
        if batch is not None and self.state is State.JOINED:
            self._put(batch)
            self._took += sum(map(len, batch.payloads))


def cpg_status(reply: bytes) -> int:
    """The cs_error_t of a reply of any length; WireError when it is none."""
    if len(reply) < _REPLY_HEADER_BYTES:
        raise WireError(f"reply of {len(reply)} bytes has no header")
    return int(qb.RESPONSE_HEADER.unpack_from(reply)[2])


def _entries(members: Sequence[cpg.Member]) -> list[Entry]:
    return [Entry(*member) for member in members]
