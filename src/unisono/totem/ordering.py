"""Ordering: what a visit of the token does, and what an arriving multicast does.

Speaks:      Totem SRP, operational state; recovery's share of a visit is in `recovery`.
Counterpart: corosync exec/totemsrp.c (message_handler_orf_token, message_handler_mcast); paper
             section 3.
Keeps:       nothing is sent, requested or counted for a token that is not the next one of this
             ring.
"""

from typing import Final

from unisono.base.group import Discard, SendAll
from unisono.base.ids import (
    MS,
    SEQ_BEFORE_FIRST,
    Nanos,
    NodeId,
    seq_add,
    seq_distance,
    seq_less,
)
from unisono.base.limits import RTR_ENTRIES_MAX, STORED_MESSAGES_MAX
from unisono.base.marks import Mark
from unisono.totem.packing import SendQueue
from unisono.totem.state import RingState
from unisono.totem.store import RingStore
from unisono.totem.timers import Timer
from unisono.totem.transitions import Input, State
from unisono.wire.ring.srp import (
    HoldCancel,
    Mcast,
    MergeDetect,
    Rtr,
    Token,
    encode_hold_cancel,
    encode_mcast_header,
    encode_merge_detect,
    encode_token,
)

U32: Final = 0xFFFF_FFFF
GAPS_SCANNED_MAX: Final = 256
"""Missing messages looked at in one visit; the first ones must be repaired first anyway."""
AGAIN_NS_MIN: Final = 5 * MS
"""The token may come a thousand times while an answer is on its way, or while nobody is heard: a
message is asked for again after this pause, then after twice as long."""
AGAIN_NS_MAX: Final = 80 * MS
FLOW_SETTLED_VISITS: Final = 3
"""Visits without anything new after which every share of flow control must be this node's own."""
REST_FIRST_NS: Final = 50 * MS
"""How long the token waits at the last sender for more; doubled at each idle turn."""
ASK_AFTER_NS: Final = 2 * MS
"""A token that has not come for this long is resting somewhere: ask for it."""
PACE_NS: Final = 20 * MS
"""How long each visit lasts while a local reader is behind."""


def _min_seq(a: int, b: int) -> int:
    return a if seq_less(a, b) else b


