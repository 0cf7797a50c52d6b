"""The machine's five verbs: everything a driver may call.

Speaks:      `receive`, `submit`, `expire`, `deadline`, `drain`.
Keeps:       one exit for effects; every input passes the transition table.
"""

from collections.abc import Collection
from typing import Final, TypeAlias

from unisono.base.errors import WireError
from unisono.base.event import event
from unisono.base.group import (
    Buffer,
    Leave,
    Multicast,
    Pace,
    Silent,
    Submitted,
    SyncFinished,
)
from unisono.base.ids import Nanos, NodeId, RingId
from unisono.base.limits import (
    MULTICAST_BYTES_MAX,
    SELF_DELIVERY_ROUNDS_MAX,
    SEND_QUEUE_BYTES_MAX,
)
from unisono.base.marks import Mark
from unisono.config.settings import RingSettings
from unisono.totem.membership import Membership
from unisono.totem.packing import SendQueue
from unisono.totem.timers import NEVER, Timer
from unisono.totem.transitions import TABLE, Input, State
from unisono.wire.ring.srp import (
    CommitToken,
    HoldCancel,
    Join,
    Mcast,
    MergeDetect,
    RingMessage,
    Token,
    decode,
)

PAUSE_TICKS_PER_TOKEN: Final = 5


@event
class Start:
    """Begin: after the interface delay the node looks for others."""


@event
class Reconfigure:
    """Other settings hold; `known` as for Totem."""

    settings: RingSettings
    known: Collection[NodeId] | None


Request: TypeAlias = Start | Multicast | SyncFinished | Leave | Pace | Silent | Reconfigure


