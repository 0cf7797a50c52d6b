"""World: the states of all nodes, what is under way between them, and the steps between worlds.

Speaks:      `World`, `Step`.
Counterpart: the processes and channels of an explicit-state model checker.
Keeps:       a world is a tuple of numbers; equal tuples are equal worlds.

Time and the network, so that the space is finite and no real race is left out:

* Datagrams from one node to another arrive in order, and in no time: the clock stands still while
  any is under way to a node that is awake. Which link is served first is free, except that no
  chain of more than two, each sent because of the one before, overtakes a datagram on its way.
* When nothing is under way, time jumps to the earliest deadline. Deadlines that fall together
  expire in any order, and datagrams that the first one caused may come before the second.
* While nothing but tokens is under way and somebody waits before it asks again for a missing
  message, the tokens may go round for so long that time comes to that moment, or to a deadline.
* Whatever is later than that, or out of order, is a fault: a datagram that is held arrives at any
  later moment or never; a doubled one leaves such a copy behind.
* A crash may come before any datagram that a step sends and before any number that it stores.
  What was under way to a node that crashes is lost; it may start again at any later moment.
* Token sequences of a ring are renamed from 0 on, gaps shortened: machines only compare them.
"""

from typing import Final, NamedTuple

INBOX_MAX: Final = 6
"""Datagrams of one link that wait for a sleeping node; more are lost, as in a full socket."""
OVERTAKING_MAX: Final = 1
"""A datagram is served before those that are more than so many causes younger."""
AGE_BITS: Final = 2
AGE_MASK: Final = (1 << AGE_BITS) - 1
assert OVERTAKING_MAX < AGE_MASK
FAULT_KINDS: Final = ("lose", "double", "hold", "crash", "cut", "sleep")


class World(NamedTuple):
    """All numbers refer to the shelf and to the stories."""

    nodes: tuple[int, ...]
    links: tuple[tuple[int, ...], ...]
    """What is under way, oldest first; the link from place s to place t of n is s * n + t.

    An entry is a letter's number and, in its AGE_BITS lowest bits, how many causes younger it is
    than the oldest one under way; between two nodes that is always written as 0.
    """
    held: tuple[tuple[int, int], ...]
    """Letters that arrive at any time: (link, letter), sorted."""
    stories: tuple[int, ...]
    sent: int = 0
    spent: int = 0
    cut: int = -1
    """The place of the node that is cut off, or -1."""
    asleep: tuple[int, ...] = ()
    """Places of nodes that stand still."""


class Step(NamedTuple):
    """`what` happens at the node in place `node`; `detail` is its link, letter or duration.

    With `crash_at` the node dies before unit number `crash_at` of what it does.
    """

    what: str
    node: int
    detail: tuple[int, ...] = ()
    crash_at: int = -1
    age: int = 0


class Taken(NamedTuple):
    """The world after a step, and what is broken by the step itself."""

    world: World
    broken: str = ""
