"""Addresses: names in the nodelist are looked up again, and who has moved is followed.

Counterpart: corosync, which looks names up at start and at a reload of its configuration.
Keeps:       the ring never waits for a name server: look-ups run in threads that nobody joins; a
             name that cannot be resolved, or not in time, leaves the address as it is. This node's
             own addresses are never moved: its sockets are bound to them.
"""

import asyncio
import ipaddress
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from unisono.base.group import Marked
from unisono.base.ids import NodeId
from unisono.base.limits import LOOK_UPS_MAX
from unisono.base.marks import Mark
from unisono.config.settings import Settings
from unisono.linux.sockets import family_of

RESOLVE_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 10.0
"""A look-up that takes longer has failed, whatever it says later."""

Resolve: TypeAlias = Callable[[str, int], Sequence[str]]
"""Numeric addresses of a name in a family (AF_INET, AF_INET6), best first; blocks; OSError."""
Readdress: TypeAlias = Callable[[NodeId, int, str], None]


def look_up(name: str, family: int) -> Sequence[str]:
    """As the system resolves it: getaddrinfo(3)."""
    return [str(entry[4][0]) for entry in socket.getaddrinfo(name, None, family, socket.SOCK_DGRAM)]


@dataclass(slots=True)
class _Entry:
    """A name that stands for a node on a link, and the address in use."""

    node: NodeId
    link: int
    name: str
    address: str
    has_failed: bool = False
    """Since it was last resolved: failures are marked once."""
    is_asked: bool = False
    """A thread has not come back with it: it is not asked for twice."""


class AddressWatch:
    """Looks every name of the other nodes up, one round every RESOLVE_SECONDS, until closed."""

    __slots__ = (
        "_entries", "_loop", "_mark", "_patience", "_period", "_readdress", "_resolve", "_running",
        "_timers", "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        readdress: Readdress,
        *,
        mark: Callable[[Marked], None],
        loop: asyncio.AbstractEventLoop,
        resolve: Resolve = look_up,
        period: float = RESOLVE_SECONDS,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Nothing happens when no other node has a name. Times in seconds."""
        self._readdress = readdress
        self._mark = mark
        self._loop = loop
        self._resolve = resolve
        self._period = period
        self._patience = patience
        self._entries = _names(settings)
        self._waiting: deque[_Entry] = deque()
        self._running = 0
        """Threads that have not ended, those included that were given up."""
        self._timers: set[asyncio.TimerHandle] = set()
        if self._entries:
            self._after(self._period, self._begin)

    def close(self) -> None:
        """Look nothing up any more."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._waiting.clear()
        self._entries.clear()

    # -- rounds ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._after(self._period, self._begin)
        self._waiting.clear()  # what the last round did not reach comes again now
        self._waiting.extend(entry for entry in self._entries if not entry.is_asked)
        self._start()

    def _start(self) -> None:
        while self._waiting and self._running < LOOK_UPS_MAX:
            self._running += 1
            entry = self._waiting.popleft()
            entry.is_asked = True
            _LookUp(self, entry).start()

    def _after(self, seconds: float, what: Callable[[], None]) -> asyncio.TimerHandle:
        def due() -> None:
            self._timers.discard(timer)
            what()

        timer = self._loop.call_later(seconds, due)
        self._timers.add(timer)
        return timer

    def _ended(self, entry: _Entry) -> None:
        entry.is_asked = False
        self._running -= 1
        self._start()

    # -- answers -----------------------------------------------------------------------------------

    def _found(self, entry: _Entry, addresses: Sequence[str]) -> None:
        entry.has_failed = False
        if not self._entries or entry.address in addresses:
            return
        before, entry.address = entry.address, addresses[0]
        text = f"{entry.name} has moved from {before} to {entry.address}"
        self._mark(Marked(Mark.ADDRESS_CHANGED, entry.node, entry.link, text))
        self._readdress(entry.node, entry.link, entry.address)

    def _failed(self, entry: _Entry, reason: str) -> None:
        if entry.has_failed or not self._entries:
            return
        entry.has_failed = True
        text = f"cannot resolve {entry.name}: {reason}; still using {entry.address}"
        self._mark(Marked(Mark.NAME_UNRESOLVED, entry.node, entry.link, text))


class _LookUp:
    """One name being resolved in a thread of its own; the answer counts once, and in time only."""

    __slots__ = ("_entry", "_is_over", "_timer", "_watch")

    def __init__(self, watch: AddressWatch, entry: _Entry) -> None:
        self._watch = watch
        self._entry = entry
        self._is_over = False
        self._timer = watch._after(watch._patience, self._give_up)

    def start(self) -> None:
        # A daemon thread: an executor would be waited for when the daemon ends.
        thread = threading.Thread(target=self._work, name="look-up", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no room for one more thread
            self._watch._loop.call_soon(self._answered, (), str(error))

    def _work(self) -> None:
        watch, entry = self._watch, self._entry
        try:
            answer: Sequence[str] = watch._resolve(entry.name, family_of(entry.address))
            reason = "" if answer else "it has no address"
        except (OSError, UnicodeError) as error:
            answer, reason = (), getattr(error, "strerror", None) or str(error)
        try:
            watch._loop.call_soon_threadsafe(self._answered, answer, reason)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody wants to know

    def _answered(self, answer: Sequence[str], reason: str) -> None:
        self._timer.cancel()
        self._watch._timers.discard(self._timer)
        if not self._is_over:
            self._is_over = True
            self._tell(answer, reason)
        self._watch._ended(self._entry)

    def _give_up(self) -> None:
        self._is_over = True
        self._tell((), "no answer in time")

    def _tell(self, answer: Sequence[str], reason: str) -> None:
        if reason:
            self._watch._failed(self._entry, reason)
        else:
            self._watch._found(self._entry, answer)


def _names(settings: Settings) -> list[_Entry]:
    """Who is known by a name, with the address it had at start."""
    return [
        _Entry(node.node_id, link, name, address)
        for node in settings.nodes
        if node.node_id != settings.node_id
        for link, (name, address) in enumerate(zip(node.names, node.addresses, strict=False))
        if address and name and not _is_numeric(name)
    ]


def _is_numeric(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
