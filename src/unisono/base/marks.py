"""Marks: named noteworthy moments. One id is the recorder's record, the counter and the test's expectation.

Keeps:       a mark's number never changes its meaning; new marks are appended to their block.
"""

from enum import IntEnum, unique


@unique
class Mark(IntEnum):
    """What can be marked; blocks of 100 per room."""

    # ring input that was dropped
    DATAGRAM_MALFORMED = 100
    DATAGRAM_FOREIGN_VERSION = 101
    DATAGRAM_UNLISTED_SOURCE = 102
    TOKEN_DUPLICATE = 103
    TOKEN_FOREIGN_RING = 104
    TOKEN_DISCARDED = 105
    JOIN_IGNORED = 106
    RING_SEQ_JUMP_REFUSED = 107
    PACKET_MALFORMED = 108
    FRAGMENT_ORPHANED = 109
    NODE_ID_DUPLICATE = 110
    MESSAGE_OUT_OF_WINDOW = 111
    COMMIT_TOKEN_IGNORED = 112
    NODE_UNKNOWN = 113

    # ring life
    STATE_ENTERED = 200
    TOKEN_LOST = 201
    TOKEN_RETRANSMITTED = 202
    MESSAGE_RETRANSMITTED = 203
    RETRANSMIT_REQUESTED = 204
    CONSENSUS_TIMEOUT = 205
    FAILED_TO_RECEIVE = 206
    MERGE_DETECTED = 207
    PAUSE_DETECTED = 208
    RECOVERY_STARTED = 209
    FOREIGN_MESSAGE = 210
    TOKEN_RESTED = 211
    QUEUE_FULL = 212
    MESSAGE_SKIPPED = 213
    TOKEN_HELD = 214

    # services
    SYNC_STARTED = 300
    SYNC_FINISHED = 301
    SYNC_ABORTED = 302
    SERVICE_MESSAGE_MALFORMED = 303
    SERVICE_MESSAGE_UNKNOWN = 304
    SENDER_UNKNOWN = 305
    CONFIG_VERSION_MISMATCH = 306
    NODE_KILLED = 307
    GHOST_REMOVED = 308

    # local clients
    CLIENT_CONNECTED = 400
    CLIENT_GONE = 401
    CLIENT_REFUSED = 402
    CLIENT_MALFORMED = 403
    CLIENT_TOO_SLOW = 404
    CLIENT_REQUEST_UNKNOWN = 405
