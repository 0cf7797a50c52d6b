"""Doors: every server of local clients that this daemon runs, as one.

Counterpart: corosync exec/ipc_glue.c (cs_ipcs_service_init).
Keeps:       a client number leads to its server; events that were queued are flushed when asked.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from unisono.base.clients import ClientConnected, ClientGone, Service
from unisono.base.errors import ConfigError
from unisono.base.group import Buffer, Marked
from unisono.base.ids import ClientId
from unisono.executive.instance import Instance
from unisono.ipc.handler import Handler
from unisono.ipc.native import NativeServer
from unisono.ipc.qb import QbServer

AnyServer: TypeAlias = QbServer | NativeServer
LIBQB_SERVICES: Final = (
    Service.CMAP,
    Service.CFG,
    Service.CPG,
    Service.QUORUM,
    Service.VOTEQUORUM,
)


class Doors:
    """The servers of one daemon."""

    __slots__ = ("_of_client", "_servers", "_touched", "paused")

    def __init__(
        self,
        instance: Instance,
        handler: Handler,
        *,
        ipc_type: str,
        marks: Callable[[Marked], None],
    ) -> None:
        """Nothing listens before `start`."""
        numbers = itertools.count(1)
        self._servers: dict[Service, AnyServer] = {
            service: QbServer(
                service,
                instance.endpoint(service),
                ipc_type,
                handler,
                numbers=numbers,
                marks=marks,
            )
            for service in LIBQB_SERVICES
        }
        self._servers[Service.NATIVE] = NativeServer(
            Service.NATIVE, instance.endpoint(Service.NATIVE), handler, numbers=numbers, marks=marks
        )
        self._of_client: dict[ClientId, AnyServer] = {}
        self._touched: set[AnyServer] = set()
        self.paused = False

    def start(self) -> None:
        """Listen everywhere; ConfigError when an address cannot be had, and then nowhere."""
        try:
            for server in self._servers.values():
                server.start()
        except OSError as error:
            self.close()
            raise ConfigError(f"cannot listen for clients: {error.strerror or error}") from error

    def note(self, request: ClientConnected | ClientGone) -> None:
        """Remember, or forget, which server a client belongs to."""
        if isinstance(request, ClientConnected):
            self._of_client[request.client] = self._servers[request.service]
        else:
            self._of_client.pop(request.client, None)

    def reply(self, client: ClientId, message: Buffer) -> None:
        """Answer the client's oldest request; nothing if it is gone."""
        server = self._of_client.get(client)
        if server is not None:
            server.reply(client, message)

    def notify(self, client: ClientId, pieces: Sequence[Buffer]) -> None:
        """Queue an event; it leaves with `flush`, which must follow in this turn of the loop."""
        server = self._of_client.get(client)
        if server is not None:
            if server not in self._touched:
                self._touched.add(server)
                server.begin_turn()
            server.notify(client, pieces)

    def flush(self) -> bool:
        """Hand over what was queued; whether there was anything."""
        if not self._touched:
            return False
        for server in self._touched:
            server.flush()
        self._touched.clear()
        return True

    def disconnect(self, client: ClientId, reason: str) -> None:
        """End a client that broke the protocol."""
        server = self._of_client.get(client)
        if server is not None:
            server.disconnect(client, reason)

    def pause(self) -> None:
        """Read no client until `resume`."""
        self.paused = True
        for server in self._servers.values():
            server.pause()

    def resume(self) -> None:
        """Read clients again."""
        self.paused = False
        for server in self._servers.values():
            server.resume()

    @property
    def output_bytes(self) -> int:
        """The largest amount of output that one client has not taken yet."""
        return max(server.output_bytes for server in self._servers.values())

    def clients(self) -> dict[str, int]:
        """Connected clients by service."""
        return {service.name.lower(): server.clients for service, server in self._servers.items()}

    def close(self) -> None:
        """Stop listening and end every client."""
        for server in self._servers.values():
            server.close()
        self._of_client.clear()
