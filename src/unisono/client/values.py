"""What users of a group receive: members, messages, batches, views, rings and gaps.

Keeps:       a value never changes after it was handed out.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from unisono.base.event import event
from unisono.base.ids import NodeId, Pid, RingId


class Member(NamedTuple):
    """A process in a group: its node and its process id there."""

    node_id: NodeId
    pid: Pid

    def __str__(self) -> str:
        return f"{self.node_id}:{self.pid}"


class Reason(IntEnum):
    """Why a member joined or left (cpg_reason_t)."""

    UNDEFINED = 0
    JOIN = 1
    LEAVE = 2
    NODEDOWN = 3
    NODEUP = 4
    PROCDOWN = 5


@event
class Message:
    """A message of the group in its place in the agreed order; one's own come back as well."""

    sender: Member
    data: bytes


@event
class Batch:
    """Messages of one sender that follow each other in the agreed order."""

    sender: Member
    payloads: Sequence[bytes]


@event
class View:
    """The group has these members from here on. `joined` and `left` map members to reasons."""

    members: tuple[Member, ...]
    joined: Mapping[Member, Reason]
    left: Mapping[Member, Reason]


@event
class Ring:
    """The ring of daemons below changed; only for groups that asked for `rings`."""

    ring_id: RingId
    members: tuple[NodeId, ...]


@event
class Gap:
    """The daemon was lost and found again: what happened in between is unknown. A View follows."""


Event: TypeAlias = Message | View | Ring | Gap
"""What `async for event in group` gives."""
BatchEvent: TypeAlias = Batch | View | Ring | Gap
"""What `group.batches()` gives."""

REASONS: Final = {int(reason): reason for reason in Reason}
