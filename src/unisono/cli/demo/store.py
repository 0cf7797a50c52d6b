"""A replica of a key-value store over a process group: a machine without input and output.

Keeps:       equal order in, equal state out; an operation counts once, however often it is sent.

A newcomer gets the state from a *donor*, the lowest member that has it. The donor sends an OFFER;
where that stands in the order is the cut: the donor copies its state there, the newcomer keeps
everything behind it until the copy is complete, then works that off and says SYNCED.
"""

import json
import zlib
from collections import deque
from collections.abc import Iterable
from hashlib import sha256
from struct import Struct
from typing import Final

from unisono.base.errors import WireError
from unisono.client.values import Member

SET: Final = 1
OFFER: Final = 2
PART: Final = 3
SYNCED: Final = 4

SET_LAYOUT: Final = Struct("<BBHQ")
"""Kind, feeder, key length, number of the operation among the feeder's (from 1); key, value."""
assert SET_LAYOUT.size == 12
PART_LAYOUT: Final = Struct("<BBHIIQ")
"""Kind, last (0 or 1), unused, node and process of the newcomer, number from 0; then bytes."""
assert PART_LAYOUT.size == 20
ENTRY_LAYOUT: Final = Struct("<HI")
"""Length of a key, length of its value; then both."""
PART_BYTES_MAX: Final = 256 * 1024
"""Of the state in one part, before compression."""
COMPRESSION_LEVEL: Final = 1


def encode_set(feeder: int, number: int, key: bytes, value: bytes) -> bytes:
    """Operation `number` of `feeder`: `key` has `value` from here on."""
    return SET_LAYOUT.pack(SET, feeder, len(key), number) + key + value


def _encode_part(kind: int, member: Member, number: int = 0, last: bool = False) -> bytes:
    return PART_LAYOUT.pack(kind, last, 0, member.node_id, member.pid, number)


def digest_entries(entries: Iterable[tuple[bytes, bytes]]) -> str:
    """SHA-256 of keys and values, independent of the order in which they came."""
    total = sha256()
    for key, value in sorted(entries):
        total.update(ENTRY_LAYOUT.pack(len(key), len(value)))
        total.update(key)
        total.update(value)
    return total.hexdigest()


