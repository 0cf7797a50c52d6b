"""Verbs that break things and mend them.

Speaks:      one small handler per verb; its docstring is the verb's manual.
Keeps:       whatever a verb breaks, `heal`, `start` or `resume` mends.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from unisono.base.ids import MS, SECOND, NodeId
from unisono.sim.forgery import forge
from unisono.sim.network import DatagramKind, Rule
from unisono.sim.scene import CALM, Scene, ScriptError, named, node_list, node_or_any
from unisono.sim.tap import TapRule

UNTIL_NS_MAX: Final = 60 * SECOND
PPM_PER_PERCENT: Final = 10_000
COUNT_ANY: Final = 1_000_000_000


def cut(scene: Scene, words: list[str]) -> None:
    """`cut 1,2 | 3`: two or more sides. `cut 1 > 2`: one way only. `cut 1 x 2`: this pair only."""
    cluster = scene.cluster
    if ">" in words or "x" in words:
        source, target = NodeId(int(words[0])), NodeId(int(words[2]))
        cluster.cut_one_way(source, target)
        if "x" in words:
            cluster.cut_one_way(target, source)
    else:
        cluster.partition([node_list(word) for word in words if word != "|"])


def heal(scene: Scene, words: list[str]) -> None:
    """`heal`: the network is whole, and no scripted fault is left."""
    scene.cluster.network.calm(CALM)
    scene.tap.rules.clear()


def kill(scene: Scene, words: list[str]) -> None:
    """`kill N[,N] [after EFFECTS | in STATE]`: SIGKILL, at once, between two effects, or when."""
    if "in" in words:
        until(scene, [words[0], words[2]])
    for machine in scene.machines(words[0]):
        if "after" in words:
            scene.cluster.kill_within(machine.node, int(words[2]))
        else:
            scene.cluster.kill(machine.node)


def start(scene: Scene, words: list[str]) -> None:
    """`start N[,N] [lost | old]`: with their stores, without, or with those of a start before.

    Who runs goes on running. A store that somebody could still depend on is neither lost nor old.
    """
    for machine in scene.machines(words[0]):
        scene.cluster.start(
            machine.node, keep_store="lost" not in words, stores_back=int("old" in words)
        )


def configure(scene: Scene, words: list[str]) -> None:
    """`configure N[,N] token=MS | broken`: what stands in the file, until it is written again."""
    for machine in scene.machines(words[0]):
        machine.file.is_broken = words[1] == "broken"
        if not machine.file.is_broken:
            token_ns = int(named(words[1:])["token"]) * MS
            machine.file.ring = replace(machine.settings, token_timeout_ns=token_ns)


def reload(scene: Scene, words: list[str]) -> None:
    """`reload N[,N]`: SIGHUP to the daemon: the configuration is read again on the whole ring."""
    for machine in scene.machines(words[0]):
        machine.hang_up()


def leave(scene: Scene, words: list[str]) -> None:
    """`leave N[,N]`: a clean goodbye."""
    for machine in scene.machines(words[0]):
        scene.cluster.leave(machine.node)


def twin(scene: Scene, words: list[str]) -> None:
    """`twin N`: a copy of the machine, with its disk and addresses, starts beside it."""
    scene.cluster.twin(NodeId(int(words[0])))


def untwin(scene: Scene, words: list[str]) -> None:
    """`untwin N`: the copy is gone."""
    scene.cluster.end_twin(NodeId(int(words[0])))


def pause(scene: Scene, words: list[str]) -> None:
    """`pause N [in STATE]`: SIGSTOP."""
    if "in" in words:
        until(scene, [words[0], words[2]])
    scene.cluster.pause(NodeId(int(words[0])))


def slow(scene: Scene, words: list[str]) -> None:
    """`slow N FACTOR`: every datagram costs the process that many times what it should."""
    scene.cluster.slow(NodeId(int(words[0])), int(words[1]))


def clock(scene: Scene, words: list[str]) -> None:
    """`clock N RATE%`: the node's clock runs that much fast. `clock N MS`: it jumps ahead."""
    node, amount = NodeId(int(words[0])), words[1]
    if amount.endswith("%"):
        scene.cluster.drift(node, int(float(amount[:-1]) * PPM_PER_PERCENT))
    else:
        scene.cluster.leap(node, int(amount) * MS)


def resume(scene: Scene, words: list[str]) -> None:
    """`resume N`: SIGCONT."""
    scene.cluster.resume(NodeId(int(words[0])))


def until(scene: Scene, words: list[str]) -> None:
    """`until N STATE`: time passes until the node is in that state of the ring, or in `sync`."""
    node, state = NodeId(int(words[0])), words[1].lower()
    machine, ledger = scene.cluster.nodes[node], scene.ledger

    def reached() -> bool:
        if state == "sync":
            standing = ledger.standings.get(node)
            return standing is not None and standing.ring is not None and not standing.synced
        return machine.totem is not None and machine.totem.state.value == state

    end = scene.cluster.now + UNTIL_NS_MAX
    if not reached() and not scene.cluster.scheduler.run_until(end, reached):
        raise ScriptError(f"node {node} never came to {state}")


