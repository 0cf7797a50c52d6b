"""Whole nodes on the secure transport, in one process, with real sockets and files."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.executive.conftest import QUICK, SECONDS_MAX, Ring
from tests.executive.places import LOOP
from unisono.base.errors import ConfigError
from unisono.base.ids import NodeId
from unisono.base.marks import Mark
from unisono.config.settings import (
    UST,
    LinkSettings,
    NodeSettings,
    SecureSettings,
    Settings,
    TransportSettings,
)

PORT = 26505
KEY = bytes(range(1, 251))


class SecureRing(Ring):
    """The same with `transport: ust`, two links, and a key file per node."""

    def settings(self, node: int) -> Settings:
        nodes = tuple(
            NodeSettings(NodeId(number), f"n{number}", (f"{LOOP}.2.{number}", f"{LOOP}.3.{number}"))
            for number in range(1, self.size + 1)
        )
        self.path(node).mkdir(exist_ok=True)
        key_file = self.path(node) / "authkey"
        if not key_file.exists():
            key_file.write_bytes(KEY)
            key_file.chmod(0o400)
        secure = SecureSettings(
            key_file=str(key_file), links=(LinkSettings(0, PORT), LinkSettings(1, PORT + 1))
        )
        transport = TransportSettings(UST, f"{LOOP}.2.{node}", port=PORT, secure=secure)
        return replace(super().settings(node), nodes=nodes, transport=transport)

    def give_key(self, node: int, key: bytes) -> None:
        self.path(node).mkdir(mode=0o700, exist_ok=True)
        file = self.path(node) / "authkey"
        file.write_bytes(key)
        file.chmod(0o400)


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[SecureRing]:
    made = SecureRing(tmp_path, 3)
    yield made
    made.close()


async def test_three_nodes_form_one_ring(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    assert len({node.facts()["ring"] for node in ring.nodes.values()}) == 1


def tokens_lost(ring: SecureRing, *numbers: int) -> int:
    return sum(ring.nodes[number].counters.of(Mark.TOKEN_LOST) for number in numbers)


async def test_node_that_vanishes_is_left_out_before_the_token_is_missed(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    began, lost = time.monotonic_ns(), tokens_lost(ring, 1, 3)
    ring.nodes[2].close()
    await ring.until_agreed(1, 3)
    assert time.monotonic_ns() - began < QUICK.token_timeout_ns // 2
    assert tokens_lost(ring, 1, 3) == lost
    ring.start(2)
    await ring.until_agreed(1, 2, 3)


async def test_stop_when_clean_tells_the_peers_too(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    lost = tokens_lost(ring, 1)
    ring.nodes[3].stop("Node was shut down by a signal")
    assert await ring.nodes[3].stopped == 0
    ring.nodes[3].close()
    await ring.until_agreed(1, 2)
    for number in (1, 2):
        peers = {peer["node"]: peer for peer in ring.nodes[number].facts()["transport"]["peers"]}
        assert peers[3]["gone"]
        assert ring.nodes[number].counters.of(Mark.PEER_GONE) == 0  # nothing had to be found out
    assert tokens_lost(ring, 1) == lost


async def test_facts_tell_of_peers_and_links_and_never_of_keys(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    transport = ring.nodes[1].facts()["transport"]
    assert transport["kind"] == "ust"
    assert [peer["node"] for peer in transport["peers"]] == [2, 3]
    assert [link["link"] for link in transport["peers"][0]["links"]] == [0, 1]
    text = json.dumps(ring.nodes[1].facts())
    for secret in (KEY.hex(), KEY[:8].hex(), str(list(KEY[:8]))):
        assert secret not in text


async def test_nodes_with_different_keys_never_share_a_ring_and_both_complain(ring):
    ring.give_key(2, KEY[::-1])
    ring.start(1, 2)
    await ring.until_agreed(1)
    await ring.until_agreed(2)
    keys = {number: ring.nodes[number].facts()["transport"]["key"] for number in (1, 2)}
    assert keys[1] != keys[2]
    for number, other in ((1, 2), (2, 1)):
        node = ring.nodes[number]
        await node.until(lambda node=node: node.texts(Mark.INVALID_DIGEST))
        line = node.texts(Mark.INVALID_DIGEST)[0]
        assert f"theirs={keys[other]} ours={keys[number]}" in line
        assert node.facts()["transport"]["complaints"]
        assert node.facts()["members"] == [number]


async def test_start_without_a_key_file_raises_and_leaves_nothing_open(ring):
    settings = ring.settings(1)
    (ring.path(1) / "authkey").unlink()
    secure = settings.transport.secure
    assert secure is not None
    node = ring.make(1, transport=replace(settings.transport, secure=secure))
    (ring.path(1) / "authkey").unlink()
    with pytest.raises(ConfigError, match="unisono keygen"):
        node.start()


async def test_failure_of_the_machine_ends_the_node_at_once(ring):
    ring.start(1, 2)
    await ring.until_agreed(1, 2)
    node = ring.nodes[1]
    node._network.transport._machine = None  # the next packet raises
    async with asyncio.timeout(SECONDS_MAX):
        assert await node.stopped == 15