class Replica:
    """The state of one member, fed with the group's events in their order."""

    __slots__ = (
        "_donors",
        "_kept",
        "_giving",
        "_offered_by",
        "_outgoing",
        "_parts",
        "applied",
        "chain",
        "entries",
        "gaps",
        "me",
        "members",
        "messages",
        "received_bytes",
        "synced",
    )

    def __init__(self, me: Member, feeders: int, *, founder: bool) -> None:
        """`founder`: begins with an empty state of its own; exactly one member may."""
        self.me = me
        self.entries: dict[bytes, bytes] = {}
        self.applied = [0] * feeders
        """Number of the last operation of each feeder."""
        self.chain = bytes(32)
        """Digest over the operations in the order in which they were applied."""
        self.gaps = 0
        """Operations that were missing in a feeder's numbers: must stay 0."""
        self.messages = 0
        self.members: tuple[Member, ...] = ()
        self.synced: set[Member] = {me} if founder else set()
        self.received_bytes = 0
        """Size of the state that was transferred to this replica."""
        self._outgoing: deque[bytes] = deque()
        self._giving: deque[tuple[bytes, bytes]] = deque()
        """Head and content of the parts of the state that are still to be sent."""
        self._donors: dict[Member, Member] = {}
        self._offered_by: Member | None = None
        self._parts: list[bytes] = []
        self._kept: list[tuple[Member, bytes] | tuple[Member, ...]] = []

    @property
    def is_synced(self) -> bool:
        """Whether this replica has the state."""
        return self.me in self.synced

    @property
    def is_giving(self) -> bool:
        """Whether a newcomer waits for parts of the state from this replica."""
        return bool(self._giving)

    @property
    def has_outgoing(self) -> bool:
        """Whether `take` has something."""
        return bool(self._outgoing or self._giving)

    def take(self) -> bytes | None:
        """The next message that this replica wants to send to the group, None without one."""
        if self._outgoing:
            return self._outgoing.popleft()
        if self._giving:
            head, content = self._giving.popleft()
            return head + zlib.compress(content, COMPRESSION_LEVEL)
        return None

    def state_digest(self) -> str:
        """SHA-256 of the contents."""
        return digest_entries(self.entries.items())

    # -- events of the group -----------------------------------------------------------------------

    def view(self, members: tuple[Member, ...]) -> None:
        """The group consists of `members` from here on."""
        self.members = members
        if not self.is_synced:
            if self._offered_by is not None:
                self._kept.append(members)
            return
        self.synced.intersection_update(members)
        self._donors = {
            newcomer: donor
            for newcomer, donor in self._donors.items()
            if newcomer in members and donor in members
        }
        for newcomer in members:
            if newcomer not in self.synced and newcomer not in self._donors:
                self._donors[newcomer] = donor = min(self.synced)
                if donor == self.me:
                    self._outgoing.append(_encode_part(OFFER, newcomer))

    def message(self, sender: Member, data: bytes) -> None:
        """The next message in the order. WireError when it is none of ours."""
        self.messages += 1
        match data[0] if data else 0:
            case 1 | 4:
                self._ordered(sender, data)
            case 2 | 3 if len(data) >= PART_LAYOUT.size:
                _, last, _, node_id, pid, number = PART_LAYOUT.unpack_from(data)
                newcomer = Member(node_id, pid)
                if data[0] == OFFER:
                    self._on_offer(sender, newcomer)
                elif newcomer == self.me and sender == self._offered_by:
                    self._on_part(data[PART_LAYOUT.size :], number, bool(last))
            case _:
                raise WireError(f"unknown message of {len(data)} bytes from {sender}")

    def _ordered(self, sender: Member, data: bytes) -> None:
        if self.is_synced:
            self._apply(sender, data)
        elif self._offered_by is not None:
            self._kept.append((sender, data))

    def _apply(self, sender: Member, data: bytes) -> None:
        if data[0] == SYNCED:
            self.synced.add(sender)
            self._donors.pop(sender, None)
            return
        if len(data) < SET_LAYOUT.size:
            raise WireError(f"short operation of {len(data)} bytes from {sender}")
        _, feeder, key_len, number = SET_LAYOUT.unpack_from(data)
        if feeder >= len(self.applied):
            raise WireError(f"operation of feeder {feeder} from {sender}")
        if number <= self.applied[feeder]:
            return  # sent again by a feeder that could not know that it had arrived
        self.gaps += number - self.applied[feeder] - 1
        self.applied[feeder] = number
        self.chain = sha256(self.chain + data[: SET_LAYOUT.size]).digest()
        end = SET_LAYOUT.size + key_len
        self.entries[data[SET_LAYOUT.size : end]] = data[end:]

    # -- state transfer ----------------------------------------------------------------------------

    def _on_offer(self, sender: Member, newcomer: Member) -> None:
        if newcomer == self.me:
            if not self.is_synced:
                self._offered_by, self._parts, self._kept = sender, [], []
        elif sender == self.me and newcomer in self.members:
            state = self._encode_state()
            for number, start in enumerate(range(0, len(state), PART_BYTES_MAX)):
                end = start + PART_BYTES_MAX
                head = _encode_part(PART, newcomer, number, last=end >= len(state))
                self._giving.append((head, state[start:end]))

    def _on_part(self, data: bytes, number: int, last: bool) -> None:
        if number != len(self._parts):
            raise WireError(f"part {number} of the state after {len(self._parts)} parts")
        self._parts.append(zlib.decompress(data))
        if not last:
            return
        self._decode_state(b"".join(self._parts))
        self.synced.add(self.me)
        kept, self._kept, self._parts = self._kept, [], []
        for item in kept:
            if len(item) == 2 and isinstance(item[1], bytes):
                self._apply(*item)
            else:
                self.view(item)
        self._outgoing.append(bytes([SYNCED]))

    def _encode_state(self) -> bytes:
        head = json.dumps(
            {
                "applied": self.applied,
                "chain": self.chain.hex(),
                "members": self.members,
                "synced": sorted(self.synced),
                "donors": sorted(self._donors.items()),
            }
        ).encode()
        pieces = [ENTRY_LAYOUT.pack(0, len(head)), head]
        for key, value in self.entries.items():
            pieces += (ENTRY_LAYOUT.pack(len(key), len(value)), key, value)
        return b"".join(pieces)

    def _decode_state(self, state: bytes) -> None:
        self.received_bytes = len(state)
        _, length = ENTRY_LAYOUT.unpack_from(state)
        position = ENTRY_LAYOUT.size + length
        head = json.loads(state[ENTRY_LAYOUT.size : position])
        self.applied = list(head["applied"])
        self.chain = bytes.fromhex(head["chain"])
        self.members = tuple(Member(*member) for member in head["members"])
        self.synced = {Member(*member) for member in head["synced"]}
        self._donors = {Member(*new): Member(*donor) for new, donor in head["donors"]}
        self.entries = {}
        while position < len(state):
            key_len, value_len = ENTRY_LAYOUT.unpack_from(state, position)
            middle = position + ENTRY_LAYOUT.size + key_len
            self.entries[state[middle - key_len : middle]] = state[middle : middle + value_len]
            position = middle + value_len
