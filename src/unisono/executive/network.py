"""Network: the transport of one node, with its keys, and the names by which the others are found.

Counterpart: corosync exec/totemnet.c and the parts of totemconfig.c that feed it.
Keeps:       keys and sessions live here and are never seen by the ring; what cannot be opened is a
             ConfigError at start and a mark later.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from unisono.base.errors import ConfigError
from unisono.base.group import Marked
from unisono.base.keyring import KeyringAsked, KeyringDelivered, KeyringView
from unisono.base.marks import Mark
from unisono.config.settings import SecureSettings, Settings
from unisono.crypto.sender_keys import CIPHERS
from unisono.executive.addresses import AddressWatch
from unisono.executive.doors import Doors
from unisono.executive.keyring import KeyFiles, KeyringDesk
from unisono.executive.keys import load_authkeys, load_static_keys
from unisono.executive.turn import Turn
from unisono.secure.context import Context, Keyring
from unisono.secure.rotation import Rotation
from unisono.transport.kinds import SecureOwner, open_transport
from unisono.transport.port import Transport
from unisono.transport.ust import UstTransport

BOOT_BYTES: Final = 16


class Network:
    """The way to the other nodes; closed until `open`."""

    __slots__ = (
        "_addresses", "_clock", "_config_file", "_context", "_doors", "_keyring", "_loop", "_mark",
        "_on_failure", "_turn", "transport",
    )  # fmt: skip

    def __init__(
        self,
        turn: Turn,
        doors: Doors,
        *,
        config_file: Path,
        mark: Callable[[Marked], None],
        on_failure: Callable[[Exception], None],
        clock: Callable[[], int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`config_file` may hold a key; `on_failure` hears what no machine could foresee."""
        self._turn = turn
        self._doors = doors
        self._config_file = config_file
        self._mark = mark
        self._on_failure = on_failure
        self._clock = clock
        self._loop = loop
        self._context: Context | None = None
        self._keyring: KeyringDesk | None = None
        self._addresses: AddressWatch | None = None
        self.transport: Transport | None = None

    def open(self, settings: Settings) -> None:
        """Read the keys, open the sockets; ConfigError when something is in the way."""
        self._context = self._load_context(settings)
        self._turn.transport = self.transport = open_transport(
            settings,
            self._turn.received,
            mark=self._mark,
            loop=self._loop,
            owner=self._secure_owner(),
        )
        if self._keyring is not None and isinstance(self.transport, UstTransport):
            self._keyring.secure = self.transport.submit
        self._watch_addresses(settings, self.transport)

    def reconfigure(self, settings: Settings) -> None:
        """Other nodes, addresses of theirs, priorities or times hold from here on."""
        if self.transport is None:
            return
        secure = settings.transport.secure
        if secure is not None and self._context is not None and self._keyring is not None:
            self._learn_static_keys(self._context, secure, settings)
            self._context.config_version = settings.config_version
            self._keyring.reconfigure([node.node_id for node in settings.nodes])
        self.transport.reconfigure(settings)
        self._watch_addresses(settings, self.transport)

    def farewell(self) -> None:
        """The transport's own goodbye."""
        if self.transport is not None:
            self.transport.farewell()

    def close(self) -> None:
        """Close everything at once. Twice is harmless."""
        for part in (self._keyring, self._addresses, self.transport):
            if part is not None:
                part.close()

    def status(self) -> dict[str, object]:
        """For people: plain values."""
        if self.transport is None:
            return {}
        return {**self.transport.counters.as_dict(), **self.transport.status()}

    @property
    def reads(self) -> int:
        """Reads made so far."""
        return self.transport.counters.reads if self.transport is not None else 0

    # -- names -------------------------------------------------------------------------------------

    def _watch_addresses(self, settings: Settings, transport: Transport) -> None:
        if self._addresses is not None:
            self._addresses.close()
        self._addresses = AddressWatch(
            settings, transport.readdress, mark=self._mark, loop=self._loop
        )

    # -- keys --------------------------------------------------------------------------------------

    def _load_context(self, settings: Settings) -> Context | None:
        """The keys of the secure transport, None for another one. ConfigError."""
        secure = settings.transport.secure
        if secure is None:
            return None
        name = settings.cluster_name
        alone = len(settings.nodes) == 1
        keys = load_authkeys(secure, name, self._config_file, alone=alone)
        context = Context(
            settings.node_id,
            settings.cluster_name,
            Keyring(keys.active.keys),
            CIPHERS[secure.cipher],
            os.urandom,
            os.urandom(BOOT_BYTES),
            config_version=settings.config_version,
            static_keys=load_static_keys(secure, settings.nodes, settings.node_id),
        )
        self._keyring = KeyringDesk(
            Rotation(context, keys, [node.node_id for node in settings.nodes]),
            KeyFiles(secure, keys),
            multicast=self._turn.multicast,
            reply=self._doors.reply,
            mark=self._mark,
            on_failure=self._on_failure,
            clock=self._clock,
            loop=self._loop,
        )
        self._turn.carry_by(self._keyring.take, KeyringView, KeyringDelivered, KeyringAsked)
        return context

    def _learn_static_keys(
        self, context: Context, secure: SecureSettings, settings: Settings
    ) -> None:
        """Those of new nodes; the file was checked when it was read, a moment ago."""
        try:
            keys = load_static_keys(secure, settings.nodes, settings.node_id)
        except ConfigError as error:
            self._mark(Marked(Mark.CONFIGURATION_REFUSED, text=str(error)))
        else:
            context.static_keys.update(keys)

    def _secure_owner(self) -> SecureOwner | None:
        if self._context is None or self._keyring is None:
            return None
        return SecureOwner(
            self._context, self._turn.gone, self._keyring.told, self._on_failure, self._clock
        )
