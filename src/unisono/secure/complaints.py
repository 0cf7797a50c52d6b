"""Complaints: what the log says about packets that this node cannot read, and how often.

Speaks:      `classify` for what is no packet of ours; `Complaints.note` returns the line to log, if
             one is due; `status` for the tools.
Counterpart: corosync's "Received message has invalid digest... ignoring." (totemcrypto.c); knet's
             onwire.h for the look of its packets.
Keeps:       every line begins with "Invalid digest", says who, why and what to do; however many
             packets from however many invented addresses: table and lines are bounded.
Never:       keys; fingerprints only, and those are the caller's.
"""

from enum import Enum
from struct import Struct
from typing import Final

from unisono.base.group import Buffer
from unisono.base.ids import SECOND, Nanos, NodeId
from unisono.base.limits import COMPLAINT_LINES_MAX, COMPLAINTS_MAX
from unisono.wire.ring import srp
from unisono.wire.ust import header as ust

REPEAT_NS: Final = 30 * SECOND
"""A source and reason has one line in so long, and after such a silence it may be forgotten."""
SHOWN_NS: Final = 60 * SECOND
"""So long a complaint is shown in the status."""


class Reason(Enum):
    """Why a packet cannot be read; the words of the log."""

    KEY_DIFFERS = "key-differs"
    CORRUPT_OR_FORGED = "corrupt-or-forged"
    UNENCRYPTED_PEER = "unencrypted-peer"
    OTHER_TRANSPORT = "other-transport"
    RETIRED_KEY = "retired-key"
    PROTOCOL_VERSION = "protocol-version"


_HELP: Final = {
    Reason.KEY_DIFFERS: (
        'the authkey files are not the same; run "unisono keyring show" on both nodes'
    ),
    Reason.CORRUPT_OR_FORGED: (
        "the key is known but the seal does not open: damaged on the way, forged by a third host, "
        "or a node's public key is wrong"
    ),
    Reason.UNENCRYPTED_PEER: "{peer} sends clear text, this node requires crypto",
    Reason.OTHER_TRANSPORT: "peer may run corosync/knet; this node runs ust",
    Reason.RETIRED_KEY: (
        'that key was removed from this node; run "unisono keyring show" on both nodes'
    ),
    Reason.PROTOCOL_VERSION: (
        "the versions of the secure transport differ; run the same release on all nodes"
    ),
}
_KNET_HEAD: Final = Struct(">BBHBB")
"""Version, type, node, newest version spoken, padding."""
_KNET_VERSION: Final = 1
_KNET_TYPES: Final = frozenset((0x00, 0x01, 0x81, 0x82, 0x83, 0x84))
"""Data, host information, ping, pong, path MTU probe and its reply."""


def classify(packet: Buffer) -> Reason:
    """What a packet is that is no packet of UST/1."""
    size = len(packet)
    if size >= 2 and packet[0] == ust.MAGIC:
        same = packet[1] >> 4 == ust.VERSION
        return Reason.CORRUPT_OR_FORGED if same else Reason.PROTOCOL_VERSION
    if size >= srp.HEADER_LAYOUT.size and srp.HEADER_LAYOUT.unpack_from(packet)[0] == srp.MAGIC:
        return Reason.UNENCRYPTED_PEER
    if size > _KNET_HEAD.size:
        version, kind, _node, newest, padding = _KNET_HEAD.unpack_from(packet)
        is_knet = version == _KNET_VERSION and kind in _KNET_TYPES
        # Cipher text begins at random; these two make a false alarm of it rare.
        if is_knet and newest <= _KNET_VERSION and not padding:
            return Reason.UNENCRYPTED_PEER
    return Reason.OTHER_TRANSPORT


class _Entry:
    """What one address sends for one reason."""

    __slots__ = (
        "last_at", "link", "node", "ours", "source", "theirs", "told_at", "total", "untold",
    )  # fmt: skip

    def __init__(self) -> None:
        self.source = ""
        self.link = 0
        self.node: NodeId | None = None
        self.theirs = ""
        self.ours = ""
        self.told_at: Nanos | None = None
        self.last_at = Nanos(0)
        self.total = 0
        self.untold = 0


