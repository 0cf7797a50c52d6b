"""The table of metrics: each name with its kind, its meaning, its place in the status, its labels.

Keeps:       a name is used for ever or never again; seconds and bytes are the units; labels have
             few values, and who brings them is the daemon's configuration or its source.
"""

from collections.abc import Mapping
from typing import Final

from unisono.base.marks import Mark
from unisono.observe.metrics import (
    Family,
    Kind,
    Labels,
    Measured,
    Reading,
    Sample,
    amount,
    flag,
    measure,
    microseconds,
    number,
    one_of,
    presence,
    word,
)

RING_STATES: Final = ("starting", "operational", "gather", "commit", "recovery", "left")
"""`State` of the room totem, which a user's process does not load."""
SYNC_STATES: Final = ("waiting", "building", "running", "finished")
"""`SyncState` of the room services."""


def _counter(name: str, source: str, meaning: str, *labels: str, zeros: Labels = ()) -> Family:
    return Family(f"unisono_{name}_total", Kind.COUNTER, meaning, source, labels, number, zeros)


def _gauge(name: str, source: str, meaning: str, *labels: str, reading: Reading = number) -> Family:
    return Family(f"unisono_{name}", Kind.GAUGE, meaning, source, labels, reading)


UP: Final = Family(
    "unisono_up", Kind.GAUGE, "1 when the daemon answered this time, 0 when it did not.", "", (),
    number,
)  # fmt: skip
"""The only one that is not in the status: to have one is to be up."""

_DAEMON: Final = (
    _gauge("uptime_seconds", "daemon.uptime_seconds", "Time since the daemon started."),
    _gauge("build_info", "daemon.version", "1, with the version.", "version", reading=word),
    _gauge("node_id", "node_id", "Id of this node."),
    _gauge("clients", "daemon.clients.*", "Connected local clients.", "service"),
    _gauge(
        "clients_paused", "daemon.clients_paused",
        "1 while clients are not read: the send queue is full, or the ring changes.", reading=flag,
    ),
    _gauge("groups", "groups", "Process groups with at least one member.", reading=amount),
    _counter(
        "deliveries", "messages.{cpg,blocks}",
        "CPG messages, and blocks of native clients, delivered in order.", "kind",
    ),
)  # fmt: skip

_RING: Final = (
    _gauge(
        "ring_state", "daemon.state", "1 for the state that the ring is in.", "state",
        reading=one_of(*RING_STATES),
    ),
    _gauge("ring_sequence", "ring.seq", "Sequence of the ring; it grows with each change."),
    _gauge(
        "ring_representative", "ring.rep",
        "Id of the node that the ring is named after; nodes that differ here are parted.",
    ),
    _gauge("ring_native", "native", "1 when every member is Unisono.", reading=flag),
    _gauge("members", "members", "Nodes of the ring, this one included.", reading=amount),
    _gauge("quorate", "quorate", "1 when this partition has the quorum.", reading=flag),
    _gauge(
        "votes", "votes.{expected,total,quorum}",
        "Votes: expected in the whole cluster, total in this partition, needed for the quorum.",
        "kind",
    ),
    _gauge(
        "sync_state", "sync.state", "1 for the state of the agreement after a change.", "state",
        reading=one_of(*SYNC_STATES),
    ),
    _counter("sync_aborted", "sync.aborted", "Agreements that another change interrupted."),
    _counter("ring_token_visits", "daemon.ring_counters.token_visits", "Visits of the token."),
    _counter(
        "ring_messages_sent", "daemon.ring_counters.messages_sent", "Ring messages sent."
    ),
    _counter(
        "ring_messages_received", "daemon.ring_counters.messages_received",
        "Ring messages received.",
    ),
    _counter(
        "ring_retransmitted", "daemon.ring_counters.retransmitted",
        "Ring messages sent again because some node asked for them.",
    ),
    _counter(
        "ring_retransmits_requested", "daemon.ring_counters.requested",
        "Ring messages that were missing here and asked for.",
    ),
    _gauge(
        "send_queue_ratio", "daemon.queue_level",
        "How full the send queue is; from 0.75 on clients are not read.",
    ),
    _gauge(
        "multicasts_refused", "daemon.multicasts_refused",
        "Messages that the ring has refused and that wait until it takes them.",
    ),
    _gauge(
        "ring_slowed", "daemon.ring_slowed",
        "1 while the ring is held back because a local client does not read.", reading=flag,
    ),
)  # fmt: skip


def _transport(name: str, key: str, meaning: str) -> Family:
    return _counter(f"transport_{name}", f"daemon.transport.{key}", meaning)


