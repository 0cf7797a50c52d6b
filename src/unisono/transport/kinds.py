"""Which transport a configuration asks for.

Keeps:       one table from `totem.transport` to the class that carries it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from unisono.base.errors import ConfigError
from unisono.config.settings import UDP, UDPU, Settings
from unisono.transport.port import Mark, Receive, Transport
from unisono.transport.udp import UdpTransport
from unisono.transport.udpu import UdpuTransport

KINDS: Final[dict[str, Callable[..., Transport]]] = {UDPU: UdpuTransport, UDP: UdpTransport}


def open_transport(
    settings: Settings, receive: Receive, *, mark: Mark, loop: asyncio.AbstractEventLoop
) -> Transport:
    """Open the configured transport and start to read; ConfigError when that cannot be done."""
    kind = KINDS.get(settings.transport.kind)
    if kind is None:
        allowed = ", ".join(KINDS)
        raise ConfigError(f"totem.transport: found {settings.transport.kind}; allowed {allowed}")
    return kind(settings, receive, mark=mark, loop=loop)
