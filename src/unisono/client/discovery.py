"""Discovery: where the local daemon listens, and whether it is the right one.

Keeps:       nobody but root or this user may pose as the daemon (the kernel says who listens).
"""

import os
import socket
from enum import Enum
from pathlib import Path
from typing import Final

from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError
from unisono.ipc.endpoint import Endpoint, default_endpoint, instance_endpoint
from unisono.linux.credentials import peer_credentials

INSTANCE_VARIABLE: Final = "UNISONO_INSTANCE"
"""Environment variable: directory of the instance to connect to by default."""


class Protocol(Enum):
    """How to speak to the daemon."""

    AUTO = "auto"
    """The native stream if it is there, else libqb."""
    NATIVE = "native"
    QB = "qb"


def find_instance(instance: str | os.PathLike[str] | None) -> Path | None:
    """The directory of the instance, or None for the machine's default daemon."""
    chosen = instance or os.environ.get(INSTANCE_VARIABLE)
    return Path(chosen) if chosen else None


def read_protocol(protocol: str) -> Protocol:
    """The Protocol of this name; UsageError."""
    try:
        return Protocol(protocol)
    except ValueError:
        raise UsageError(f"protocol {protocol!r}; use 'auto', 'native' or 'qb'") from None


def native_endpoint(directory: Path | None) -> Endpoint:
    """Where our daemon serves the native stream."""
    if directory is None:
        return Endpoint("unisono")
    return Endpoint("unisono", directory / "unisono.sock")


def cpg_endpoint(directory: Path | None) -> Endpoint:
    """Where our daemon or Corosync serves CPG over libqb."""
    return default_endpoint("cpg") if directory is None else instance_endpoint(directory, "cpg")


def connect_stream(endpoint: Endpoint) -> socket.socket:
    """A connected, non-blocking stream socket to a daemon that is root's or ours; never waits.

    ConnectionLost when nobody listens; TRY_AGAIN when its backlog is full; ACCESS; SECURITY.
    """
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        stream.connect(endpoint.address)
        uid = peer_credentials(stream).uid
        if uid not in (0, os.geteuid()):
            raise ClusterError(CsError.SECURITY, f"{endpoint} is served by uid {uid}")
    except BlockingIOError as reason:
        stream.close()
        raise ClusterError(CsError.TRY_AGAIN, f"{endpoint}: its backlog is full") from reason
    except PermissionError as reason:
        stream.close()
        raise ClusterError(CsError.ACCESS, f"{endpoint}") from reason
    except OSError as reason:
        stream.close()
        raise ConnectionLost(f"no daemon at {endpoint}: {reason.strerror}") from reason
    except BaseException:
        stream.close()
        raise
    return stream
