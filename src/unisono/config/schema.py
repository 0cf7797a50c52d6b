"""The schema: every section and key of corosync.conf(5), its default, bounds, unit and meaning.

Speaks:      rows of data; `as_markdown` renders them, `section_row` and `key_row` look them up.
Counterpart: man corosync.conf(5), votequorum(5), corosync-qdevice(8); corosync exec/totemconfig.c.
Keeps:       the only place that knows a default, a bound, a unit or a choice.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from unisono.base.limits import BLACKBOX_BYTES_MAX, BLACKBOX_BYTES_MIN, LINKS_MAX, MIB

U8_MAX: Final = 0xFF
U16_MAX: Final = 0xFFFF
U32_MAX: Final = 0xFFFF_FFFF
U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF
I32_MAX: Final = 0x7FFF_FFFF
TIMEOUT_MS_MIN: Final = 30
"""MINIMUM_TIMEOUT: three ticks of a kernel with HZ 100."""
HOLD_MS_MIN: Final = 14
"""MINIMUM_TIMEOUT_HOLD: TIMEOUT_MS_MIN * 0.8 - 10."""


class Kind(Enum):
    """What a value is."""

    NUMBER = "number"
    DERIVED = "number, checked in force"
    """The bounds hold for the value in force, after scaling and derivation, not for the text."""
    WORD = "word"
    TEXT = "text"


class Status(Enum):
    """Whether the key does something in this version."""

    EFFECT = "in effect"
    LATER = "accepted, comes later"
    KNET = "accepted, comes with knet"
    OBSOLETE = "obsolete, ignored"


@dataclass(frozen=True, slots=True)
class Key:
    """One row. `default` is a number, a word or text; None when there is none or it is derived."""

    name: str
    kind: Kind
    default: int | str | None
    meaning: str
    status: Status = Status.EFFECT
    low: int = 0
    high: int = U32_MAX
    unit: str = ""
    choices: tuple[str, ...] = ()
    choices_later: tuple[str, ...] = ()
    """Words that a coming version takes; refused now, with a text that says so."""
    zero_is_default: bool = False
    any_case: bool = False
    pattern: re.Pattern[str] | None = None
    """Set when `name` stands for many keys (`ringN_addr`)."""
    derived: str = ""
    """How the default comes about when it is not a constant."""

    @property
    def allowed(self) -> str:
        """What a value may be, in words."""
        if self.kind is Kind.WORD:
            return ", ".join(self.choices)
        if self.kind is Kind.TEXT:
            return "text"
        if self.low == self.high:
            return str(self.low)
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.low}..{self.high}{unit}"


@dataclass(frozen=True, slots=True)
class SectionRow:
    """One section: `path` is dotted; `repeated` sections stand for one thing each."""

    path: str
    meaning: str
    keys: tuple[Key, ...]
    repeated: bool = False
    closed: bool = False
    """Unknown keys are errors here, as in Corosync; elsewhere they warn."""


# -- short forms for the rows ----------------------------------------------------------------------


def _number(
    name: str,
    default: int | None,
    meaning: str,
    status: Status = Status.EFFECT,
    *,
    low: int = 0,
    high: int = U32_MAX,
    unit: str = "",
    zero_is_default: bool = False,
) -> Key:
    return Key(
        name, Kind.NUMBER, default, meaning, status, low, high, unit, (), (), zero_is_default
    )


def _timer(
    name: str,
    default: int | str,
    meaning: str,
    status: Status = Status.EFFECT,
    *,
    low: int = TIMEOUT_MS_MIN,
) -> Key:
    constant = default if isinstance(default, int) else None
    rule = default if isinstance(default, str) else ""
    return Key(
        name,
        Kind.DERIVED,
        constant,
        meaning,
        status,
        low,
        U32_MAX,
        "ms",
        (),
        (),
        True,
        derived=rule,
    )


def _count(name: str, default: int, meaning: str) -> Key:
    return _number(name, default, meaning, zero_is_default=True)


def _word(
    name: str,
    default: str | None,
    choices: str,
    meaning: str,
    status: Status = Status.EFFECT,
    *,
    any_case: bool = False,
    later: str = "",
    derived: str = "",
) -> Key:
    words, coming = tuple(choices.split()), tuple(later.split())
    return Key(
        name,
        Kind.WORD,
        default,
        meaning,
        status,
        choices=words,
        choices_later=coming,
        any_case=any_case,
        derived=derived,
    )


def _text(
    name: str, meaning: str, status: Status = Status.EFFECT, *, default: str = "", pattern: str = ""
) -> Key:
    compiled = re.compile(pattern) if pattern else None
    return Key(name, Kind.TEXT, default, meaning, status, pattern=compiled)


_LATER: Final = Status.LATER
_KNET: Final = Status.KNET
_OBSOLETE: Final = Status.OBSOLETE

# -- totem -----------------------------------------------------------------------------------------

_TOTEM: Final = SectionRow(
    "totem",
    "The ring protocol.",
    (
        _number("version", None, "Version of this file's format; required.", low=2, high=2),
        _text("cluster_name", "Name of the cluster; gives the multicast address of udp."),
        _word(
            "transport",
            "ust",
            "ust udpu udp",
            "How datagrams travel: ust encrypts and authenticates, udpu and udp do not.",
            later="knet",
        ),
        _word(
            "ip_version",
            None,
            "ipv4 ipv6 ipv4-6 ipv6-4",
            "Address family that names resolve to; the first is preferred. "
            "Default ipv4 with udp, else ipv6-4.",
        ),
        _number(
            "config_version",
            0,
            "A newcomer with an older version stops; 0 is no version.",
            high=U64_MAX,
        ),
        _number(
            "netmtu",
            1500,
            "Largest packet of the ring (udpu, udp); ust finds it out.",
            low=256,
            high=65_507,
            unit="bytes",
            zero_is_default=True,
        ),
        _word("clear_node_high_bit", "no", "yes no", "Clear the top bit of generated node ids."),
        _word(
            "block_unlisted_ips",
            "yes",
            "yes no",
            "Drop datagrams from addresses that are not in the node list (udpu).",
        ),
        _timer("token", 3000, "Silence after which the token is lost, before scaling."),
        _number("token_coefficient", 650, "Added to token for each node beyond two.", unit="ms"),
        _number(
            "token_warning", 75, "Warn after this part of token; 0 is off.", high=100, unit="%"
        ),
        _count("token_retransmits_before_loss_const", 4, "Retransmissions before token is lost."),
        _timer(
            "token_retransmit",
            "token / (token_retransmits_before_loss_const + 0.2)",
            "Silence after which the token is sent again.",
        ),
        _timer(
            "hold",
            "token_retransmit * 0.8 - 10",
            "How long an idle ring rests the token.",
            low=HOLD_MS_MIN,
        ),
        _timer("join", 50, "Pause between join messages."),
        _number("send_join", 0, "Upper bound of a random pause before a join.", unit="ms"),
        _timer("consensus", "1.2 * token", "Wait for agreement on a membership; at least join."),
        _timer("merge", 200, "Pause between merge detections of an idle ring."),
        _timer("downcheck", 1000, "Pause between looks at a downed interface.", _LATER),
        _count("fail_recv_const", 2500, "Rotations without an expected message before regrouping."),
        _count("seqno_unchanged_const", 30, "Idle rotations before the token is held."),
        _count("miss_count_const", 5, "Visits before a missing message is asked for."),
        _count("window_size", 50, "Messages per rotation of the whole ring."),
        _count("max_messages", 17, "Messages per visit of one node."),
        _word(
            "cancel_token_hold_on_retransmit",
            "no",
            "yes no",
            "Do not hold the token while retransmissions are asked for.",
        ),
        _number("heartbeat_failures_allowed", 0, "Heartbeats that may fail; 0 is off.", _LATER),
        _timer("max_network_delay", 50, "Delay of one packet, for heartbeats.", _LATER),
        _word("crypto_model", "nss", "nss openssl gcrypt", "Crypto library of knet.", _KNET),
        _word(
            "crypto_cipher",
            None,
            "none aes128 aes192 aes256 chacha20",
            "Cipher: aes256 or chacha20 (ust), none (udpu, udp).",
            derived="aes256 (ust), none (udpu, udp)",
        ),
        _word(
            "crypto_hash",
            None,
            "none md5 sha1 sha256 sha384 sha512",
            "Message authentication of knet; the ciphers of ust do it themselves.",
            _KNET,
            derived="sha256 (ust), none (udpu, udp)",
        ),
        _word(
            "secauth",
            None,
            "on off",
            "Short for aes256 and sha256; ust is never off.",
            _KNET,
            derived="on (ust), off (udpu, udp)",
        ),
        _text("keyfile", "Path of the shared key (ust).", default="/etc/corosync/authkey"),
        _text("key", "The shared key itself (ust); keyfile goes before it."),
        _text(
            "ust_private_key_file",
            "Path of this node's private key (ust), when the node list has public keys.",
            default="/etc/corosync/ust_private_key",
        ),
        _word("link_mode", "passive", "passive active rr", "Use of several links (ust)."),
        _number("knet_mtu", 0, "MTU of every link (ust); 0 finds it.", unit="bytes"),
        _number(
            "knet_pmtud_interval",
            30,
            "Pause between MTU probes (ust).",
            unit="s",
            zero_is_default=True,
        ),
        _text("knet_compression_model", "Compression library of knet.", _KNET, default="none"),
        _number(
            "knet_compression_threshold",
            100,
            "Smaller packets are sent as they are.",
            _KNET,
            unit="bytes",
            zero_is_default=True,
        ),
        _number(
            "knet_compression_level",
            0,
            "Level handed to the library.",
            _KNET,
            low=-I32_MAX - 1,
            high=I32_MAX,
        ),
        _text("ip_dscp", "Service class of the packets.", _LATER, default="0"),
        _number("nodeid", None, "Node id; belongs into nodelist.node.", _OBSOLETE),
        _number("threads", 0, "Threads of 1.x.", _OBSOLETE),
        _text("rrp_mode", "Redundant rings of 1.x and 2.x.", _OBSOLETE),
        _number("rrp_token_expired_timeout", None, "Redundant rings.", _OBSOLETE, unit="ms"),
        _number("rrp_problem_count_timeout", None, "Redundant rings.", _OBSOLETE, unit="ms"),
        _number("rrp_problem_count_threshold", None, "Redundant rings.", _OBSOLETE),
        _number("rrp_problem_count_mcast_threshold", None, "Redundant rings.", _OBSOLETE),
        _number("rrp_autorecovery_check_timeout", None, "Redundant rings.", _OBSOLETE, unit="ms"),
        _text("vsftype", "Virtual synchrony filter of 1.x.", _OBSOLETE),
    ),
)

_INTERFACE: Final = SectionRow(
    "totem.interface",
    f"One link: 0..{LINKS_MAX - 1} (ust); udpu and udp have link 0 only.",
    (
        _number("linknumber", 0, "Number of the link.", high=U8_MAX),
        _text("bindnetaddr", "Own address or its network (udp); the node list goes before it."),
        _text("mcastaddr", "Multicast address of udp; default from cluster_name."),
        _word("broadcast", "no", "yes no", "Broadcast in place of multicast (udp, IPv4)."),
        _number(
            "mcastport",
            5405,
            "UDP port; udp sends from the port below. Default of link N (ust): 5405 + N.",
            high=U16_MAX,
            zero_is_default=True,
        ),
        _number("ttl", 1, "Hops of multicast packets (udp).", high=U8_MAX),
        _number(
            "knet_link_priority",
            1,
            "Priority of the link (ust); the highest that is up is used.",
            high=U8_MAX,
        ),
        _number(
            "knet_ping_interval",
            0,
            "Pause between pings (ust); 0: token / (2 * knet_pong_count), at most 100.",
            unit="ms",
        ),
        _number(
            "knet_ping_timeout",
            0,
            "Silence before a link is down (ust); 0: token / knet_pong_count, at most 400.",
            unit="ms",
        ),
        _number("knet_ping_precision", 2048, "Samples of the mean latency.", _KNET),
        _number(
            "knet_pong_count",
            2,
            "Pongs before a link is up again (ust).",
            high=U8_MAX,
            zero_is_default=True,
        ),
        _word("knet_transport", "udp", "udp sctp", "Transport of the link; ust has udp.", _KNET),
        _number("ringnumber", 0, "linknumber of 2.x.", _OBSOLETE),
    ),
    repeated=True,
)

_MEMBER: Final = SectionRow(
    "totem.interface.member",
    "Members of 1.x; the node list has taken their place.",
    (_text("memberaddr", "Address of a member.", _OBSOLETE),),
    repeated=True,
    closed=True,
)

# -- nodelist and quorum ---------------------------------------------------------------------------

_NODELIST: Final = SectionRow("nodelist", "Every node of the cluster.", ())

_NODE: Final = SectionRow(
    "nodelist.node",
    "One node.",
    (
        _text(
            "ringN_addr",
            f"Address or name on link N: 0..{LINKS_MAX - 1} (ust), 0 (udpu, udp).",
            pattern=r"ring(0|[1-9][0-9]{0,8})_addr",
        ),
        _number("nodeid", None, "Node id; default the IPv4 address as a number.", low=1),
        _text("name", "Name of the node; finds the local node by host name."),
        _number("quorum_votes", 1, "Votes of the node."),
        _text(
            "ust_pubkey",
            "Public key of the node (ust), base64 or hexadecimal; for all nodes or none.",
        ),
    ),
    repeated=True,
)

_QUORUM: Final = SectionRow(
    "quorum",
    "Who may act: votequorum(5).",
    (
        _word("provider", None, "corosync_votequorum", "Quorum algorithm; none when absent."),
        _number("expected_votes", None, "Votes of the whole cluster; default from the node list."),
        _number("two_node", 0, "One of two nodes is enough; not 0 is on.", high=U8_MAX),
        _number(
            "wait_for_all",
            None,
            "First quorum needs all; not 0 is on. Default as two_node.",
            high=U8_MAX,
        ),
        _number("votes", None, "Votes of this node; the node list goes before it.", _OBSOLETE),
        _number(
            "last_man_standing", 0, "Recalculate expected votes; not 0 is on.", _LATER, high=U8_MAX
        ),
        _number(
            "last_man_standing_window", 10_000, "Wait before recalculation.", _LATER, unit="ms"
        ),
        _number(
            "auto_tie_breaker", 0, "Half of the votes may do; not 0 is on.", _LATER, high=U8_MAX
        ),
        _text(
            "auto_tie_breaker_node",
            "lowest, highest or a list of node ids.",
            _LATER,
            default="lowest",
        ),
        _number("allow_downscale", 0, "Clean leavers lower expected votes.", _LATER, high=U8_MAX),
        _number(
            "expected_votes_tracking",
            0,
            "Remember the highest expected votes.",
            _LATER,
            high=U8_MAX,
        ),
        _number("leaving_timeout", None, "Stored and never used.", _OBSOLETE, unit="ms"),
    ),
)

_DEVICE: Final = SectionRow(
    "quorum.device",
    "Quorum device: corosync-qdevice(8).",
    (
        _text("model", "Kind of device, for instance net.", _LATER),
        _number("timeout", 10_000, "Wait for a poll.", _LATER, unit="ms"),
        _number(
            "sync_timeout", 30_000, "Wait for a poll during a membership change.", _LATER, unit="ms"
        ),
        _number("votes", None, "Votes of the device; default nodes - 1.", _LATER),
        _number("master_wins", 0, "The side that holds the device wins.", _LATER, high=U8_MAX),
    ),
)

_DEVICE_NET: Final = SectionRow(
    "quorum.device.net",
    "Quorum device over TCP.",
    (
        _text("host", "Where corosync-qnetd runs.", _LATER),
        _number("port", 5403, "Its port.", _LATER, high=U16_MAX),
        _word("tls", "on", "on off required", "Encryption.", _LATER),
        _word("algorithm", None, "test ffsplit 2nodelms lms", "Who gets the vote.", _LATER),
        _text("tie_breaker", "lowest, highest or a node id.", _LATER, default="lowest"),
        _number("connect_timeout", None, "Wait for a connection.", _LATER, unit="ms"),
        _word("force_ip_version", "0", "0 4 6", "Address family.", _LATER),
        _word(
            "keep_active_partition_tie_breaker",
            "off",
            "on off",
            "Prefer the partition that is active.",
            _LATER,
        ),
    ),
)

_HEURISTICS: Final = SectionRow(
    "quorum.device.heuristics",
    "Programs that the quorum device asks.",
    (
        _word("mode", "off", "on sync off", "When they run.", _LATER),
        _number("timeout", None, "Wait for them.", _LATER, unit="ms"),
        _number("sync_timeout", None, "Wait during a membership change.", _LATER, unit="ms"),
        _number("interval", None, "Pause between runs.", _LATER, unit="ms"),
        _text("exec_NAME", "Command line.", _LATER, pattern=r"exec_[A-Za-z0-9._/:-]+"),
    ),
)

# -- logging ---------------------------------------------------------------------------------------

_FACILITIES: Final = (
    "auth authpriv cron daemon ftp kern lpr mail news syslog user uucp "
    "local0 local1 local2 local3 local4 local5 local6 local7"
)
_PRIORITIES: Final = "alert crit debug emerg err error info notice warning"


_LOG_TARGETS: Final = (
    _word("to_stderr", "yes", "yes no on off", "Log to standard error."),
    _word("to_syslog", "yes", "yes no on off", "Log to syslog."),
    _word("to_logfile", "no", "yes no on off", "Log to logfile."),
    _text("logfile", "Path of the log file; opened with to_logfile only."),
    _word("debug", "off", "on off trace", "Log debug messages; on and trace go before priorities."),
    _word(
        "syslog_facility",
        "daemon",
        _FACILITIES,
        "Facility of syslog; one for all, also when a subsystem sets it.",
    ),
    _word("syslog_priority", "info", _PRIORITIES, "Least level for syslog.", any_case=True),
    _word(
        "logfile_priority",
        "info",
        _PRIORITIES,
        "Least level for logfile and standard error.",
        any_case=True,
    ),
    _word("to_file", None, "yes no on off", "to_logfile of 1.x.", _OBSOLETE),
    _word("syslog_level", None, _PRIORITIES, "syslog_priority of 1.x.", _OBSOLETE, any_case=True),
)
"""Valid at the top of logging and for one subsystem, which has the top's values by default."""

