"""Real daemons: in this process (`Ring`) and as processes (`Daemon`), on loopback addresses."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.executive.places import LOOP
from unisono.base.group import Marked
from unisono.base.ids import MS, NodeId
from unisono.base.marks import Mark
from unisono.config.load import Loaded
from unisono.config.settings import (
    UDPU,
    LoggingSettings,
    NodeSettings,
    RingSettings,
    Settings,
    TransportSettings,
)
from unisono.executive.instance import Instance
from unisono.executive.node import Node
from unisono.executive.reading import Load, nothing_to_read
from unisono.observe.logs import Log

PORT = 26405
SECONDS_MAX = 20
QUICK = RingSettings(
    token_timeout_ns=1000 * MS,
    token_retransmit_ns=238 * MS,
    hold_ns=180 * MS,
    consensus_ns=1200 * MS,
)


class Watched(Node):
    """A node that tells a test when something is marked."""

    __slots__ = ("marked", "marks")

    def __init__(
        self, settings: Settings, instance: Instance, log: Log, load: Load = nothing_to_read
    ) -> None:
        self.marks: list[Marked] = []
        self.marked = asyncio.Event()
        super().__init__(settings, instance, log, load=load, overhear=self._overhear)

    def _overhear(self, marked: Marked) -> None:
        self.marks.append(marked)
        self.marked.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not condition():
                self.marked.clear()
                await self.marked.wait()

    def texts(self, mark: Mark) -> list[str]:
        return [marked.text for marked in self.marks if marked.mark is mark]


class Ring:
    """Nodes of one ring in this process, LOOP.0.x, each with an instance directory."""

    def __init__(self, directory: Path, size: int) -> None:
        self.directory = directory
        self.size = size
        self.nodes: dict[int, Watched] = {}
        self.files: dict[int, Callable[[Settings], Settings]] = {}
        """What makes of a node's settings those that it reads again."""

    def read(self, node: int) -> Loaded:
        edit = self.files.get(node, lambda settings: settings)
        return Loaded(edit(self.settings(node)), [])

    def settings(self, node: int) -> Settings:
        nodes = tuple(
            NodeSettings(NodeId(number), f"n{number}", (f"{LOOP}.0.{number}",))
            for number in range(1, self.size + 1)
        )
        return Settings(
            node_id=NodeId(node),
            nodes=nodes,
            transport=TransportSettings(UDPU, f"{LOOP}.0.{node}", port=PORT),
            ring=QUICK,
            logging=LoggingSettings(to_stderr=False, to_syslog=False),
        )

    def path(self, node: int) -> Path:
        return self.directory / f"n{node}"

    def make(self, node: int, **changes: object) -> Watched:
        settings = replace(self.settings(node), **changes)
        instance = Instance(self.path(node))
        instance.prepare()
        made = self.nodes[node] = Watched(
            settings, instance, Log(settings.logging), lambda: self.read(node)
        )
        return made

    def start(self, *numbers: int) -> None:
        for number in numbers:
            self.make(number).start()

    async def until_agreed(self, *members: int) -> None:
        """Until these nodes have one view of themselves and serve clients."""
        wanted = f"Members[{len(members)}]: {' '.join(map(str, members))}"
        for number in members:
            node = self.nodes[number]
            await node.until(
                lambda node=node: (
                    node.texts(Mark.MEMBERS_AGREED)[-1:] == [wanted]
                    and not node.facts()["clients_paused"]
                )
            )

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()
            node._log.close()


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[Ring]:
    made = Ring(tmp_path, 3)
    yield made
    made.close()


CONFIG = f"""\
totem {{
    version: 2
    transport: udpu
    token: 1000
    interface {{
        linknumber: 0
        mcastport: 26415
    }}
}}
nodelist {{
    node {{
        nodeid: 1
        ring0_addr: {LOOP}.1.1
    }}
    node {{
        nodeid: 2
        ring0_addr: {LOOP}.1.2
    }}
}}
logging {{
    to_syslog: no
}}
"""


class Host:
    """A configuration, an instance directory, and `unisonod` run with them."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "corosync.conf"
        self.config.write_text(CONFIG)
        self.instance = directory / "instance"
        self.started: list[int] = []

    def command(self, *options: str) -> list[str]:
        return [
            sys.executable,
            "-m",
            "unisono.executive",
            "-c",
            str(self.config),
            "--instance",
            str(self.instance),
            "--node-id",
            "1",
            *options,
        ]

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*options), capture_output=True, text=True, timeout=SECONDS_MAX
        )

    def stop(self) -> None:
        for pid in self.started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.stop()
