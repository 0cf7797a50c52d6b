"""Reception: every packet that is no frame: handshakes, sessions, and what is not ours.

Keeps:       address, sender, MAC and cookie are looked at before a key agreement is computed; each
             packet that is dropped is counted by its reason, and other keys are named in the log.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from unisono.base.errors import WireError
from unisono.base.group import Buffer, Marked
from unisono.base.ids import Nanos, NodeId
from unisono.base.marks import Mark
from unisono.secure.channel import Channel
from unisono.secure.complaints import Complaints, Reason, classify
from unisono.secure.context import Context
from unisono.secure.events import Transmit
from unisono.secure.gate import Gate, Refused
from unisono.secure.generations import Generations
from unisono.secure.session import Forged, Replayed
from unisono.wire.ust.handshake import decode_answer, decode_cookie, decode_hello
from unisono.wire.ust.header import MAGIC, VERSION, Header, PacketType, decode_header

REASONS: Final = (
    "malformed", "not_ust", "stranger", "impostor", "other_key", "forged_handshake",
    "handshake_failed", "cookies_sent", "hellos_repeated", "hellos_dropped", "session_unknown",
    "pair_forged", "pair_replayed",
)  # fmt: skip
"""Why a packet was dropped (a cookie sent is a HELLO dropped)."""


class Origin(NamedTuple):
    """Where a packet came from: address with port, who that is by the configuration, link."""

    source: str
    node: NodeId | None
    link: int


class Reception:
    """One for a node; it lets packets through to the channels."""

    __slots__ = ("_channels", "_complaints", "_context", "_gate", "_keys", "counters", "effects")

    def __init__(
        self, context: Context, channels: Mapping[NodeId, Channel], keys: Generations
    ) -> None:
        self._context = context
        self._channels = channels
        self._keys = keys
        self._gate = Gate(context)
        self.replan()
        self._complaints = Complaints()
        self.counters = dict.fromkeys(REASONS, 0)
        self.effects: list[Transmit | Marked] = []
        """What came of it besides the channels' own effects; the owner takes it."""

    def replan(self) -> None:
        """There are other channels, or other links."""
        self._gate.set_ways(sum(len(one.links.numbers) for one in self._channels.values()))

    def status(self, now: Nanos) -> list[dict[str, object]]:
        """The complaints of the last minute."""
        return self._complaints.status(now)

    def receive(self, packet: Buffer, origin: Origin, now: Nanos) -> Channel | None:
        """Take one packet; the channel that has something to say now, if any. Never raises."""
        if len(packet) < 1 or packet[0] != MAGIC or (len(packet) > 1 and packet[1] >> 4 != VERSION):
            self.counters["not_ust"] += 1
            reason = classify(packet)
            is_version = reason is Reason.PROTOCOL_VERSION
            self.complain(reason, origin, now, str(packet[1] >> 4) if is_version else "")
            return None
        try:
            header = decode_header(packet)
            channel = self._channel_of(header, origin)
            if channel is None:
                return None
            if header.type is PacketType.PAIR:
                counts = self._on_pair(channel, header, packet, origin, now)
            else:
                counts = self._on_handshake(channel, header, packet, origin, now)
        except Refused as refused:
            is_other = refused.reason is not Reason.CORRUPT_OR_FORGED
            self.counters["other_key" if is_other else "forged_handshake"] += 1
            self.complain(refused.reason, origin, now, refused.theirs)
            return None
        except WireError:
            self.counters["malformed"] += 1
            return None
        if not counts:
            return None
        channel.after(origin.link, now)
        return channel

    def complain(self, reason: Reason, origin: Origin, now: Nanos, theirs: str = "") -> None:
        """A packet whose sender seems to have another key, or none; a line if one is due."""
        ours = ""
        if theirs:
            is_version = reason is Reason.PROTOCOL_VERSION
            ours = str(VERSION) if is_version else self._context.ring.active.fingerprint
        source, node, link = origin
        line = self._complaints.note(source, link, node, reason, now, theirs=theirs, ours=ours)
        if line is not None:
            self.effects.append(Marked(Mark.INVALID_DIGEST, node or 0, link, line))

    def _channel_of(self, header: Header, origin: Origin) -> Channel | None:
        """Who sent it, if the packet and the address agree."""
        if header.sender == self._context.me or origin.node not in {None, header.sender}:
            self.counters["impostor"] += 1
            return None
        channel = self._channels.get(header.sender)
        if channel is None:
            self.counters["stranger"] += 1
        return channel

    def _on_pair(
        self, channel: Channel, header: Header, packet: Buffer, origin: Origin, now: Nanos
    ) -> bool:
        node, session = self._context.sessions.get(header.key, (channel.node, None))
        if session is None or node != channel.node:
            self.counters["session_unknown"] += 1
            return False
        try:
            records = session.open(header, packet)
        except Forged:
            self.counters["pair_forged"] += 1
            self.complain(Reason.CORRUPT_OR_FORGED, origin, now)
        except Replayed:
            self.counters["pair_replayed"] += 1
        else:
            channel.on_records(session, records, origin.link, now)
            return True
        return False

    def _on_handshake(
        self, channel: Channel, header: Header, packet: Buffer, origin: Origin, now: Nanos
    ) -> bool:
        """Whether it was a step of a handshake."""
        match header.type:
            case PacketType.HELLO:
                return self._on_hello(channel, header, packet, origin, now)
            case PacketType.ANSWER:
                answer = decode_answer(packet)
                self._gate.keys_of(header, packet)
                return self._try(lambda: channel.peer.on_answer(answer, now))
            case _:
                cookie = decode_cookie(packet)
                self._gate.keys_of(header, packet)
                return self._try(lambda: channel.peer.on_cookie(cookie, now))

    def _on_hello(
        self, channel: Channel, header: Header, packet: Buffer, origin: Origin, now: Nanos
    ) -> bool:
        hello = decode_hello(packet)
        gate = self._gate
        if gate.is_repeated(hello, now):
            self.counters["hellos_repeated"] += 1
            return False
        keys = gate.keys_of(header, packet)
        if hello.destination != self._context.me:
            self.counters["impostor"] += 1
        elif gate.is_busy() and not gate.shows_cookie(origin.source, packet, now):
            if not gate.may_answer(hello):
                self.counters["hellos_dropped"] += 1
                return False
            self.counters["cookies_sent"] += 1
            cookie = gate.cookie(keys, hello, origin.source, now)
            self.effects.append(Transmit(((channel.node, origin.link),), [cookie]))
        else:
            return self._try(lambda: channel.peer.on_hello(hello, keys, self._keys.granted, now))
        return False

    def _try(self, act: Callable[[], None]) -> bool:
        """A step of a handshake: when it fails, nothing has changed but a counter."""
        try:
            act()
        except WireError:
            self.counters["handshake_failed"] += 1
            return False
        return True
