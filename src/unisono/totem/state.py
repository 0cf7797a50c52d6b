"""The ring's variables, named as in the paper, and how every action ends in effects.

Counterpart: corosync exec/totemsrp.c, struct totemsrp_instance.
Keeps:       one effect list in order; what a node sends to itself stays inside.
Never:       decisions: those are in ordering, recovery and membership, which build on this.
"""

from collections import deque
from collections.abc import Collection

from unisono.base.group import Discard, Marked, SendAll, SendTo
from unisono.base.ids import MS, NO_NODE, SEQ_BEFORE_FIRST, Nanos, NodeId, RingId, RingSeq
from unisono.base.marks import Mark
from unisono.config.settings import RingSettings
from unisono.totem.delivery import Delivery
from unisono.totem.packing import SendQueue, packet_capacity
from unisono.totem.store import RingStore
from unisono.totem.timers import NEVER, Timer, Timers
from unisono.totem.transitions import Input, State
from unisono.wire.ring.srp import RingMessage, Token


class RingState:
    """What a node knows; `_step` is the only way to another state."""

    __slots__ = (
        "_asked", "_consensus", "_delivery", "_effects", "_failed", "_fail_count", "_fail_since",
        "_failed_to_recv", "_install_seq", "_jitter", "_known", "_last_aru", "_last_origin",
        "_again", "_last_seq", "_last_visit", "_leaving", "_me", "_members", "_miss", "_native",
        "_new_members", "_originated", "_own_high", "_pause_stamp", "_pbl", "_proc", "_progress",
        "_queue", "_received_flg", "_recovery", "_regular", "_rest", "_rest_idle", "_rest_sent",
        "_rest_since", "_retrans", "_retrans_flg_count", "_ring", "_rotation_counter",
        "_saved_token", "_seq_unchanged", "_set_retrans_flg", "_settings", "_slow", "_state",
        "_sync_queue", "_syncing", "_this_seqno", "_timers", "_to_self", "_token_ring_seq",
        "_token_seq", "_trans", "_trc", "_visit_max", "_wanted_by", "_window", "counters",
    )  # fmt: skip

    def __init__(
        self,
        settings: RingSettings,
        node_id: NodeId,
        ring_seq: int,
        *,
        known: Collection[NodeId] | None = None,
        jitter: float = 0.0,
    ) -> None:
        self._settings = settings
        self._me = node_id
        self._known = None if known is None else frozenset(known)
        self._jitter = jitter
        self._state = State.STARTING
        self._ring = RingId(node_id, RingSeq(ring_seq))
        self._token_ring_seq = ring_seq
        # membership
        self._proc: list[NodeId] = [node_id]
        self._failed: list[NodeId] = []
        self._consensus: set[NodeId] = set()
        self._members: tuple[NodeId, ...] = ()
        self._new_members: tuple[NodeId, ...] = ()
        self._trans: tuple[NodeId, ...] = ()
        self._failed_to_recv = False
        self._leaving = False
        self._pause_stamp = 0
        # stores
        self._regular = RingStore(self._ring)
        self._recovery: RingStore | None = None
        self._retrans: deque[bytes] = deque()
        self._delivery = Delivery()
        # queues
        capacity = packet_capacity(settings.net_mtu_bytes)
        self._queue = SendQueue(capacity)
        self._sync_queue = SendQueue(capacity)
        self._syncing = True
        self._native = False
        self._slow = False
        self._window = settings.window_size
        self._visit_max = settings.max_messages
        # the token
        self._token_seq: int = SEQ_BEFORE_FIRST
        self._last_aru = 0
        self._last_seq = 0
        self._seq_unchanged = 0
        self._last_origin: NodeId = NO_NODE
        self._last_visit = 0
        self._own_high = 0
        self._this_seqno = 0
        self._trc = 0
        self._pbl = 0
        self._fail_count = 0
        self._fail_since = 0
        self._miss: dict[int, int] = {}
        self._again: dict[int, tuple[int, int]] = {}
        """When a missing message was asked for last, and the pause after that."""
        self._saved_token: tuple[NodeId, bytes] | None = None
        self._rest: Token | None = None
        self._rest_since = 0
        self._rest_sent = 0
        self._rest_idle = 0
        self._asked = False
        self._wanted_by: NodeId = NO_NODE
        """Who asked for the token while it was not here, and was not heard since."""
        # recovery
        self._progress = (0, 0, 0, 0)
        """Recovery's, when it was last seen to get on."""
        self._originated = False
        self._received_flg = True
        self._set_retrans_flg = False
        self._retrans_flg_count = 0
        self._rotation_counter = 0
        self._install_seq = 0
        # output
        self._timers = Timers()
        self._effects: list[object] = []
        self._to_self: deque[RingMessage] = deque()
        self.counters: dict[str, int] = {
            "token_visits": 0,
            "messages_sent": 0,
            "messages_received": 0,
            "retransmitted": 0,
            "requested": 0,
        }

    def _step(self, what: Input, now: Nanos, subject: object = None) -> None:
        """Look (state, `what`) up in the table and act; a pair that is absent is ignored."""
        raise NotImplementedError

    # -- effects ----------------------------------------------------------------------------------

    def _mark(self, mark: Mark, a: int = 0, b: int = 0, text: str = "") -> None:
        self._effects.append(Marked(mark, a, b, text))

    def _send_all(self, datagram: bytes) -> None:
        self._effects.append(SendAll([datagram]))

    def _send_token_datagram(self, target: NodeId, datagram: bytes) -> None:
        self._effects.append(SendTo(target, datagram))

    # -- timers -----------------------------------------------------------------------------------

    def _set_timer(self, timer: Timer, deadline: int) -> None:
        self._timers.row[timer] = deadline

    def _stop_timer(self, timer: Timer) -> None:
        self._timers.row[timer] = NEVER

    def _restart_token_timers(self, now: Nanos) -> None:
        row = self._timers.row
        row[Timer.TOKEN] = now + self._settings.token_timeout_ns
        row[Timer.RETRANSMIT] = now + self._settings.token_retransmit_ns

    # -- questions --------------------------------------------------------------------------------

    def _candidates(self) -> list[NodeId]:
        """proc - failed, ascending: those who may form the next ring."""
        failed = self._failed
        return sorted(node for node in self._proc if node not in failed)

    def _is_rep(self) -> bool:
        return self._ring.rep == self._me

    def _successor(self, members: tuple[NodeId, ...]) -> NodeId:
        return members[(members.index(self._me) + 1) % len(members)]

    def _may_join(self, node: NodeId) -> bool:
        return node != NO_NODE and (self._known is None or node in self._known)

    def _queue_in_use(self) -> SendQueue:
        return self._sync_queue if self._syncing else self._queue

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
