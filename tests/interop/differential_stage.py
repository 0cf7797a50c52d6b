"""What a stage is: daemons, a network, clients, and what the clients report.

Counterpart: differential_real and differential_simulated are the two there are.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

SIZE: Final = 200
"""Bytes of a message whose size does not matter."""


class View(NamedTuple):
    """The process group changed: names of clients; joined and left with libcpg's reasons."""

    members: tuple[str, ...]
    joined: tuple[tuple[str, int], ...]
    left: tuple[tuple[str, int], ...]


class Ring(NamedTuple):
    """The ring changed; `ring` is its identity."""

    ring: tuple[int, int]
    members: tuple[int, ...]


class Message(NamedTuple):
    """A message came, byte for byte as it was sent if `whole`."""

    sender: str
    number: int
    size: int
    whole: bool


class Mark(NamedTuple):
    """An ordered mark, with which a phase ends."""

    sender: str
    number: int


Event = View | Ring | Message | Mark


class Sending(NamedTuple):
    """Messages `first`, `first` + 1, ..., `count` of them."""

    first: int
    count: int
    size: int = SIZE
    gap_us: int = 0
    safe: bool = False


class Stage(Protocol):
    """Daemons, a network and clients; every verb acts at once, `wait` lets time pass."""

    def start(self, node: int) -> None: ...
    def stop(self, node: int) -> None: ...
    def kill(self, node: int) -> None: ...
    def open(self, name: str, node: int) -> None: ...
    def send(self, name: str, sending: Sending) -> None: ...
    def mark(self, name: str, number: int) -> None: ...
    def leave(self, name: str) -> None: ...
    def die(self, name: str) -> None: ...
    def cut(self, sides: list[list[int]]) -> None: ...
    def heal(self) -> None: ...
    def deafen(self, node: int) -> None:
        """Lose every multicast on its way to `node`; tokens arrive."""

    def hear(self) -> None: ...
    def linger(self, ms: int) -> None: ...

    def events(self, name: str) -> list[Event]:
        """All that the client has reported."""

    def wait(self, what: str, is_true: Callable[[], bool]) -> None:
        """Let time pass until it is true; AssertionError when that takes too long."""
