"""Frozen settings: what machines and drivers receive, with units converted and defaults applied.

Keeps:       times are nanoseconds, sizes bytes; nothing here is text that still needs parsing.
"""

from dataclasses import dataclass, field
from typing import Final

from unisono.base.ids import MS, SECOND, NodeId
from unisono.base.limits import MIB

UST: Final = "ust"
UDPU: Final = "udpu"
UDP: Final = "udp"
NATIVE_WINDOW_SIZE: Final = 512
NATIVE_MAX_MESSAGES: Final = 256
"""A window of full datagrams (750 kB) is below the receive buffers that members ask for."""
SECURE_WINDOW_SIZE: Final = 50
SECURE_MAX_MESSAGES: Final = 17
"""In place of these two with transport ust: a window of its frames (62 kB) is 3 MB."""


@dataclass(frozen=True, slots=True)
class RingSettings:
    """Timers and constants of the ring (corosync.conf(5), totem); every time in nanoseconds."""

    token_timeout_ns: int = 3000 * MS
    token_warning_percent: int = 75
    token_retransmit_ns: int = 714 * MS
    hold_ns: int = 561 * MS
    join_ns: int = 50 * MS
    send_join_ns: int = 0
    consensus_ns: int = 3600 * MS
    merge_ns: int = 200 * MS
    fail_recv_const: int = 2500
    seqno_unchanged_const: int = 30
    miss_count_const: int = 5
    window_size: int = 50
    max_messages: int = 17
    native_window_size: int = NATIVE_WINDOW_SIZE
    """`window_size` in a ring of Unisono members only, unless the file sets it."""
    native_max_messages: int = NATIVE_MAX_MESSAGES
    """`max_messages` in a ring of Unisono members only, unless the file sets it."""
    cancel_token_hold_on_retransmit: bool = False
    net_mtu_bytes: int = 1500
    """Largest datagram of the ring, its headers included: `totem.netmtu`, or a frame of ust."""
    start_delay_ns: int = 100 * MS
    """Interface-up delay before the first join."""


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """One `nodelist.node`: `addresses` are numeric, by link number, "" where there is none."""

    node_id: NodeId
    name: str
    addresses: tuple[str, ...]
    votes: int = 1
    names: tuple[str, ...] = ()
    """ringX_addr as written, by link number like `addresses`."""
    public_key: bytes = b""
    """`ust_pubkey`, X25519, 32 bytes; empty with the cluster key alone."""


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """One link of the secure transport, 0..7: `totem.interface` of that number."""

    number: int
    port: int
    priority: int = 1
    """The highest that is up carries the frames when `link_mode` is passive."""
    ping_interval_ns: int = 100 * MS
    ping_timeout_ns: int = 400 * MS
    pong_count: int = 2


@dataclass(frozen=True, slots=True)
class SecureSettings:
    """The secure transport (UST): which key, which cipher, which links."""

    cipher: str = "aes256"
    """`aes256` or `chacha20`."""
    key_file: str = "/etc/corosync/authkey"
    key: str = field(default="", repr=False)
    """`totem.key` itself, in place of a file."""
    link_mode: str = "passive"
    """`passive`, `active` or `rr`."""
    links: tuple[LinkSettings, ...] = ()
    """Ascending by number; those on which the local node has an address."""
    mtu_bytes: int = 0
    """`knet_mtu`, size of an IP packet; 0 finds it out."""
    mtu_interval_ns: int = 30 * SECOND
    private_key_file: str = ""
    """Private key of this node (level 2); empty with the cluster key alone."""


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """How datagrams travel: `kind` is `ust`, `udpu` or `udp`; addresses are numeric."""

    kind: str
    bind_address: str
    port: int = 5405
    multicast_address: str = ""
    ttl: int = 1
    broadcast: bool = False
    block_unlisted_ips: bool = True
    secure: SecureSettings | None = None
    """With kind `ust`, and only then."""


@dataclass(frozen=True, slots=True)
class QuorumSettings:
    """The quorum section, as far as a ring with Corosync members needs it."""

    votequorum: bool = False
    expected_votes: int = 0
    votes: int = 1
    two_node: bool = False
    wait_for_all: bool = False


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """uidgid: effective user and group ids that may connect besides uid 0 and gid 0."""

    uids: frozenset[int] = frozenset()
    gids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class LogTargets:
    """Where lines go and from which level on; levels are words as they are printed."""

    to_stderr: bool = True
    to_syslog: bool = True
    to_logfile: bool = False
    logfile: str = ""
    logfile_priority: str = "info"
    """Of standard error, too."""
    syslog_priority: str = "info"
    debug: str = "off"
    """`off`, `on` or `trace`: other than off, it stands in for both priorities."""


@dataclass(frozen=True, slots=True)
class SubsystemLogging(LogTargets):
    """One subsystem that goes its own way; what its section leaves out is filled in already."""

    subsystem: str = ""


@dataclass(frozen=True, slots=True)
class LoggingSettings(LogTargets):
    """The logging section; its own targets hold for every subsystem that is not listed."""

    subsystems: tuple[SubsystemLogging, ...] = ()
    syslog_facility: str = "daemon"
    timestamp: str = "hires"
    """`off`, `on` or `hires`."""
    fileline: bool = False
    function_name: bool = False
    format: str = "text"
    """`text` or `json`, of standard error and files."""
    blackbox: bool = True
    """Whether there is a flight recorder."""
    blackbox_bytes: int = 4 * MIB


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a daemon needs to know; made by `config.load` and by nobody else outside tests."""

    node_id: NodeId
    nodes: tuple[NodeSettings, ...]
    transport: TransportSettings
    cluster_name: str = ""
    config_version: int = 0
    ring: RingSettings = field(default_factory=RingSettings)
    quorum: QuorumSettings = field(default_factory=QuorumSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    ipc_type: str = "shm"
    """`shm` or `socket` (`system.qb_ipc_type`; `native` means `shm`)."""
    state_dir: str = "/var/lib/corosync"
    sched_rr: bool = False
    """True only when the file says `sched_rr: yes` in so many words (DESIGN D6b)."""