_LOGGING: Final = SectionRow(
    "logging",
    "Where messages go.",
    (
        *_LOG_TARGETS,
        _word("timestamp", "hires", "off on hires", "Time in front of each line."),
        _word("fileline", "off", "on off", "Source file and line; for marks, their number."),
        _word("function_name", "off", "on off", "Function name; for marks, their name."),
        _word(
            "format",
            "text",
            "text json",
            "Lines of logfile and standard error: for people, or one JSON object each.",
        ),
        _word("blackbox", "on", "on off", "Flight recorder."),
        _number(
            "blackbox_bytes",
            4 * MIB,
            "Memory of the flight recorder.",
            low=BLACKBOX_BYTES_MIN,
            high=BLACKBOX_BYTES_MAX,
            unit="bytes",
        ),
    ),
)

_LOGGER_SUBSYS: Final = SectionRow(
    "logging.logger_subsys",
    "Settings of one subsystem, where they differ from those of logging.",
    (_text("subsys", "Name of the subsystem; required."), *_LOG_TARGETS),
    repeated=True,
)

_LOGGING_DAEMON: Final = SectionRow(
    "logging.logging_daemon",
    "Settings of one daemon, and of one of its subsystems; in effect when name is corosync.",
    (
        _text("name", "Name of the daemon; required."),
        _text("subsys", "Name of the subsystem."),
        *_LOG_TARGETS,
    ),
    repeated=True,
)