def drop(scene: Scene, words: list[str]) -> None:
    """`drop KIND FROM TO COUNT [over=BYTES]`: `*` is any; KIND as token, mcast, merge, join, ..."""
    if "over" in named(words):
        rule = _tap_rule(words)
        rule.lost = True
        scene.tap.rules.append(rule)
    else:
        scene.cluster.network.add_rule(_rule("drop", words))


def dup(scene: Scene, words: list[str]) -> None:
    """`dup KIND FROM TO COUNT`: a second copy follows a little later."""
    scene.cluster.network.add_rule(_rule("duplicate", words))


def delay(scene: Scene, words: list[str]) -> None:
    """`delay KIND FROM TO COUNT MS`: held back while others overtake."""
    scene.cluster.network.add_rule(_rule("delay", words, int(float(words[4]) * MS)))


def alter(scene: Scene, words: list[str]) -> None:
    """`alter KIND FROM TO COUNT FIELD=VALUE...`: they arrive with other contents; see `replay`."""
    rule = _tap_rule(words)
    rule.fields = named(words)
    scene.tap.rules.append(rule)


def keep(scene: Scene, words: list[str]) -> None:
    """`keep NAME KIND FROM TO`: remember the next such datagram that arrives."""
    rule = _tap_rule([*words[1:], "1"])
    rule.name = words[0]
    scene.tap.rules.append(rule)


def replay(scene: Scene, words: list[str]) -> None:
    """`replay NAME FROM TO [FIELD=VALUE...]`: a kept datagram arrives once more.

    VALUE is a number, +N or -N; FIELD is named as in the Totem messages, or `size` in bytes.
    """
    name, source, target = words[0], NodeId(int(words[1])), NodeId(int(words[2]))
    scene.tap.replay(name, target, source, named(words))


def forgery(scene: Scene, words: list[str]) -> None:
    """`forge TO KIND NAME=NUMBER...`: a datagram that no node sent arrives at TO."""
    fields = {name: int(value, 0) for name, value in named(words).items()}
    datagram = forge(words[1], fields)
    scene.cluster.nodes[NodeId(int(words[0]))].arrive(datagram, NodeId(fields["sender"]))


def weather(scene: Scene, words: list[str]) -> None:
    """`weather [FROM>TO | N] NAME=VALUE...`: options of the network, a link, or a node's links.

    Names as in `NetworkOptions`; `latency=MS` is its `delay_min_ns`.
    """
    options = {name: float(value) for name, value in named(words).items()}
    if "latency" in options:
        options["delay_min_ns"] = int(options.pop("latency") * MS)
    options = {name: int(value) if _is_count(name) else value for name, value in options.items()}
    network = scene.cluster.network
    if "=" in words[0]:
        network.change(**options)
        return
    ends = [NodeId(int(number)) for number in words[0].split(">")]
    for link in [(ends[0], ends[1])] if len(ends) > 1 else network.links_of(ends[0]):
        network.change_link(link, **options)


def _is_count(name: str) -> bool:
    return name.endswith(("_ns", "_max", "_bytes", "_s", "_length"))


def clog(scene: Scene, words: list[str]) -> None:
    """`clog N`: what N sends and what is sent to it waits, until `heal`."""
    network = scene.cluster.network
    network.clog(network.links_of(NodeId(int(words[0]))))


def flap(scene: Scene, words: list[str]) -> None:
    """`flap A,B | C MS`: the links between the sides go down and up every MS, until `heal`."""
    network = scene.cluster.network
    sides = [node_list(word) for word in words[:-1] if word != "|"]
    network.flap(network.links_between(sides), int(words[-1]) * MS)


def _rule(action: str, words: list[str], delay_ns: int = 0) -> Rule:
    kind, source, target, count = words[:4]
    return Rule(
        kind=_kind(kind),
        source=node_or_any(source),
        target=node_or_any(target),
        count=_count(count),
        action=action,
        delay_ns=delay_ns,
    )


def _tap_rule(words: list[str]) -> TapRule:
    kind, source, target, count = words[:4]
    return TapRule(
        kind=_kind(kind),
        source=node_or_any(source),
        target=node_or_any(target),
        count=_count(count),
        over_bytes=int(named(words).get("over", "0")),
    )


def _kind(word: str) -> DatagramKind | None:
    return None if word == "*" else DatagramKind[word.upper()]


def _count(word: str) -> int:
    return COUNT_ANY if word == "*" else int(word)


VERBS: Final[dict[str, Callable[[Scene, list[str]], list[str] | None]]] = {
    "cut": cut,
    "heal": heal,
    "kill": kill,
    "start": start,
    "configure": configure,
    "reload": reload,
    "leave": leave,
    "twin": twin,
    "untwin": untwin,
    "slow": slow,
    "clock": clock,
    "pause": pause,
    "resume": resume,
    "until": until,
    "drop": drop,
    "dup": dup,
    "delay": delay,
    "alter": alter,
    "keep": keep,
    "replay": replay,
    "forge": forgery,
    "weather": weather,
    "clog": clog,
    "flap": flap,
}
