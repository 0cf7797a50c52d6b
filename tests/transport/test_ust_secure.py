"""The secure transport whole: sockets and the machine, on loopback."""

import asyncio
import contextlib
import os
import time

import pytest

from tests.transport.standin import secure_transport
from tests.transport.test_contract import Inbox
from unisono.base.errors import UsageError
from unisono.base.ids import NodeId
from unisono.base.limits import SECURE_FRAME_BYTES_MAX
from unisono.config.settings import NodeSettings, Settings
from unisono.crypto.keys import derive
from unisono.crypto.sender_keys import CIPHERS
from unisono.secure.context import Context, Keyring
from unisono.transport.kinds import SecureOwner, open_transport

PORT = 25605
ONE_LINK = tuple((f"127.7.4.{last}",) for last in (1, 2, 3))
TWO_LINKS = tuple((f"127.7.4.{last}", f"127.7.5.{last}") for last in (1, 2, 3))
NAMESPACE = tuple((f"10.77.0.{last}", f"fd77::{last}") for last in (1, 2, 3))
SECONDS_MAX = 10
AUTHKEY = bytes(range(256))
HELLO = b"hello"


class End(Inbox):
    def __init__(self, node, addresses, authkey=AUTHKEY):
        super().__init__()
        self.gone = []
        self.failures = []
        ports = (PORT, PORT + 1)[: len(addresses[0])]
        settings = Settings(
            node_id=NodeId(node),
            nodes=tuple(
                NodeSettings(NodeId(number), f"n{number}", each)
                for number, each in enumerate(addresses, 1)
            ),
            transport=secure_transport(*ports),
        )
        context = Context(
            NodeId(node),
            "test",
            Keyring(derive(authkey, "test")),
            CIPHERS["aes256"],
            os.urandom,
            os.urandom(16),
        )
        self.transport = open_transport(
            settings,
            self.receive,
            mark=self.marks.append,
            loop=asyncio.get_running_loop(),
            owner=SecureOwner(
                context, self.gone.append, lambda _effect: None, self.failures.append
            ),
        )

    def peers(self):
        return self.transport.status()["peers"]

    def genuine(self, source):
        return [data for data in self.payloads(source) if data != HELLO]

    def close(self):
        self.transport.close()
        assert self.failures == []


async def open_ready(addresses, enter=contextlib.nullcontext):
    """Three nodes, each of which has heard both others."""
    with enter():
        made = [End(node, addresses) for node in range(1, len(addresses) + 1)]
    async with asyncio.timeout(SECONDS_MAX):
        while any(len({node for node, _ in end.received}) < 2 for end in made):
            for end in made:
                end.transport.send_all([HELLO])
            await asyncio.sleep(0.01)
    return made


def close(made):
    for end in made:
        end.close()


@pytest.mark.parametrize(
    "addresses", [TWO_LINKS, pytest.param(NAMESPACE, marks=pytest.mark.root)], ids=["lo", "veth"]
)
async def test_frames_of_every_size_arrive_whole_and_in_order(request, addresses):
    enter = request.getfixturevalue("enter") if addresses is NAMESPACE else contextlib.nullcontext
    sizes = [1, 1200, 9_000, SECURE_FRAME_BYTES_MAX, 40, SECURE_FRAME_BYTES_MAX]
    frames = [bytes([number]) * size for number, size in enumerate(sizes)]
    made = await open_ready(addresses, enter)
    with contextlib.ExitStack() as stack:
        stack.callback(close, made)
        for turn in range(1, 21):
            made[0].transport.send_all(frames)
            async with asyncio.timeout(SECONDS_MAX):
                while any(len(end.genuine(1)) < turn * len(frames) for end in made[1:]):
                    await asyncio.sleep(0)
        for end in made[1:]:
            assert end.genuine(1) == frames * 20


async def test_farewell_of_a_peer_is_heard_at_once():
    made = await open_ready(ONE_LINK)
    with contextlib.ExitStack() as stack:
        stack.callback(close, made)
        made[2].transport.farewell()
        made[2].close()
        async with asyncio.timeout(SECONDS_MAX):
            while not (made[0].gone == made[1].gone == [3]):
                await asyncio.sleep(0.001)


async def test_peer_that_vanishes_is_noticed_within_tens_of_milliseconds():
    made = await open_ready(ONE_LINK)
    with contextlib.ExitStack() as stack:
        stack.callback(close, made)
        made[2].close()
        began = time.monotonic()
        made[0].transport.send_to(NodeId(3), b"token")
        async with asyncio.timeout(SECONDS_MAX):
            while made[0].gone != [3]:
                await asyncio.sleep(0.001)
        assert time.monotonic() - began < 0.2


async def test_secure_transport_without_keys_is_a_mistake_of_the_caller():
    settings = Settings(NodeId(1), (), secure_transport(PORT))
    with pytest.raises(UsageError, match="keys"):
        open_transport(
            settings, lambda *_: None, mark=lambda _: None, loop=asyncio.get_running_loop()
        )