# -- the rest --------------------------------------------------------------------------------------

_UIDGID: Final = SectionRow(
    "uidgid",
    "Who may connect besides root; one section per grant.",
    (_text("uid", "User, name or number."), _text("gid", "Group, name or number.")),
    repeated=True,
    closed=True,
)

_SYSTEM: Final = SectionRow(
    "system",
    "The process.",
    (
        _word("qb_ipc_type", "native", "native shm socket", "Local connections; native is shm."),
        _word(
            "sched_rr", "no", "yes no", "Real-time scheduling; only when asked for (Corosync: yes)."
        ),
        _text("state_dir", "Where state is kept.", default="/var/lib/corosync"),
        _text("priority", "Nice value, max or min.", _LATER, default="0"),
        _word("move_to_root_cgroup", "auto", "yes no auto", "Leave the unit's cgroup.", _LATER),
        _word("allow_knet_handle_fallback", "no", "yes no", "knet without privilege.", _KNET),
    ),
)

_NOZZLE: Final = SectionRow(
    "nozzle",
    "A network device over knet.",
    (
        _text("name", "Name of the device.", _LATER),
        _text("ipaddr", "Address; its low part becomes the node id.", _LATER),
        _text("ipprefix", "Length of its prefix.", _LATER),
        _text("macaddr", "Hardware address; its low part becomes the node id.", _LATER),
    ),
)

