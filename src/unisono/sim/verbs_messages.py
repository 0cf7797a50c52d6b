"""Verbs of those who send: applications on the bare ring, and clients in groups.

Speaks:      one small handler per verb; its docstring is the verb's manual.
"""

from collections.abc import Callable
from typing import Final

from unisono.base.group import Guarantee, Multicast
from unisono.base.ids import MS, NodeId
from unisono.sim.messages import key_of
from unisono.sim.node import Waiting
from unisono.sim.plain import APPLICATION
from unisono.sim.scene import Scene, is_safe
from unisono.wire.service.header import GROUP_SERVICES

BLOCK_MESSAGES_MAX: Final = 100
"""Flooded messages that a native client puts into one block."""


def send(scene: Scene, words: list[str]) -> None:
    """`send N agreed|safe TEXT [SIZE]`: TEXT padded to SIZE bytes."""
    payload = scene.payload(words[2:], APPLICATION)
    scene.cluster.send_payload(NodeId(int(words[0])), payload, safe=is_safe(words[1]))


def flood(scene: Scene, words: list[str]) -> None:
    """`flood WHO COUNT [SIZE] [safe]`: unique messages that `order` counts and nothing tells.

    WHO is `all` (every running node), node ids, or names of clients.
    """
    sizes = [int(word) for word in words[2:] if word.isdigit()]
    size, safe = (sizes or [16])[0], "safe" in words
    names = words[0].split(",")
    if names[0] in scene.clients:
        for name in names:
            _flood_client(scene, name, int(words[1]), size, safe)
        return
    for machine in scene.machines(words[0]):
        if machine.running:
            for _ in range(int(words[1])):
                payload = scene.cluster.mint.make(size)
                scene.ledger.counted.add(key_of(APPLICATION, payload))
                scene.cluster.send_payload(machine.node, payload, safe=safe)


def _flood_client(scene: Scene, name: str, count: int, size: int, safe: bool) -> None:
    client = scene.clients[name]
    while count > 0:
        block = min(count, BLOCK_MESSAGES_MAX)
        client.send([scene.cluster.mint.make(size) for _ in range(block)], safe=safe)
        count -= block


def sizes(scene: Scene, words: list[str]) -> None:
    """`sizes WHO FIRST LAST`: as `flood`, one message of every size from FIRST to LAST bytes."""
    for size in range(int(words[1]), int(words[2]) + 1):
        flood(scene, [words[0], "1", str(size)])


def say(scene: Scene, words: list[str]) -> None:
    """`say N HEX...`: node N sends these bytes as a message of Corosync's services, whatever."""
    request = Multicast(GROUP_SERVICES, bytes.fromhex("".join(words[1:])), Guarantee.AGREED)
    scene.cluster.nodes[NodeId(int(words[0]))].offer(Waiting(request))


def join(scene: Scene, words: list[str]) -> None:
    """`join NAME[,NAME] N GROUP [libcpg]`: clients on node N join GROUP."""
    names, node, group = words[0].split(","), NodeId(int(words[1])), words[2].encode()
    for name in names:
        scene.lines.next_name = name
        client = scene.cluster.desks[node].open(group, is_native="libcpg" not in words)
        if client is None:
            raise ValueError(f"node {node} is down")
        scene.clients[name] = client


def tell(scene: Scene, words: list[str]) -> None:
    """`tell NAME agreed|safe TEXT [SIZE]`: the client sends to its group."""
    client = scene.clients[words[0]]
    payload = scene.payload(words[2:], client.group)
    client.send([payload], safe=is_safe(words[1]))


def part(scene: Scene, words: list[str]) -> None:
    """`part NAME[,NAME]`: the clients leave their group."""
    for name in words[0].split(","):
        scene.clients[name].leave()


def die(scene: Scene, words: list[str]) -> None:
    """`die NAME[,NAME]`: the clients are killed."""
    for name in words[0].split(","):
        client = scene.clients[name]
        scene.cluster.desks[client.member.node].die(client)


def churn(scene: Scene, words: list[str]) -> None:
    """`churn COUNT N GROUP`: clients on node N join, send and leave, or die, in turn."""
    for number in range(int(words[0])):
        name = f"churn{number}"
        join(scene, [name, words[1], words[2], *(["libcpg"] if number % 4 < 2 else [])])
        client = scene.clients.pop(name)
        client.send([scene.cluster.mint.make(100)], safe=False)
        scene.cluster.run_until(scene.cluster.now + (1 + number % 3) * MS)
        if number % 2:
            scene.cluster.desks[client.member.node].die(client)
        else:
            client.leave()


VERBS: Final[dict[str, Callable[[Scene, list[str]], list[str] | None]]] = {
    "send": send,
    "flood": flood,
    "sizes": sizes,
    "say": say,
    "join": join,
    "tell": tell,
    "churn": churn,
    "part": part,
    "die": die,
}
