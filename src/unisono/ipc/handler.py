"""What a server of local clients needs from its owner, and the marks that it makes.

Counterpart: libqb struct qb_ipcs_service_handlers.
Keeps:       a client that was announced (`ClientConnected`) is taken back (`ClientGone`) once.
"""

from typing import Protocol

from unisono.base.clients import ClientConnected, ClientGone, ClientRequest, Credentials, Service
from unisono.base.group import Marked


class Handler(Protocol):
    """The owner of the servers: decides who may connect, takes what clients say."""

    def admit(self, service: Service, credentials: Credentials) -> int:
        """0, or the positive errno with which the client is refused (EAGAIN, EACCES, ENOSYS)."""
        ...

    def submit(self, request: ClientConnected | ClientRequest | ClientGone) -> None:
        """Take one request; may call back into the server for any client, this one too."""
        ...

    def submitted(self) -> None:
        """All requests of one reading were submitted."""
        ...


def ignore_mark(_mark: Marked) -> None:
    """A sink for marks nobody wants."""
