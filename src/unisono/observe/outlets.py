"""Outlets: the targets that are open, with their writers, and how they follow the settings.

Keeps:       the first opening of files may fail and says so; later ones are their threads'
             business, for a file may lie where opening takes long.
"""

import threading
import time
from functools import partial
from typing import Final

from unisono.config.settings import LoggingSettings
from unisono.observe.formats import (
    Format,
    format_of_file,
    format_of_stream,
    format_of_syslog,
)
from unisono.observe.routes import STANDARD_ERROR, SYSLOG, all_wanted
from unisono.observe.targets import LogFile, StandardError, Syslog, Target
from unisono.observe.writer import Tell, Writer

SYSLOG_SOCKET: Final = "/dev/log"


class Outlets:
    """Writers by key: the path of a file, or one of the two that are not files."""

    def __init__(
        self, settings: LoggingSettings, node_id: int, syslog_socket: str, tell: Tell
    ) -> None:
        """Open everything. OSError when a file cannot be opened."""
        self._node_id = node_id
        self._syslog_socket = syslog_socket
        self._tell = tell
        self._writers: dict[str, Writer] = {}
        self._owners: dict[str, str] = {}
        self._ending: list[Writer] = []
        try:
            for key, owner in all_wanted(settings).items():
                target = self._target(key)
                if isinstance(target, LogFile):
                    target.open()
                self._add(key, owner, target, settings)
        except OSError:
            self.close(0)
            raise

    def writer_of(self, key: str) -> Writer:
        """The writer of a target that the settings want."""
        return self._writers[key]

    def change(self, settings: LoggingSettings) -> None:
        """Have every target that is wanted; those that no longer are stay until dropped."""
        wanted = all_wanted(settings)
        for key, writer in self._writers.items():
            if key in wanted:
                writer.change_format(self._format(key, settings))
        for key, owner in wanted.items():
            if key not in self._writers and not self._move(key, owner, wanted, settings):
                self._add(key, owner, self._target(key), settings)

    def settle(self, settings: LoggingSettings) -> None:
        """Let targets end that no route leads to any more, after what they have to write.

        The others see to it that they are open, and whoever cannot be is told of by the new routes.
        """
        wanted = all_wanted(settings)
        self._ending = [writer for writer in self._ending if writer.is_running]
        for key in [key for key in self._writers if key not in wanted]:
            writer = self._writers.pop(key)
            writer.stop(hurry=False)
            self._ending.append(writer)
        self._owners = wanted
        self.reopen()

    def reopen(self) -> None:
        """Let every target look whether it has to be opened anew."""
        for writer in self._writers.values():
            writer.order(writer.target.reopen)

    def flush(self, seconds: float) -> bool:
        """Wait until every writer has done what waits now."""
        end = time.monotonic() + seconds
        done = []
        for writer in self._writers.values():
            event = threading.Event()
            if not writer.order(event.set):
                return False
            done.append(event)
        return all(event.wait(max(0.0, end - time.monotonic())) for event in done)

    def lost_lines(self) -> dict[str, int]:
        """Lines that were not written, by the name of the target."""
        return {writer.target.name: writer.lost_lines for writer in self._writers.values()}

    def close(self, seconds: float) -> None:
        """End all; what is stuck is left to itself when the time is over."""
        writers = [*self._writers.values(), *self._ending]
        end = time.monotonic() + seconds
        for writer in writers:
            writer.stop(hurry=True)
        for writer in writers:
            writer.join(end - time.monotonic())
        self._writers = {}
        self._ending = []

    def _move(
        self, path: str, owner: str, wanted: dict[str, str], settings: LoggingSettings
    ) -> bool:
        """Let the owner's file of before become this one, so that it stays if this one fails."""
        if path in (STANDARD_ERROR, SYSLOG):
            return False
        for key, writer in self._writers.items():
            target = writer.target
            if key not in wanted and self._owners.get(key) == owner and isinstance(target, LogFile):
                writer.order(partial(setattr, target, "path", path))
                writer.change_format(self._format(path, settings))
                self._writers[path] = self._writers.pop(key)
                return True
        return False

    def _add(self, key: str, owner: str, target: Target, settings: LoggingSettings) -> None:
        self._writers[key] = Writer(target, self._format(key, settings), self._tell)
        self._owners[key] = owner

    def _target(self, key: str) -> Target:
        if key == STANDARD_ERROR:
            return StandardError()
        return Syslog(self._syslog_socket) if key == SYSLOG else LogFile(key)

    def _format(self, key: str, settings: LoggingSettings) -> Format:
        if key == STANDARD_ERROR:
            return format_of_stream(settings, self._node_id)
        if key == SYSLOG:
            return format_of_syslog(settings)
        return format_of_file(settings, self._node_id)
