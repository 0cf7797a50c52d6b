"""Group agreement (P21): clients on nodes that move together see the same things in one order.

Counterpart: CPG semantics of cpg_overview(3): one order of deliveries and changes for all members.
Keeps:       compared from the later join to the earlier leave of two; the dead owe nothing.
"""

from typing import Any, TypeAlias

from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import (
    ClientEnded,
    GroupDelivered,
    GroupViewed,
    Installed,
    Member,
    Process,
    Ring,
    Synced,
)

Event: TypeAlias = tuple[Any, ...]
_BY_MESSAGE = {1: "joins", 2: "leaves"}
"""Reasons that are ordered like messages; the others belong to a change of the ring."""


class _Log:
    """What one client saw in one ring."""

    __slots__ = ("events", "group", "left", "member", "who")

    def __init__(self, who: Process, member: Member, group: bytes) -> None:
        self.who = who
        self.member = member
        self.group = group
        self.events: list[Event] = []
        self.left = False


class GroupAgreement(Checker):
    """Fires when two clients of a group disagree about what happened while both were in it."""

    name = "group agreement"
    properties = (
        (
            "P21",
            "members of a group that stay together see the same messages and changes in one order",
        ),
    )

    def __init__(self) -> None:
        self._ring: dict[Process, Ring] = {}
        self._synced: set[Process] = set()
        self._logs: dict[Process, dict[Member, _Log]] = {}
        self._moved: dict[tuple[Ring, Ring, bytes], list[_Log]] = {}

    def on_group_delivered(self, record: GroupDelivered) -> None:
        """One event."""
        self._note(record, ("message", record.sender, record.key))

    def on_group_viewed(self, record: GroupViewed) -> None:
        """Joins and leaves that were ordered like messages are events, too."""
        changes = [*record.joined, *record.left]
        for member, reason in changes:
            if reason in _BY_MESSAGE and record.who in self._synced:
                self._note(record, (_BY_MESSAGE[reason], member))
        if not changes:
            return
        if record.member not in record.members:
            logs = self._logs.get(record.who, {})
            if record.who not in self._synced:
                # It went before the services agreed: it was no member of what follows.
                logs.pop(record.member, None)
            elif record.member in logs:
                logs[record.member].left = True

    def _note(self, record: GroupDelivered | GroupViewed, event: Event) -> None:
        logs = self._logs.setdefault(record.who, {})
        log = logs.get(record.member)
        if log is None:
            log = logs[record.member] = _Log(record.who, record.member, record.group)
        log.events.append(event)

    def on_client_ended(self, record: ClientEnded) -> None:
        """A client that died stopped listening at any moment."""
        if record.died:
            self._logs.get(record.who, {}).pop(record.member, None)

    def on_synced(self, record: Synced) -> None:
        """Now changes are ordered like messages."""
        self._synced.add(record.who)

    def on_installed(self, record: Installed) -> None:
        """At each regular view, compare with those who came the same way; then begin anew."""
        who = record.who
        if not record.regular:
            return
        self._synced.discard(who)
        before = self._ring.get(who)
        self._ring[who] = record.ring
        logs = self._logs.pop(who, {})
        if before is None:
            return
        for log in logs.values():
            self._compare(record.time, before, record.ring, log)
        # Who saw nothing is remembered by an empty log, lest silence go unnoticed.
        self._logs[who] = {
            log.member: _Log(who, log.member, log.group) for log in logs.values() if not log.left
        }

    def conclude(self, time: int) -> None:
        """Compare what is still going on."""
        for who, logs in self._logs.items():
            ring = self._ring[who]
            for log in logs.values():
                self._compare(time, ring, ring, log)

    def _compare(self, time: int, before: Ring, after: Ring, log: _Log) -> None:
        others = self._moved.setdefault((before, after, log.group), [])
        for other in others:
            window = _window(log, other)
            if window is not None and window[0] != window[1]:
                mine, theirs = window
                place = next(
                    (i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
                    min(len(mine), len(theirs)),
                )
                raise self.fail(
                    time,
                    f"clients {log.member} and {other.member} of {log.group.decode()} went from"
                    f" {before} to {after}; at event {place} of {len(mine)} and {len(theirs)}:"
                    f" {_text(mine, place)}, {_text(theirs, place)}",
                )
        others.append(log)


def _window(one: _Log, two: _Log) -> tuple[list[Event], list[Event]] | None:
    """What each saw while both were members; None when they never were at once."""
    mine, theirs = one.events, two.events
    for member in (two.member, one.member):
        event = ("joins", member)
        if event in mine and event in theirs:
            mine, theirs = mine[mine.index(event) :], theirs[theirs.index(event) :]
            break
    else:
        alone = ("joins", one.member) in mine or ("joins", two.member) in theirs
        if alone and (one.left or two.left):
            return None
    for member in (one.member, two.member):
        event = ("leaves", member)
        if event in mine and event in theirs:
            mine, theirs = mine[: mine.index(event) + 1], theirs[: theirs.index(event) + 1]
    return mine, theirs


def _text(events: list[Event], place: int) -> str:
    return " ".join(map(str, events[place])) if place < len(events) else "nothing"
