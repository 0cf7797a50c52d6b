"""Resting: when the token is passed on, held or kept, and how it is asked for.

Counterpart: corosync exec/totemsrp.c (token_hold_cancel_send, token_retransmit); hold mode is
             Corosync's, rest is ours.
Keeps:       a token that stays is used by its keeper at once, and never stays so long that the node
             that passed it on would send it again.
"""

from typing import Final

from unisono.base.group import SendAll
from unisono.base.ids import MS, NO_NODE, Nanos, seq_less, seq_min
from unisono.base.marks import Mark
from unisono.totem.ordering import Ordering
from unisono.totem.store import RingStore
from unisono.totem.timers import Timer
from unisono.totem.transitions import State
from unisono.wire.ring.srp import (
    HoldCancel,
    MergeDetect,
    Token,
    encode_hold_cancel,
    encode_merge_detect,
    encode_token,
)

REST_FIRST_NS: Final = 50 * MS
"""How long the token waits at the last sender for more; doubled at each idle turn."""
ASK_AFTER_NS: Final = 2 * MS
"""A token that has not come for this long is resting somewhere: ask for it."""
PACE_NS: Final = 20 * MS
"""How long each visit lasts while a local reader is behind."""


class Resting(Ordering):
    """The token between two visits."""

    __slots__ = ()

    def _pass_on(self, token: Token, store: RingStore, now: Nanos, resent: int) -> None:
        keep = self._keep_for(token, store, resent)
        if self._wanted_by != NO_NODE:
            self._wanted_by = NO_NODE
            keep = keep if self._slow else 0
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

    def _repeat_token(self, now: Nanos) -> None:
        """Nobody was heard since the token left: it may be lost, so send it again."""
        if self._saved_token is None:
            return
        target, datagram = self._saved_token
        self._mark(Mark.TOKEN_RETRANSMITTED, target)
        self._send_token_datagram(target, datagram)
        self._set_timer(Timer.RETRANSMIT, now + self._settings.token_retransmit_ns)

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
        last = self._last_origin
        keeper = last if last in self._members else self._ring.rep
        if not quiet or keeper != self._me:
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
        self._mark(Mark.TOKEN_USED, token.seq, len(datagrams))
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
        return seq_less(store.safe_point, seq_min(store.safe_high, token.seq))

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
        if self._rest is None:
            # Asked for once in an absence, which may meet the token on its way to its keeper.
            self._wanted_by = message.sender
        elif not self._slow:
            self._release_rest(now)

    def _detect_merge(self) -> None:
        if self._state is State.OPERATIONAL and self._is_rep():
            self._send_all(encode_merge_detect(MergeDetect(self._me, self._ring, self._me)))
