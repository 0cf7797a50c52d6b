"""Instance: where one daemon keeps its state and meets its clients.

Counterpart: corosync exec/main.c (paths), corosync.conf(5) system.state_dir.
Keeps:       the default instance uses the names and paths that Corosync's clients and scripts know,
             the pid file included, so that the two never run side by side unnoticed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unisono.base.clients import Service
from unisono.config.settings import Settings
from unisono.ipc.endpoint import (
    Endpoint,
    default_endpoint,
    instance_endpoint,
    make_instance_directory,
)

PID_FILE: Final = Path("/run/corosync.pid")
NATIVE_NAME: Final = "unisono"
SERVICE_NAMES: Final = {
    Service.CMAP: "cmap",
    Service.CFG: "cfg",
    Service.CPG: "cpg",
    Service.QUORUM: "quorum",
    Service.VOTEQUORUM: "votequorum",
}
"""libqb names of the services, which are also the socket names."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One daemon of this host; `directory` is None for the default instance."""

    directory: Path | None = None

    def prepare(self) -> None:
        """Create the directory, or check it; OSError says what is wrong."""
        if self.directory is not None:
            make_instance_directory(self.directory)

    def state_dir(self, settings: Settings) -> str:
        """Where the ring-id file lives, and the daemon's working directory."""
        return settings.state_dir if self.directory is None else str(self.directory)

    @property
    def pid_file(self) -> Path:
        """The locked pid file."""
        return PID_FILE if self.directory is None else self.directory / "unisonod.pid"

    def endpoint(self, service: Service) -> Endpoint:
        """Where clients of `service` connect."""
        if service is Service.NATIVE:
            if self.directory is None:
                return Endpoint(NATIVE_NAME)
            return Endpoint(NATIVE_NAME, self.directory / f"{NATIVE_NAME}.sock")
        name = SERVICE_NAMES[service]
        if self.directory is None:
            return default_endpoint(name)
        return instance_endpoint(self.directory, name)
