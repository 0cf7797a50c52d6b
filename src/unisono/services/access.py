"""Access: which local processes may speak to the services, and which may give orders.

Counterpart: corosync exec/ipc_glue.c (cs_ipcs_connection_accept).
Keeps:       only effective ids count, supplementary groups do not; a grant covers every service.
"""

from unisono.base.clients import Credentials
from unisono.config.settings import AccessSettings


def may_connect(credentials: Credentials, access: AccessSettings) -> bool:
    """Whether the process may connect: effective uid 0, gid 0, or a uidgid rule that names it."""
    if credentials.uid == 0 or credentials.gid == 0:
        return True
    return credentials.uid in access.uids or credentials.gid in access.gids


def may_order(credentials: Credentials, owner: int) -> bool:
    """Whether the process may change authkeys, reload, have dumps: root's, or of `owner`.

    `owner` is the daemon's own effective uid.
    """
    return credentials.uid in (0, owner)