class Ordering(RingState):
    """Token visits, flow control, retransmission, hold and rest."""

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
        store.safe_point = _min_seq(token.aru, last)
        if self._state is State.OPERATIONAL:
            store.release(_min_seq(store.safe_point, store.delivered))
        allowed = self._allowance(token)
        resent = self._resend_requested(token, store, allowed)
        self._request_missing(token, store, now)
        allowed = self._window_left(token, store, allowed - resent)
        datagrams = self._originate(token, store, allowed)
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
        recovered = self._state is State.RECOVERY and self._recover(token, store)
        self._pass_on(token, store, now, resent)
        if recovered:
            self._step(Input.RECOVERED, now)

    def _recover(self, token: Token, store: RingStore) -> bool:
        """Recovery's share of a visit; True when every member has the old ring's messages."""
        raise NotImplementedError

    def _note_unchanged(self, token: Token, now: Nanos) -> None:
        is_silent = not token.rtr or token.fcc > self._window
        if is_silent and self._seq_unchanged >= FLOW_SETTLED_VISITS:
            # Nobody has sent for rotations: what the token still counts is a lie or a leftover.
            token.fcc = self._trc
            if self._native:  # Corosync's members would subtract their shares below zero
                token.backlog = self._pbl
        if token.seq != self._last_seq:
            self._last_seq = token.seq
            self._seq_unchanged = 0
            self._stop_timer(Timer.MERGE)
            return
        self._seq_unchanged += 1
        merge = self._timers.row[Timer.MERGE]
        if self._is_rep() and merge > now + self._settings.merge_ns:
            self._set_timer(Timer.MERGE, now + self._settings.merge_ns)

    def _queue_in_use(self) -> SendQueue:
        return self._sync_queue if self._syncing else self._queue

    def _backlog(self) -> int:
        """Packets that wait here: what this node adds to the token's backlog."""
        if self._state is State.RECOVERY:
            return len(self._retrans)
        return self._queue_in_use().packets

    def _allowance(self, token: Token) -> int:
        """How many messages this visit may send (paper section 3.3, corosync fcc_calculate)."""
        allowed = min(self._visit_max, max(0, self._window - token.fcc))
        waiting = token.backlog + self._backlog() - self._pbl
        if waiting > 0:
            share = self._window * self._pbl // waiting
            if 0 < share < allowed:
                allowed = share
        return allowed

    def _resend_requested(self, token: Token, store: RingStore, allowed: int) -> int:
        """Send again what the token asks for and this node holds; it leaves the token's list."""
        if not token.rtr:
            return 0
        datagrams: list[bytes] = []
        kept: list[Rtr] = []
        settled = self._seq_unchanged > self._settings.seqno_unchanged_const
        for request in token.rtr:
            if request.ring != store.ring or seq_less(token.seq, request.seq):
                continue  # nobody will ever have it
            if settled and not seq_less(token.aru, request.seq):
                continue  # everybody has it
            message = store.messages.get(request.seq)
            if message is None or len(datagrams) >= allowed:
                kept.append(request)
            else:
                datagrams.append(bytes(message.datagram))
        token.rtr = kept
        if datagrams:
            self.counters["retransmitted"] += len(datagrams)
            self._mark(Mark.MESSAGE_RETRANSMITTED, len(datagrams))
            self._effects.append(SendAll(datagrams))
        return len(datagrams)

    def _request_missing(self, token: Token, store: RingStore, now: Nanos) -> None:
        """Ask for messages that stayed away for miss_count_const visits: they may just be late."""
        miss, again = self._miss, self._again
        if store.aru == token.seq:
            miss.clear()
            again.clear()
            return
        listed = {request.seq for request in token.rtr if request.ring == store.ring}
        seen: dict[int, int] = {}
        for seq in store.missing(token.seq, GAPS_SCANNED_MAX):
            count = seen[seq] = miss.get(seq, 0) + 1
            due = count >= self._settings.miss_count_const
            if due and seq not in listed and len(token.rtr) < RTR_ENTRIES_MAX:
                last, pause = again.get(seq, (0, 0))
                if now < last + pause:
                    continue
                again[seq] = now, min(2 * pause, AGAIN_NS_MAX) or AGAIN_NS_MIN
                token.rtr.append(Rtr(store.ring, seq))
                self.counters["requested"] += 1
                self._mark(Mark.RETRANSMIT_REQUESTED, seq)
        self._miss = seen
        if len(again) > 2 * GAPS_SCANNED_MAX:
            self._again = {seq: due for seq, due in again.items() if seq in seen}

    def _window_left(self, token: Token, store: RingStore, allowed: int) -> int:
        """No message may be sent that some store could have no place for."""
        margin = max(0, allowed) + self._window
        if seq_distance(store.released, token.seq) > STORED_MESSAGES_MAX - margin:
            return 0
        return max(0, allowed)

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

    def _count_flow(self, token: Token, sent: int) -> None:
        """Replace this node's share of fcc and backlog (corosync fcc_token_update)."""
        backlog = self._backlog()
        token.fcc = min(U32, max(0, token.fcc + sent - self._trc))
        token.backlog = min(U32, max(0, token.backlog + backlog - self._pbl))
        self._trc = sent
        self._pbl = backlog

    def _lower_aru(self, token: Token, store: RingStore) -> None:
        lowered_by = token.aru_addr
        if (
            seq_less(store.aru, token.aru)
            or lowered_by == 0
            or lowered_by == self._me
            or lowered_by not in self._ring_members()  # nobody who could raise it again
        ):
            # Only a lie can have filled the store beyond what the token has numbered.
            token.aru = _min_seq(store.aru, token.seq)
            token.aru_addr = NodeId(0) if token.aru == token.seq else self._me

    def _is_deaf(self, token: Token, last_aru: int, now: Nanos) -> bool:
        """Whether this node holds the ring's aru back for too long: it has failed to receive.

        Too long is a number of visits, and a token time-out too: where the token does not rest,
        thousands of visits are over before a repair had its chance.
        """
        if token.aru == last_aru and token.aru_addr != 0:
            self._fail_count += 1
        else:
            self._fail_count = 0
            self._fail_since = now
        if self._fail_count <= self._settings.fail_recv_const or token.aru_addr != self._me:
            return False
        is_alone = len(self._members) == 1
        if now - self._fail_since < self._settings.token_timeout_ns and not is_alone:
            return False
        self._mark(Mark.FAILED_TO_RECEIVE, self._me)
        self._failed_to_recv = True
        self._failed.append(self._me)
        return True

    # -- passing on, holding, resting ----------------------------------------------------------

    def _ring_members(self) -> tuple[NodeId, ...]:
        return self._new_members if self._state is State.RECOVERY else self._members

    def _has_overslept(self, now: Nanos) -> bool:
        """Whether this process stood still past the token time-out: the others have gone on."""
        return self._timers.row[Timer.TOKEN] <= now and self._is_paused(now)

    def _discard_the_past(self, now: Nanos) -> None:
        """What waits unread was sent to a member that the others have given up meanwhile."""
        self._mark(Mark.PAUSE_DETECTED, (now - self._pause_stamp) // MS)
        self._pause_stamp = now
        self._effects.append(Discard())

    def _is_paused(self, now: Nanos) -> bool:
        """Whether this process stood still, so that what it reads now may be long out of date."""
        return now - self._pause_stamp > self._settings.token_timeout_ns // 2

    def _pass_on(self, token: Token, store: RingStore, now: Nanos, resent: int) -> None:
        keep = self._keep_for(token, store, resent)
        if keep:
            self._rest = token
            self._rest_since = now
            self._rest_sent = 0
            self._set_timer(Timer.REST, now + keep)
            self._stop_timer(Timer.RETRANSMIT)
        else:
            self._forward(token, now)

    def _forward(self, token: Token, now: Nanos) -> None:
        token.sender = self._me
        target = self._successor(self._ring_members())
        self._rest = None
        self._stop_timer(Timer.REST)
        if target == self._me:
            self._to_self.append(token)
            return
        datagram = encode_token(token)
        self._saved_token = (target, datagram)
        self._set_timer(Timer.RETRANSMIT, now + self._settings.token_retransmit_ns)
        self._send_token_datagram(target, datagram)

    def _keep_for(self, token: Token, store: RingStore, resent: int) -> int:
        """Nanoseconds that the token stays here after this visit; 0 passes it on at once.

        A ring of Unisono members lets the token rest with its last sender; a ring with Corosync
        members holds it at the representative once nothing was sent for seqno_unchanged_const
        rotations.
        """
        if self._state is not State.OPERATIONAL:
            return 0
        if self._leaving:
            # Alone and with nothing to say yet, the token would only run in circles.
            is_alone = len(self._members) == 1 and not self._queue_in_use()
            return REST_FIRST_NS if is_alone else 0
        if self._slow:
            return PACE_NS
        is_repairing = bool(token.rtr or resent)
        if is_repairing and (self._fast() or self._settings.cancel_token_hold_on_retransmit):
            return 0
        if self._fast():
            return self._rest_for(token, store)
        held = self._is_rep() and self._seq_unchanged > self._settings.seqno_unchanged_const
        return self._settings.hold_ns if held else 0

    def _fast(self) -> bool:
        return self._native or len(self._members) == 1

    def _rest_for(self, token: Token, store: RingStore) -> int:
        quiet = (
            not self._queue_in_use()
            and token.aru == token.seq
            and not seq_less(store.aru, token.seq)
            and token.backlog <= self._pbl
            and not self._is_unsafe(token, store)
        )
        last_sender = self._last_origin == self._me if self._last_origin else self._is_rep()
        if not quiet or not last_sender:
            self._rest_idle = 0
            return 0
        linger = min(REST_FIRST_NS << self._rest_idle, self._rest_max())
        if linger < self._rest_max():
            self._rest_idle += 1
        return linger

    def _rest_max(self) -> int:
        """Others resend a token that stays away for token_retransmit: be well below that."""
        return self._settings.token_retransmit_ns // 2

    def _use_rest(self, now: Nanos) -> None:
        """New messages while the token is here leave at once; then it may go on resting."""
        token = self._rest
        if token is None or self._slow or not self._queue_in_use():
            return
        store = self._regular
        budget = self._window - self._rest_sent
        datagrams = self._originate(token, store, self._window_left(token, store, budget))
        if not datagrams:
            self._release_rest(now)
            return
        self._rest_sent += len(datagrams)
        self._rest_idle = 0
        self._count_flow(token, self._trc + len(datagrams))
        self._lower_aru(token, store)
        self._deliver_ready()
        self._effects.append(SendAll(datagrams))
        spent = self._rest_sent >= self._window
        if spent or not self._fast() or self._queue_in_use() or self._is_unsafe(token, store):
            self._release_rest(now)
            return
        end = self._rest_since + self._rest_max()
        self._set_timer(Timer.REST, min(now + REST_FIRST_NS, end))

    def _is_unsafe(self, token: Token, store: RingStore) -> bool:
        """Whether safe messages wait for confirmation; a number above the token's is a lie."""
        return seq_less(store.safe_point, _min_seq(store.safe_high, token.seq))

    def _release_rest(self, now: Nanos) -> None:
        token = self._rest
        if token is not None:
            self._forward(token, now)

    def _ask_for_token(self, now: Nanos) -> None:
        """Something waits while the token may be held elsewhere: say so, once per absence."""
        if self._state is not State.OPERATIONAL or self._rest is not None or self._asked:
            return
        if self._fast():
            due = self._last_visit + ASK_AFTER_NS
            if now < due:
                self._set_timer(Timer.ASK, due)
                return
        elif self._is_rep() or self._seq_unchanged < self._settings.seqno_unchanged_const:
            return
        self._asked = True
        self._seq_unchanged = 0
        self._send_all(encode_hold_cancel(HoldCancel(self._ring, self._me)))

    def _on_hold_cancel(self, message: HoldCancel, now: Nanos) -> None:
        if message.ring != self._ring:
            return
        self._seq_unchanged = 0
        if not self._slow:
            self._release_rest(now)

    def _detect_merge(self) -> None:
        if self._state is State.OPERATIONAL and self._is_rep():
            self._send_all(encode_merge_detect(MergeDetect(self._me, self._ring, self._me)))

    def _repeat_token(self, now: Nanos) -> None:
        """Nobody was heard since the token left: it may be lost, so send it again."""
        if self._saved_token is None:
            return
        target, datagram = self._saved_token
        self._mark(Mark.TOKEN_RETRANSMITTED, target)
        self._send_token_datagram(target, datagram)
        self._set_timer(Timer.RETRANSMIT, now + self._settings.token_retransmit_ns)
