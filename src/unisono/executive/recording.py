"""Recording: the flight recorder of this daemon, its keeper, and the dumps that are asked for.

Speaks:      the DUMP query of the native stream.
Counterpart: corosync exec/logsys.c (the blackbox), exec/main.c (the dump on a signal).
Keeps:       nothing is made before `open`, which is after daemonising and under the pid file's
             lock; a daemon without a recorder, or without its keeper, goes on and says so.
"""

import asyncio
import os
from collections.abc import Callable, Container
from pathlib import Path
from typing import Final, TypeAlias

from unisono.base.clients import DumpAsked
from unisono.base.errors import CsError
from unisono.base.group import Buffer, Marked
from unisono.base.ids import ClientId, Nanos
from unisono.base.limits import FLIGHT_CELLS_MAX
from unisono.base.marks import Mark
from unisono.config.settings import LoggingSettings
from unisono.observe.keeper import DumpMade, Keeper
from unisono.observe.lines import Level
from unisono.observe.recorder import Recorder
from unisono.services.access import may_order
from unisono.wire import native
from unisono.wire.blackbox.dump_file import CELL_BYTES
from unisono.wire.blackbox.flight import TEXT_CELLS_MAX

Answerer: TypeAlias = Callable[[ClientId, Buffer], None]
KEEPER_AGAIN_SECONDS: Final = 10.0
"""After its end a keeper is started again; not more often than that."""
_PRIORITIES: Final = {
    Level.TRACE: 8,
    Level.DEBUG: 7,
    Level.INFO: 6,
    Level.NOTICE: 5,
    Level.WARNING: 4,
    Level.ERROR: 3,
    Level.CRIT: 2,
}
"""As in syslog(3), with trace below."""


class Recording:
    """The recorder of one daemon; off until `open`, and for good where the settings say so."""

    __slots__ = (
        "_asked", "_is_on", "_keeper", "_loop", "_mark", "_recorder", "_reply", "_timer",
    )  # fmt: skip

    def __init__(
        self,
        settings: LoggingSettings,
        node_id: int,
        directory: Path,
        *,
        mark: Callable[[Marked], None],
        reply: Answerer,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Dumps go into `directory`; `mark` hears of what goes wrong, and may come back here."""
        cells = min(max(settings.blackbox_bytes // CELL_BYTES, TEXT_CELLS_MAX), FLIGHT_CELLS_MAX)
        self._is_on = settings.blackbox
        self._recorder = Recorder(node_id, cells=cells, announce=mark)
        self._keeper = Keeper(directory, announce=mark)
        self._mark = mark
        self._reply = reply
        self._loop = loop
        self._asked: list[tuple[ClientId, int]] = []
        self._timer: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to record; fatal signals, too."""
        if self._is_on and self._recorder.open():
            self._recorder.catch_fatal_signals()
            self._start_keeper()

    def shortcut(
        self, counts: dict[Mark, int], told: Container[Mark], tell: Callable[[Marked], None]
    ) -> Callable[[Marked], None]:
        """What takes every mark: counts it, records it, or tells it if it has text or is `told`."""
        if self._is_on:
            return self._recorder.shortcut(counts, told, tell)

        def count(marked: Marked) -> None:
            counts[marked.mark] += 1
            if marked.text or marked.mark in told:
                tell(marked)

        return count

    def record(self, marked: Marked) -> None:
        """Any mark."""
        if self._is_on:
            self._recorder.record(marked.mark, marked.a, marked.b, marked.text)

    def witness(self, level: Level, subsystem: str, text: str) -> None:
        """A sentence of the log."""
        if self._is_on:
            self._recorder.log(_PRIORITIES.get(level, 2), subsystem, text)

    def close(self, *, clean: bool) -> None:
        """Record no more. Only a `clean` end leaves no dump behind."""
        if self._timer is not None:
            self._timer.cancel()
        if self._keeper.descriptor >= 0:
            self._loop.remove_reader(self._keeper.descriptor)
        if clean:
            self._keeper.finish()
        self._recorder.close()

    def status(self) -> dict[str, object]:
        """For people: plain values."""
        return {
            "on": self._recorder.descriptor >= 0,
            "bytes": self._recorder.ring_bytes if self._is_on else 0,
            "missed": self._recorder.missed if self._is_on else 0,
            "keeper": self._keeper.pid,
        }

    # -- dumps that are asked for ------------------------------------------------------------------

    def asked(self, question: DumpAsked, _now: Nanos) -> None:
        """A client wants a dump: it is answered when the keeper has made it."""
        error = CsError.OK
        if not may_order(question.credentials, os.geteuid()):
            error = CsError.ACCESS
        elif self._keeper.descriptor < 0:
            error = CsError.NOT_SUPPORTED
        elif not self._asked and not self._keeper.request():
            error = CsError.TRY_AGAIN
        if error is CsError.OK:
            self._asked.append((question.client, question.request))
        else:
            self._answer(question.client, question.request, b"", error)

    def _on_keeper(self) -> None:
        descriptor = self._keeper.descriptor
        for answer in self._keeper.receive():
            asked, self._asked = self._asked, []
            if isinstance(answer, DumpMade):
                self._mark(Marked(Mark.FLIGHT_DUMPED, text=str(answer.path)))
                body, error = os.fsencode(answer.path), CsError.OK
            else:
                self._mark(Marked(Mark.FLIGHT_NOT_DUMPED, text=answer.reason))
                body, error = answer.reason.encode(), CsError.LIBRARY
            for client, request in asked:
                self._answer(client, request, body, error)
        if self._keeper.descriptor < 0:
            # It is closed: the next keeper's may have its number, and would never be listened to.
            self._loop.remove_reader(descriptor)
            self._on_keeper_gone()

    def _on_keeper_gone(self) -> None:
        asked, self._asked = self._asked, []
        for client, request in asked:
            self._answer(client, request, b"", CsError.TRY_AGAIN)
        self._timer = self._loop.call_later(KEEPER_AGAIN_SECONDS, self._start_keeper)

    def _start_keeper(self) -> None:
        self._timer = None
        if self._keeper.start(self._recorder):
            self._loop.add_reader(self._keeper.descriptor, self._on_keeper)

    def _answer(self, client: ClientId, request: int, body: bytes, error: CsError) -> None:
        self._reply(client, native.encode_answer(request, body, error))
