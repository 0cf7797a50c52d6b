"""Recovery: the old ring's messages are exchanged on the new ring before anything new is delivered.

Speaks:      Totem SRP, states COMMIT and RECOVERY and the entry to OPERATIONAL (paper section 4.4).
Counterpart: corosync exec/totemsrp.c (memb_state_commit_*, memb_state_recovery_enter,
             memb_state_operational_enter).
Keeps:       the old ring's store is touched by nobody from COMMIT until the new ring is
             OPERATIONAL, however often the attempt is repeated; all members that come from one ring
             leave with the same messages.
"""

from collections import deque

from unisono.base.errors import WireError
from unisono.base.group import ConfigurationChanged, ConfigurationKind, StoreRingSeq
from unisono.base.ids import (
    SEQ_BEFORE_FIRST,
    Nanos,
    NodeId,
    RingId,
    RingSeq,
    seq_add,
    seq_distance,
    seq_less,
    seq_less_equal,
)
from unisono.base.marks import Mark
from unisono.totem.resting import Resting
from unisono.totem.store import RingStore
from unisono.totem.timers import Timer
from unisono.wire.ring.srp import (
    MCAST_HEADER_BYTES,
    CommitEntry,
    CommitToken,
    Mcast,
    Token,
    decode,
    encode_commit,
)