_RESOURCES: Final = SectionRow(
    "resources",
    "Watchdog and monitored resources.",
    (
        _text("watchdog_device", "Path of the watchdog; off is none.", _LATER, default="off"),
        _number(
            "watchdog_timeout",
            6,
            "Time after which it resets the node.",
            _LATER,
            low=2,
            high=120,
            unit="s",
        ),
    ),
)


def _resource(path: str, meaning: str) -> SectionRow:
    return SectionRow(
        path,
        meaning,
        (
            _number("poll_period", 3000, "Pause between looks.", _LATER, high=U64_MAX, unit="ms"),
            _text("max", "Highest value that is well.", _LATER),
            _text("recovery", "What happens above: none, watchdog, reboot, ...", _LATER),
        ),
    )


_PLOAD: Final = SectionRow(
    "pload",
    "Load generator.",
    (
        _number("count", None, "Messages.", _LATER),
        _number("size", None, "Bytes of a message.", _LATER, unit="bytes"),
    ),
)

SECTIONS: Final[dict[str, SectionRow]] = {
    row.path: row
    for row in (
        _TOTEM,
        _INTERFACE,
        _MEMBER,
        _NODELIST,
        _NODE,
        _QUORUM,
        _DEVICE,
        _DEVICE_NET,
        _HEURISTICS,
        _LOGGING,
        _LOGGER_SUBSYS,
        _LOGGING_DAEMON,
        _UIDGID,
        _SYSTEM,
        _NOZZLE,
        _RESOURCES,
        _resource("resources.system", "Resources of the host."),
        _resource("resources.system.memory_used", "Memory in use, percent."),
        _resource("resources.system.load_15min", "Load of 15 minutes."),
        _resource("resources.process", "Resources of a process."),
        _resource("resources.process.memory_used", "Memory in use of a process."),
        _PLOAD,
    )
}
"""The table."""

