"""Every bound of the product, with its origin: paper, Corosync's headers, or ours.

Keeps:       no room invents a bound of its own; a bound without a place here does not exist.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# -- ring (corosync exec/totemsrp.c, exec/totem.h) ---------------------------
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
RING_SEQ_TRUSTED_MAX: Final = 1 << 48
"""A ring sequence up to here is believed at once: rings never get so far by themselves (ours)."""
RING_SEQ_STEP_MAX: Final = 1 << 32
"""Beyond it, one message raises the ring sequence by this much at most (ours)."""
RING_SEQ_STORED_MAX: Final = 1 << 63
"""A stored ring sequence beyond it is damage: what follows has to fit into 64 bits (ours)."""
SELF_DELIVERY_ROUNDS_MAX: Final = 64
"""Datagrams that a machine sends itself within one call (ours)."""

# -- transport and executive (ours) --------------------------------------------------------------
READS_PER_WAKE_UP_MAX: Final = 64
"""Reads of one datagram socket before the loop gets its turn again."""
DISCARD_READS_MAX: Final = 65_536
"""Reads of one socket when everything unread is thrown away."""
SOCKET_BUFFER_BYTES: Final = 4 * MIB
"""Receive and send buffer asked for each ring socket: two windows of 64 kB frames."""
BUSY_READ_BYTES: Final = 16_384
"""Who brought so much at once has more: others run before the next read, which finds more, too."""
GSO_SEGMENTS_MAX: Final = 64
"""UDP_MAX_SEGMENTS of Linux before 6.9."""
GSO_BYTES_MAX: Final = 65_000
"""Bytes of one batch: below 65,507, the largest UDP payload over IPv4."""
TURN_ROUNDS_MAX: Final = 64
"""Exchanges between ring and services within one turn of the loop; the rest waits for the next."""
REFUSED_MULTICASTS_MAX: Final = 65_536
"""Service messages kept while the ring's queue is full; clients are paused long before."""
LOG_LINES_PER_MARK: Final = 5
"""Lines that one mark may write within LOG_WINDOW_SECONDS; the rest is counted and told later."""
LOG_WINDOW_SECONDS: Final = 10
LOG_TEXT_CHARACTERS_MAX: Final = 512
"""Longer text of one line is cut, as Corosync does."""
LOG_QUEUE_LINES_MAX: Final = 2_000
"""Lines that wait for one target; what comes beyond is counted, and told when it is empty again."""
LOG_BATCH_LINES_MAX: Final = 16
"""Lines written at once, so that the interpreter is held for a quarter of a millisecond at most."""
LOG_ORDERS_MAX: Final = 64
"""Orders (reopen, change) that wait for one target beside its lines."""
LOG_SEND_SECONDS_MAX: Final = 1
"""Longest wait of a target for a receiver that is full, before its line is counted as lost."""
LOG_FLUSH_SECONDS_MAX: Final = 1
"""Longest wait of a clean stop for targets that have lines to write."""
LOG_SUBSYSTEMS_MAX: Final = 32
"""LOGSYS_MAX_SUBSYS_COUNT: subsystems with settings of their own."""
RELOAD_REPORT_BYTES_MAX: Final = 16 * KIB
"""What one node says of a configuration that it has read; longer lists are cut."""
RELOADS_WAITING_MAX: Final = 256
"""Reloads that wait for one reading of the configuration; more of them are refused."""
RELOAD_TRIES_MAX: Final = 5
"""Changes of the membership that a reload survives by beginning anew."""
BLACKBOX_BYTES_MIN: Final = 64 * KIB
BLACKBOX_BYTES_MAX: Final = 64 * MIB
"""Memory of the flight recorder: some thousand records, and no more than a node can spare."""
LEAVE_SECONDS_MAX: Final = 1
"""Longest wait for a clean goodbye."""

# -- service messages (corosync exec/cpg.c, sync.c) ----------------------------------------------
SERVICES_MAX: Final = 64
SYNC_SERVICE_LIST_MAX: Final = 128
GROUP_NAME_BYTES_MAX: Final = 128
CPG_MEMBERS_MAX: Final = 128
"""libcpg copies member lists into arrays of this size without a check."""
CPG_PROCESSES_MAX: Final = 32_768
"""Processes in all groups of the ring together (ours: the view of all fits a native frame)."""
ITERATIONS_PER_CLIENT_MAX: Final = 64
"""Open iterations (CPG, CMAP) of one local client (ours)."""
CMAP_VALUE_BYTES_MAX: Final = 16 * KIB
"""ICMAP_MAX_VALUE_LEN."""