class Recovery(Resting):
    """Forming a new ring out of members that may come from different old ones."""

    __slots__ = ()

    # -- COMMIT -----------------------------------------------------------------------------------

    def _new_commit_token(self) -> CommitToken:
        """The commit token of this node as the lowest of the candidates."""
        members = self._candidates()
        ring = RingId(self._me, RingSeq(self._token_ring_seq + 4))
        blank = [CommitEntry(RingId(NodeId(0), RingSeq(0)), 0, 0, 0) for _ in members]
        return CommitToken(self._me, 0, ring, 0, 0, members, blank)

    def _enter_commit(self, now: Nanos, commit: object) -> None:
        assert isinstance(commit, CommitToken)
        self._fill_entry(commit)
        self._stop_timer(Timer.JOIN)
        self._stop_timer(Timer.CONSENSUS)
        self._stop_timer(Timer.SEND_JOIN)
        self._ring = commit.ring
        self._token_ring_seq = commit.ring.seq
        self._new_members = tuple(commit.addr)
        self._trc = self._pbl = 0
        # The sequence must be on disk before anybody can form a ring with it.
        self._effects.append(StoreRingSeq(commit.ring.seq))
        self._send_commit(commit, now)

    def _fill_entry(self, commit: CommitToken) -> None:
        """Say what this node has of its old ring; whoever has less than the best needs recovery."""
        old = self._regular
        index = commit.memb_index
        commit.entries[index] = CommitEntry(
            old.ring, old.aru, old.delivered, 1 if old.aru == old.high else 0
        )
        kin = [entry for entry in commit.entries[: index + 1] if entry.ring == old.ring]
        best = kin[0].aru
        for entry in kin:
            if seq_less(best, entry.aru):
                best = entry.aru
        for entry in kin:
            if seq_less(entry.aru, best):
                entry.received_flg = 0
        commit.memb_index = index + 1

    def _send_commit(self, commit: CommitToken, now: Nanos) -> None:
        commit.token_seq += 1
        commit.sender = self._me
        target = self._successor(tuple(commit.addr))
        self._restart_token_timers(now)
        if target == self._me:
            self._to_self.append(commit)
            return
        datagram = encode_commit(commit)
        self._saved_token = (target, datagram)
        self._send_token_datagram(target, datagram)

    # -- RECOVERY ---------------------------------------------------------------------------------

    def _enter_recovery(self, now: Nanos, commit: object) -> None:
        assert isinstance(commit, CommitToken)
        self._mark(Mark.RECOVERY_STARTED, commit.ring.rep, commit.ring.seq)
        self._send_commit(commit, now)
        # Should this attempt fail, the next begins with those who agreed on this one: a failed list
        # of the past would be believed by them and answered in kind, without end.
        self._proc = list(commit.addr)
        self._failed = []
        self._recovery = RingStore(commit.ring)
        self._token_seq = SEQ_BEFORE_FIRST
        self._last_aru = 0
        self._last_seq = 0
        self._last_origin = NodeId(0)
        self._own_high = 0
        self._fail_count = self._seq_unchanged = self._rest_idle = 0
        self._fail_since = now
        self._miss = {}
        self._progress = (0, 0, 0, 0)
        self._originated = False
        self._retrans_flg_count = self._rotation_counter = self._install_seq = 0
        self._set_retrans_flg = False
        self._native = self._queue.is_dense = False
        self._window = self._settings.window_size
        self._visit_max = self._settings.max_messages
        old = self._regular
        self._received_flg = old.aru == old.high
        entries = dict(zip(commit.addr, commit.entries, strict=True))
        self._trans = tuple(
            node for node in self._members if node in entries and entries[node].ring == old.ring
        )
        kin = [entries[node] for node in self._trans]
        self._retrans = self._messages_to_exchange(kin)

    def _messages_to_exchange(self, kin: list[CommitEntry]) -> deque[bytes]:
        """Every old message that some member may lack; nothing when all have all."""
        old = self._regular
        if all(entry.received_flg for entry in kin):
            return deque()
        low = old.high
        for entry in kin:
            if seq_less(entry.aru, low):
                low = entry.aru
        messages: deque[bytes] = deque()
        for step in range(1, seq_distance(low, old.high) + 1):
            message = old.messages.get(seq_add(low, step))
            if message is not None:
                messages.append(bytes(message.datagram))
        return messages

    def _originate_token(self, now: Nanos, commit: object) -> None:
        """The representative starts the new ring's regular token, once."""
        if self._originated:
            return
        self._originated = True
        waiting = bool(self._retrans)
        self._set_retrans_flg = waiting
        self._forward(
            Token(
                self._me,
                self._ring,
                0,
                0,
                SEQ_BEFORE_FIRST,
                self._me,
                0,
                0,
                1 if waiting else 0,
                [],
            ),
            now,
        )
        self._restart_token_timers(now)

    def _recover(self, token: Token, store: RingStore) -> bool:
        if self._retrans and not token.retrans_flg:
            token.retrans_flg = 1
            self._set_retrans_flg = True
        elif not self._retrans and token.retrans_flg and self._set_retrans_flg:
            token.retrans_flg = 0
            self._set_retrans_flg = False
        self._retrans_flg_count = 0 if token.retrans_flg else self._retrans_flg_count + 1
        if self._retrans_flg_count == 2:
            self._install_seq = token.seq
        if self._retrans_flg_count >= 2 and seq_less_equal(self._install_seq, store.aru):
            self._received_flg = True
        if self._retrans_flg_count >= 3 and seq_less_equal(self._install_seq, token.aru):
            self._rotation_counter += 1
        else:
            self._rotation_counter = 0
        return self._rotation_counter == 2

    # -- OPERATIONAL ------------------------------------------------------------------------------

    def _enter_operational(self, now: Nanos, _subject: object) -> None:
        recovery = self._recovery
        assert recovery is not None
        old = self._regular
        self._unwrap(recovery, old)
        self._deliver_ready()
        before = self._members
        members = self._new_members
        left = tuple(node for node in before if node not in self._trans)
        joined = tuple(node for node in members if node not in self._trans)
        self._announce(ConfigurationKind.TRANSITIONAL, recovery.ring, self._trans, left, ())
        self._deliver_beyond_gaps(old)
        self._announce(ConfigurationKind.REGULAR, recovery.ring, members, (), joined)
        self._members = members
        self._proc = list(members)
        self._failed = []
        self._consensus = set()
        self._regular = recovery
        self._recovery = None
        self._syncing = True
        # A message that never comes must not keep the services waiting for ever.
        patience = 2 * (self._settings.token_timeout_ns + self._settings.consensus_ns)
        self._set_timer(Timer.SYNC, now + patience)
        self._sync_queue.repeat_partial()
        self._deliver_ready()

    def _announce(
        self,
        kind: ConfigurationKind,
        ring: RingId,
        members: tuple[NodeId, ...],
        left: tuple[NodeId, ...],
        joined: tuple[NodeId, ...],
    ) -> None:
        change = ConfigurationChanged(kind, ring, members, left, joined)
        self._delivery.configuration(change, self._effects)

    def _unwrap(self, recovery: RingStore, old: RingStore) -> None:
        """Put the exchanged messages of the old ring where they belong."""
        for seq in sorted(recovery.messages, key=lambda seq: seq_distance(0, seq)):
            wrapped = recovery.messages[seq]
            if not wrapped.encapsulated:
                continue
            try:
                inner = decode(memoryview(wrapped.datagram)[MCAST_HEADER_BYTES:])
            except WireError as error:
                self._mark(Mark.DATAGRAM_MALFORMED, wrapped.origin, seq, str(error))
                continue
            if isinstance(inner, Mcast) and inner.ring == old.ring:
                old.add(inner)

    def _deliver_beyond_gaps(self, old: RingStore) -> None:
        """What is left of the old ring, in the transitional configuration.

        Up to the first gap everything is delivered; beyond it only what members of the transitional
        configuration sent, because a message in the gap may have caused the others.
        """
        gap = False
        seq = old.delivered
        while seq != old.high:
            seq = seq_add(seq, 1)
            message = old.messages.get(seq)
            if message is None:
                gap = True
            elif not gap or message.system_from in self._trans:
                self._delivery.packet(message, self._effects)
            else:
                self._mark(Mark.MESSAGE_SKIPPED, message.system_from, seq)
        old.delivered = old.high
