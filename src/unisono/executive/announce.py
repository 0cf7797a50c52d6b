"""Announcements: who started this daemon hears how it goes, and the watchdog that it lives.

Speaks:      the pipe to the starter in the background, sd_notify(3) to a service manager.
Counterpart: corosync exec/main.c, which tells systemd, and nobody else.
Keeps:       ready means that this node is in a configuration which its services agreed upon; it is
             said once. A starter is not kept waiting for ever, though the daemon may have to wait.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from unisono.linux.notify import Notifier
from unisono.linux.process import ReadyPipe

STARTER_SECONDS_MAX: Final = 60.0
"""After that the starter hears that the daemon runs, but is no member of a ring yet."""
_STOPPED: Final = "unisonod: stopped before it was a member of a ring"
_WAITING: Final = "unisonod: running, but not yet a member of a ring; see its log"
STATUS_STOPPED: Final = 1


class Announcer:
    """Follows one node: `follow` its future of the first configuration, then `close`."""

    __slots__ = (
        "_alive_timer",
        "_flush",
        "_is_told",
        "_loop",
        "_notifier",
        "_patience_timer",
        "_pipe",
    )

    def __init__(
        self,
        pipe: ReadyPipe | None,
        notifier: Notifier,
        loop: asyncio.AbstractEventLoop,
        *,
        flush: Callable[[], object],
    ) -> None:
        """`pipe` leads to the process that put this one into the background.

        `flush` writes what the log holds: standard error is the starter's, and ours only until it
        has been told.
        """
        self._pipe = pipe
        self._flush = flush
        self._notifier = notifier
        self._loop = loop
        self._is_told = False
        self._patience_timer: asyncio.TimerHandle | None = None
        self._alive_timer: asyncio.TimerHandle | None = None

    def follow(self, formed: "asyncio.Future[str]") -> None:
        """Start-up went well so far: tell when the node is in a configuration."""
        formed.add_done_callback(self._on_formed)
        self._patience_timer = self._loop.call_later(STARTER_SECONDS_MAX, self._on_patience)
        self._live()

    def stopping(self) -> None:
        """The daemon leaves."""
        self._notifier.stopping()

    def close(self, status: int) -> None:
        """The daemon ends with `status`; a starter that still waits learns that it never was a
        member, and fails with it.
        """
        for timer in (self._patience_timer, self._alive_timer):
            if timer is not None:
                timer.cancel()
        self._tell(status or STATUS_STOPPED, _STOPPED)

    def _on_formed(self, formed: "asyncio.Future[str]") -> None:
        if not formed.cancelled():
            self._notifier.ready(formed.result())
            self._tell(0)

    def _on_patience(self) -> None:
        self._tell(0, _WAITING)

    def _tell(self, status: int, text: str = "") -> None:
        if self._pipe is not None and not self._is_told:
            self._is_told = True
            self._flush()
            self._pipe.tell(status, text)

    def _live(self) -> None:
        """Twice as often as the manager wants it."""
        seconds = self._notifier.watchdog_seconds
        if seconds is not None:
            self._notifier.alive()
            self._alive_timer = self._loop.call_later(seconds / 2, self._live)
