"""Changes: what a running daemon does with a configuration that was read again.

Counterpart: corosync exec/totemconfig.c (totemconfig_reload and its list of keys that stay).
Keeps:       every field of the settings has a row: the directive that it comes from, and whether it
             can change while the daemon runs. A value of a key is never shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, NamedTuple, TypeVar

from unisono.base.ids import MS, NodeId
from unisono.config.schema import SECTIONS
from unisono.config.settings import (
    LinkSettings,
    NodeSettings,
    SecureSettings,
    Settings,
    TransportSettings,
)

_Part = TypeVar("_Part")


class Change(NamedTuple):
    """One directive that is not as it was; values as people read them, "" where there is none."""

    directive: str
    before: str
    after: str

    @property
    def words(self) -> str:
        """One line for people."""
        if not (self.before or self.after):
            return f"{self.directive} is another"
        return f"{self.directive}: {self.before or 'nothing'} -> {self.after or 'nothing'}"


@dataclass(frozen=True, slots=True)
class Changes:
    """`settings` hold from now on: those of before, with all that can change put in."""

    settings: Settings
    applied: tuple[Change, ...] = ()
    refused: tuple[Change, ...] = ()
    """These take effect when the daemon is started again."""


class _Row(NamedTuple):
    directive: str
    can_change: bool = True
    is_secret: bool = False


def _fixed(directive: str) -> _Row:
    return _Row(directive, can_change=False)


_RING: Final = {
    "token_timeout_ns": _Row("totem.token"),
    "token_warning_percent": _Row("totem.token_warning"),
    "token_retransmit_ns": _Row("totem.token_retransmit"),
    "hold_ns": _Row("totem.hold"),
    "join_ns": _Row("totem.join"),
    "send_join_ns": _Row("totem.send_join"),
    "consensus_ns": _Row("totem.consensus"),
    "merge_ns": _Row("totem.merge"),
    "fail_recv_const": _Row("totem.fail_recv_const"),
    "seqno_unchanged_const": _Row("totem.seqno_unchanged_const"),
    "miss_count_const": _Row("totem.miss_count_const"),
    "window_size": _Row("totem.window_size"),
    "max_messages": _Row("totem.max_messages"),
    "native_window_size": _Row("totem.window_size"),
    "native_max_messages": _Row("totem.max_messages"),
    "cancel_token_hold_on_retransmit": _Row("totem.cancel_token_hold_on_retransmit"),
    "net_mtu_bytes": _fixed("totem.netmtu"),
    "start_delay_ns": _fixed("totem"),
}
_QUORUM: Final = {
    "votequorum": _fixed("quorum.provider"),
    "expected_votes": _Row("quorum.expected_votes"),
    "votes": _Row("quorum.votes"),
    "two_node": _Row("quorum.two_node"),
    "wait_for_all": _Row("quorum.wait_for_all"),
}
_ACCESS: Final = {"uids": _Row("uidgid.uid"), "gids": _Row("uidgid.gid")}
_LOGGING: Final = {
    "to_stderr": _Row("logging.to_stderr"),
    "to_syslog": _Row("logging.to_syslog"),
    "to_logfile": _Row("logging.to_logfile"),
    "logfile": _Row("logging.logfile"),
    "logfile_priority": _Row("logging.logfile_priority"),
    "syslog_priority": _Row("logging.syslog_priority"),
    "debug": _Row("logging.debug"),
    "subsystems": _Row("logging.logger_subsys"),
    "syslog_facility": _Row("logging.syslog_facility"),
    "timestamp": _Row("logging.timestamp"),
    "fileline": _Row("logging.fileline"),
    "function_name": _Row("logging.function_name"),
    "format": _Row("logging.format"),
    "blackbox": _fixed("logging.blackbox"),
    "blackbox_bytes": _fixed("logging.blackbox_bytes"),
}
_TRANSPORT: Final = {
    "kind": _fixed("totem.transport"),
    "bind_address": _fixed("totem.interface.bindnetaddr"),
    "port": _fixed("totem.interface.mcastport"),
    "multicast_address": _fixed("totem.interface.mcastaddr"),
    "ttl": _fixed("totem.interface.ttl"),
    "broadcast": _fixed("totem.interface.broadcast"),
    "block_unlisted_ips": _fixed("totem.block_unlisted_ips"),
}
_SECURE: Final = {
    "cipher": _fixed("totem.crypto_cipher"),
    "key_file": _fixed("totem.keyfile"),
    "key": _Row("totem.key", can_change=False, is_secret=True),
    "link_mode": _Row("totem.link_mode"),
    "mtu_bytes": _fixed("totem.knet_mtu"),
    "mtu_interval_ns": _fixed("totem.knet_pmtud_interval"),
    "private_key_file": _fixed("totem.ust_private_key_file"),
}
_LINK: Final = {
    "number": _fixed("linknumber"),
    "port": _fixed("mcastport"),
    "priority": _Row("knet_link_priority"),
    "ping_interval_ns": _Row("knet_ping_interval"),
    "ping_timeout_ns": _Row("knet_ping_timeout"),
    "pong_count": _Row("knet_pong_count"),
}
_NODE: Final = {
    "node_id": _fixed("nodeid"),
    "name": _Row("name"),
    "addresses": _Row("ringN_addr"),
    "votes": _Row("quorum_votes"),
    "names": _Row("ringN_addr"),
    "public_key": _fixed("ust_pubkey"),
}
_OWN_NODE: Final = _NODE | {"addresses": _fixed("ringN_addr"), "names": _fixed("ringN_addr")}
"""Sockets are bound to our own addresses."""
_TOP: Final = {
    "node_id": _fixed("nodelist.node.nodeid"),
    "cluster_name": _fixed("totem.cluster_name"),
    "config_version": _Row("totem.config_version"),
    "ipc_type": _fixed("system.qb_ipc_type"),
    "state_dir": _fixed("system.state_dir"),
    "sched_rr": _fixed("system.sched_rr"),
}
_SUBSYSTEMS: Final = ("logging.logger_subsys", "logging.logging_daemon")
_PARTS: Final[dict[str, Mapping[str, _Row]]] = {
    "ring": _RING,
    "quorum": _QUORUM,
    "access": _ACCESS,
    "logging": _LOGGING,
}


def reloadable() -> frozenset[str]:
    """The directives that take effect while the daemon runs; nodes may also come and go."""
    tables = (_TOP, _TRANSPORT, _SECURE, *_PARTS.values())
    plain = {row.directive for table in tables for row in table.values() if row.can_change}
    # These two act through token:
    plain |= {"totem.token_coefficient", "totem.token_retransmits_before_loss_const"}
    plain -= {"logging.logger_subsys", "quorum.votes"}
    plain |= {f"{path}.{key.name}" for path in _SUBSYSTEMS for key in SECTIONS[path].keys}
    links = {f"totem.interface.{row.directive}" for row in _LINK.values() if row.can_change}
    nodes = {f"nodelist.node.{row.directive}" for row in _NODE.values() if row.can_change}
    return frozenset(plain | links | nodes)


def compare(running: Settings, read: Settings) -> Changes:
    """What comes of `read` for a daemon that runs with `running`."""
    return _Comparison().settings(running, read)


class _Comparison:
    __slots__ = ("_applied", "_refused")

    def __init__(self) -> None:
        self._applied: dict[Change, None] = {}
        self._refused: dict[Change, None] = {}

    def settings(self, running: Settings, read: Settings) -> Changes:
        kept = self._part(running, read, _TOP, skip={"nodes", "transport", *_PARTS})
        parts = {
            name: self._part(getattr(running, name), getattr(read, name), rows)
            for name, rows in _PARTS.items()
        }
        kept = replace(
            kept,
            transport=self._transport(running.transport, read.transport),
            nodes=self._nodes(running, read),
            **parts,
        )
        return Changes(kept, tuple(self._applied), tuple(self._refused))

    def _part(
        self,
        before: _Part,
        after: _Part,
        rows: Mapping[str, _Row],
        prefix: str = "",
        *,
        skip: frozenset[str] | set[str] = frozenset(),
    ) -> _Part:
        """`before`, with what can change as it is in `after`."""
        changed: dict[str, Any] = {}
        for name in (field.name for field in fields(before) if field.name not in skip):  # type: ignore[arg-type]  # a dataclass, always
            old, new = getattr(before, name), getattr(after, name)
            if old == new:
                continue
            row = rows[name]
            self._note(row, prefix, _words(name, old), _words(name, new))
            if row.can_change:
                changed[name] = new
        return replace(before, **changed)  # type: ignore[type-var]  # as above

    def _note(self, row: _Row, prefix: str, before: str, after: str) -> None:
        if row.is_secret:
            before = after = ""
        change = Change(prefix + row.directive, before, after)
        (self._applied if row.can_change else self._refused)[change] = None

    # -- the network -------------------------------------------------------------------------------

    def _transport(self, before: TransportSettings, after: TransportSettings) -> TransportSettings:
        kept = self._part(before, after, _TRANSPORT, skip={"secure"})
        if before.secure is None or after.secure is None:
            return kept  # another transport, which was noted
        secure = self._part(before.secure, after.secure, _SECURE, skip={"links"})
        return replace(kept, secure=replace(secure, links=self._links(before.secure, after.secure)))

    def _links(self, before: SecureSettings, after: SecureSettings) -> tuple[LinkSettings, ...]:
        """Links are there or not: a new one begins when the daemon does."""
        new = {link.number: link for link in after.links}
        kept = []
        for link in before.links:
            prefix = f"totem.interface {link.number} "
            there = new.pop(link.number, None)
            if there is None:
                self._note(_fixed("linknumber"), prefix, str(link.number), "")
            kept.append(link if there is None else self._part(link, there, _LINK, prefix))
        for number in new:
            self._note(_fixed("linknumber"), f"totem.interface {number} ", "", str(number))
        return tuple(kept)

    # -- the nodes ---------------------------------------------------------------------------------

    def _nodes(self, running: Settings, read: Settings) -> tuple[NodeSettings, ...]:
        old = {node.node_id: node for node in running.nodes}
        new = {node.node_id: node for node in read.nodes}
        for node_id in old.keys() - new.keys() - {running.node_id}:
            self._come_or_go(node_id, _where(old[node_id]), "")
        kept = []
        for node in read.nodes:
            known = old.get(node.node_id)
            if known is None:
                self._come_or_go(node.node_id, "", _where(node))
                kept.append(node)
                continue
            rows = _OWN_NODE if node.node_id == running.node_id else _NODE
            kept.append(self._part(known, node, rows, f"nodelist.node {node.node_id} "))
        if running.node_id not in new:  # refused with the node id
            kept.append(old[running.node_id])
        return tuple(kept)

    def _come_or_go(self, node_id: NodeId, before: str, after: str) -> None:
        self._note(_Row("ringN_addr"), f"nodelist.node {node_id} ", before, after)


def _where(node: NodeSettings) -> str:
    return " ".join(address for address in node.addresses if address)


def _words(name: str, value: object) -> str:
    """As it would stand in the file."""
    match value:
        case bool():
            return "yes" if value else "no"
        case int() if name.endswith("_ns"):
            return f"{value // MS} ms"
        case bytes():
            return value.hex()
        case tuple() | frozenset():
            return " ".join(_element(one) for one in _in_order(value))
        case _:
            return str(value)


def _in_order(values: tuple[object, ...] | frozenset[Any]) -> list[Any]:
    return sorted(values) if isinstance(values, frozenset) else list(values)


def _element(value: object) -> str:
    return str(getattr(value, "subsystem", value))
