"""Flow control: how much a visit of the token may send, and this node's shares in its counts.

Counterpart: corosync exec/totemsrp.c (fcc_calculate, fcc_rtr_limit, fcc_token_update); paper
             section 3.3.
Keeps:       every node replaces its own share only; what nobody can account for is dropped once
             the ring is silent.
"""

from typing import Final

from unisono.base.ids import Nanos, seq_distance
from unisono.base.limits import STORED_MESSAGES_MAX
from unisono.base.marks import Mark
from unisono.totem.state import RingState
from unisono.totem.store import RingStore
from unisono.totem.timers import Timer
from unisono.totem.transitions import State
from unisono.wire.ring.srp import Token

U32: Final = 0xFFFF_FFFF
FLOW_SETTLED_VISITS: Final = 3
"""Visits without anything new after which every share of flow control must be this node's own."""


class FlowControl(RingState):
    """Shares of the window."""

    __slots__ = ()

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

    def _window_left(self, token: Token, store: RingStore, allowed: int) -> int:
        """No message may be sent that some store could have no place for."""
        margin = max(0, allowed) + self._window
        if seq_distance(store.released, token.seq) > STORED_MESSAGES_MAX - margin:
            return 0
        return max(0, allowed)

    def _count_flow(self, token: Token, sent: int) -> None:
        """Replace this node's share of fcc and backlog (corosync fcc_token_update)."""
        backlog = self._backlog()
        token.fcc = min(U32, max(0, token.fcc + sent - self._trc))
        token.backlog = min(U32, max(0, token.backlog + backlog - self._pbl))
        if backlog and not self._pbl:
            self._mark(Mark.FLOW_LIMITED, sent, backlog)
        self._trc = sent
        self._pbl = backlog
