"""Channel: one other node with its sessions, its links and its frames.

Speaks:      packets of the peer in; effects for the owner in `take_effects`.
Keeps:       whatever opened proves that the peer lives; nothing else does.
"""

from collections.abc import Sequence
from typing import Final

from unisono.base.group import Buffer, Marked
from unisono.base.ids import MS, Nanos, NodeId
from unisono.base.marks import Mark
from unisono.base.run import Run
from unisono.secure.context import Context
from unisono.secure.events import Adopted, Effect, KeyTold, PeerGone, Transmit
from unisono.secure.frames import FrameOpener
from unisono.secure.links import Links
from unisono.secure.peer import Peer, Reach
from unisono.secure.session import Session
from unisono.wire.ust.records import (
    Bye,
    NeedKey,
    Ping,
    Pong,
    Record,
    Rotate,
    Spoiled,
)

SPOILED_NS: Final = 20 * MS
"""Pause between two reports of spoiled frames."""
NEED_KEY_NS: Final = 20 * MS
"""Pause between two questions for a sender key."""


class Channel:
    """Everything between this node and `node`."""

    def __init__(self, context: Context, node: NodeId, links: Links, now: Nanos) -> None:
        self.node = node
        self.peer = Peer(context, node, now)
        self.links = links
        self.opener = FrameOpener(self.peer.keys)
        self.is_gone = False
        """The peer's daemon has ended, as far as we know."""
        self.spoiled = 0
        """Frames of ours that the peer could not open, as it told; the owner takes it."""
        self.is_stale = True
        """Something but frames has happened since the deadline was worked out."""
        self._due: Nanos | None = None
        self._forged = 0
        self._effects: list[Effect] = []
        self._spoiled_at = Nanos(-SPOILED_NS)
        self._asked_at = Nanos(-NEED_KEY_NS)

    # -- sending -----------------------------------------------------------------------------------

    def has_key(self, generation: int) -> bool:
        """Whether frames sealed under this generation are of any use to the peer."""
        return not self.is_gone and self.peer.has_key(generation)

    def tell(self, record: Record, link: int | None = None) -> None:
        """Send a record in the session, if there is one; by default over the best links."""
        packet = self.peer.tell([record])
        if packet is not None:
            links = self.links.chosen() if link is None else (link,)
            self._transmit(links, packet)

    def farewell(self) -> None:
        """Say that this daemon ends."""
        self.tell(Bye())

    def take_effects(self) -> list[Effect]:
        """What is to be done, in order."""
        effects, self._effects = self._effects, []
        return effects

    # -- what comes --------------------------------------------------------------------------------

    def on_frames(
        self, batch: Sequence[Buffer], at: int, frames: list[Buffer], link: int, now: Nanos
    ) -> int:
        """GROUP packets, from `at` on, that claim to be the peer's: adds the frames that are.

        Returns where they end.
        """
        end = self.opener.open_run(batch, at, frames, now)
        if frames:
            self._heard(link, now)
        unknown = self.opener.take_unknown()
        if unknown is not None and now - self._asked_at >= NEED_KEY_NS:
            self._asked_at = now
            self.tell(NeedKey(unknown))
        return end

    def on_whole(self, run: Run, link: int, now: Nanos) -> bytes | None:
        """The frame, if these packets are its pieces and no others; else nothing happened."""
        frame = self.opener.open_whole(run, now)
        if frame is not None:
            self._heard(link, now)
        return frame

    def take_forged(self) -> bool:
        """Whether frames were forged since the last call."""
        counters = self.opener.counters
        before, self._forged = self._forged, counters["forged"] + counters["spoiled"]
        return self._forged > before

    def on_records(self, session: Session, records: list[Record], link: int, now: Nanos) -> None:
        """Records that opened in one of the peer's sessions."""
        others = self.peer.on_pair(session, records, now)
        if others is None:
            return
        for record in others:
            self._on_record(session, record, link, now)
        if not self.is_gone or any(not isinstance(record, Bye) for record in records):
            self._heard(link, now)

    def _on_record(self, session: Session, record: Record, link: int, now: Nanos) -> None:
        match record:
            case Ping():
                self._transmit(
                    (link,), self.peer.seal(session, [Pong(record.link, record.time_ns)])
                )
            case Pong():
                self.links.on_pong(link, record, now)
            case NeedKey():
                self.peer.need_key(record.generation)
            case Spoiled():
                self.spoiled += record.frames
            case Rotate() if session is self.peer.current:
                self._effects.append(KeyTold(self.node, record))
            case Bye() if session is self.peer.current:
                self._lose(now)
            case _:
                pass

    def _heard(self, link: int, now: Nanos) -> None:
        self.peer.heard(now)
        self.links.heard(link, now)
        self.is_gone = False

    def _lose(self, now: Nanos) -> None:
        """The daemon there has ended: whoever answers next is another one, or was slandered."""
        self.is_gone = True
        self.links.lost(now)
        self.peer.greet(now)
        self._effects.append(PeerGone(self.node))

    def needs_care(self, now: Nanos) -> bool:
        """Whether frames left something to say."""
        return bool(self._effects) or (
            self.opener.has_spoiled and now - self._spoiled_at >= SPOILED_NS
        )

    # -- time and order ----------------------------------------------------------------------------

    @property
    def deadline(self) -> Nanos | None:
        """When `expire` has something to do; early, if frames came since it was worked out."""
        if self.is_stale:
            self.is_stale = False
            self._due = _earlier(self.peer.deadline, self.links.deadline)
        return _earlier(self._due, self.opener.deadline)

    def expire(self, now: Nanos) -> None:
        """Do what is due."""
        self.opener.expire(now)
        self.links.expire(now)
        self.peer.expire(now)
        self.after(None, now)

    def after(self, link: int | None, now: Nanos) -> None:
        """After anything that was not a frame: collect what came of it. `link`: where it came."""
        self.is_stale = True
        if link is not None:
            for new in self.peer.news:
                if isinstance(new, Adopted):
                    self.links.adopted(link, now)
                    self.is_gone = False
        self._effects += self.peer.news
        self.peer.news.clear()
        for reach, packet in self.peer.packets:
            self._transmit(self._links_of(reach, link), packet)
        self.peer.packets.clear()
        if now - self._spoiled_at >= SPOILED_NS and (spoiled := self.opener.take_spoiled()):
            self._spoiled_at = now
            self.tell(Spoiled(spoiled))
        for number, records in self.links.take_probes():
            probe = self.peer.tell(records)
            if probe is not None:
                self._transmit((number,), probe)
        for number, is_up in self.links.take_changes():
            mark = Mark.LINK_UP if is_up else Mark.LINK_DOWN
            self._effects.append(Marked(mark, self.node, number))
        if self.links.gone and not self.is_gone:
            self._lose(now)
            self._effects.append(Marked(Mark.PEER_GONE, self.node))

    def _links_of(self, reach: Reach, link: int | None) -> tuple[int, ...]:
        match reach:
            case Reach.EVERY:
                return self.links.numbers
            case Reach.BACK if link is not None:
                return (link,)
            case _:
                return self.links.chosen()

    def _transmit(self, links: Sequence[int], packet: bytes) -> None:
        ways = tuple((self.node, link) for link in links)
        self._effects.append(Transmit(ways, [packet]))

    def status(self) -> dict[str, object]:
        """For people: plain values."""
        session = self.peer.current
        return {
            "node": self.node,
            "session": session.name if session is not None else "",
            "key": session.kid.hex() if session is not None else "",
            "gone": self.is_gone,
            "links": self.links.status(),
            "frames": dict(self.opener.counters),
        }


def _earlier(one: Nanos | None, other: Nanos | None) -> Nanos | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
