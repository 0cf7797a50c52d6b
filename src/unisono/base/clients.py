"""The client port: all that the local IPC servers and the services say to each other.

Speaks:      requests up (`ClientConnected`, `ClientRequest`, `ClientGone`), effects down
             (`Reply`, `Notify`, ...).
Counterpart: corosync exec/ipc_glue.c.
Keeps:       ipc never decodes a service's message; services never see a socket.
"""

from enum import IntEnum

from unisono.base.event import event
from unisono.base.group import Buffer
from unisono.base.ids import ClientId, Pid


class Service(IntEnum):
    """Local services: Corosync's numbers, and ours from 100 on."""

    CMAP = 0
    CFG = 1
    CPG = 2
    QUORUM = 3
    VOTEQUORUM = 5
    NATIVE = 100


@event
class Credentials:
    """Who is at the other end, as the kernel says (SCM_CREDENTIALS or SO_PEERCRED)."""

    pid: Pid
    uid: int
    gid: int


# -- requests, ipc to services --------------------------------------------------------------------


@event
class ClientConnected:
    """A client passed the access check and may now speak to `service`."""

    client: ClientId
    service: Service
    credentials: Credentials


@event
class ClientRequest:
    """One whole message of a client, valid only during the call: copy what you keep."""

    client: ClientId
    message: memoryview


@event
class ClientGone:
    """The client disconnected, died, or was disconnected."""

    client: ClientId


# -- effects, services to ipc ---------------------------------------------------------------------


@event
class Reply:
    """The answer to the client's oldest unanswered request."""

    client: ClientId
    message: Buffer


@event
class Notify:
    """What the client did not ask for just now: a delivery, a view. Pieces are gathered."""

    client: ClientId
    pieces: list[Buffer]


@event
class Disconnect:
    """Drop this client: it broke the protocol. `ClientGone` follows."""

    client: ClientId
    reason: str


@event
class DumpAsked:
    """A client asks the executive for a dump of the flight recorder; answer `request`."""

    client: ClientId
    credentials: Credentials
    request: int


@event
class ReopenLogs:
    """An administrator has moved the log files away."""


@event
class ShutDown:
    """The executive must end now: `clean` leaves the ring first; `status` is the exit status."""

    reason: str
    clean: bool
    status: int
