"""Node: one daemon without its command line: ring, services, clients and transport, wired.

Counterpart: corosync exec/main.c.
Keeps:       the stored ring sequence is raised and on disk before the ring hears of this life;
             whoever may connect is decided by services.access.
Never:       carries effects out (turn), reads arguments or files (main).
"""

import asyncio
import errno
import os
import random
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from unisono.base.clients import (
    ClientConnected,
    ClientGone,
    ClientRequest,
    Credentials,
    DumpAsked,
    ReopenLogs,
    Service,
    ShutDown,
)
from unisono.base.errors import ConfigError
from unisono.base.group import Leave, Left, Marked
from unisono.base.ids import Nanos
from unisono.base.limits import LEAVE_SECONDS_MAX
from unisono.base.marks import Mark
from unisono.config.reload import ReadConfiguration, ReloadAsked, SettingsChanged
from unisono.config.settings import Settings
from unisono.executive.doors import Doors
from unisono.executive.instance import Instance
from unisono.executive.network import Network
from unisono.executive.reading import Load, Reading, nothing_to_read
from unisono.executive.recording import Recording
from unisono.executive.ring_store import RingStore, RingStoreError
from unisono.executive.turn import Turn
from unisono.observe.counters import Counters
from unisono.observe.logs import Log
from unisono.services import Engine
from unisono.services.access import may_connect
from unisono.totem import Reconfigure, Start, Totem

VERSION: Final = version("unisono")
STATUS_FATAL = 15
"""Exit status after an error that no machine could foresee, as Corosync's."""
STATUS_RING_STORE = 21
"""Exit status when the ring sequence cannot be stored, as Corosync's."""


def _overheard(
    overhear: Callable[[Marked], None], take: Callable[[Marked], None]
) -> Callable[[Marked], None]:
    def mark(marked: Marked) -> None:
        overhear(marked)
        take(marked)

    return mark


class _Engine(Engine):
    """The services, with what only the executive knows added to their status."""

    __slots__ = ("_facts",)

    def __init__(
        self, settings: Settings, facts: Callable[[], dict[str, object]], owner: int
    ) -> None:
        super().__init__(settings, owner=owner)
        self._facts = facts

    def status(self) -> dict[str, object]:
        """What `unisono status` shows; plain values only."""
        return {**super().status(), "daemon": self._facts()}


