"""Membership: joins are exchanged until all who can hear each other propose the same set.

Speaks:      Totem SRP, state GATHER and the guards of every state (paper section 4.2, 4.3).
Counterpart: corosync exec/totemsrp.c (memb_join_process, message_handler_memb_*).
Keeps:       proc and failed only grow while gathering, so that gathering ends.
"""

from collections.abc import Sequence
from typing import Final

from unisono.base.group import Left
from unisono.base.ids import MS, Nanos, NodeId, RingSeq, seq_less
from unisono.base.limits import RING_SEQ_STEP_MAX, RING_SEQ_TRUSTED_MAX
from unisono.base.marks import Mark
from unisono.totem.recovery import Recovery
from unisono.totem.timers import Timer
from unisono.totem.transitions import Input, State
from unisono.wire.ring.srp import CommitToken, Join, encode_join

LEAVE_COPIES: Final = 2
"""A leave is never acknowledged; a duplicate is harmless, a lost one costs a token time-out."""
LEAVE_WITHIN_NS: Final = 500 * MS
"""How long a clean leave waits for its last messages to be received by all."""


class Membership(Recovery):
    """Gathering, and who may say what when."""

    __slots__ = ()

    # -- joins ------------------------------------------------------------------------------------

    def _on_join(self, join: Join, now: Nanos) -> None:
        if self._is_paused(now):
            self._discard_the_past(now)
            return
        if not self._is_welcome(join):
            return
        self._raise_ring_seq(join)
        if self._counts(join):
            self._mark(Mark.JOIN_HEARD, join.system_from, join.ring_seq)
            self._step(Input.JOIN_HEARD, now, join)
        else:
            self._mark(Mark.JOIN_IGNORED, join.system_from, join.ring_seq)

    def _is_welcome(self, join: Join) -> bool:
        if join.system_from == self._me:
            self._mark(Mark.NODE_ID_DUPLICATE, self._me)
            return False
        if not self._may_join(join.system_from) or not all(map(self._may_join, join.proc)):
            self._mark(Mark.NODE_UNKNOWN, join.system_from)
            return False
        return True

    def _raise_ring_seq(self, join: Join) -> None:
        """The next ring is above all that were heard of, but a lie must not use up the numbers.

        Refusing an absurd number would part us for ever from a member that believed it. So we
        follow in steps: repeated joins of somebody who is really there get us to the same number.
        """
        limit = self._ring_seq_limit()
        if join.ring_seq > limit:
            self._mark(Mark.RING_SEQ_CLAMPED, join.system_from, join.ring_seq)
        self._token_ring_seq = max(self._token_ring_seq, min(join.ring_seq, limit))

    def _ring_seq_limit(self) -> int:
        return max(RING_SEQ_TRUSTED_MAX, self._token_ring_seq + RING_SEQ_STEP_MAX)

    def _counts(self, join: Join) -> bool:
        """Stale joins must not break a ring that has formed since they were sent."""
        sender = join.system_from
        match self._state:
            case State.GATHER:
                return True
            case State.OPERATIONAL:
                if join.leave:  # a second copy comes when the first has done its work
                    return sender in self._members
                stale = sender in self._members and join.ring_seq < self._ring.seq
                return self._me not in join.failed and not stale
            case State.COMMIT | State.RECOVERY:
                return sender in self._new_members and join.ring_seq >= self._ring.seq
            case _:
                return False

    def _gather_on_join(self, now: Nanos, join: object) -> None:
        """A valid join ends whatever this node was doing."""
        assert isinstance(join, Join)
        self._consensus = set()
        if not self._propose_with(join, now):
            self._enter_gather(now, None)

    def _merge_join(self, now: Nanos, join: object) -> None:
        assert isinstance(join, Join)
        self._propose_with(join, now)

    def _propose_with(self, join: Join, now: Nanos) -> bool:
        """Merge the sender's proposal with ours; True when that led to a new state or new joins."""
        sender = join.system_from
        proc, failed = set(join.proc), set(join.failed)
        mine, gone = set(self._proc), set(self._failed)
        if proc == mine and failed == gone:
            if join.leave:
                return False
            self._consensus.add(sender)
            return self._conclude(now)
        if (proc <= mine and failed <= gone) or sender in gone:
            return False
        known = len(self._proc) + len(self._failed)
        for node in join.proc:
            self._join_proc(node)
        if self._me in failed:
            self._add_failed([sender])
        elif sender in self._members:
            self._add_failed(join.failed)
        elif join.leave:
            self._add_failed([sender])
        if len(self._proc) + len(self._failed) == known:
            # A stranger's failed list is not ours to believe; answering it without having learned
            # anything would be answered in turn, without end.
            return False
        self._step(Input.MEMBERSHIP_DIFFERS, now)
        return True

    def _add_failed(self, nodes: list[NodeId]) -> None:
        for node in nodes:
            if node not in self._failed:
                self._failed.append(node)

    def _is_agreed(self) -> bool:
        return all(node in self._consensus for node in self._candidates())

    def _conclude(self, now: Nanos) -> bool:
        """If all candidates propose the same, the lowest of them forms the ring."""
        if not self._is_agreed():
            return False
        if self._failed_to_recv:
            self._failed_to_recv = False
            self._proc = [self._me]
            self._failed = []
        elif self._candidates()[:1] != [self._me]:
            return False
        self._step(Input.CONSENSUS_REACHED, now, self._new_commit_token())
        return True

    def _on_silent(self, node: NodeId, now: Nanos) -> None:
        """The transport knows what a time-out would tell later."""
        if node != self._me and node in self._company() and node not in self._failed:
            self._mark(Mark.MEMBER_SILENT, node)
            self._step(Input.MEMBER_SILENT, now, node)

    def _company(self) -> Sequence[NodeId]:
        """Those with whom this node has a ring, or forms one."""
        match self._state:
            case State.OPERATIONAL:
                return self._members
            case State.COMMIT | State.RECOVERY:
                return self._new_members
            case _:
                return self._proc

    def _gather_without(self, now: Nanos, node: object) -> None:
        assert isinstance(node, int)
        self._add_failed([NodeId(node)])
        self._enter_gather(now, None)

    # -- GATHER -----------------------------------------------------------------------------------

    def _enter_gather(self, now: Nanos, _subject: object) -> None:
        self._rest = None
        self._saved_token = None
        self._recovery = None
        for timer in (
            Timer.TOKEN,
            Timer.RETRANSMIT,
            Timer.MERGE,
            Timer.REST,
            Timer.ASK,
            Timer.SYNC,
        ):
            self._stop_timer(timer)
        self._join_proc(self._me)
        self._consensus = {self._me}
        self._set_timer(Timer.CONSENSUS, now + self._settings.consensus_ns)
        if self._settings.send_join_ns:
            delay = int(self._settings.send_join_ns * self._jitter)
            self._set_timer(Timer.SEND_JOIN, now + delay)
            self._set_timer(Timer.JOIN, now + delay + self._settings.join_ns)
        else:
            self._repeat_join(now, None)

    def _repeat_join(self, now: Nanos, _subject: object) -> None:
        self._send_all(encode_join(self._own_join()))
        self._set_timer(Timer.JOIN, now + self._settings.join_ns)
        self._conclude(now)

    def _own_join(self) -> Join:
        return Join(self._me, list(self._proc), list(self._failed), RingSeq(self._token_ring_seq))

    def _judge_consensus(self, now: Nanos, _subject: object) -> None:
        """Who has not agreed by now is failed; if all have, the lowest owes us a commit token."""
        if self._is_agreed():
            self._consensus = {self._me}
            self._set_timer(Timer.TOKEN, now + self._settings.token_timeout_ns)
            return
        self._mark(Mark.CONSENSUS_TIMEOUT)
        self._fail_the_silent()
        self._enter_gather(now, None)

    def _retry_consensus(self, now: Nanos, _subject: object) -> None:
        self._fail_the_silent()
        self._enter_gather(now, None)

    def _fail_the_silent(self) -> None:
        self._add_failed([node for node in self._candidates() if node not in self._consensus])

    # -- commit tokens ----------------------------------------------------------------------------

    def _on_commit_token(self, commit: CommitToken, now: Nanos) -> None:
        if self._state is State.GATHER and self._is_offer(commit):
            self._step(Input.COMMIT_OFFERED, now, commit)
        elif self._state is State.COMMIT and self._is_complete(commit):
            self._step(Input.COMMIT_COMPLETE, now, commit)
        elif (
            self._state is State.RECOVERY
            and self._is_complete(commit)
            and commit.ring.rep == self._me
        ):
            self._step(Input.COMMIT_RETURNED, now, commit)
        else:
            self._mark(Mark.COMMIT_TOKEN_IGNORED, commit.sender, commit.ring.seq)

    def _is_offer(self, commit: CommitToken) -> bool:
        index = commit.memb_index
        return (
            index < len(commit.addr)
            and commit.addr[index] == self._me
            and commit.addr == self._candidates()
            and commit.ring.seq > self._ring.seq
            and commit.ring.seq <= self._ring_seq_limit()
        )

    def _is_complete(self, commit: CommitToken) -> bool:
        return (
            commit.ring == self._ring
            and commit.memb_index == len(commit.addr)
            and tuple(commit.addr) == self._new_members
        )

    # -- leaving ----------------------------------------------------------------------------------

    def _begin_leave(self, now: Nanos) -> None:
        """Say the last words first: what is queued leaves before this node does, within a bound."""
        self._leaving = True
        if self._state is not State.OPERATIONAL or self._is_all_said():
            self._step(Input.LEAVE_DUE, now)
            return
        self._set_timer(Timer.LEAVE, now + LEAVE_WITHIN_NS)
        if self._rest is not None:
            self._use_rest(now)
            self._release_rest(now)
        else:
            self._ask_for_token(now)

    def _is_all_said(self) -> bool:
        received = not seq_less(self._regular.safe_point, self._own_high)
        return not self._queue and not self._queue_in_use() and received

    def _enter_left(self, now: Nanos, _subject: object) -> None:
        proc = [node for node in self._proc if node != self._me]
        failed = [node for node in self._failed if node != self._me]
        leave = encode_join(
            Join(self._me, proc, [*failed, self._me], RingSeq(self._token_ring_seq), leave=True)
        )
        for _ in range(LEAVE_COPIES):
            self._send_all(leave)
        self._rest = None
        for timer in Timer:
            self._stop_timer(timer)
        self._effects.append(Left())
