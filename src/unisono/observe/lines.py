"""What each mark says in a log: level, subsystem and text, as a Corosync administrator knows them.

Counterpart: the log_printf calls of corosync exec/totemsrp.c, totemudpu.c, cpg.c, main.c.
Keeps:       a mark without a line here is counted and not logged.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from unisono.base.marks import Mark


class Level(IntEnum):
    """Severity: Corosync's nine levels, spaced as the standard library spaces its own."""

    TRACE = 5
    DEBUG = 10
    INFO = 20
    NOTICE = 25
    WARNING = 30
    ERROR = 40
    CRIT = 50
    ALERT = 60
    EMERG = 70


class Line(NamedTuple):
    """`text` may use {a}, {b} and {text} of the mark."""

    level: Level
    subsystem: str
    text: str


_TRACE = Level.TRACE
_DEBUG, _NOTICE, _WARNING, _ERROR = Level.DEBUG, Level.NOTICE, Level.WARNING, Level.ERROR

LINES: Final[dict[Mark, Line]] = {
    Mark.DATAGRAM_MALFORMED: Line(_WARNING, "TOTEM", "Malformed datagram dropped: {text}"),
    Mark.DATAGRAM_FOREIGN_VERSION: Line(
        _WARNING, "TOTEM", "Datagram of a foreign protocol version dropped: {text}"
    ),
    Mark.DATAGRAM_UNLISTED_SOURCE: Line(
        _WARNING, "TOTEM", "Packet rejected from {text}, which is not in the nodelist"
    ),
    Mark.TOKEN_DUPLICATE: Line(_DEBUG, "TOTEM", "Token from {a} seen before, dropped"),
    Mark.TOKEN_FOREIGN_RING: Line(_DEBUG, "TOTEM", "Token of another ring from {a} dropped"),
    Mark.TOKEN_DISCARDED: Line(_DEBUG, "TOTEM", "Token from {a} dropped while no ring is formed"),
    Mark.JOIN_IGNORED: Line(_DEBUG, "TOTEM", "Stale join message from {a} ignored"),
    Mark.RING_SEQ_CLAMPED: Line(
        _WARNING, "TOTEM", "Join or commit message of {a} claims an absurd ring sequence {b:#x}"
    ),
    Mark.PACKET_MALFORMED: Line(_WARNING, "TOTEM", "Malformed packet from {a} dropped: {text}"),
    Mark.FRAGMENT_ORPHANED: Line(_DEBUG, "TOTEM", "Fragment from {a} without a beginning dropped"),
    Mark.NODE_ID_DUPLICATE: Line(_ERROR, "TOTEM", "Another node uses our node id {a}"),
    Mark.MESSAGE_OUT_OF_WINDOW: Line(_WARNING, "TOTEM", "Message {b} of {a} is out of the window"),
    Mark.COMMIT_TOKEN_IGNORED: Line(_DEBUG, "TOTEM", "Commit token from {a} ignored"),
    Mark.NODE_UNKNOWN: Line(_WARNING, "TOTEM", "Message of node {a}, which is not in the nodelist"),
    Mark.STATE_ENTERED: Line(_DEBUG, "TOTEM", "Entering {text}"),
    Mark.TOKEN_LOST: Line(
        _WARNING, "TOTEM", "A processor failed, forming new configuration: token timed out"
    ),
    Mark.RETRANSMIT_REQUESTED: Line(_NOTICE, "TOTEM", "Retransmit List: {a:x}"),
    Mark.CONSENSUS_TIMEOUT: Line(_DEBUG, "TOTEM", "The consensus timeout expired"),
    Mark.FAILED_TO_RECEIVE: Line(_WARNING, "TOTEM", "FAILED TO RECEIVE"),
    Mark.MERGE_DETECTED: Line(_DEBUG, "TOTEM", "Node {a} is on another ring: merging"),
    Mark.PAUSE_DETECTED: Line(
        _WARNING,
        "TOTEM",
        "Process pause detected for {a} ms, flushing membership messages",
    ),
    Mark.RECOVERY_STARTED: Line(_DEBUG, "TOTEM", "Recovery of the old ring's messages started"),
    Mark.MESSAGE_SKIPPED: Line(_WARNING, "TOTEM", "Message {b} of {a} is lost to every member"),
    Mark.SYNC_STARTED: Line(_DEBUG, "SYNC", "Synchronization of the services started"),
    Mark.SYNC_FINISHED: Line(
        _NOTICE, "MAIN", "Completed service synchronization, ready to provide service"
    ),
    Mark.SYNC_ABORTED: Line(_DEBUG, "SYNC", "Synchronization aborted by a membership change"),
    Mark.SERVICE_MESSAGE_MALFORMED: Line(
        _WARNING, "SERV", "Malformed service message from node {a} dropped: {text}"
    ),
    Mark.SERVICE_MESSAGE_UNKNOWN: Line(
        _DEBUG, "SERV", "Unknown service message from node {a} dropped"
    ),
    Mark.SENDER_UNKNOWN: Line(_DEBUG, "SERV", "Message of unknown sender on node {a} dropped"),
    Mark.CONFIG_VERSION_MISMATCH: Line(
        _ERROR, "CMAP", "Received config version differs from ours: {text}"
    ),
    Mark.NODE_KILLED: Line(_NOTICE, "CFG", "Killed by node {a}: {text}"),
    Mark.GHOST_REMOVED: Line(_DEBUG, "CPG", "Process of node {a} that is gone removed"),
    Mark.CLIENT_REFUSED: Line(_WARNING, "MAIN", "Denied connection: {text} (errno {a})"),
    Mark.CLIENT_MALFORMED: Line(_WARNING, "MAIN", "Client {a} disconnected: {text}"),
    Mark.CLIENT_TOO_SLOW: Line(_WARNING, "MAIN", "Client {a} disconnected: {text}"),
    Mark.CLIENT_CONNECTED: Line(_DEBUG, "MAIN", "Client {a} connected: {text}"),
    Mark.CLIENT_GONE: Line(_DEBUG, "MAIN", "Client {a} gone: {text}"),
    Mark.SEND_FAILED: Line(_WARNING, "TOTEM", "Sending failed: {text}"),
    Mark.RECEIVE_FAILED: Line(_WARNING, "TOTEM", "Receiving failed: {text}"),
    Mark.SEGMENTATION_REFUSED: Line(
        _DEBUG, "TOTEM", "The kernel refuses UDP segmentation here: sending one by one"
    ),
    Mark.RECEIVE_OFFLOAD_REFUSED: Line(_DEBUG, "TOTEM", "The kernel has no UDP_GRO"),
    Mark.SOCKET_BUFFER_REFUSED: Line(
        _WARNING,
        "TOTEM",
        "Socket buffer of {b} bytes refused, using {a}; raise net.core.rmem_max and wmem_max",
    ),
    Mark.TARGET_UNKNOWN: Line(_WARNING, "TOTEM", "Node {a} has no address in the nodelist"),
    Mark.KEY_INSTALLED: Line(_NOTICE, "TOTEM", "Authkey {text} is installed and accepted"),
    Mark.KEY_USED: Line(
        _NOTICE, "TOTEM", "Authkey {text} is active; the one before is still accepted"
    ),
    Mark.KEY_REMOVED: Line(
        _NOTICE, "TOTEM", "Authkey {text} is removed: it is refused from now on"
    ),
    Mark.KEY_REFUSED: Line(_WARNING, "TOTEM", "Authkey from node {a} refused: {text}"),
    Mark.KEY_NOT_TAKEN: Line(
        _WARNING, "TOTEM", "Node {a} does not acknowledge authkey {text}; its log tells why"
    ),
    Mark.KEYS_NOT_STORED: Line(_ERROR, "TOTEM", "Authkeys are not stored: {text}"),
    Mark.STARTED: Line(_NOTICE, "MAIN", "{text}"),
    Mark.RECORDER_FAILED: Line(_WARNING, "MAIN", "The flight recorder is off: {text}"),
    Mark.RECORDER_RESUMED: Line(
        _NOTICE, "MAIN", "The flight recorder is on; {a} records are missing before"
    ),
    Mark.KEEPER_ENDED: Line(
        _WARNING, "MAIN", "Nothing will be left of the flight recorder after a crash: {text}"
    ),
    Mark.FLIGHT_DUMPED: Line(_NOTICE, "MAIN", "The flight recorder is written to {text}"),
    Mark.FLIGHT_NOT_DUMPED: Line(_WARNING, "MAIN", "The flight recorder is not written: {text}"),
    Mark.RELOAD_ORDERED: Line(_NOTICE, "CFG", "Config reload requested by node {a}"),
    Mark.RELOAD_DROPPED: Line(
        _WARNING, "CFG", "Config reload of node {a} is given up: nothing was changed"
    ),
    Mark.CONFIGURATION_REFUSED: Line(_ERROR, "CFG", "Unable to reload the configuration: {text}"),
    Mark.SETTING_CHANGED: Line(_NOTICE, "CFG", "{text}"),
    Mark.SETTING_KEPT: Line(_WARNING, "CFG", "{text}; in effect at the next start"),
    Mark.LOGS_REOPENED: Line(_NOTICE, "MAIN", "Log files are opened again"),
    Mark.RELOAD_ENDED: Line(_NOTICE, "CFG", "Config reload: {text}"),
    Mark.STOPPING: Line(_NOTICE, "MAIN", "{text}"),
    Mark.PRIORITY_REFUSED: Line(_WARNING, "MAIN", "Could not raise the priority: {text}"),
    Mark.MEMORY_LOCK_REFUSED: Line(_WARNING, "MAIN", "Could not lock memory: {text}"),
    Mark.CLIENTS_PAUSED: Line(_DEBUG, "MAIN", "Clients paused: the ring is busy or changing"),
    Mark.CLIENTS_RESUMED: Line(_DEBUG, "MAIN", "Clients resumed"),
    Mark.RING_SLOWED: Line(_DEBUG, "TOTEM", "Holding the ring: a client leaves {a} bytes unread"),
    Mark.RING_UNSLOWED: Line(_DEBUG, "TOTEM", "No longer holding the ring back"),
    Mark.RING_SEQ_STORED: Line(_DEBUG, "TOTEM", "Stored new ring sequence {a:x}"),
    Mark.VIEW_INSTALLED: Line(_NOTICE, "TOTEM", "{text}"),
    Mark.MEMBERS_AGREED: Line(_NOTICE, "QUORUM", "{text}"),
    Mark.RING_SEQ_UNREADABLE: Line(_WARNING, "MAIN", "{text}"),
    Mark.CONFIG_WARNING: Line(_WARNING, "MAIN", "{text}"),
    Mark.TOKEN_VISITED: Line(_TRACE, "TOTEM", "The token was here: sequence {a}, {b} sent"),
    Mark.TOKEN_USED: Line(_TRACE, "TOTEM", "The token is still here: sequence {a}, {b} sent"),
    Mark.JOIN_HEARD: Line(_TRACE, "TOTEM", "Join message from {a}, ring sequence {b}"),
    Mark.FLOW_LIMITED: Line(_TRACE, "TOTEM", "Flow control: {a} sent, {b} have to wait"),
    Mark.MEMBER_SILENT: Line(_WARNING, "TOTEM", "The daemon on node {a} has ended"),
    Mark.INVALID_DIGEST: Line(_WARNING, "TOTEM", "{text}"),
    Mark.SESSION_OLD: Line(
        _WARNING, "TOTEM", "The session with node {a} is overdue for renewal: it does not answer"
    ),
    Mark.NODE_ID_TWICE: Line(_ERROR, "TOTEM", "Node id {a} is used by two hosts"),
    Mark.LINK_UP: Line(_NOTICE, "TOTEM", "Link {b} to node {a} is up"),
    Mark.LINK_DOWN: Line(_WARNING, "TOTEM", "Link {b} to node {a} is down"),
    Mark.PEER_GONE: Line(
        _DEBUG, "TOTEM", "Node {a}: port closed and no answer, the daemon is gone"
    ),
    Mark.FRAMES_SPOILED: Line(
        _WARNING, "TOTEM", "Frames to node {a} are spoiled on their way: sealing every packet"
    ),
    Mark.SENDER_KEY_RENEWED: Line(_DEBUG, "TOTEM", "Sending with key generation {a}"),
    Mark.LINK_NOT_OPENED: Line(_WARNING, "TOTEM", "Link {a} is not used yet: {text}"),
    Mark.ADDRESS_CHANGED: Line(_NOTICE, "TOTEM", "Node {a} on link {b}: {text}"),
    Mark.NAME_UNRESOLVED: Line(_WARNING, "TOTEM", "Node {a} on link {b}: {text}"),
}