class Node:
    """One node of the ring, in the running loop. `start` it, await `stopped`, `close` it."""

    __slots__ = (
        "_doors", "_engine", "_leaving", "_log", "_loop", "_network", "_reading", "_settings",
        "_status", "_store", "_totem", "_turn", "counters", "formed", "mark", "recording",
        "stopped",
    )  # fmt: skip

    def __init__(
        self,
        settings: Settings,
        instance: Instance,
        log: Log,
        *,
        config_file: Path = Path(),
        load: Load = nothing_to_read,
        clock: Callable[[], int] = time.monotonic_ns,
        overhear: Callable[[Marked], None] | None = None,
    ) -> None:
        """Load and raise the stored ring sequence; RingStoreError when it cannot be kept.

        `config_file` is where `settings` came from: it may hold a key; `load` reads it again.
        `overhear` is told of every mark before it is made.
        """
        self._settings = settings
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._leaving = False
        self._status = 0
        self.counters = Counters()
        self._doors = Doors(instance, self, ipc_type=settings.ipc_type, marks=self._mark)
        self.recording = Recording(
            settings.logging,
            settings.node_id,
            Path(instance.state_dir(settings)),
            mark=self._mark,
            reply=self._doors.reply,
            loop=self._loop,
        )
        """Records from its `open` on."""
        take = self.recording.shortcut(self.counters.counts, log.told, self._tell)
        self.mark = take if overhear is None else _overheard(overhear, take)
        """Count, record and log what is noteworthy."""
        log.witness = self.recording.witness
        self.stopped: asyncio.Future[int] = self._loop.create_future()
        """The exit status, once the node has ended."""
        self.formed: asyncio.Future[str] = self._loop.create_future()
        """The members in words, once the first configuration is agreed upon."""
        self._store = RingStore(instance.state_dir(settings), settings.node_id)
        self._totem = Totem(
            settings.ring,
            settings.node_id,
            self._next_ring_seq(),
            known=[node.node_id for node in settings.nodes],
            jitter=random.random(),
        )
        self._engine = _Engine(settings, self.facts, os.geteuid())
        self._turn = Turn(
            self._totem,
            self._engine,
            self._doors,
            self._store,
            mark=self.mark,
            on_end=self._on_end,
            on_failure=self._on_failure,
            clock=clock,
            loop=self._loop,
        )
        self._network = Network(
            self._turn,
            self._doors,
            config_file=config_file,
            mark=self.mark,
            on_failure=self._on_failure,
            clock=clock,
            loop=self._loop,
        )
        self._turn.carry_by(self.recording.asked, DumpAsked)
        self._reading = Reading(load, lambda: self._settings, self._turn.inform, loop=self._loop)
        self._turn.carry_by(self._reading.read, ReadConfiguration)
        self._turn.carry_by(self._on_settings, SettingsChanged)
        self._turn.carry_by(self._on_reopen, ReopenLogs)

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open the network and the doors and begin; ConfigError when something is in the way."""
        self._doors.pause()  # until the first configuration is agreed upon
        try:
            self._network.open(self._settings)
            self._doors.start()
        except ConfigError:
            self.close()
            raise
        self._turn.command(Start())

    def stop(self, reason: str, *, status: int = 0, clean: bool = True) -> None:
        """Leave the ring (when `clean`), then resolve `stopped` with `status`."""
        if self.stopped.done() or (clean and self._leaving):
            return
        self.mark(Marked(Mark.STOPPING, status, text=reason))
        self._status = status
        if not clean or self._network.transport is None:
            self._finish()
            return
        self._leaving = True
        self._loop.call_later(LEAVE_SECONDS_MAX, self._say_farewell)
        self._turn.command(Leave())

    def close(self) -> None:
        """Close everything at once, without a goodbye. Twice is harmless."""
        self._turn.stop()
        self._reading.close()
        self._doors.close()
        self._network.close()
        self.recording.close(clean=self._status not in (STATUS_FATAL, STATUS_RING_STORE))
        self._finish()

    def _say_farewell(self) -> None:
        """The ring's goodbye is said, or has taken too long: the transport's own, then the end."""
        if not self.stopped.done():
            self._network.farewell()
        self._finish()

    def _finish(self) -> None:
        if not self.stopped.done():
            self.stopped.set_result(self._status)

    def _next_ring_seq(self) -> int:
        """The stored sequence plus one, stored: no two lives of this node share a ring id."""
        if self._store.is_damaged:
            text = f"{self._store.path} is damaged; beginning with ring sequence 0"
            self.mark(Marked(Mark.RING_SEQ_UNREADABLE, text=text))
        seq = self._store.load() + 1
        self._store.store(seq)
        return seq

    def _on_end(self, effect: Left | ShutDown) -> None:
        match effect:
            case Left():
                self._say_farewell()
            case ShutDown():
                # A later turn: the answer that announces it may still be on its way to a client.
                self._loop.call_soon(
                    lambda: self.stop(effect.reason, status=effect.status, clean=effect.clean)
                )

    def _on_failure(self, error: Exception) -> None:
        """A machine broke a promise, or the disk did: stop at once; the others carry on."""
        status = STATUS_RING_STORE if isinstance(error, RingStoreError) else STATUS_FATAL
        self._log.failure("MAIN", error)
        self.stop(f"Stopping: {error}", status=status, clean=False)

    # -- changes while it runs ---------------------------------------------------------------------

    def hang_up(self) -> None:
        """SIGHUP: open the log files again, and read the configuration again on the whole ring."""
        self._reopen_logs()
        self._turn.inform(ReloadAsked())

    def _reopen_logs(self) -> None:
        self._log.reopen()
        self.mark(Marked(Mark.LOGS_REOPENED))

    def _on_reopen(self, _effect: ReopenLogs, _now: Nanos) -> None:
        self._reopen_logs()

    def _on_settings(self, effect: SettingsChanged, now: Nanos) -> None:
        """Other settings hold from here on; the services have them already."""
        changes = effect.changes
        settings = self._settings = changes.settings
        for change in changes.applied:
            self.mark(Marked(Mark.SETTING_CHANGED, text=change.words))
        for change in changes.refused:
            self.mark(Marked(Mark.SETTING_KEPT, text=change.words))
        if changes.applied:
            self._log.configure(settings.logging)
            nodes = [node.node_id for node in settings.nodes]
            self._totem.submit(Reconfigure(settings.ring, nodes), now)
            self._network.reconfigure(settings)

    # -- the handler of local clients --------------------------------------------------------------

    def admit(self, service: Service, credentials: Credentials) -> int:
        """0, or the errno to refuse with: the ring is changing, or this user may not."""
        del service
        if not may_connect(credentials, self._settings.access):
            return errno.EACCES
        return 0 if self._engine.accepting else errno.EAGAIN

    def submit(self, request: ClientConnected | ClientRequest | ClientGone) -> None:
        """Take one request of a client."""
        if not isinstance(request, ClientRequest):
            self._doors.note(request)
        self._turn.requested(request)

    def submitted(self) -> None:
        """All requests of one reading were submitted."""
        self._turn.requests_end()

    # -- facts -------------------------------------------------------------------------------------

    def _mark(self, marked: Marked) -> None:
        self.mark(marked)  # which is not yet there when the first parts are made

    def _tell(self, marked: Marked) -> None:
        if marked.mark is Mark.MEMBERS_AGREED and not self.formed.done():
            self.formed.set_result(marked.text)
        self.recording.record(marked)
        self._log.mark(marked)

    def facts(self) -> dict[str, object]:
        """What the executive knows, for the status: plain values only."""
        totem = self._totem
        return {
            "version": VERSION,
            "pid": os.getpid(),
            "node_id": self._settings.node_id,
            "cluster_name": self._settings.cluster_name,
            "uptime_seconds": round(self.counters.uptime_seconds, 3),
            "state": totem.state.value,
            "ring": str(totem.ring),
            "members": list(totem.members),
            "native": totem.native,
            "queue_level": round(totem.queue_level, 4),
            "multicasts_refused": self._turn.flow.refused,
            "clients_paused": self._doors.paused,
            "ring_slowed": self._turn.flow.slowed,
            "clients": self._doors.clients(),
            "ring_counters": dict(totem.counters),
            "transport": {
                "kind": self._settings.transport.kind,
                **self._network.status(),
            },
            "recorder": self.recording.status(),
            "log_lines_lost": self._log.lost_lines(),
            "marks": self.counters.snapshot(),
        }

    def work(self) -> int:
        """Reads made so far: the collector's measure of how busy the node is."""
        return self._network.reads
