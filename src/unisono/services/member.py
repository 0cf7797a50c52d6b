"""Member: one local client that is, was or wants to be in a group; and what such a client is told.

Counterpart: corosync exec/cpg.c (struct cpg_pd, enum cpd_state).
Keeps:       one group a connection; a change is encoded once, however many clients hear of it.
Never:       decides about joins and leaves (cpg).
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from enum import Enum

from unisono.base.clients import Credentials
from unisono.base.group import Guarantee
from unisono.base.ids import ClientId
from unisono.base.limits import CPG_MEMBERS_MAX
from unisono.services.groups import Group
from unisono.wire.ipc.cpg import Member, encode_confchg
from unisono.wire.native import Member as NativeMember
from unisono.wire.native import encode_view
from unisono.wire.service.cpg import McastHeaders


class MemberState(Enum):
    """Where a connection stands; a leave that was delivered leads back to UNJOINED."""

    UNJOINED = "unjoined"
    JOIN_STARTED = "join started"
    JOINED = "joined"
    LEAVE_STARTED = "leave started"


class GroupChange:
    """A change of one group, encoded at most once in each form."""

    __slots__ = ("_group", "_left", "_joined", "_members", "_confchg", "_view")

    def __init__(self, group: Group, left: Sequence[Member], joined: Sequence[Member]) -> None:
        self._group = group
        self._members = tuple(group.members)
        self._left = left
        self._joined = joined
        self._confchg: bytes | None = None
        self._view: bytes | None = None

    def as_confchg(self) -> bytes:
        """For libcpg: lists are cut at what its arrays hold."""
        if self._confchg is None:
            lists = (self._members, self._left, self._joined)
            cut = [part[:CPG_MEMBERS_MAX] for part in lists]
            self._confchg = encode_confchg(self._group.name, *cut)
        return self._confchg

    def as_view(self) -> bytes:
        """For native clients."""
        if self._view is None:
            lists = (self._members, self._joined, self._left)
            self._view = encode_view(*([NativeMember(*one) for one in part] for part in lists))
        return self._view


class LocalMember(ABC):
    """The part of a client connection that concerns its group."""

    __slots__ = (
        "client",
        "pid",
        "state",
        "name",
        "headers",
        "wants_rings",
        "blocks",
        "leave_reason",
        "is_gone",
    )

    def __init__(self, client: ClientId, credentials: Credentials) -> None:
        self.client = client
        self.pid = credentials.pid
        self.state = MemberState.UNJOINED
        self.name = b""
        """The group, unless UNJOINED."""
        self.headers: McastHeaders | None = None
        """Headers of the client's messages; None when it may not send."""
        self.wants_rings = False
        self.blocks: deque[Guarantee] = deque()
        """Blocks of ours that are not yet ordered; a leave must not overtake them."""
        self.leave_reason: int | None = None
        """The reason of a leave that waits for `blocks`."""
        self.is_gone = False

    def reset(self) -> None:
        """The leave is delivered: the connection is as new, and may join any group."""
        self.state = MemberState.UNJOINED
        self.name = b""
        self.headers = None
        self.wants_rings = False

    @abstractmethod
    def attach(self, group: Group) -> None:
        """Messages of the group go to this client from now on."""

    @abstractmethod
    def detach(self, group: Group) -> None:
        """Messages of the group no longer go to this client."""

    @abstractmethod
    def group_changed(self, change: GroupChange) -> None:
        """Tell the client of a change of its group."""

    @abstractmethod
    def ring_changed(self, *, joined: bool) -> None:
        """Tell the client, if it wants to know, which ring there is; `joined`: after its join."""