class Totem(Membership):
    """One node of the ring. `ring_seq` is the stored ring sequence plus one.

    `known` bounds who may join (None: anybody); `jitter` (0 to 1) places this node's joins within
    send_join.
    """

    __slots__ = ()

    # -- the verbs --------------------------------------------------------------------------------

    def receive(self, datagram: Buffer, source: NodeId | None, now: Nanos) -> None:
        """Take one UDP payload, whose memory must not change; never raises for bad bytes."""
        if self._state is State.STARTING or self._state is State.LEFT:
            return
        try:
            message = decode(datagram, self._ring)
        except WireError as error:
            self._mark(Mark.DATAGRAM_MALFORMED, source or 0, len(datagram), str(error))
            return
        self._dispatch(message, now)
        if self._to_self:
            self._run_to_self(now)

    def submit(self, request: Request, now: Nanos) -> Submitted:
        """Take a request; only a Multicast can be refused, when the send queue is full."""
        match request:
            case Multicast():
                return self._submit_multicast(request, now)
            case SyncFinished():
                self._finish_sync(request, now)
            case Start():
                self._pause_stamp = now
                self._set_timer(Timer.START, now + self._settings.start_delay_ns)
                self._set_timer(Timer.PAUSE_TICK, now + self._pause_tick())
            case Leave():
                self._begin_leave(now)
            case Pace():
                self._set_pace(request.slow, now)
            case Silent():
                self._on_silent(request.node, now)
            case Reconfigure():
                self._reconfigure(request, now)
        if self._to_self:
            self._run_to_self(now)
        return Submitted.ACCEPTED

    def expire(self, now: Nanos) -> None:
        """Act on every timer that is due at `now`."""
        if self._has_overslept(now):
            self._discard_the_past(now)
        for _ in range(2 * len(Timer)):
            timer = self._timers.take_expired(now)
            if timer is None:
                break
            self._on_timer(timer, now)
        if self._rest is not None:
            self._use_rest(now)
        if self._to_self:
            self._run_to_self(now)

    def deadline(self) -> Nanos | None:
        """When `expire` wants to be called next; 0 means at once."""
        if self._to_self or (self._rest is not None and not self._slow and self._queue_in_use()):
            return Nanos(0)
        deadline = self._timers.deadline()
        return None if deadline is None else Nanos(deadline)

    def drain(self, now: Nanos | None = None) -> list[object]:
        """Hand over the effects so far, in order; empty only when nothing is left to hand out.

        With `now`, messages that were submitted while the token rests here leave first, packed
        together.
        """
        if now is not None and self._rest is not None:
            if self._has_overslept(now):
                self.expire(now)
            self._use_rest(now)
            if self._to_self:
                self._run_to_self(now)
        if not self._effects:
            self._delivery.proceed(self._effects)
        effects, self._effects = self._effects, []
        if self._delivery.untold:
            count = self._delivery.split(effects)
            effects, self._effects = effects[:count], effects[count:]
        return effects

    # -- facts for drivers and people
    # ---------------------------------------------------------------

    @property
    def state(self) -> State:
        """Where in its life the node is."""
        return self._state

    @property
    def ring(self) -> RingId:
        """The ring this node is on or tries to form."""
        return self._ring

    @property
    def members(self) -> tuple[NodeId, ...]:
        """Members of the last regular configuration, ascending; empty before the first."""
        return self._members

    @property
    def native(self) -> bool:
        """Whether every member is known to be Unisono."""
        return self._native

    @property
    def queue_level(self) -> float:
        """How full the send queue is, 0 to 1 (0.75 is critical)."""
        return self._queue.bytes_waiting / SEND_QUEUE_BYTES_MAX

    def has_room(self, payload_bytes: int) -> bool:
        """Whether a Multicast of that many bytes would be accepted now."""
        return not self._is_closed() and self._queue_for_new().has_room(payload_bytes)

    # -- requests
    # -----------------------------------------------------------------------------------

    def _submit_multicast(self, request: Multicast, now: Nanos) -> Submitted:
        size = len(request.payload)
        queue = self._queue_for_new()
        if self._is_closed() or size > MULTICAST_BYTES_MAX or not queue.has_room(size):
            self._mark(Mark.QUEUE_FULL, size)
            return Submitted.FULL
        waiting = bool(queue)
        queue.push(request.group, request.payload, safe=bool(request.guarantee))
        if not waiting:
            self._ask_for_token(now)
        return Submitted.ACCEPTED

    def _queue_for_new(self) -> SendQueue:
        """The services' place in time counts: they may still finish with a ring that is gone."""
        return self._sync_queue if self._delivery.told else self._queue

    def _is_closed(self) -> bool:
        """A leaver takes nothing new, except what ends a synchronisation: others wait for it."""
        return self._leaving and not self._syncing

    def _finish_sync(self, request: SyncFinished, now: Nanos) -> None:
        self._delivery.sync_finished(request.ring)
        if request.ring != self._ring or self._state is not State.OPERATIONAL:
            return
        self._syncing = False
        self._stop_timer(Timer.SYNC)
        self._native = self._queue.is_dense = request.native
        # What was submitted during synchronisation, but is no part of it, comes behind what waited
        # before.
        self._queue.take_over(self._sync_queue)
        if request.native:
            self._take_window()
            # Members that joined did not hear the beginning: everybody gets the message whole.
            self._queue.restart_partial()
        if self._queue:
            self._ask_for_token(now)

    def _take_window(self) -> None:
        """How much may be on its way, by who is on the ring and in agreement."""
        settings = self._settings
        if self._native and not self._syncing:
            self._window, self._visit_max = (
                settings.native_window_size,
                settings.native_max_messages,
            )
        else:
            self._window, self._visit_max = settings.window_size, settings.max_messages

    def _reconfigure(self, request: Reconfigure, now: Nanos) -> None:
        """A token that is under way is waited for no longer than by the new time-out."""
        settings = self._settings = request.settings
        self._known = None if request.known is None else frozenset(request.known)
        self._take_window()
        row = self._timers.row
        for timer, wait in (
            (Timer.TOKEN, settings.token_timeout_ns),
            (Timer.RETRANSMIT, settings.token_retransmit_ns),
        ):
            if row[timer] != NEVER:
                self._set_timer(timer, min(row[timer], now + wait))

    def _set_pace(self, slow: bool, now: Nanos) -> None:
        self._slow = slow
        if not slow and self._rest is not None:
            self._release_rest(now)

    # -- dispatch
    # -----------------------------------------------------------------------------------

    def _dispatch(self, message: RingMessage, now: Nanos) -> None:
        match message:
            case Mcast():
                self._on_mcast(message, now)
            case Token():
                if self._has_overslept(now):
                    self.expire(now)
                self._on_token(message, now)
                if self._leaving and self._state is State.OPERATIONAL and self._is_all_said():
                    self._step(Input.LEAVE_DUE, now)
            case Join():
                self._on_join(message, now)
            case CommitToken():
                self._on_commit_token(message, now)
            case MergeDetect():
                self._on_merge_detect(message, now)
            case HoldCancel():
                self._on_hold_cancel(message, now)

    def _run_to_self(self, now: Nanos) -> None:
        """A ring of one passes its tokens to itself; the bound keeps one call short."""
        for _ in range(SELF_DELIVERY_ROUNDS_MAX):
            if not self._to_self:
                return
            self._dispatch(self._to_self.popleft(), now)

    def _step(self, what: Input, now: Nanos, subject: object = None) -> None:
        entry = TABLE.get((self._state, what))
        if entry is None:
            return
        state, action = entry
        if state is not self._state:
            self._mark(
                Mark.STATE_ENTERED, list(State).index(state), 0, f"{state.value}: {what.value}"
            )
        self._state = state
        getattr(self, action)(now, subject)

    def _on_timer(self, timer: Timer, now: Nanos) -> None:
        match timer:
            case Timer.START:
                self._step(Input.INTERFACE_UP, now)
            case Timer.JOIN | Timer.SEND_JOIN:
                self._step(Input.JOIN_TIMER, now)
            case Timer.CONSENSUS:
                self._step(Input.CONSENSUS_TIMEOUT, now)
            case Timer.TOKEN:
                self._mark(Mark.TOKEN_LOST, self._ring.rep, self._ring.seq)
                self._step(Input.TOKEN_LOST, now)
            case Timer.RETRANSMIT:
                self._repeat_token(now)
            case Timer.REST:
                self._release_rest(now)
            case Timer.MERGE:
                self._detect_merge()
            case Timer.ASK:
                if self._queue_in_use():
                    self._ask_for_token(now)
            case Timer.PAUSE_TICK:
                self._pause_stamp = now
                self._set_timer(Timer.PAUSE_TICK, now + self._pause_tick())
            case Timer.LEAVE:
                self._step(Input.LEAVE_DUE, now)
            case Timer.SYNC:
                self._mark(Mark.SYNC_OVERDUE, self._ring.rep, self._ring.seq)
                self._step(Input.SYNC_OVERDUE, now)

    def _pause_tick(self) -> int:
        return self._settings.token_timeout_ns // PAUSE_TICKS_PER_TOKEN