_TRANSPORT: Final = (
    _gauge(
        "transport_info", "daemon.transport.kind", "1, with the kind of transport.", "transport",
        reading=word,
    ),
    _transport("reads", "reads", "Reads of a socket that brought something."),
    _transport("received", "received", "Datagrams received."),
    _transport("received_bytes", "bytes_received", "Bytes of these."),
    _transport("receive_errors", "receive_errors", "Reads that failed."),
    _transport("unlisted", "unlisted", "Reads from addresses that are not in the node list."),
    _transport("discarded", "discarded", "Datagrams thrown away unread after a pause."),
    _transport("sent", "sent", "Datagrams sent."),
    _transport("sent_bytes", "bytes_sent", "Bytes of these."),
    _transport("batches_sent", "batches_sent", "Sends of several datagrams in one call."),
    _transport("send_dropped", "send_dropped", "Datagrams that found the buffers full."),
    _transport("send_errors", "send_errors", "Datagrams that could not be sent."),
    _transport("too_large", "too_large", "Datagrams larger than what the device takes."),
    _transport("knocks", "knocks", "Empty datagrams: a peer asks whether anybody is there."),
    _transport("port_closed", "port_closed", "Answers of other hosts that nobody listens there."),
    _counter(
        "transport_dropped", "daemon.transport.dropped.*",
        "Packets that were not taken, and frames that nobody could be sent (no_peer).", "reason",
    ),
    _gauge(
        "transport_complaints", "daemon.transport.complaints",
        "Sources whose packets could not be read in the last minute (Invalid digest).",
        reading=amount,
    ),
)  # fmt: skip

_PEER: Final = "daemon.transport.peers[node]"
_LINK: Final = f"{_PEER}.links[link]"

_PEERS: Final = (
    _gauge(
        "peer_session", f"{_PEER}.session", "1 when there is a session.", "node", reading=presence
    ),
    _gauge(
        "peer_gone", f"{_PEER}.gone", "1 when the peer's daemon is known to have ended.", "node",
        reading=flag,
    ),
    _counter(
        "peer_frames", f"{_PEER}.frames.{{delivered,spoiled,lost}}",
        "Frames of a peer: delivered, spoiled by forged pieces, lost with a piece on its way.",
        "node", "outcome",
    ),
    _counter(
        "peer_packets_dropped",
        f"{_PEER}.frames.{{pieces,malformed,foreign,unknown,forged,replayed}}",
        "Packets in a peer's name that were dropped.", "node", "reason",
    ),
    _gauge("link_up", f"{_LINK}.up", "1 when the link is up.", "node", "link", reading=flag),
    _gauge(
        "link_one_way", f"{_LINK}.one_way",
        "1 when packets come over the link and ours are not answered.", "node", "link",
        reading=flag,
    ),
    _gauge(
        "link_latency_seconds", f"{_LINK}.latency_us", "Round trip over the link, smoothed.",
        "node", "link", reading=microseconds,
    ),
    _gauge("link_mtu_bytes", f"{_LINK}.mtu", "MTU of the path.", "node", "link"),
    _counter(
        "link_pings_lost", f"{_LINK}.losses", "Pings that were not answered.", "node", "link"
    ),
    _counter(
        "link_changes", f"{_LINK}.changes", "Times that the link went up or down.", "node", "link"
    ),
)  # fmt: skip

_RECORDS: Final = (
    _gauge("recorder_on", "daemon.recorder.on", "1 when the flight recorder runs.", reading=flag),
    _gauge("recorder_bytes", "daemon.recorder.bytes", "Memory of the flight recorder."),
    _counter(
        "recorder_missed", "daemon.recorder.missed", "Records that found no recorder to write to."
    ),
    _gauge(
        "recorder_keeper_alive", "daemon.recorder.keeper",
        "1 when there is a keeper, who writes the dump when the daemon dies.", reading=presence,
    ),
    _counter(
        "log_lines_lost", "daemon.log_lines_lost.*",
        "Log lines that came too fast or could not be written.", "target",
    ),
    _counter(
        "marks", "daemon.marks.*", "Noteworthy moments by name, as in JSON log lines.", "mark",
        zeros=tuple(mark.name.lower() for mark in sorted(Mark)),
    ),
)  # fmt: skip

SECTIONS: Final[Mapping[str, tuple[Family, ...]]] = {
    "The daemon": (UP, *_DAEMON),
    "The ring": _RING,
    "The transport": _TRANSPORT,
    "Peers and links (`transport: ust`)": _PEERS,
    "Records": _RECORDS,
}
"""Every family, in the order of the reference page."""

FAMILIES: Final = tuple(family for part in SECTIONS.values() for family in part if family.source)
"""Those that come from the status."""


def measure_status(status: Mapping[str, object]) -> list[Measured]:
    """All metrics of a daemon that has said `status`. WireError."""
    return [Measured(UP, [Sample((), 1.0)]), *measure(FAMILIES, status)]


def measure_silence() -> list[Measured]:
    """All metrics of a daemon that did not answer."""
    return [Measured(UP, [Sample((), 0.0)])]
