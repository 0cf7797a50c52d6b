"""Verbs that look: counters, stores, views, orders, votes, traffic.

Speaks:      one small handler per verb; its docstring is the verb's manual.
Keeps:       equal facts of several subjects are one line.
"""

from collections.abc import Callable
from typing import Final

from unisono.base.ids import MS, SECOND, NodeId
from unisono.base.marks import Mark
from unisono.services import Engine
from unisono.sim import trace
from unisono.sim.scene import Scene, grouped


def marked(scene: Scene, words: list[str]) -> list[str]:
    """`marked NAME...`: how often each mark was emitted since it was last asked for."""
    lines = []
    for name in words:
        mark = Mark[name]
        now = scene.cluster.world.marks.get(mark, 0)
        lines.append(f"{name}={now - scene.marks.get(mark, 0)}")
        scene.marks[mark] = now
    return lines


def stored(scene: Scene, words: list[str]) -> list[str]:
    """`stored N`: the ring sequence in the node's store."""
    return [
        f"{node}: stored={scene.cluster.nodes[NodeId(int(node))].stored_ring_seq}" for node in words
    ]


def hide(scene: Scene, words: list[str]) -> None:
    """`hide WORD...`: leave out lines that begin so: transitional, view, deliver, gets, ..."""
    scene.lines.hidden.update(words)


def show(scene: Scene, words: list[str]) -> None:
    """`show WORD...`: tell them again."""
    scene.lines.hidden.difference_update(words)


def together(scene: Scene, words: list[str]) -> list[str]:
    """`together`: which nodes are in one view with each other, and have agreed in it."""
    standings = scene.ledger.standings

    def fact(node: NodeId) -> str:
        standing = standings.get(node)
        if standing is None:
            return "down"
        if standing.ring is None:
            return "no view yet"
        peers = [standings.get(member) for member in standing.members]
        if not all(peer is not None and peer.ring == standing.ring for peer in peers):
            return f"in {standing.ring} with {','.join(map(str, standing.members))}, who are not"
        return ("together" if len(peers) > 1 else "alone") + (
            "" if standing.synced else ", syncing"
        )

    facts: dict[tuple[str, trace.Ring | None], list[str]] = {}
    for node in scene.cluster.nodes:
        text = fact(node)
        ring = standings[node].ring if text.startswith(("together", "alone")) else None
        facts.setdefault((text, ring), []).append(str(node))
    return [f"{','.join(nodes)}: {text}" for (text, _), nodes in facts.items()]


def order(scene: Scene, words: list[str]) -> list[str]:
    """`order`: how many messages each has delivered since last asked; equal sequences are one line.

    Clients where there are any, else nodes.
    """
    orders = scene.ledger.orders
    subjects = list(scene.clients) or [str(node) for node in scene.cluster.nodes]
    sequences: dict[tuple[int, ...], list[str]] = {}
    for subject in subjects:
        sequences.setdefault(tuple(orders.get(subject, ())), []).append(subject)
    orders.clear()
    return [
        f"{','.join(who)}: {len(keys)} messages{' in one order' if len(who) > 1 and keys else ''}"
        for keys, who in sequences.items()
    ]


def quorum(scene: Scene, words: list[str]) -> list[str]:
    """`quorum`: what votequorum of each running node says."""
    facts = []
    for node, machine in scene.cluster.nodes.items():
        group = machine.group
        if machine.running and isinstance(group, Engine):
            votes = group.status().get("votes")
            if not isinstance(votes, dict):
                raise ValueError("votequorum is not on")
            verdict = "quorate" if group.quorate else "not quorate"
            tally = f"votes={votes['total']} of {votes['expected']} quorum={votes['quorum']}"
            facts.append((str(node), f"{verdict}, {tally}"))
    return grouped(facts)


def listed(scene: Scene, words: list[str]) -> list[str]:
    """`listed GROUP`: the members of a group as each running daemon has them."""
    facts = []
    for node, machine in scene.cluster.nodes.items():
        group = machine.group
        if machine.running and isinstance(group, Engine):
            groups = group.status()["groups"]
            assert isinstance(groups, dict)
            members = [trace.Member(m["node"], m["pid"]) for m in groups.get(words[0], [])]
            names = ",".join(map(scene.lines.name, members)) or "-"
            facts.append((str(node), f"{words[0]}={names}"))
    return grouped(facts)


def token(scene: Scene, words: list[str]) -> list[str]:
    """`token`: the token time-out that holds at each node, in milliseconds."""
    return grouped(
        (str(node), f"token={machine.settings.token_timeout_ns // MS}")
        for node, machine in scene.cluster.nodes.items()
    )


def waits(scene: Scene, words: list[str]) -> list[str]:
    """`waits`: whether anything waits to be read from clients, or to be sent."""
    return grouped(
        (str(node), "nothing waits" if machine.idle else "something waits")
        for node, machine in scene.cluster.nodes.items()
        if machine.running
    )


def state(scene: Scene, words: list[str]) -> list[str]:
    """`state`: the ring's state at each node."""
    return grouped(
        (str(node), machine.totem.state.value if machine.totem is not None else "down")
        for node, machine in scene.cluster.nodes.items()
    )


def traffic(scene: Scene, words: list[str]) -> list[str]:
    """`traffic MS`: time passes; how many datagrams of each kind arrived, per second."""
    before = dict(scene.tap.arrived)
    span = int(words[0]) * MS
    scene.cluster.run_until(scene.cluster.now + span)
    rates = {
        kind.name.lower(): (count - before.get(kind, 0)) * SECOND // span
        for kind, count in sorted(scene.tap.arrived.items())
    }
    return [" ".join(f"{name}={rate}/s" for name, rate in rates.items() if rate) or "silence"]


def within(scene: Scene, words: list[str]) -> list[str]:
    """`within MS`: whether the last visible thing came that soon after the block's beginning."""
    took = max(0, scene.lines.last - scene.block_began) // MS
    return [f"within {words[0]} ms" if took <= int(words[0]) else f"after {took} ms"]


VERBS: Final[dict[str, Callable[[Scene, list[str]], list[str] | None]]] = {
    "marked": marked,
    "stored": stored,
    "hide": hide,
    "show": show,
    "together": together,
    "order": order,
    "quorum": quorum,
    "listed": listed,
    "token": token,
    "waits": waits,
    "state": state,
    "traffic": traffic,
    "within": within,
}
