"""Scene: what a scenario acts upon, and what its verbs share.

Speaks:      the cluster, its narration, its clients by name, its tap.
Keeps:       all is decided by the words of the scenario: no dice.
Never:       verbs: those are in the files verbs_*.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from unisono.base.group import Multicast
from unisono.base.ids import MS, NodeId
from unisono.base.marks import Mark
from unisono.services import Engine
from unisono.sim.checkers import Checker, Liveness, group_checkers, ring_checkers
from unisono.sim.checkers.bounded_queues import BoundedQueues
from unisono.sim.clients import ClientDesk, SimulatedClient, engine_settings
from unisono.sim.cluster import Cluster, ring_settings
from unisono.sim.ledger import Ledger
from unisono.sim.messages import key_of
from unisono.sim.narration import Narration
from unisono.sim.network import NetworkOptions
from unisono.sim.node import GroupMachine, SimulatedNode
from unisono.sim.plain import PlainGroup
from unisono.sim.tap import Tap
from unisono.wire.service.header import GROUP_NATIVE

TOKEN_MS: Final = 1_000
DEAF_ROTATIONS: Final = 2_500
SETTLE_STEP_NS: Final = 20 * MS
SETTLE_MAX_NS: Final = 120_000 * MS
CALM: Final = NetworkOptions(delay_min_ns=100_000, delay_mean_ns=0)
"""The network of a scenario that says nothing of the weather: every datagram takes 0.1 ms."""


class ScriptError(Exception):
    """The script itself is wrong."""


class HostEngine(Engine):
    """The engine, which also takes ring messages as they are: a peer may say anything.

    `is_quiet` lets it hide that it is Unisono, so that the ring is as if Corosync were on it.
    """

    is_quiet = False

    def submit(self, request: Any, now: Any) -> Any:
        """A client's request, or any multicast."""
        if isinstance(request, Multicast):
            self._cluster.effects.append(request)
            return None
        return super().submit(request, now)

    def drain(self) -> list[Any]:
        """What is to be done, but no greeting where none is wanted."""
        effects = super().drain()
        if self.is_quiet:
            return [each for each in effects if getattr(each, "group", b"") != GROUP_NATIVE]
        return effects


class Scene:
    """One scenario in progress."""

    def __init__(self) -> None:
        self.lines = Narration()
        self.clients: dict[str, SimulatedClient] = {}
        self.marks: dict[Mark, int] = {}
        """How often each mark had been emitted when it was last asked for."""
        self.ledger = Ledger(self.lines)
        self.block_began = 0
        """When the commands of this block began: virtual nanoseconds."""
        self._cluster: Cluster | None = None
        self._tap: Tap | None = None

    @property
    def cluster(self) -> Cluster:
        """The cluster that `nodes` made. Raises ScriptError."""
        if self._cluster is None:
            raise ScriptError("the first command must be `nodes`")
        return self._cluster

    @property
    def tap(self) -> Tap:
        """What stands before every node's inlet. Raises ScriptError."""
        if self._tap is None:
            raise ScriptError("the first command must be `nodes`")
        return self._tap

    def build(self, numbers: list[NodeId], words: list[str], options: dict[str, str]) -> None:
        """Make the cluster of a `nodes` command; what was before is judged and gone."""
        self.conclude()
        self.lines.begin_anew()
        self.ledger = Ledger(self.lines)
        self.clients.clear()
        self.marks.clear()
        cluster = self._cluster = Cluster(
            numbers,
            seed="script",
            settings=replace(
                ring_settings(int(options.get("token", TOKEN_MS))),
                fail_recv_const=int(options.get("deaf", DEAF_ROTATIONS)),
                net_mtu_bytes=int(options.get("mtu", 1500)),
                cancel_token_hold_on_retransmit="cancel_hold" in words,
            ),
            options=CALM,
            checkers=_checkers(words),
            make_group=_group_maker(numbers, words, options),
        )
        if "services" in words:
            cluster.desks = {node: ClientDesk(machine) for node, machine in cluster.nodes.items()}
        cluster.trace.watch(self.lines.take)
        cluster.trace.watch(self.ledger.take)
        self._tap = Tap(cluster.network, cluster.nodes)

    def begin_block(self) -> None:
        """The next commands begin."""
        self.block_began = 0 if self._cluster is None else self._cluster.now

    def conclude(self) -> None:
        """Let the checkers judge the whole, if all is settled. Raises Violation."""
        if self._cluster is not None and self._cluster.settled:
            self._cluster.conclude()

    def settle(self) -> None:
        """Let time pass until nothing visible has happened for longer than any time-out."""
        cluster = self.cluster
        settings = cluster.settings
        quiet = 2 * (settings.token_timeout_ns + settings.consensus_ns) + settings.merge_ns
        end = cluster.now + SETTLE_MAX_NS
        seen, since = self.lines.count, cluster.now
        while cluster.now < end and cluster.now - since < quiet:
            cluster.run_until(cluster.now + SETTLE_STEP_NS)
            if self.lines.count != seen:
                seen, since = self.lines.count, cluster.now

    def machines(self, word: str) -> list[SimulatedNode]:
        """The nodes that a word like `1,3` or `all` names."""
        nodes = self.cluster.nodes
        return [nodes[node] for node in (nodes if word == "all" else node_list(word))]

    def payload(self, words: list[str], group: bytes) -> bytes:
        """The bytes of `TEXT [SIZE]`, whose delivery will be told by that name."""
        text = words[0]
        payload = text.encode().ljust(int(words[1]) if len(words) > 1 else 0, b".")
        shown = text if len(payload) == len(text) else f"{text}[{len(payload)}]"
        self.lines.texts[key_of(group, payload)] = shown
        return payload


