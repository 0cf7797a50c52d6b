"""Every bound of the product, with its origin: paper, Corosync's headers, or ours.

Keeps:       no room invents a bound of its own; a bound without a place here does not exist.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# -- ring (corosync exec/totemsrp.c, totem.h; totem.md section 6 and 9) ---------------------------
NODES_MAX: Final = 384
"""PROCESSOR_COUNT_MAX: nodes in a join list or a commit token."""
RTR_ENTRIES_MAX: Final = 30
"""RETRANSMIT_ENTRIES_MAX: retransmit requests in one token."""
STORED_MESSAGES_MAX: Final = 16_384
"""QUEUE_RTR_ITEMS_SIZE_MAX: messages a ring store holds."""
TOKEN_BYTES_MAX: Final = 1_500
"""Largest regular token accepted."""
DATAGRAM_BYTES_MAX: Final = 65_535
"""Largest UDP payload read."""
MULTICAST_BYTES_MAX: Final = MIB + 64 * KIB
"""Largest process-group message: Corosync's assembly buffer."""
SEND_QUEUE_BYTES_MAX: Final = 4 * MIB
"""totempg's send queue, in bytes of packets (MESSAGE_QUEUE_MAX * net_mtu)."""
RING_SEQ_JUMP_MAX: Final = 1 << 32
"""Largest jump of the ring sequence that a join may ask for (ours, totem.md N14)."""
SELF_DELIVERY_ROUNDS_MAX: Final = 64
"""Datagrams that a machine sends itself within one call (ours)."""

# -- service messages (corosync exec/cpg.c, sync.c) -------------------------------------------------
SERVICES_MAX: Final = 64
SYNC_SERVICE_LIST_MAX: Final = 128
GROUP_NAME_BYTES_MAX: Final = 128
CPG_MEMBERS_MAX: Final = 128
"""libcpg copies member lists into arrays of this size without a check."""

# -- local IPC (libqb; ipc.md) -------------------------------------------------------------------------
IPC_MESSAGE_BYTES_MIN: Final = 12_328
IPC_MESSAGE_BYTES_MAX: Final = MIB
CPG_ATOMIC_BYTES_MAX: Final = MIB - KIB
CLIENTS_MAX: Final = 1_024
"""Local connections at once (ours)."""
CLIENTS_PER_UID_MAX: Final = 512
HANDSHAKE_SECONDS_MAX: Final = 5
CLIENT_OUTPUT_BYTES_SLOW: Final = 4 * MIB
"""Unread output of one client above which the ring is slowed down (ours)."""
CLIENT_OUTPUT_BYTES_MAX: Final = 64 * MIB
"""Unread output of one client above which it is disconnected (ours)."""

# -- native stream (ours; DESIGN D6a) -----------------------------------------------------------------
BLOCK_BYTES_MAX: Final = 32 * KIB
"""A block is flushed before it grows beyond this; a larger message travels in a block of its own."""
MESSAGE_BYTES_MAX: Final = MIB
"""Largest message of a native client."""
NATIVE_FRAME_BYTES_MAX: Final = MIB + 4 * KIB
