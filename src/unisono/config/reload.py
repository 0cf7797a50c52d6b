"""The reload port: what the services and whoever reads the configuration file say to each other.

Speaks:      effects of the services `ReadConfiguration`, `SettingsChanged`; requests to them
             `ConfigurationRead`, `ReloadAsked`.
Keeps:       services never read files, and the executive decides nothing about a reload.
"""

from unisono.base.event import event
from unisono.config.changes import Changes


@event
class ReadConfiguration:
    """Effect: read the file again and submit `ConfigurationRead` with the same ticket."""

    ticket: int


@event
class ConfigurationRead:
    """Request: what was read; without `changes` the `problems` say why it cannot be used."""

    ticket: int
    changes: Changes | None
    problems: tuple[str, ...] = ()


@event
class ReloadAsked:
    """Request: the administrator of this node wants a reload, and reads the log."""


@event
class SettingsChanged:
    """Effect: from here on these settings hold; `changes.applied` may be empty."""

    changes: Changes