# -- local IPC (libqb) -------------------------------------------------------------------------
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

# -- native stream (ours; DESIGN D6a) ------------------------------------------------------------
BLOCK_BYTES_MAX: Final = 32 * KIB
"""A block is flushed before it grows beyond this; a larger message has a block of its own."""
MESSAGE_BYTES_MAX: Final = MIB
"""Largest message of a native client."""
NATIVE_FRAME_BYTES_MAX: Final = MIB + 4 * KIB

# -- client library (ours) -----------------------------------------------------------------------
CLIENT_INBOX_BYTES_MAX: Final = 4 * MIB
"""Unread events of one group above which the library stops reading its socket."""
CLIENT_UNREAD_SECONDS_MAX: Final = 30
"""How long `send` waits for room while the inbox is full and nobody takes from it."""
CLIENT_UNSENT_BYTES_MAX: Final = 256 * KIB
"""Unsent messages of one group above which `send` waits."""
CLIENT_ANSWERS_MAX: Final = 1_024
"""Questions to the daemon on one connection that wait for their answers."""
CLIENT_SENDERS_MAX: Final = 4_096
"""Members remembered by one connection; forgotten and met again beyond."""
PARTIAL_MESSAGE_BYTES_MAX: Final = 64 * MIB
"""Largest message put together from partial deliveries: libcpg sends what it is given."""
PARTIAL_SENDERS_MAX: Final = 128
"""Messages put together at once: one per member of a CPG group."""

# -- configuration (corosync exec/coroparse.c, include/corosync/icmap.h) -------------------------
CONFIG_LINE_BYTES_MAX: Final = 510
"""parse_section reads lines into 512 bytes, newline and NUL included."""
CONFIG_PATH_BYTES_MIN: Final = 3
"""ICMAP_KEYNAME_MINLEN: section path and key, joined by dots."""
CONFIG_PATH_BYTES_MAX: Final = 255
"""ICMAP_KEYNAME_MAXLEN; a path stays below."""
CONFIG_BYTES_MAX: Final = MIB
"""Size of one configuration file (ours)."""
CONFIG_ERRORS_MAX: Final = 100
"""Faults collected from one configuration before reading stops (ours)."""
CONFIG_WARNINGS_MAX: Final = 100
"""Warnings kept about one configuration; the rest is counted (ours)."""
LINKS_MAX: Final = 8
"""INTERFACE_MAX: links 0 to 7."""

# -- secure transport (ours) -------------------------------------------------------------------
SECURE_FRAME_BYTES_MAX: Final = 62_400
"""Largest Totem frame on UST: sealed and cut for an MTU of 1280..9000 it leaves in one GSO send,
which carries 65,507 bytes and 64 segments at most."""
SECURE_ROOM_BYTES_MIN: Final = 1_200
"""UDP payload that every path is assumed to carry: IPv6's least MTU, 1280, less the headers."""
UDP_PAYLOAD_BYTES_MAX: Final = 65_507
"""65,535 less the headers of IPv4 and UDP: no path carries more in one datagram."""
SECURE_ROOM_BYTES_LEAST: Final = 512
"""Below this even the interface's own word is not taken: handshakes would not fit."""
PINGS_OUTSTANDING_MAX: Final = 64
"""Unanswered pings remembered per link; the oldest is forgotten and counts as lost."""
PROBES_WAITING_MAX: Final = 128
"""Pings that wait until the owner takes them: a round of suspicion on eight links, and more."""
LINK_CHANGES_MAX: Final = 64
"""Links that went up or down and were not told yet."""
PONGS_NEEDED_MAX: Final = 64
"""However often a link flaps, after so many pongs in a row it is used again."""
COMPLAINTS_MAX: Final = 256
"""Source addresses and reasons whose complaints are counted apart; one entry counts the rest."""
COMPLAINT_LINES_MAX: Final = 32
"""Lines about unreadable packets per 30 s, over all sources: addresses can be invented."""
SOURCES_REMEMBERED_MAX: Final = 1_024
"""Source addresses that one link's reader remembers; all are forgotten beyond."""
ROUTES_REMEMBERED_MAX: Final = 256
"""Combinations of nodes and links whose addresses are remembered; all are forgotten beyond."""
LOOK_UPS_MAX: Final = 4
"""Names being resolved at once; the others wait for the next round."""

