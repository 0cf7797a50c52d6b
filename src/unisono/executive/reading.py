"""Reading: the configuration file is read again, in a thread, and compared with what holds.

Speaks:      effects `ReadConfiguration`, requests `ConfigurationRead`.
Counterpart: corosync exec/totemconfig.c, which reads in the ring's own thread.
Keeps:       the ring never waits for a disk or a name server; one thread at a time, whatever is
             asked; every ticket is answered, in time or with the reason.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from unisono.base.errors import UnisonoError
from unisono.base.ids import Nanos
from unisono.base.limits import RELOADS_WAITING_MAX
from unisono.config.changes import compare
from unisono.config.load import Loaded
from unisono.config.problems import ConfigErrors
from unisono.config.reload import ConfigurationRead, ReadConfiguration
from unisono.config.settings import Settings

PATIENCE_SECONDS: Final = 10.0
"""A file, or a name in it, that takes longer has failed, whatever it says later."""
Load: TypeAlias = Callable[[], Loaded]
"""Reads and checks the file; blocks; ConfigErrors, UnisonoError, OSError."""


class _Found(NamedTuple):
    loaded: Loaded | None
    problems: tuple[str, ...]


class Reading:
    """Reads when the services want it."""

    __slots__ = (
        "_asked", "_load", "_loop", "_patience", "_running", "_tell", "_thread", "_timer",
        "_waiting",
    )  # fmt: skip

    def __init__(
        self,
        load: Load,
        running: Callable[[], Settings],
        tell: Callable[[ConfigurationRead], None],
        *,
        loop: asyncio.AbstractEventLoop,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """`running` gives what holds at present; `tell` takes every answer, in the loop."""
        self._load = load
        self._running = running
        self._tell = tell
        self._loop = loop
        self._patience = patience
        self._waiting: list[int] = []
        """Tickets for the next reading: the file may have changed since the present one began."""
        self._asked: list[int] = []
        """Tickets of the present reading."""
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None

    def read(self, effect: ReadConfiguration, _now: Nanos) -> None:
        """Answer this ticket, with what differs from what holds."""
        if len(self._waiting) >= RELOADS_WAITING_MAX:
            self._tell(ConfigurationRead(effect.ticket, None, ("too many reloads at once",)))
            return
        self._waiting.append(effect.ticket)
        self._start()

    def close(self) -> None:
        """Answer nothing any more."""
        self._waiting.clear()
        self._asked.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _start(self) -> None:
        if self._asked or not self._waiting:
            return
        self._asked, self._waiting = self._waiting, []
        if self._thread is not None:
            self._answer(_Found(None, ("the reading before has not come to an end yet",)))
            return
        # A daemon thread: nobody waits for it when the daemon ends.
        self._thread = threading.Thread(target=self._work, name="reload", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no room for one more thread
            self._thread = None
            self._answer(_Found(None, (str(error),)))
            return
        self._timer = self._loop.call_later(self._patience, self._give_up)

    def _work(self) -> None:
        try:
            found = _Found(self._load(), ())
        except ConfigErrors as error:
            found = _Found(None, tuple(error.errors))
        except (UnisonoError, OSError) as error:
            found = _Found(None, (str(error),))
        except Exception as error:  # noqa: BLE001  whoever asked must hear of it, and the ring goes on
            found = _Found(None, (f"{type(error).__name__}: {error}",))
        try:
            self._loop.call_soon_threadsafe(self._found, found)
        except RuntimeError:
            return  # the loop was closed meanwhile: nobody wants to know

    def _found(self, found: _Found) -> None:
        self._thread = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._answer(found)

    def _give_up(self) -> None:
        self._timer = None
        self._answer(_Found(None, (f"no answer within {self._patience:g} s",)))

    def _answer(self, found: _Found) -> None:
        asked, self._asked = self._asked, []
        loaded = found.loaded
        changes = None if loaded is None else compare(self._running(), loaded.settings)
        for ticket in asked:
            self._tell(ConfigurationRead(ticket, changes, found.problems))
        self._start()


def nothing_to_read() -> Loaded:
    """The Load of a node that was made without a file."""
    raise UnisonoError("this daemon was started without a configuration file")
