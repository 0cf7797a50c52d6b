"""The machine of the secure transport: the ring's datagrams in and out, packets on the other side.

Speaks:      `receive`, `submit`, `expire`, `deadline`, `drain`.
Counterpart: libknet, between totemknet.c and the sockets.
Keeps:       nothing unauthenticated becomes a frame; every packet that is dropped is counted by
             its reason; no failed handshake takes anything from a peer that works.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from unisono.base.group import Buffer, Marked, SendAll, SendTo
from unisono.base.ids import Nanos, NodeId
from unisono.base.marks import Mark
from unisono.base.run import Run
from unisono.crypto.sender_keys import OwnKey
from unisono.secure.channel import Channel
from unisono.secure.complaints import Reason
from unisono.secure.context import Context
from unisono.secure.events import (
    Arrived,
    Begin,
    Effect,
    Farewell,
    KeysChanged,
    PathLimit,
    Paused,
    Replan,
    Request,
    Tell,
    Transmit,
    Unreachable,
    Way,
)
from unisono.secure.frames import FrameSealer
from unisono.secure.generations import Generations
from unisono.secure.links import Links
from unisono.secure.plan import SecurePlan
from unisono.secure.reception import Origin, Reception
from unisono.wire.ust.header import is_group

_ROOM_MAX: Final = 65_507
"""UDP payload over IPv4."""


class Secure:
    """One node's secure transport."""

    __slots__ = (
        "_channels", "_context", "_deadline", "_effects", "_is_stale", "_keys", "_limits",
        "_reception", "_sealer", "_speaks", "_unheard",
    )  # fmt: skip

    def __init__(self, plan: SecurePlan, context: Context, now: Nanos) -> None:
        self._context = context
        self._limits: dict[int, int] = {}
        """UDP payloads that the interfaces take, by link."""
        self._channels = {node: self._open_channel(node, plan, now) for node in plan.links}
        self._keys = Generations(context.cipher, context.me, context.entropy, now)
        self._sealer = FrameSealer(context.entropy)
        self._reception = Reception(context, self._channels, self._keys)
        self._effects: list[Effect] = []
        self._speaks = False
        self._deadline: Nanos | None = None
        self._is_stale = True
        """Whether `_deadline` must be worked out anew."""
        self._unheard = 0
        """Frames for which nobody had the key."""
        for channel in self._channels.values():
            channel.peer.share(self._keys.shared, now)

    # -- the verbs ---------------------------------------------------------------------------------

    def submit(self, request: Request, now: Nanos) -> None:
        """Take a request; none is ever refused: what cannot be sent is dropped as a network may."""
        match request:
            case SendAll():
                self._send(request.datagrams, self._channels.values(), None, now)
                return
            case SendTo():
                channel = self._channels.get(request.target)
                self._send(
                    [request.datagram], () if channel is None else (channel,), request.target, now
                )
                return
            case Begin():
                self._speaks = True
            case Farewell():
                self._farewell()
            case Unreachable():
                if (channel := self._channels.get(request.node)) is not None:
                    channel.links.suspect(now)
                    self._after(channel, None, now)
            case PathLimit():
                self._limits[request.link] = request.bytes
                for channel in self._channels.values():
                    channel.links.limit(request.link, request.bytes, now)
                    channel.is_stale = True
            case Paused():
                self._keys.distrust(now)
                self._share(now)
                for channel in self._channels.values():
                    channel.peer.renew(now)
                    channel.is_stale = True
            case Tell():
                if (channel := self._channels.get(request.node)) is not None:
                    channel.tell(request.record)
                    self._effects += channel.take_effects()
            case Replan():
                self._replan(request.plan, now)
            case KeysChanged():
                pass
        self._is_stale = True

    def receive(
        self, batch: Sequence[Buffer], source: str, node: NodeId | None, link: int, now: Nanos
    ) -> None:
        """Take the packets of one read, all from one address (`source`, as text with its port).

        `node` is who has that address by the configuration, None if nobody has. The packets'
        memory must not change. Never raises for what they contain.
        """
        if not self._speaks:
            return
        origin = Origin(source, node, link)
        if isinstance(batch, Run):
            if self._on_whole(batch, origin, now):
                return
            batch = batch.cut()
        count = len(batch)
        at = 0
        while at < count:
            if is_group(batch[at]):
                at = self._on_group(batch, at, origin, now)
            else:
                self._on_other(batch[at], origin, now)
                at += 1

    def expire(self, now: Nanos) -> None:
        """Do what is due."""
        self._is_stale = True
        if not self._speaks:
            return
        if self._keys.is_due(now):
            self._renew_keys(now)
        for channel in self._channels.values():
            due = channel.deadline
            if due is not None and due <= now:
                channel.expire(now)
                self._after(channel, None, now)
        self._settle(now)

    def deadline(self) -> Nanos | None:
        """When `expire` wants to be called next."""
        if self._is_stale:
            self._is_stale = False
            self._deadline = None
            if self._speaks:
                dues = [channel.deadline for channel in self._channels.values()]
                dues.append(self._keys.deadline)
                self._deadline = min((due for due in dues if due is not None), default=None)
        return self._deadline

    def drain(self) -> list[Effect]:
        """Hand over the effects so far, in order."""
        effects, self._effects = self._effects, []
        return effects

    def status(self, now: Nanos) -> dict[str, object]:
        """What people want to know: plain values, no secrets."""
        ring = self._context.ring
        return {
            "key": ring.active.fingerprint,
            "key_next": ring.next.fingerprint if ring.next is not None else "",
            "key_previous": ring.previous.fingerprint if ring.previous is not None else "",
            "generation": self._keys.current.generation,
            "seals_each_piece": self._sealer.each_until > now,
            "peers": [channel.status() for channel in self._channels.values()],
            "dropped": {**self._reception.counters, "no_peer": self._unheard},
            "complaints": self._reception.status(now),
        }

    # -- whom to reach -----------------------------------------------------------------------------

    def _open_channel(self, node: NodeId, plan: SecurePlan, now: Nanos) -> Channel:
        links = Links(
            plan.links[node],
            plan.link_mode,
            mtu_bytes=plan.mtu_bytes,
            mtu_interval_ns=plan.mtu_interval_ns,
            now=now,
        )
        for link, payload in self._limits.items():
            links.limit(link, payload, now)
        return Channel(self._context, node, links, now)

    def _replan(self, plan: SecurePlan, now: Nanos) -> None:
        for node, channel in list(self._channels.items()):
            numbers = tuple(sorted(link.number for link in plan.links.get(node, ())))
            if numbers == channel.links.numbers and node in plan.links:
                channel.links.replan(plan.links[node], plan.link_mode)
                channel.is_stale = True
            else:
                self._close_channel(channel)
        for node in plan.links:
            if node not in self._channels:
                channel = self._channels[node] = self._open_channel(node, plan, now)
                channel.peer.share(self._keys.shared, now)
        self._reception.replan()

    def _close_channel(self, channel: Channel) -> None:
        """A node that is out of the list, or reached in other ways from now on."""
        channel.farewell()
        self._effects += channel.take_effects()
        del self._channels[channel.node]
        sessions = self._context.sessions
        for index in [index for index, (node, _) in sessions.items() if node == channel.node]:
            del sessions[index]

    # -- sending -----------------------------------------------------------------------------------

    def _send(
        self,
        frames: Sequence[bytes],
        channels: Iterable[Channel],
        to: NodeId | None,
        now: Nanos,
    ) -> None:
        if not self._speaks:
            return
        own = self._keys.current
        ways: list[Way] = []
        room = _ROOM_MAX
        for channel in channels:
            if channel.has_key(own.generation):
                links = channel.links.chosen()
                room = min(room, channel.links.room(links))
                ways += [(channel.node, link) for link in links]
        if not ways:
            self._unheard += len(frames)
            return
        for packets in self._batches(own, frames, room, to, now):
            self._effects.append(Transmit(tuple(ways), packets))
        if own.is_worn:
            self._is_stale = True

    def _batches(
        self, own: OwnKey, frames: Sequence[bytes], room: int, to: NodeId | None, now: Nanos
    ) -> Iterator[Sequence[bytes]]:
        """Packets that leave together: those of one large frame, or several small frames."""
        small: list[bytes] = []
        for frame in frames:
            packets = self._sealer.seal(own, frame, room, now, to)
            if len(packets) == 1:
                small += packets
                continue
            if small:
                yield small
                small = []
            yield packets
        if small:
            yield small

    def _farewell(self) -> None:
        for channel in self._channels.values():
            channel.farewell()
            self._effects += channel.take_effects()
        self._speaks = False

    def _renew_keys(self, now: Nanos) -> None:
        if self._keys.renew(now):
            self._share(now)

    def _share(self, now: Nanos) -> None:
        for channel in self._channels.values():
            channel.peer.share(self._keys.shared, now)
            self._after(channel, None, now)

    def _settle(self, now: Nanos) -> None:
        """Use the coming key once all have it who are there."""

        def has_all(generation: int) -> bool:
            present = [c for c in self._channels.values() if c.links.any_up and not c.is_gone]
            return all(channel.has_key(generation) for channel in present)

        if self._keys.settle(now, has_all):
            self._effects.append(Marked(Mark.SENDER_KEY_RENEWED, self._keys.current.generation))
            self._share(now)

    def _after(self, channel: Channel, link: int | None, now: Nanos) -> None:
        channel.after(link, now)
        self._take(channel, now)

    def _take(self, channel: Channel, now: Nanos) -> None:
        self._effects += channel.take_effects()
        if channel.spoiled:
            channel.spoiled = 0
            if self._sealer.on_spoiled(now):
                self._effects.append(Marked(Mark.FRAMES_SPOILED, channel.node))

    # -- receiving ---------------------------------------------------------------------------------

    def _channel_of(self, packet: Buffer, origin: Origin) -> Channel | None:
        """That of the node at this address; where none is known, of the node that is named."""
        node = origin.node
        if node is None:
            node = NodeId(int.from_bytes(packet[8:12], "big"))
        return self._channels.get(node)

    def _on_whole(self, run: Run, origin: Origin, now: Nanos) -> bool:
        """Whether these packets were one frame; if not, nothing has happened."""
        if not is_group(run.data):
            return False
        channel = self._channel_of(run.data, origin)
        frame = None if channel is None else channel.on_whole(run, origin.link, now)
        if channel is None or frame is None:
            return False
        self._arrived(channel.node, [frame])
        self._care(channel, origin.link, now)
        return True

    def _on_group(self, batch: Sequence[Buffer], at: int, origin: Origin, now: Nanos) -> int:
        """Frames from `at` on; where they end."""
        channel = self._channel_of(batch[at], origin)
        if channel is None:
            self._reception.counters["stranger"] += 1
            return at + 1
        frames: list[Buffer] = []
        end = channel.on_frames(batch, at, frames, origin.link, now)
        if frames:
            self._arrived(channel.node, frames)
        elif channel.take_forged():
            self._reception.complain(Reason.CORRUPT_OR_FORGED, origin, now)
            self._take_reception()
        self._care(channel, origin.link, now)
        return end

    def _arrived(self, node: NodeId, frames: list[Buffer]) -> None:
        """What one node sends in a row is handed on in one effect."""
        last = self._effects[-1] if self._effects else None
        if isinstance(last, Arrived) and last.node == node:
            last.frames += frames
        else:
            self._effects.append(Arrived(node, frames))

    def _care(self, channel: Channel, link: int, now: Nanos) -> None:
        """After frames: what they left to say, and when the next deadline is."""
        if channel.needs_care(now):
            self._is_stale = True
            self._after(channel, link, now)
        due = channel.opener.deadline
        if due is not None and (self._deadline is None or due < self._deadline):
            self._deadline = due  # the rest is as it was

    def _on_other(self, packet: Buffer, origin: Origin, now: Nanos) -> None:
        channel = self._reception.receive(packet, origin, now)
        self._take_reception()
        if channel is not None:
            self._is_stale = True
            self._take(channel, now)
            self._settle(now)

    def _take_reception(self) -> None:
        self._effects += self._reception.effects
        self._reception.effects.clear()
