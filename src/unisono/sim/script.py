"""Scripts: scenarios in words, with the expected output below each command.

Speaks:      `command`, `----`, `expected output`; `run_script(text) -> text` as it really is.
Counterpart: etcd raft testdata and its rafttest runner.
Keeps:       one verb, one small handler; the checkers judge every scenario, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from unisono.base.ids import MS, NodeId
from unisono.base.marks import Mark
from unisono.services import Engine
from unisono.sim.checkers import group_checkers, ring_checkers
from unisono.sim.clients import ClientDesk, SimulatedClient, engine_settings
from unisono.sim.cluster import Cluster, ring_settings
from unisono.sim.forgery import forge
from unisono.sim.messages import key_of
from unisono.sim.narration import Narration
from unisono.sim.network import DatagramKind, NetworkOptions, Rule
from unisono.sim.node import GroupMachine
from unisono.sim.plain import APPLICATION, PlainGroup

SEPARATOR: Final = "----"
TOKEN_MS: Final = 1_000
SETTLE_STEP_NS: Final = 20 * MS
SETTLE_MAX_NS: Final = 120_000 * MS
TEXT_SHOWN_MAX: Final = 24


class ScriptError(Exception):
    """The script itself is wrong."""


class Script:
    """One scenario in progress."""

    def __init__(self) -> None:
        self._cluster: Cluster | None = None
        self._lines = Narration()
        self._clients: dict[str, SimulatedClient] = {}
        self._marks: dict[Mark, int] = {}

    def run(self, commands: Sequence[str]) -> str:
        """Carry the commands out; what the nodes did, as text without a final newline."""
        output: list[str] = []
        for command in commands:
            verb, *words = command.split()
            handler = _VERBS.get(verb)
            if handler is None:
                raise ScriptError(f"no such command: {command}")
            try:
                output += handler(self, words) or []
            except (ValueError, KeyError, IndexError) as error:
                raise ScriptError(f"{command}: {error!r}") from error
        return "\n".join(output + self._lines.flush()) or "ok"

    def conclude(self) -> None:
        """Let the checkers judge the whole, if all is settled. Raises Violation."""
        if self._cluster is not None and self._cluster.settled:
            self._cluster.conclude()

    @property
    def cluster(self) -> Cluster:
        """The cluster that `nodes` made."""
        if self._cluster is None:
            raise ScriptError("the first command must be `nodes`")
        return self._cluster

    # -- verbs ------------------------------------------------------------------------------------

    def _nodes(self, words: list[str]) -> None:
        """`nodes 1 2 3 [token=MS] [deaf=ROTATIONS] [down]`: make them, start them, let them settle.

        `compat` lets them treat the ring as if a Corosync daemon were on it; `services` puts the
        engine above it, with `versions=7,7,6` as config_version of each node.
        """
        numbers = [NodeId(int(word)) for word in words if word.isdigit()]
        options = dict(word.split("=") for word in words if "=" in word)
        self._cluster = Cluster(
            numbers,
            seed="script",
            settings=replace(
                ring_settings(int(options.get("token", TOKEN_MS))),
                fail_recv_const=int(options.get("deaf", 2500)),
            ),
            options=NetworkOptions(delay_min_ns=100_000, delay_mean_ns=0),
            checkers=ring_checkers() + (group_checkers() if "services" in words else []),
            make_group=_group_maker(numbers, words, options),
        )
        if "services" in words:
            nodes = self._cluster.nodes
            self._cluster.desks = {node: ClientDesk(machine) for node, machine in nodes.items()}
        self._cluster.trace.watch(self._lines.take)
        if "down" not in words:
            for node in numbers:
                self._cluster.start(node)
            self._settle([])

    def _settle(self, words: list[str]) -> None:
        """`settle`: until nothing visible has happened for longer than any time-out."""
        cluster = self.cluster
        settings = cluster.settings
        quiet = 2 * (settings.token_timeout_ns + settings.consensus_ns) + settings.merge_ns
        end = cluster.now + SETTLE_MAX_NS
        seen, since = self._lines.count, cluster.now
        while cluster.now < end and cluster.now - since < quiet:
            cluster.run_until(cluster.now + SETTLE_STEP_NS)
            if self._lines.count != seen:
                seen, since = self._lines.count, cluster.now

    def _tick(self, words: list[str]) -> None:
        """`tick MS`: that much time passes."""
        self.cluster.run_until(self.cluster.now + int(float(words[0]) * MS))

    def _send(self, words: list[str]) -> None:
        """`send N agreed|safe TEXT [SIZE]`: TEXT padded to SIZE bytes."""
        payload = self._payload(words[2:], APPLICATION)
        self.cluster.send_payload(NodeId(int(words[0])), payload, safe=_is_safe(words[1]))

    def _join(self, words: list[str]) -> None:
        """`join NAME N GROUP [libcpg]`: a client NAME on node N joins GROUP."""
        name, node, group = words[0], NodeId(int(words[1])), words[2].encode()
        self._lines.next_name = name
        client = self.cluster.desks[node].open(group, is_native="libcpg" not in words)
        if client is None:
            raise ValueError(f"node {node} is down")
        self._clients[name] = client

    def _tell(self, words: list[str]) -> None:
        """`tell NAME agreed|safe TEXT [SIZE]`: the client sends to its group."""
        client = self._clients[words[0]]
        payload = self._payload(words[2:], client.group)
        client.send([payload], safe=_is_safe(words[1]))

    def _part(self, words: list[str]) -> None:
        """`part NAME`: the client leaves its group."""
        self._clients[words[0]].leave()

    def _die(self, words: list[str]) -> None:
        """`die NAME`: the client is killed."""
        client = self._clients[words[0]]
        self.cluster.desks[client.member.node].die(client)

    def _payload(self, words: list[str], group: bytes) -> bytes:
        text = words[0]
        payload = text.encode().ljust(int(words[1]) if len(words) > 1 else 0, b".")
        shown = text if len(payload) == len(text) else f"{text}[{len(payload)}]"
        self._lines.texts[key_of(group, payload)] = shown
        return payload

    def _cut(self, words: list[str]) -> None:
        """`cut 1,2 | 3`: two or more sides. `cut 1 > 2`: one way only."""
        if ">" in words:
            self.cluster.cut_one_way(NodeId(int(words[0])), NodeId(int(words[2])))
        else:
            self.cluster.partition([_node_list(word) for word in words if word != "|"])

    def _heal(self, words: list[str]) -> None:
        """`heal`: the network is whole, and no scripted fault is left."""
        self.cluster.network.calm(self.cluster.network.options)

    def _kill(self, words: list[str]) -> None:
        """`kill N [after EFFECTS]`: SIGKILL, at once or between two effects."""
        if len(words) > 2:
            self.cluster.kill_within(NodeId(int(words[0])), int(words[2]))
        else:
            self.cluster.kill(NodeId(int(words[0])))

    def _start(self, words: list[str]) -> None:
        """`start N [lost]`: with its store or without."""
        self.cluster.start(NodeId(int(words[0])), keep_store="lost" not in words)

    def _leave(self, words: list[str]) -> None:
        """`leave N`: a clean goodbye."""
        self.cluster.leave(NodeId(int(words[0])))

    def _pause(self, words: list[str]) -> None:
        """`pause N`: SIGSTOP."""
        self.cluster.pause(NodeId(int(words[0])))

    def _resume(self, words: list[str]) -> None:
        """`resume N`: SIGCONT."""
        self.cluster.resume(NodeId(int(words[0])))

    def _drop(self, words: list[str]) -> None:
        """`drop KIND FROM TO COUNT`: `*` is any; KIND as token, mcast, merge, join, commit, ..."""
        self.cluster.network.add_rule(_rule("drop", words))

    def _dup(self, words: list[str]) -> None:
        """`dup KIND FROM TO COUNT`: a second copy follows a little later."""
        self.cluster.network.add_rule(_rule("duplicate", words))

    def _delay(self, words: list[str]) -> None:
        """`delay KIND FROM TO COUNT MS`: held back while others overtake."""
        self.cluster.network.add_rule(_rule("delay", words, int(float(words[4]) * MS)))

    def _forge(self, words: list[str]) -> None:
        """`forge TO KIND NAME=NUMBER...`: a datagram that no node sent arrives at TO."""
        fields = {name: int(value, 0) for name, value in (word.split("=") for word in words[2:])}
        datagram = forge(words[1], fields)
        self.cluster.nodes[NodeId(int(words[0]))].arrive(datagram, NodeId(fields["sender"]))

    def _marked(self, words: list[str]) -> list[str]:
        """`marked NAME...`: how often each mark was emitted since it was last asked for."""
        lines = []
        for name in words:
            mark = Mark[name]
            now = self.cluster.world.marks.get(mark, 0)
            lines.append(f"{name}={now - self._marks.get(mark, 0)}")
            self._marks[mark] = now
        return lines

    def _stored(self, words: list[str]) -> list[str]:
        """`stored N`: the ring sequence in the node's store."""
        return [
            f"{node}: stored={self.cluster.nodes[NodeId(int(node))].stored_ring_seq}"
            for node in words
        ]