_Key = tuple[str, Reason | None]
_OVERFLOW: Final[_Key] = ("", None)
"""The entry of all for whom the table has no place."""


class Complaints:
    """Who was complained about, and how much of it was told."""

    def __init__(self) -> None:
        self._entries: dict[_Key, _Entry] = {}
        """Those that were silent longest come first: an entry moves to the end with each note."""
        self._lines = 0
        self._window_at: Nanos | None = None

    def note(
        self,
        source: str,
        link: int,
        node: NodeId | None,
        reason: Reason,
        now: Nanos,
        *,
        theirs: str = "",
        ours: str = "",
    ) -> str | None:
        """Count a packet of `source` (address:port); the line to log, None while none is due."""
        key = self._place((_host(source), reason), now)
        entry = self._entries.pop(key, None) or _Entry()
        self._entries[key] = entry
        entry.source, entry.link, entry.node = source, link, node
        entry.theirs, entry.ours = theirs, ours
        entry.last_at = now
        entry.total += 1
        entry.untold += 1
        due = entry.told_at is None or now - entry.told_at >= REPEAT_NS
        if not due or not self._may_tell(now):
            return None
        line = _line(entry, reason, now, is_shared=key == _OVERFLOW)
        entry.told_at, entry.untold = now, 0
        return line

    def status(self, now: Nanos) -> list[dict[str, object]]:
        """Complaints of the last minute; `packets` since the source was first heard."""
        return [
            {
                "source": "others" if reason is None else entry.source,
                "link": entry.link,
                "node": entry.node,
                "reason": "several" if reason is None else reason.value,
                "packets": entry.total,
                "theirs": entry.theirs,
                "ours": entry.ours,
                "seconds_ago": _seconds(now - entry.last_at),
            }
            for (_host_, reason), entry in self._entries.items()
            if now - entry.last_at < SHOWN_NS
        ]

    def _place(self, key: _Key, now: Nanos) -> _Key:
        """Where this one is counted: under its own name while there is a place."""
        entries = self._entries
        if key in entries:
            return key
        # The shared entry has the last place of its own.
        if len(entries) - (_OVERFLOW in entries) < COMPLAINTS_MAX - 1:
            return key
        oldest = next(one for one in entries if one != _OVERFLOW)
        if now - entries[oldest].last_at < REPEAT_NS:
            return _OVERFLOW
        del entries[oldest]
        return key

    def _may_tell(self, now: Nanos) -> bool:
        """Whether the lines of this half minute are not used up; counts one."""
        if self._window_at is None or now - self._window_at >= REPEAT_NS:
            self._window_at, self._lines = now, 0
        self._lines += 1
        return self._lines <= COMPLAINT_LINES_MAX


def _host(source: str) -> str:
    """The address without its port: a sender chooses its ports freely."""
    if source.startswith("["):
        return source.partition("]")[0][1:]
    return source.partition(":")[0] if source.count(":") == 1 else source


def _line(entry: _Entry, reason: Reason, now: Nanos, *, is_shared: bool) -> str:
    claims = "-" if entry.node is None else str(entry.node)
    prints = f" theirs={entry.theirs} ours={entry.ours}" if entry.theirs or entry.ours else ""
    since = 0 if entry.told_at is None else _seconds(now - entry.told_at)
    peer = "the peer" if entry.node is None else f"node {entry.node}"
    text = _HELP[reason].format(peer=peer)
    if is_shared:
        text = f"this and others, of more than {COMPLAINTS_MAX} sources; {text}"
    return (
        f"Invalid digest from {entry.source} link={entry.link} claims-node={claims} "
        f"reason={reason.value}{prints} packets={entry.untold} in={since}s: {text}"
    )


def _seconds(duration: int) -> int:
    return max(0, duration) // SECOND
