"""Repair: asking for what is missing, answering who asks, and noticing that one cannot hear.

Counterpart: corosync exec/totemsrp.c (orf_token_rtr, messages_free, miss_count); paper section
             3.2.
Keeps:       who lacks a message holds the ring's aru down until it has it, or finds that it cannot
             hear.
"""

from typing import Final

from unisono.base.group import SendAll
from unisono.base.ids import MS, Nanos, NodeId, seq_less, seq_min
from unisono.base.limits import RTR_ENTRIES_MAX
from unisono.base.marks import Mark
from unisono.totem.flow import FlowControl
from unisono.totem.store import RingStore
from unisono.wire.ring.srp import Rtr, Token

GAPS_SCANNED_MAX: Final = 256
"""Missing messages looked at in one visit; the first ones must be repaired first anyway."""
AGAIN_NS_MIN: Final = 5 * MS
"""The token may come a thousand times while an answer is on its way, or while nobody is heard: a
message is asked for again after this pause, then after twice as long."""
AGAIN_NS_MAX: Final = 80 * MS


class Repair(FlowControl):
    """Retransmission."""

    __slots__ = ()

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

    def _lower_aru(self, token: Token, store: RingStore) -> None:
        lowered_by = token.aru_addr
        if (
            seq_less(store.aru, token.aru)
            or lowered_by == 0
            or lowered_by == self._me
            or lowered_by not in self._ring_members()  # nobody who could raise it again
        ):
            # Only a lie can have filled the store beyond what the token has numbered.
            token.aru = seq_min(store.aru, token.seq)
            token.aru_addr = NodeId(0) if token.aru == token.seq else self._me

    def _is_stuck(self, token: Token, now: Nanos) -> bool:
        """Whether recovery goes on without getting on: only a lie in the token can hold it up.

        Messages that nobody has, or a flag that nobody set, would turn the token for ever.
        """
        progress = token.seq, token.aru, len(self._retrans), self._rotation_counter
        if progress != self._progress:
            self._progress = progress
            self._fail_count = 0
            self._fail_since = now
        self._fail_count += 1
        return (
            self._fail_count > self._settings.fail_recv_const
            and now - self._fail_since >= self._settings.token_timeout_ns
        )

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