_PLAIN: Final = {
    path: {key.name: key for key in row.keys if key.pattern is None}
    for path, row in SECTIONS.items()
}


def key_row(section: str, name: str) -> Key | None:
    """The row of a key as it is written in a file (`ring3_addr` finds `ringN_addr`), or None."""
    found = _PLAIN[section].get(name) if section in _PLAIN else None
    if found is None and section in SECTIONS:
        for key in SECTIONS[section].keys:
            if key.pattern is not None and key.pattern.fullmatch(name):
                return key
    return found


def as_markdown(reloadable: Collection[str]) -> str:
    """The table as Markdown: one heading and one table for each section.

    `reloadable`: the keys, with their sections, that change while the daemon runs.
    """
    return "\n".join(line for row in SECTIONS.values() for line in _section_lines(row, reloadable))


def _section_lines(row: SectionRow, reloadable: Collection[str]) -> Iterator[str]:
    again = " May be repeated." if row.repeated else ""
    yield f"## {row.path}\n\n{row.meaning}{again}\n"
    if row.keys:
        yield "| key | default | allowed | status | reload | meaning |"
        yield "| --- | --- | --- | --- | --- | --- |"
    for key in row.keys:
        default = key.derived or ("" if key.default is None else str(key.default))
        note = "; 0 is the default" if key.zero_is_default else ""
        reload = "yes" if f"{row.path}.{key.name}" in reloadable else ""
        cells = (
            f"`{key.name}`",
            default,
            key.allowed + note,
            key.status.value,
            reload,
            key.meaning,
        )
        yield f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
    yield ""
