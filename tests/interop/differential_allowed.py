"""Where Corosync and Unisono differ on purpose: each difference by name, as narrow as it is.

Counterpart: docs/explanation/differences.md.
Keeps:       a difference that a script does not name is a failure, whatever it is.
"""

from collections.abc import Collection
from copy import deepcopy
from enum import Enum, auto
from typing import Final

from tests.interop.differential_judge import lacks
from tests.interop.differential_script import Observation, Phase
from tests.interop.differential_stage import Event, Message, View

NODE_DOWN: Final = 3
PROCESS_DOWN: Final = 5


class Difference(Enum):
    """What Corosync 3.1.7 does and Unisono does not."""

    TAIL = auto()
    """A newcomer misses the message of which a part had been sent before it came."""
    SAFE = auto()
    """A safe message is delivered before all members have it."""
    STOP = auto()
    """Clients of a daemon that ends cleanly leave the group one by one, as dead processes."""
    AFTER_LEAVE = auto()
    """A client that has left the group hears it until it disconnects."""


def shown(theirs: Observation) -> set[Difference]:
    """The differences that Corosync's observation shows."""
    found = {Difference.TAIL} if lacks(theirs) else set()
    if any(_early_safe(phase, name) for phase in theirs.phases for name in phase.events):
        found.add(Difference.SAFE)
    if any(_stopped_as_dead(phase) for phase in theirs.phases):
        found.add(Difference.STOP)
    if hears_after_leave(theirs):
        found.add(Difference.AFTER_LEAVE)
    return found


def hears_after_leave(observation: Observation) -> bool:
    """Whether a client got messages or views of a group that it had left."""
    kinds = (Message, View)
    return any(isinstance(e, kinds) for events in observation.after_leave.values() for e in events)


def without(theirs: Observation, permitted: Collection[Difference]) -> Observation:
    """What Corosync would have shown if it did as Unisono does in what is permitted."""
    changed = deepcopy(theirs)
    if Difference.STOP in permitted:
        for phase in changed.phases:
            _leave_as_node(phase)
    if Difference.SAFE in permitted:
        for phase, following in zip(changed.phases, changed.phases[1:], strict=False):
            for name in phase.events:
                early = _early_safe(phase, name)
                phase.events[name] = [each for each in phase.events[name] if each not in early]
                following.events[name] = [*early, *following.events.get(name, ())]
    return changed


def _early_safe(phase: Phase, name: str) -> list[Message]:
    """Safe messages that came although not every member could have them yet."""
    if phase.is_settled:
        return []
    safe = {
        (sender, number)
        for sender, sendings in phase.sent.items()
        for each in sendings
        if each.safe
        for number in range(each.first, each.first + each.count)
    }
    messages = [each for each in phase.events[name] if isinstance(each, Message)]
    return [each for each in messages if (each.sender, each.number) in safe]


def _stopped(phase: Phase) -> set[str]:
    """The clients whose daemon was told to end in this phase."""
    nodes = {int(step.split()[1]) for step in phase.steps if step.startswith("stop ")}
    return {name for name, node in phase.at_first.items() if node in nodes}


def _stopped_as_dead(phase: Phase) -> bool:
    dead = {(name, PROCESS_DOWN) for name in _stopped(phase)}
    views = [e for events in phase.events.values() for e in events if isinstance(e, View)]
    return any(dead.intersection(view.left) for view in views)


def _leave_as_node(phase: Phase) -> None:
    """Those who left one by one, dead, leave together, with their node."""
    stopped = _stopped(phase)
    for name, events in phase.events.items():
        changed: list[Event] = []
        for each in events:
            if isinstance(each, View) and {(who, PROCESS_DOWN) for who in stopped} >= {*each.left}:
                each = each._replace(left=tuple((who, NODE_DOWN) for who, _ in each.left))
                if changed and isinstance(changed[-1], View):
                    each = each._replace(left=(*changed.pop().left, *each.left))
            changed.append(each)
        phase.events[name] = changed
