"""Reload: the configuration is read again on every node, and holds everywhere from one place on.

Speaks:      kind reload of the group "unisono" (wire.service.reload); Corosync's reload_config.
Counterpart: corosync exec/cfg.c, where each node reloads for itself and nobody hears of failures.
Keeps:       on a ring of Unisono members all files are good, or nothing changes anywhere; what
             changes does so at one place in the ring's order. Whoever asked hears from every node.
Never:       reads a file: the executive does, away from the ring's path.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from unisono.base.errors import CsError
from unisono.base.group import Multicast
from unisono.base.ids import NodeId
from unisono.base.limits import RELOAD_TRIES_MAX
from unisono.base.marks import Mark
from unisono.config.changes import Change, Changes
from unisono.config.reload import ConfigurationRead, ReadConfiguration, SettingsChanged
from unisono.config.settings import Settings
from unisono.services.cluster import Cluster
from unisono.wire.service import native
from unisono.wire.service.cfg import encode_reload_config
from unisono.wire.service.header import GROUP_NATIVE
from unisono.wire.service.reload import (
    Order,
    Report,
    Step,
    decode_reload,
    encode_order,
    encode_report,
)

READINGS_MAX: Final = 2
"""Of those without a leader."""
Answer: TypeAlias = Callable[[CsError, dict[str, Any]], None]
"""Takes how a reload ended: OK, INVALID_PARAM or TRY_AGAIN, and what each node reported."""


class _Reading(NamedTuple):
    """The file is being read for the reload `number` of node `leader`."""

    leader: NodeId
    number: int


class _Pending:
    """A reload that this node leads."""

    __slots__ = ("answers", "is_checked", "number", "reports", "tries", "waits_for")

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers
        self.number = 0
        """0 while it is not under way."""
        self.is_checked = False
        """All members have been told to read."""
        self.reports: dict[NodeId, Report] = {}
        self.waits_for: set[NodeId] = set()
        self.tries = 1


class Reload:
    """Reloads of one node: those that it leads and those that it follows."""

    __slots__ = (
        "_answers", "_cluster", "_is_agreed", "_number", "_pending", "_prepared", "_take",
        "_ticket", "_tickets",
    )  # fmt: skip

    def __init__(self, cluster: Cluster, take: Callable[[Settings], None]) -> None:
        """`take` puts new settings into the services, at this place of the order."""
        self._cluster = cluster
        self._take = take
        self._answers: list[Answer] = []
        """Who waits for the next reload."""
        self._pending: _Pending | None = None
        self._is_agreed = False
        """The members of this configuration agree, and know who of them is Unisono."""
        self._number = 0
        self._ticket = 0
        self._tickets: dict[int, _Reading | None] = {}
        """Readings under way; None: of a Corosync member's order, which has no leader."""
        self._prepared: dict[NodeId, tuple[int, Changes]] = {}
        """What was found good, by leader."""

    # -- what local people want --------------------------------------------------------------------

    @property
    def is_under_way(self) -> bool:
        """Whether this node leads one, reads for one, or waits for the word to go on."""
        return bool(self._pending or self._tickets or self._prepared)

    def ask(self, answer: Answer) -> None:
        """Begin a reload, or have one follow the one that runs: files may have changed since."""
        self._answers.append(answer)
        self._begin()

    def _begin(self) -> None:
        """Begin what was asked for, or begin it anew."""
        if not self._is_agreed:
            return
        if self._pending is None and self._answers:
            self._pending = _Pending(self._answers)
            self._answers = []
        pending = self._pending
        if pending is None or pending.number:
            return
        self._number += 1
        pending.number = self._number
        pending.reports.clear()
        if self._cluster.native:
            pending.waits_for = set(self._cluster.members)
            self._say(encode_order(Step.CHECK, pending.number))
        else:
            self._cluster.multicast(encode_reload_config(self._cluster.node_id))

    # -- the ring ----------------------------------------------------------------------------------

    def change(self) -> None:
        """Another configuration: what was prepared in the one before is forgotten by all."""
        self._is_agreed = False
        self._prepared.clear()
        self._forget(None)
        pending = self._pending
        if pending is not None and pending.number:
            self._begin_anew(pending)

    def _begin_anew(self, pending: _Pending) -> None:
        """The membership has changed, or another node's settings have come to hold meanwhile."""
        pending.number = 0
        pending.is_checked = False
        pending.tries += 1
        if pending.tries > RELOAD_TRIES_MAX:
            self._end(CsError.TRY_AGAIN, "something else changed again and again")
        else:
            self._begin()

    def settled(self) -> None:
        """The members agree."""
        self._is_agreed = True
        self._begin()

    def on_native(self, origin: NodeId, body: memoryview) -> None:
        """A message of this service. WireError."""
        message = decode_reload(body)
        if isinstance(message, Report):
            self._on_report(origin, message)
        elif message.step is Step.CHECK:
            self._on_check(origin, message)
        else:
            self._on_end(origin, message)

    def on_reload_config(self, origin: NodeId) -> None:
        """Corosync's order: each node reads and changes for itself."""
        self._cluster.mark(Mark.RELOAD_ORDERED, origin)
        # One that is under way may have read too early; one that waits will not.
        if sum(reading is None for reading in self._tickets.values()) < READINGS_MAX:
            self._read(None)

    def _on_check(self, origin: NodeId, order: Order) -> None:
        self._cluster.mark(Mark.RELOAD_ORDERED, origin)
        self._prepared.pop(origin, None)
        self._forget(origin)
        self._read(_Reading(origin, order.number))
        pending = self._pending
        if origin == self._cluster.node_id and pending and pending.number == order.number:
            pending.is_checked = True

    def _on_report(self, origin: NodeId, report: Report) -> None:
        pending = self._pending
        if pending is None or report.leader != self._cluster.node_id:
            return
        if report.number != pending.number or origin not in pending.waits_for:
            return
        pending.reports[origin] = report
        pending.waits_for.discard(origin)
        if pending.waits_for:
            return
        good = all(one.is_good for one in pending.reports.values())
        self._say(encode_order(Step.APPLY if good else Step.DROP, pending.number))

    def _on_end(self, origin: NodeId, order: Order) -> None:
        prepared = self._prepared.pop(origin, None)
        pending = self._pending
        is_own = origin == self._cluster.node_id and pending and pending.number == order.number
        if order.step is Step.DROP:
            self._cluster.mark(Mark.RELOAD_DROPPED, origin)
            if is_own:
                self._end(CsError.INVALID_PARAM, "nothing was changed on any node")
        elif prepared is not None and prepared[0] == order.number:
            # What was read for other leaders may be older than this: all nodes read it again.
            self._prepared.clear()
            self._forget(None)
            self._apply(prepared[1])
            if is_own:
                self._end(CsError.OK, "")
            elif pending is not None and pending.is_checked:
                self._begin_anew(pending)

    # -- the file ----------------------------------------------------------------------------------

    def read(self, found: ConfigurationRead) -> None:
        """The executive has read the file."""
        if found.ticket not in self._tickets:
            return  # another configuration came, or another order of that leader
        reading = self._tickets.pop(found.ticket)
        for problem in found.problems:
            self._cluster.mark(Mark.CONFIGURATION_REFUSED, text=problem)
        if reading is None:
            if found.changes is not None:
                self._apply(found.changes)
            self._on_own_end(found)
            return
        if found.changes is not None:
            self._prepared[reading.leader] = (reading.number, found.changes)
        report = _report(reading.leader, reading.number, found)
        self._say(encode_report(report))

    def _on_own_end(self, found: ConfigurationRead) -> None:
        """Among Corosync members the own file is all that a node knows of."""
        pending = self._pending
        if pending is None or not pending.number or self._cluster.native:
            return
        me = self._cluster.node_id
        pending.reports[me] = _report(me, pending.number, found)
        good = found.changes is not None
        text = "what the other nodes did is in their logs: not all of them are Unisono"
        self._end(CsError.OK if good else CsError.INVALID_PARAM, text)

    def _read(self, reading: "_Reading | None") -> None:
        self._ticket += 1
        self._tickets[self._ticket] = reading
        self._cluster.effects.append(ReadConfiguration(self._ticket))

    def _forget(self, leader: NodeId | None) -> None:
        """What is read for this leader, or for any, is of no use any more."""
        self._tickets = {
            ticket: reading
            for ticket, reading in self._tickets.items()
            if reading is None or (leader is not None and reading.leader != leader)
        }

    def _apply(self, changes: Changes) -> None:
        self._take(changes.settings)
        self._cluster.effects.append(SettingsChanged(changes))

    # -- the end -----------------------------------------------------------------------------------

    def _end(self, error: CsError, text: str) -> None:
        pending, self._pending = self._pending, None
        assert pending is not None
        nodes = {node: report.body for node, report in sorted(pending.reports.items())}
        outcome = {"is_applied": error is CsError.OK, "text": text, "nodes": nodes}
        for answer in pending.answers:
            answer(error, outcome)
        self._begin()

    def _say(self, body: bytes) -> None:
        self._cluster.effects.append(Multicast(GROUP_NATIVE, native.encode_reload(body)))


def _report(leader: NodeId, number: int, found: ConfigurationRead) -> Report:
    applied: list[list[str]] = []
    refused: list[list[str]] = []
    if found.changes is not None:
        applied, refused = _lists(found.changes.applied), _lists(found.changes.refused)
    body = {"applied": applied, "refused": refused, "problems": list(found.problems)}
    return Report(leader, number, found.changes is not None, body)


def _lists(changes: tuple[Change, ...]) -> list[list[str]]:
    return [list(change) for change in changes]
