"""Which transport a configuration asks for.

Keeps:       one table from `totem.transport` to the class that carries it.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from unisono.base.errors import ConfigError, UsageError
from unisono.base.ids import Nanos, NodeId
from unisono.config.settings import UDP, UDPU, UST, Settings
from unisono.secure.context import Context
from unisono.secure.machine import Secure
from unisono.secure.plan import plan_of
from unisono.transport.port import Mark, Receive, Transport
from unisono.transport.udp import UdpTransport
from unisono.transport.udpu import UdpuTransport
from unisono.transport.ust import Told, UstTransport

PLAIN: Final[dict[str, Callable[..., Transport]]] = {UDPU: UdpuTransport, UDP: UdpTransport}
"""Transports that need no keys."""


@dataclass(frozen=True, slots=True)
class SecureOwner:
    """What the secure transport needs besides: keys, and who hears what it finds out."""

    context: Context
    gone: Callable[[NodeId], None]
    """Hears of a node whose daemon is known to have ended."""
    told: Told
    """Takes what concerns keys."""
    on_failure: Callable[[Exception], None]
    """Hears of an error that the machine could not foresee; the transport is closed then."""
    clock: Callable[[], int] = time.monotonic_ns


def open_transport(
    settings: Settings,
    receive: Receive,
    *,
    mark: Mark,
    loop: asyncio.AbstractEventLoop,
    owner: SecureOwner | None = None,
) -> Transport:
    """Open the configured transport and start to read; ConfigError when that cannot be done.

    `owner` is for the secure transport, which cannot be without.
    """
    kind = settings.transport.kind
    if kind == UST:
        if owner is None:
            raise UsageError("the secure transport needs keys")
        return UstTransport(
            settings,
            receive,
            mark=mark,
            loop=loop,
            machine=Secure(plan_of(settings), owner.context, Nanos(owner.clock())),
            gone=owner.gone,
            told=owner.told,
            on_failure=owner.on_failure,
            clock=owner.clock,
        )
    plain = PLAIN.get(kind)
    if plain is None:
        allowed = ", ".join((UST, *PLAIN))
        raise ConfigError(f"totem.transport: found {kind}; allowed {allowed}")
    return plain(settings, receive, mark=mark, loop=loop)