def _node_list(word: str) -> list[NodeId]:
    return [NodeId(int(number)) for number in word.split(",")]


def _is_safe(word: str) -> bool:
    if word not in ("agreed", "safe"):
        raise ValueError(word)
    return word == "safe"


def _group_maker(
    nodes: list[NodeId], words: list[str], options: dict[str, str]
) -> Callable[[NodeId], GroupMachine]:
    if "services" not in words:
        return lambda node: PlainGroup(node, is_native="compat" not in words)
    listed = [int(word) for word in options.get("versions", "").split(",") if word]
    versions = dict(zip(nodes, listed or [0] * len(nodes), strict=True))

    def engine(node: NodeId) -> Engine:
        return Engine(engine_settings(node, nodes, votequorum=False, config_version=versions[node]))

    return engine


def _rule(action: str, words: list[str], delay_ns: int = 0) -> Rule:
    kind, source, target, count = words[:4]
    return Rule(
        kind=None if kind == "*" else DatagramKind[kind.upper()],
        source=None if source == "*" else NodeId(int(source)),
        target=None if target == "*" else NodeId(int(target)),
        count=int(count),
        action=action,
        delay_ns=delay_ns,
    )


_Handler = Callable[[Script, list[str]], list[str] | None]
_VERBS: Final[dict[str, _Handler]] = {
    "nodes": Script._nodes,
    "settle": Script._settle,
    "tick": Script._tick,
    "send": Script._send,
    "join": Script._join,
    "tell": Script._tell,
    "part": Script._part,
    "die": Script._die,
    "cut": Script._cut,
    "heal": Script._heal,
    "kill": Script._kill,
    "start": Script._start,
    "leave": Script._leave,
    "pause": Script._pause,
    "resume": Script._resume,
    "drop": Script._drop,
    "dup": Script._dup,
    "delay": Script._delay,
    "forge": Script._forge,
    "marked": Script._marked,
    "stored": Script._stored,
}


def run_script(text: str) -> str:
    """Run a whole scenario file; returns it with the output as it really is. Raises ScriptError."""
    script = Script()
    blocks = [_run_block(script, block) for block in text.strip().split("\n\n")]
    script.conclude()
    return "\n\n".join(blocks) + "\n"


def _run_block(script: Script, block: str) -> str:
    head = block.split(f"\n{SEPARATOR}", maxsplit=1)[0].splitlines()
    commands = [line for line in head if line.strip() and not line.startswith("#")]
    if not commands:
        return block
    return "\n".join([*head, SEPARATOR, script.run(commands)])
