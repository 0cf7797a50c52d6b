"""Files: what stands in each simulated node's configuration file, and how long it takes to read.

Speaks:      `ReadConfiguration` in, `ConfigurationRead` out, as executive.reading does.
Keeps:       a file changes nothing until it is read; a daemon that starts reads its file.
"""

from dataclasses import replace
from typing import Final

from unisono.base.ids import MS
from unisono.config.changes import compare
from unisono.config.reload import ConfigurationRead, ReadConfiguration
from unisono.config.settings import RingSettings, Settings

READING_NS: Final = 3 * MS


class ConfigurationFile:
    """The file of one node; as it was at the start until somebody writes."""

    __slots__ = ("is_broken", "ring")

    def __init__(self) -> None:
        self.ring: RingSettings | None = None
        """In place of what holds."""
        self.is_broken = False

    def read(self, effect: ReadConfiguration, running: Settings) -> ConfigurationRead:
        """What a daemon that runs with `running` finds."""
        if self.is_broken:
            return ConfigurationRead(effect.ticket, None, ("the file is broken",))
        read = running if self.ring is None else replace(running, ring=self.ring)
        return ConfigurationRead(effect.ticket, compare(running, read))
