"""What must hold on every stage, and what must be the same on all of them.

Speaks:      `judge(observation, ...)`: extended virtual synchrony as clients of a process group
             see it; `facts(observation, ...)`: what does not depend on time, to be compared.
Counterpart: Moser, Amir, Melliar-Smith, Agarwal: Extended Virtual Synchrony, 1994.
Keeps:       each permitted difference is one named rule here, as narrow as it can be.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise, permutations
from typing import NamedTuple

from tests.interop.differential_script import Bond, Observation, Phase
from tests.interop.differential_stage import Event, Message, Ring, View


class Key(NamedTuple):
    """Where messages are delivered: a ring and a membership of the group in it."""

    ring: tuple[int, int] | None
    members: tuple[str, ...]


@dataclass
class Segment:
    """What one client got in one place."""

    key: Key
    came_from: tuple[int, int] | None
    """The ring before this one, if the client was there already."""
    messages: list[Message]


def segments(observation: Observation, name: str) -> list[Segment]:
    """The life of a client as places with messages."""
    parts = [Segment(Key(None, ()), None, [])]
    for event in _life(observation, name):
        here = parts[-1]
        match event:
            case Message():
                here.messages.append(event)
            case View(members=members):
                parts.append(Segment(here.key._replace(members=members), here.came_from, []))
            case Ring(ring=ring) if ring != here.key.ring:
                parts.append(Segment(here.key._replace(ring=ring), here.key.ring, []))
            case _:
                pass
    return parts


def _life(observation: Observation, name: str) -> list[Event]:
    return [each for phase in observation.phases for each in phase.events.get(name, ())]


def _names(observation: Observation) -> list[str]:
    return sorted({name for phase in observation.phases for name in phase.events})


# -- what must hold on every stage ----------------------------------------------------------------


def judge(observation: Observation, *, tails: bool) -> None:
    """AssertionError says which property is broken, on which stage, and where.

    `tails`: where a ring is treated as if Corosync were on it, a newcomer may miss, of each sender
    from elsewhere, the one message of which a part had been sent before the newcomer came.
    """
    names = _names(observation)
    for name in names:
        _judge_integrity(observation, name)
    for stretch in stretches(observation):
        _judge_complete(observation, stretch)
    for one, other in combinations(names, 2):
        _judge_order(observation, one, other)
    _judge_together(observation, tails=tails)


def _judge_integrity(observation: Observation, name: str) -> None:
    """Whole messages, each once, each sender's in its order and without gaps inside one view."""
    got = [each for each in _life(observation, name) if isinstance(each, Message)]
    where = f"{observation.stage}: {name}"
    assert all(message.whole for message in got), f"{where} got broken contents"
    assert len(set(got)) == len(got), f"{where} got a message twice"
    for segment in segments(observation, name):
        for sender, numbers in _by_sender(segment.messages).items():
            assert sender in segment.key.members, f"{where} heard {sender}, not in {segment.key}"
            gaps = [pair for pair in pairwise(numbers) if pair[0] + 1 != pair[1]]
            assert not gaps, f"{where}: gaps in {sender}'s messages in {segment.key}: {gaps}"


def _judge_order(observation: Observation, one: str, other: str) -> None:
    """What both got, they got in the same order."""
    first, second = (
        [each for each in _life(observation, name) if isinstance(each, Message)]
        for name in (one, other)
    )
    in_first, in_second = set(first), set(second)
    assert [each for each in first if each in in_second] == [
        each for each in second if each in in_first
    ], f"{observation.stage}: {one} and {other} disagree on the order"


def _judge_complete(observation: Observation, stretch: Phase) -> None:
    """Who could hear a sender all the time got all; who never could, nothing."""
    for receiver in {**stretch.at_first, **stretch.at_end}:
        got = _by_sender(stretch.events.get(receiver, ()))
        where = f"{observation.stage}: {receiver} in {stretch.title!r}"
        for sender in {**stretch.at_first, **stretch.at_end, **got}:
            told, heard = stretch.numbers(sender), got.get(sender, [])
            bond = Bond(receiver, sender)
            if bond in stretch.bonds:
                assert heard == told, f"{where}: of {sender}'s {_span(told)} got {_span(heard)}"
            elif bond in stretch.ever:
                assert set(heard) <= set(told), f"{where}: {sender} never sent {_span(heard)}"
            else:
                assert not heard, f"{where}: heard {sender} across a cut: {_span(heard)}"


def _judge_together(observation: Observation, *, tails: bool) -> None:
    """Who leaves a place for the same next one got the same there (virtual synchrony)."""
    for lack in lacks(observation):
        assert tails and lack.is_tail, f"{observation.stage}: {lack}"


