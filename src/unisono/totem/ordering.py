"""Ordering: what a visit of the token does, and what an arriving multicast does.

Speaks:      Totem SRP, operational state; recovery's share of a visit is in `recovery`.
Counterpart: corosync exec/totemsrp.c (message_handler_orf_token, message_handler_mcast); paper
             section 3.
Keeps:       nothing is sent, requested or counted for a token that is not the next one of this
             ring.
"""

from unisono.base.group import SendAll
from unisono.base.ids import (
    NO_NODE,
    SEQ_BEFORE_FIRST,
    Nanos,
    NodeId,
    seq_add,
    seq_distance,
    seq_less,
    seq_min,
)
from unisono.base.limits import STORED_MESSAGES_MAX
from unisono.base.marks import Mark
from unisono.totem.flow import U32
from unisono.totem.repair import Repair
from unisono.totem.store import RingStore
from unisono.totem.timers import Timer
from unisono.totem.transitions import Input, State
from unisono.wire.ring.srp import Mcast, MergeDetect, Token, encode_mcast_header


class Ordering(Repair):
    """Arriving multicasts and visits of the token."""

    __slots__ = ()

    # -- multicasts -------------------------------------------------------------------------------

    def _on_mcast(self, message: Mcast, now: Nanos) -> None:
        if message.ring is not self._ring and message.ring != self._ring:
            self._hear_stranger(message.system_from, message.ring.seq, now)
            return
        store = self._store_in_use()
        if store is None:
            return
        high = store.high
        if not store.add(message):
            if not store.fits(message.seq) and seq_less(store.high, message.seq):
                self._mark(Mark.MESSAGE_OUT_OF_WINDOW, message.system_from, message.seq)
            return
        self.counters["messages_received"] += 1
        if store.high != high:
            self._last_origin = message.system_from
            if message.system_from == self._wanted_by:
                self._wanted_by = NO_NODE
        if self._state is State.OPERATIONAL:
            self._deliver_ready()

    def _store_in_use(self) -> RingStore | None:
        """The store that messages of `_ring` belong to, if any are welcome now."""
        if self._regular.ring == self._ring:
            return self._regular
        return self._recovery if self._state is State.RECOVERY else None

    def _hear_stranger(self, node: NodeId, ring_seq: int, now: Nanos) -> None:
        """Somebody speaks on another ring: newcomer, other partition, or an echo of the past."""
        if node == self._me or not self._may_join(node):
            self._mark(Mark.NODE_UNKNOWN, node)
        elif self._state is State.OPERATIONAL:
            if node in self._members and ring_seq < self._ring.seq:
                # A member cannot be on an older ring: this was sent before the present one formed.
                self._mark(Mark.FOREIGN_MESSAGE, node, ring_seq)
                return
            self._join_proc(node)
            self._step(Input.STRANGER_HEARD, now)
        elif self._state is State.GATHER and node not in self._proc:
            self._join_proc(node)
            self._step(Input.STRANGER_HEARD, now)

    def _join_proc(self, node: NodeId) -> None:
        if node not in self._proc:
            self._proc.append(node)

    def _on_merge_detect(self, message: MergeDetect, now: Nanos) -> None:
        if message.ring != self._ring:
            self._mark(Mark.MERGE_DETECTED, message.system_from)
            self._hear_stranger(message.system_from, message.ring.seq, now)

    def _deliver_ready(self) -> None:
        """Hand out the regular ring's messages up to the first gap, or the first not yet safe."""
        store = self._regular
        messages, effects, packet = store.messages, self._effects, self._delivery.packet
        seq = store.delivered
        following = (seq + 1) & U32
        while (message := messages.get(following)) is not None:
            if message.guarantee and seq_less(store.safe_point, following):
                break
            packet(message, effects)
            seq = following
            following = (seq + 1) & U32
        store.delivered = seq

    # -- the token's visit ------------------------------------------------------------------------

    def _on_token(self, token: Token, now: Nanos) -> None:
        if self._state is not State.OPERATIONAL and self._state is not State.RECOVERY:
            self._mark(Mark.TOKEN_DISCARDED, token.sender, token.token_seq)
            return
        if token.ring != self._ring:
            self._mark(Mark.TOKEN_FOREIGN_RING, token.sender, token.ring.seq)
            return
        if not seq_less(self._token_seq_floor(), token.token_seq):
            self._mark(Mark.TOKEN_DUPLICATE, token.sender, token.token_seq)
            return
        store = self._store_in_use()
        if store is None or not self._is_possible(token, store):
            self._mark(Mark.DATAGRAM_MALFORMED, token.sender, token.seq, "token sequence")
            return
        self._visit(token, store, now)

    def _token_seq_floor(self) -> int:
        """The next token is above this: every visit counts one, so a rotation as many as members.

        Less is a copy, or a second token that somebody made up, which would live as long as the
        first.
        """
        if self._token_seq == SEQ_BEFORE_FIRST:
            return self._token_seq
        return seq_add(self._token_seq, len(self._ring_members()) - 1)

    def _is_possible(self, token: Token, store: RingStore) -> bool:
        """Whether members that keep to the window can have made this token."""
        lacking = seq_distance(store.aru, token.seq) if seq_less(store.aru, token.seq) else 0
        return (
            seq_distance(store.released, token.seq) <= 2 * STORED_MESSAGES_MAX
            and seq_distance(token.aru, token.seq) <= STORED_MESSAGES_MAX  # so aru is not above seq
            and lacking <= STORED_MESSAGES_MAX
            and not seq_less(token.seq, store.delivered)  # one of the two is a lie: form a new ring
        )

    def _visit(self, token: Token, store: RingStore, now: Nanos) -> None:
        self.counters["token_visits"] += 1
        self._last_visit = now
        self._asked = False
        self._stop_timer(Timer.ASK)
        self._note_unchanged(token, now)
        if seq_less(token.seq, store.high):
            store.forget_above(token.seq)  # own messages must find their numbers free
        last, self._last_aru = self._last_aru, token.aru
        store.safe_point = seq_min(token.aru, last)
        if self._state is State.OPERATIONAL:
            store.release(seq_min(store.safe_point, store.delivered))
        allowed = self._allowance(token)
        resent = self._resend_requested(token, store, allowed)
        self._request_missing(token, store, now)
        allowed = self._window_left(token, store, allowed - resent)
        datagrams = self._originate(token, store, allowed)
        self._mark(Mark.TOKEN_VISITED, token.seq, len(datagrams))
        self._count_flow(token, resent + len(datagrams))
        self._lower_aru(token, store)
        if self._state is State.OPERATIONAL:
            self._deliver_ready()
        if datagrams:
            self._effects.append(SendAll(datagrams))
        self._token_seq = token.token_seq
        token.token_seq = seq_add(token.token_seq, 1)
        self._restart_token_timers(now)
        if self._state is State.OPERATIONAL and self._is_deaf(token, last, now):
            self._step(Input.RECEIVE_FAILED, now)
            return
        if self._state is State.RECOVERY and self._is_stuck(token, now):
            self._step(Input.RECOVERY_STUCK, now)
            return
        recovered = self._state is State.RECOVERY and self._recover(token, store)
        self._pass_on(token, store, now, resent)
        if recovered:
            self._step(Input.RECOVERED, now)

    def _recover(self, token: Token, store: RingStore) -> bool:
        """Recovery's share of a visit; True when every member has the old ring's messages."""
        raise NotImplementedError

    def _pass_on(self, token: Token, store: RingStore, now: Nanos, resent: int) -> None:
        """Give the token to the next member, now or later; `resent`: messages sent again now."""
        raise NotImplementedError

    def _originate(self, token: Token, store: RingStore, allowed: int) -> list[bytes]:
        """Number and keep up to `allowed` waiting packets; returns their datagrams."""
        datagrams: list[bytes] = []
        if self._state is State.RECOVERY:
            while self._retrans and len(datagrams) < allowed:
                datagrams.append(self._originate_old(token, store, self._retrans.popleft()))
            return datagrams
        queue = self._queue_in_use()
        ring = store.ring
        me = self._me
        while len(datagrams) < allowed and (packet := queue.next_packet()) is not None:
            token.seq = seq = seq_add(token.seq, 1)
            self._this_seqno = seq_add(self._this_seqno, 1)
            header = encode_mcast_header(
                origin=me,
                system_from=me,
                seq=seq,
                this_seqno=self._this_seqno,
                ring=ring,
                guarantee=1 if packet.safe else 0,
                encapsulated=False,
            )
            datagram = b"".join((header, *packet.pieces))
            guarantee = 1 if packet.safe else 0
            number = self._this_seqno
            own = Mcast(me, me, seq, number, ring, guarantee, False, datagram, packet.complete)
            if store.add(own):
                datagrams.append(datagram)
            self._own_high = seq
        if datagrams:
            self._last_origin = me
            self._last_seq = token.seq
            self._seq_unchanged = 0
            self.counters["messages_sent"] += len(datagrams)
        return datagrams

    def _originate_old(self, token: Token, store: RingStore, old: bytes) -> bytes:
        token.seq = seq = seq_add(token.seq, 1)
        self._this_seqno = seq_add(self._this_seqno, 1)
        header = encode_mcast_header(
            origin=self._me,
            system_from=self._me,
            seq=seq,
            this_seqno=self._this_seqno,
            ring=store.ring,
            guarantee=0,
            encapsulated=True,
        )
        datagram = header + old
        number = self._this_seqno
        store.add(Mcast(self._me, self._me, seq, number, store.ring, 0, True, datagram))
        self._last_origin = self._me
        self._own_high = seq
        return datagram