# -- rotation of authkeys (ours) ---------------------------------------------------------------
KEYS_RETIRED_MAX: Final = 16
"""Fingerprints of removed authkeys that a node remembers; the oldest is forgotten."""
KEYRING_COMMANDS_MAX: Final = 8
"""Commands of operators that one daemon works on at once."""
KEYRING_SECONDS_MAX: Final = 3_600
"""Longest that one of them may wait for the other nodes."""
KEY_TELLINGS_MAX: Final = 150
"""Times that a member of the ring is told a key: 30 s; the next change of the ring begins anew."""
KEY_TELLINGS_OUTSIDE_MAX: Final = 5
"""Times that a node beside the ring is told the active key after a handshake with the former."""
SECURE_PARTIAL_FRAMES_MAX: Final = 64
"""Frames of one peer of which some pieces have come; the oldest makes room for another."""
SECURE_PARTIAL_BYTES_MAX: Final = 4 * MIB
"""Bytes of these pieces."""

# -- flight recorder (ours; libqb lib/log_blackbox.c, lib/ringbuffer.c) --------------------------
FLIGHT_CELLS: Final = 104_448
"""Cells of 40 bytes in the recorder's ring, 4 MiB: as many marks, or fewer with texts."""
FLIGHT_CELLS_MAX: Final = 1 << 21
"""Largest ring that a reader believes in: 80 MiB."""
FLIGHT_TEXT_BYTES_MAX: Final = 1_024
"""Bytes of text in one record; the rest is cut."""
FLIGHT_NAME_BYTES_MAX: Final = 63
"""Bytes of a function's or subsystem's name in one record; the rest is cut."""
FLIGHT_DUMPS_MAX: Final = 8
"""Dumps kept in one directory; the oldest is removed."""
FLIGHT_DUMPS_BYTES_MAX: Final = 64 * MIB
"""Bytes of these dumps together; the newest is kept whatever it takes."""
FLIGHT_FOR_LIBQB_BYTES_MAX: Final = 8 * MIB
"""A larger ring is not written for libqb's tools as well: that takes ten times its memory."""
FLIGHT_REQUEST_SECONDS_MIN: Final = 1
"""Requests for a dump that come faster are refused."""
FLIGHT_DAMAGES_MAX: Final = 100
"""Faults told about one damaged dump; the rest is counted."""
FLIGHT_LAST_WORDS_BYTES: Final = 32 * KIB
"""Room behind the recorder's ring for what Python says of a fatal signal: 100 frames at most."""
FLIGHT_LAST_LINES_MAX: Final = 256
"""Lines of these last words that a reader believes in; the rest is left out."""
LIBQB_DUMP_BYTES_MAX: Final = 256 * MIB
"""Largest dump of libqb that is read."""
LIBQB_MESSAGE_BYTES_MAX: Final = 512
"""QB_LOG_MAX_LEN, format and arguments together: qb-blackbox ends at a longer message."""
LIBQB_ENTRY_BYTES_MAX: Final = 64 * KIB
"""Largest entry that a reader believes in; libqb's own have at most some kilobytes."""
PRINTF_WIDTH_MAX: Final = 1_024
"""Widths and precisions in a dump's format strings: a damaged one cannot ask for gigabytes."""

# -- metrics (ours) ------------------------------------------------------------------------------
METRIC_SAMPLES_MAX: Final = 4_096
"""Samples of one name: eight links to each of 384 nodes, and some; more is refused."""
METRICS_ASK_SECONDS_MIN: Final = 0.1
"""The daemon is asked no more often, however many scrape: they share the last answer."""
METRICS_ANSWER_SECONDS_MAX: Final = 2
"""A daemon that has not answered by then counts as down."""
METRICS_REQUESTS_MAX: Final = 8
"""Scrapes at once; one more ends the oldest, so that silence blocks nobody."""
METRICS_REQUEST_BYTES_MAX: Final = 8 * KIB
"""Largest head of a request."""
METRICS_REQUEST_SECONDS_MAX: Final = 5
"""From the connection to the last byte of the answer; above METRICS_ANSWER_SECONDS_MAX."""
