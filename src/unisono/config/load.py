"""Load: a configuration's text to the settings of one daemon, or every reason why not.

Speaks:      `load` to `Loaded`; raises `ConfigErrors` and nothing else, whatever the bytes.
Counterpart: corosync exec/main.c, exec/totemconfig.c, exec/votequorum.c (reading only).
Never:       opens a file, resolves a name, looks at the process's environment itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from unisono.config import document as documents
from unisono.config.document import Document, Given
from unisono.config.environment import Choice, Subject, choose
from unisono.config.grammar import parse, shown
from unisono.config.hosts import LocalHost, Resolver
from unisono.config.logs import logging_settings
from unisono.config.network import secure_settings, transport_kind, transport_settings
from unisono.config.nodes import NodeList, read_nodes
from unisono.config.problems import Report
from unisono.config.schema import U32_MAX
from unisono.config.settings import (
    UST,
    AccessSettings,
    NodeSettings,
    QuorumSettings,
    Settings,
)
from unisono.config.timers import ring_settings

_NUMBER: Final = re.compile(r"[+]?[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a configuration; warnings are one line each, for the log and for `-t`."""

    settings: Settings
    warnings: list[str]
    choices: tuple[Choice, ...] = ()
    """Which state directory, and key file if one is needed, and who says so."""


def load(
    text: str | bytes,
    file: str,
    extra: Sequence[tuple[str, str | bytes]],
    resolver: Resolver,
    local: LocalHost,
    *,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """Read a configuration and the files of uidgid.d (`extra`: name, text).

    Text that was read with other errors than `surrogateescape` is as good as bytes. `environ`
    decides about state directory and key file when the file does not. Raises ConfigErrors.
    """
    report = Report(file)
    parsed = parse(text, file)
    document = documents.read_document(parsed, report)
    for name, content in extra:
        document.grants.extend(documents.read_grants(parse(content, name), report))
    if parsed.unbalanced:  # what seems to be missing may only be in the wrong section
        report.refuse()
    state_dir = choose(
        Subject.STATE_DIR,
        environ or {},
        configured=document.section("system").text_given("state_dir"),
    )
    key_file = choose(
        Subject.KEY_FILE, environ or {}, configured=document.section("totem").text_given("keyfile")
    )
    paths = (state_dir.path, key_file.path)
    settings = _settings(document, paths, resolver, local, report)
    documents.warn_about_status(document, report)
    if settings is None or report.errors:
        report.refuse()
    secure = settings.transport.secure
    reads_key_file = secure is not None and not secure.key
    return Loaded(settings, report.warnings, (state_dir, *([key_file] if reads_key_file else [])))


def _settings(
    document: Document,
    paths: tuple[str, str],
    resolver: Resolver,
    local: LocalHost,
    report: Report,
) -> Settings | None:
    """`paths`: state directory and key file."""
    totem = document.section("totem")
    if "version" not in totem.given and "version" not in totem.refused:
        report.error(None, "totem.version", "not set; allowed: 2")
    kind = transport_kind(document, report)
    found = read_nodes(document, kind, resolver, local, report)
    if kind == UST:
        transport = secure_settings(document, found, paths[1], report)
    else:
        bind_address = found.local.addresses[0] if found else ""
        transport = transport_settings(document, kind, bind_address, resolver, report)
    ring = ring_settings(totem, len(document.nodes), report, secure=kind == UST)
    access = _access(document.grants, resolver, report)
    logging = logging_settings(document, report)
    quorum = _quorum(document, found, report)
    if found is None:
        return None
    system = document.section("system")
    return Settings(
        node_id=found.local.node_id,
        nodes=found.nodes,
        transport=transport,
        cluster_name=totem.text("cluster_name"),
        config_version=totem.number("config_version"),
        ring=ring,
        quorum=quorum,
        access=access,
        logging=logging,
        ipc_type="socket" if system.text("qb_ipc_type") == "socket" else "shm",
        state_dir=paths[0],
        sched_rr=system.switch("sched_rr"),
    )


def _quorum(document: Document, found: NodeList | None, report: Report) -> QuorumSettings:
    """expected_votes is the node list's sum unless it is set; two_node implies wait_for_all."""
    quorum = document.section("quorum")
    two_node = quorum.number("two_node") != 0
    if two_node and document.section("quorum.device").has("model"):
        report.error(
            quorum.place_of("two_node"),
            "quorum.two_node",
            "found 1 beside a quorum device; allowed: 0, or no quorum.device.model",
        )
    if two_node and quorum.number("auto_tie_breaker"):
        two_node = False
        report.warning(
            quorum.place_of("two_node"),
            "quorum.two_node",
            "is switched off, because quorum.auto_tie_breaker is on",
        )
    nodes: tuple[NodeSettings, ...] = found.nodes if found else ()
    waits = quorum.number("wait_for_all") != 0 if quorum.has("wait_for_all") else two_node
    expected = quorum.number("expected_votes") if quorum.has("expected_votes") else 0
    return QuorumSettings(
        votequorum=quorum.text("provider") != "",
        expected_votes=expected or sum(node.votes for node in nodes),
        votes=found.local.votes if found else 1,
        two_node=two_node,
        wait_for_all=waits,
    )


def _access(grants: list[Given], resolver: Resolver, report: Report) -> AccessSettings:
    numbers: dict[str, set[int]] = {"uid": set(), "gid": set()}
    for grant in grants:
        text = str(grant.value)
        if _NUMBER.fullmatch(text) and int(text) < U32_MAX:  # the last one means nobody
            numbers[grant.key].add(int(text))
            continue
        found = _look_up(grant.key, text, resolver)
        if found is None:
            what = "user" if grant.key == "uid" else "group"
            report.error(
                grant.place,
                f"uidgid.{grant.key}",
                f"found {shown(text)}; allowed: a {what} of this host, or a number",
            )
        else:
            numbers[grant.key].add(found)
    return AccessSettings(uids=frozenset(numbers["uid"]), gids=frozenset(numbers["gid"]))


def _look_up(key: str, name: str, resolver: Resolver) -> int | None:
    try:
        return resolver.user(name) if key == "uid" else resolver.group(name)
    except (OSError, ValueError, LookupError):  # the system's databases answer in these ways, too
        return None
