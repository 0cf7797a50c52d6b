"""The rings under test: which daemons, over what, and the checks that every test shares.

Keeps:       rows of `c` alone are controls: they prove the test, not the product.
"""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.interop.lab import Event, Lab

NETS = (("udpu", 4), ("udp", 6), ("udp", 4), ("udpu", 6))


def ring(kinds: str, transport: str, family: int, *more: object) -> Any:
    """One row of a parametrised test, with a name such as `cuc-udpu4`."""
    return pytest.param(
        kinds,
        transport,
        family,
        *more,
        id="-".join([kinds, f"{transport}{family}", *map(str, more)]),
    )


def assert_same(events: Iterable[Event], count: int | None = None) -> None:
    """Each of these tallies holds the same messages in the same order, whole and without a gap."""
    tallies = list(events)
    assert len({(e["count"], e["crc"]) for e in tallies}) == 1, tallies
    assert all(e["bad"] == 0 for e in tallies), tallies
    if count is not None:
        assert tallies[0]["count"] == count, tallies
        assert all(e["gaps"] == 0 for e in tallies), tallies


def history(lab: Lab, node: int, label: str) -> list[Event]:
    """What the client of `node` saw after the mark `label`: views, ends, marks, each with a tally.

    The same at all nodes that stay together (virtual synchrony): each view cuts the messages at
    the same place.
    """
    client = lab.clients[node]
    start = client.last("mark", label=label)
    assert start is not None
    events = client.events[client.events.index(start) + 1 :]
    return [
        {
            key: sorted(value) if isinstance(value, list) else value
            for key, value in event.items()
            if key not in ("t", "gaps")
        }
        for event in events
        if event["ev"] in ("view", "done", "mark")
    ]


def assert_load_ordered(lab: Lab, nodes: Iterable[int] = (), messages: int = 500) -> None:
    """These hosts (default: all with a client) send; all deliver everything in the same order."""
    senders = sorted(nodes or lab.clients)
    label = f"load {sum(len(c.events) for c in lab.clients.values())}"
    lab.marked(f"before {label}", senders)
    lab.send(messages, 100, senders)
    lab.finish(senders)
    assert_same(lab.marked(f"after {label}", senders), messages * len(senders))
