"""The membership state machine as one table.

Counterpart: corosync exec/totemsrp.c; paper section 4 (membership) and figure 4 (its states).

A node is OPERATIONAL while it has a ring. What disturbs the ring (its token is lost, a stranger is
heard, somebody proposes another membership) makes it GATHER: joins are exchanged until all
candidates propose the same set. The lowest of them sends a commit token round; who takes it up is
in COMMIT, and who sees it come round complete is in RECOVERY: there the messages of the old ring
are exchanged over the new one. When every member has them, each becomes OPERATIONAL, delivers what
was missing, and announces first the transitional, then the regular configuration.

An input stands here after its guards passed: a join that a guard discards is no input. A pair that
is absent is ignored on purpose. Actions are names of methods of the machine; SAME means that the
action does not change the state by itself.
"""

from enum import Enum
from typing import Final


class State(Enum):
    """Where in its life a node is."""

    STARTING = "starting"
    OPERATIONAL = "operational"
    GATHER = "gather"
    COMMIT = "commit"
    RECOVERY = "recovery"
    LEFT = "left"


class Input(Enum):
    """What can happen to a node, after the guards."""

    INTERFACE_UP = "interface up"
    TOKEN_LOST = "token lost"
    STRANGER_HEARD = "stranger heard"
    JOIN_HEARD = "join heard"
    MEMBERSHIP_DIFFERS = "membership differs"
    CONSENSUS_REACHED = "consensus reached"
    CONSENSUS_TIMEOUT = "consensus timeout"
    JOIN_TIMER = "join timer"
    COMMIT_OFFERED = "commit token offered"
    COMMIT_COMPLETE = "commit token complete"
    COMMIT_RETURNED = "commit token returned"
    RECOVERED = "recovered"
    RECEIVE_FAILED = "failed to receive"
    LEAVE_DUE = "leave due"
    SYNC_OVERDUE = "synchronisation overdue"
    MEMBER_SILENT = "member silent"
    RECOVERY_STUCK = "recovery stuck"


TABLE: Final[dict[tuple[State, Input], tuple[State, str]]] = {
    (State.STARTING, Input.INTERFACE_UP): (State.GATHER, "_enter_gather"),
    (State.STARTING, Input.LEAVE_DUE): (State.LEFT, "_enter_left"),
    (State.OPERATIONAL, Input.TOKEN_LOST): (State.GATHER, "_enter_gather"),
    (State.OPERATIONAL, Input.SYNC_OVERDUE): (State.GATHER, "_enter_gather"),
    (State.OPERATIONAL, Input.STRANGER_HEARD): (State.GATHER, "_enter_gather"),
    (State.OPERATIONAL, Input.JOIN_HEARD): (State.GATHER, "_gather_on_join"),
    (State.OPERATIONAL, Input.RECEIVE_FAILED): (State.GATHER, "_enter_gather"),
    (State.OPERATIONAL, Input.MEMBER_SILENT): (State.GATHER, "_gather_without"),
    (State.OPERATIONAL, Input.LEAVE_DUE): (State.LEFT, "_enter_left"),
    (State.GATHER, Input.TOKEN_LOST): (State.GATHER, "_retry_consensus"),
    (State.GATHER, Input.STRANGER_HEARD): (State.GATHER, "_enter_gather"),
    (State.GATHER, Input.JOIN_HEARD): (State.GATHER, "_merge_join"),
    (State.GATHER, Input.MEMBERSHIP_DIFFERS): (State.GATHER, "_enter_gather"),
    (State.GATHER, Input.CONSENSUS_REACHED): (State.COMMIT, "_enter_commit"),
    (State.GATHER, Input.CONSENSUS_TIMEOUT): (State.GATHER, "_judge_consensus"),
    (State.GATHER, Input.JOIN_TIMER): (State.GATHER, "_repeat_join"),
    (State.GATHER, Input.COMMIT_OFFERED): (State.COMMIT, "_enter_commit"),
    (State.GATHER, Input.MEMBER_SILENT): (State.GATHER, "_gather_without"),
    (State.GATHER, Input.LEAVE_DUE): (State.LEFT, "_enter_left"),
    (State.COMMIT, Input.TOKEN_LOST): (State.GATHER, "_enter_gather"),
    (State.COMMIT, Input.JOIN_HEARD): (State.GATHER, "_gather_on_join"),
    (State.COMMIT, Input.COMMIT_COMPLETE): (State.RECOVERY, "_enter_recovery"),
    (State.COMMIT, Input.MEMBER_SILENT): (State.GATHER, "_gather_without"),
    (State.COMMIT, Input.LEAVE_DUE): (State.LEFT, "_enter_left"),
    (State.RECOVERY, Input.TOKEN_LOST): (State.GATHER, "_enter_gather"),
    (State.RECOVERY, Input.RECOVERY_STUCK): (State.GATHER, "_enter_gather"),
    (State.RECOVERY, Input.JOIN_HEARD): (State.GATHER, "_gather_on_join"),
    (State.RECOVERY, Input.COMMIT_RETURNED): (State.RECOVERY, "_originate_token"),
    (State.RECOVERY, Input.RECOVERED): (State.OPERATIONAL, "_enter_operational"),
    (State.RECOVERY, Input.MEMBER_SILENT): (State.GATHER, "_gather_without"),
    (State.RECOVERY, Input.LEAVE_DUE): (State.LEFT, "_enter_left"),
}