class Lack(NamedTuple):
    """`name` did not get what `other`, with whom it was together at `key`, got there."""

    name: str
    other: str
    key: Key
    message: Message
    is_tail: bool
    """The first message at `key` of a sender that had been in a ring that `name` was not in."""


def lacks(observation: Observation) -> list[Lack]:
    """Every breach of virtual synchrony, pair by pair."""
    groups: dict[tuple[Key, Key | None], list[tuple[str, Segment]]] = {}
    at_end = observation.phases[-1].at_end
    for name in _names(observation):
        parts = segments(observation, name)
        for segment, after in zip(parts, [*parts[1:], None], strict=True):
            if after is not None or name in at_end:
                place = (segment.key, after.key if after is not None else None)
                groups.setdefault(place, []).append((name, segment))
    return [
        lack
        for members in groups.values()
        for (one, first), (other, second) in permutations(members, 2)
        for lack in _lacks_of(one, first, other, second, {n: s.came_from for n, s in members})
    ]


def _lacks_of(
    one: str,
    first: Segment,
    other: str,
    second: Segment,
    origins: Mapping[str, tuple[int, int] | None],
) -> Iterator[Lack]:
    begun: set[str] = set()
    got = set(first.messages)
    for message in second.messages:
        sender = message.sender
        if message not in got:
            is_newcomer = sender in origins and origins[one] != origins[sender]
            is_tail = is_newcomer and sender not in begun
            yield Lack(one, other, first.key, message, is_tail)
        begun.add(sender)


def _by_sender(events: Iterable[Event]) -> dict[str, list[int]]:
    numbers: dict[str, list[int]] = {}
    for each in events:
        if isinstance(each, Message):
            numbers.setdefault(each.sender, []).append(each.number)
    return numbers


def _span(numbers: list[int]) -> str:
    return f"{numbers[0]}..{numbers[-1]} ({len(numbers)})" if numbers else "none"


def stretches(observation: Observation) -> list[Phase]:
    """Phases that end settled, each with the unsettled ones before it."""
    whole: list[Phase] = []
    begun: Phase | None = None
    for phase in observation.phases:
        begun = phase if begun is None else _joined(begun, phase)
        if phase.is_settled:
            whole.append(begun)
            begun = None
    return whole


def _joined(one: Phase, other: Phase) -> Phase:
    names = {**one.events, **other.events}
    return Phase(
        [*one.steps, *other.steps],
        one.at_first,
        one.bonds & other.bonds,
        one.ever | other.ever,
        {n: [*one.sent.get(n, ()), *other.sent.get(n, ())] for n in {**one.sent, **other.sent}},
        {n: [*one.events.get(n, ()), *other.events.get(n, ())] for n in names},
        other.at_end,
    )


# -- what must be the same on all stages ----------------------------------------------------------


class Fact(NamedTuple):
    """What one client saw in one phase, as far as no timing may change it."""

    views: tuple[View, ...]
    rings: tuple[tuple[int, ...], ...]
    messages: dict[str, set[int]]
    """Numbers by sender, of those senders whose messages the script determines."""


Facts = dict[tuple[str, str], Fact]
"""By number and steps of the phase, and client."""


def facts(observation: Observation) -> Facts:
    """Phase by phase and client by client, what must be the same wherever it was played."""
    return {
        (f"{number}: {phase.title}", name): _fact(phase, name)
        for number, phase in enumerate(observation.phases)
        for name in phase.at_end
    }


def _fact(phase: Phase, name: str) -> Fact:
    events = phase.events[name]
    is_new = name not in phase.at_first
    firsts = (at for at, each in enumerate(events) if isinstance(each, View))
    events = events[next(firsts) if is_new else 0 :]
    views = tuple(_in_order(each) for each in events if isinstance(each, View))
    rings = tuple(each.members for each in events if isinstance(each, Ring))
    if not phase.at_first:  # who finds whom first while daemons start is a matter of time
        views, rings = views[-1:], rings[-1:]
    return Fact(views, rings, _determined(phase, name))


def _in_order(view: View) -> View:
    return View(view.members, tuple(sorted(view.joined)), tuple(sorted(view.left)))


def _determined(phase: Phase, name: str) -> dict[str, set[int]]:
    """Messages of those whom `name` could hear all the time."""
    got = _by_sender(phase.events[name])
    steady = {bond.other for bond in phase.bonds if bond.one == name}
    return {sender: set(numbers) for sender, numbers in got.items() if sender in steady}