def node_list(word: str) -> list[NodeId]:
    """The node ids of `1,2,3`."""
    return [NodeId(int(number)) for number in word.split(",")]


def node_or_any(word: str) -> NodeId | None:
    """One node id, None for `*`."""
    return None if word == "*" else NodeId(int(word))


def is_safe(word: str) -> bool:
    """`safe` or `agreed`. Raises ValueError."""
    if word not in ("agreed", "safe"):
        raise ValueError(word)
    return word == "safe"


def named(words: Iterable[str]) -> dict[str, str]:
    """The words of the form NAME=VALUE."""
    return dict(word.split("=", 1) for word in words if "=" in word)


def grouped(facts: Iterable[tuple[str, str]]) -> list[str]:
    """(subject, fact) pairs as lines, the subjects of equal facts together."""
    subjects: dict[str, list[str]] = {}
    for subject, fact in facts:
        subjects.setdefault(fact, []).append(subject)
    return [f"{','.join(each)}: {fact}" for fact, each in subjects.items()]


def _checkers(words: list[str]) -> list[Checker]:
    if "hostile" in words:
        return [BoundedQueues(), Liveness()]
    return ring_checkers() + (group_checkers() if "services" in words else [])


def _group_maker(
    nodes: list[NodeId], words: list[str], options: dict[str, str]
) -> Callable[[NodeId], GroupMachine]:
    if "services" not in words:
        return lambda node: PlainGroup(node, is_native="compat" not in words)
    versions = _per_node(nodes, options.get("versions", ""), 0)
    votes = _per_node(nodes, options.get("votes", ""), 1)
    flags = {name: name in words for name in ("two_node", "wait_for_all")}

    def engine(node: NodeId) -> Engine:
        settings = engine_settings(
            node, nodes, votequorum="votequorum" in words, config_version=versions[node]
        )
        entries = tuple(replace(each, votes=votes[each.node_id]) for each in settings.nodes)
        quorum = replace(settings.quorum, expected_votes=sum(votes.values()), **flags)
        made = HostEngine(replace(settings, nodes=entries, quorum=quorum))
        made.is_quiet = "compat" in words
        return made

    return engine


def _per_node(nodes: list[NodeId], listed: str, default: int) -> dict[NodeId, int]:
    numbers = [int(word) for word in listed.split(",") if word]
    return dict(zip(nodes, numbers or [default] * len(nodes), strict=True))
