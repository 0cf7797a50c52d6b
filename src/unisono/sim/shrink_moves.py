"""Shrink moves: how a plan is rewritten when a node is left out, or time and messages are cut.

Speaks:      `without_node`, `nearer_in_time`, `smaller_messages`.
Keeps:       what comes out is a plan that runs; whether it fails is for `shrink` to find out.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Final

from unisono.base.ids import NodeId
from unisono.sim.hazard import Fault
from unisono.sim.plan import Plan

_SIDES_FROM: Final = {"partition": 0, "rejoin": 0, "unflap": 0, "flap": 1}
"""Where the sides begin among the arguments of a fault."""
_LINKS: Final = frozenset({"clog", "unclog"})
_NODES_AT: Final = {
    "cut_one_way": (0, 1),
    "rejoin_one_way": (0, 1),
    "sieve": (1, 2),
    "unsieve": (1, 2),
    "forge": (0, 2, 3),
    "weather": (),
    "heal": (),
    "eavesdrop": (),
    "corrupt": (),
    "cut_link": (1, 2),
    "join_link": (1, 2),
    "flap_link": (),
    "unflap_link": (),
    "weather_of_link": (),
    "narrow": (),
    "hint": (0, 1),
    "redirect": (),
    "spoil": (),
    "withhold": (),
}
"""Which arguments are nodes; of any other fault it is the first."""


def without_node(plan: Plan, node: NodeId) -> Plan:
    """The plan of the same cluster without `node` and all that is about it."""
    return replace(
        plan,
        nodes=tuple(each for each in plan.nodes if each != node),
        starts=tuple(start for start in plan.starts if start[1] != node),
        faults=tuple(
            left for fault in plan.faults for left in [_fault_without(fault, node)] if left
        ),
        messages=tuple(each for each in plan.messages if each.node != node),
        actions=tuple(each for each in plan.actions if each.node != node),
    )


def _fault_without(fault: Fault, node: NodeId) -> Fault | None:
    """The same fault of fewer nodes; None when it was about `node` alone."""
    arguments = fault.arguments
    if fault.verb in _SIDES_FROM:
        first = _SIDES_FROM[fault.verb]
        sides = [tuple(each for each in side if each != node) for side in arguments[first:]]
        kept = tuple(side for side in sides if side)
        return replace(fault, arguments=arguments[:first] + kept) if kept else None
    if fault.verb in _LINKS:
        links = tuple(link for link in arguments if node not in link)
        return replace(fault, arguments=links) if links else None
    if fault.verb == "link_weather":
        return None if node in arguments[0] else fault
    if fault.verb == "configure" and node in arguments[2]:
        strangers = tuple(each for each in arguments[2] if each != node)
        fault = replace(fault, arguments=(*arguments[:2], strangers))
    named = _NODES_AT.get(fault.verb, (0,))
    return None if node in (arguments[place] for place in named) else fault


def nearer_in_time(plan: Plan, gap_ns: int) -> Plan:
    """The plan with no more than `gap_ns` between one event and the next, nor before the end."""
    times = sorted(
        {0, plan.length_ns}
        | {time for time, _ in plan.starts}
        | {fault.time for fault in plan.faults}
        | {message.time for message in plan.messages}
        | {action.time for action in plan.actions}
    )
    gaps = (min(later - earlier, gap_ns) for earlier, later in pairwise(times))
    places: list[int] = list(accumulate(gaps, initial=0))

    def move(time: int) -> int:
        return places[bisect_right(times, time) - 1]

    def moved(events: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(replace(each, time=move(each.time)) for each in events)

    return replace(
        plan,
        length_ns=max(1, move(plan.length_ns)),
        starts=tuple((move(time), node) for time, node in plan.starts),
        faults=moved(plan.faults),
        messages=moved(plan.messages),
        actions=moved(plan.actions),
    )


def smaller_messages(plan: Plan) -> Iterator[Callable[[Plan], Plan]]:
    """Rewritings that make messages plain: all small, all agreed, one where there were many."""
    for size in (8, 100, 1_000):
        yield partial(_sized, size=size)
    yield _agreed
    for count in (1, 4):
        yield partial(_fewer_each, count=count)
    for number, action in enumerate(plan.actions):
        if len(action.sizes) > 1:
            yield partial(_halved, number=number)


def _sized(plan: Plan, *, size: int) -> Plan:
    actions = [replace(a, sizes=tuple(min(each, size) for each in a.sizes)) for a in plan.actions]
    messages = [replace(each, size=min(each.size, size)) for each in plan.messages]
    return replace(plan, messages=tuple(messages), actions=tuple(actions))


def _agreed(plan: Plan) -> Plan:
    messages = [replace(each, safe=False) for each in plan.messages]
    actions = [replace(each, safe=False) for each in plan.actions]
    return replace(plan, messages=tuple(messages), actions=tuple(actions))


def _fewer_each(plan: Plan, *, count: int) -> Plan:
    actions = [replace(each, sizes=each.sizes[:count]) for each in plan.actions]
    return replace(plan, actions=tuple(actions))


def _halved(plan: Plan, *, number: int) -> Plan:
    actions = list(plan.actions)
    if number < len(actions):
        sizes = actions[number].sizes
        actions[number] = replace(actions[number], sizes=sizes[: (len(sizes) + 1) // 2])
    return replace(plan, actions=tuple(actions))
