"""Real daemons that read their configuration again: times, nodes, users, logs."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.executive.conftest import QUICK, SECONDS_MAX, Ring
from tests.executive.test_node_secure import SecureRing
from unisono.base.ids import MS
from unisono.base.limits import RELOADS_WAITING_MAX
from unisono.base.marks import Mark
from unisono.config.load import Loaded
from unisono.config.problems import ConfigErrors
from unisono.config.reload import ConfigurationRead, ReadConfiguration
from unisono.config.settings import AccessSettings, RingSettings, Settings
from unisono.executive.reading import Reading

NOW = 0
FASTER = RingSettings(
    token_timeout_ns=200 * MS,
    token_retransmit_ns=47 * MS,
    hold_ns=30 * MS,
    consensus_ns=240 * MS,
)


def with_ring(ring: RingSettings) -> Callable[[Settings], Settings]:
    return lambda settings: replace(settings, ring=ring)


def broken(_settings: Settings) -> Settings:
    raise ConfigErrors(["f:3: totem.token: found x"])


async def reloaded(ring: Ring, *numbers: int) -> None:
    """Until every one of these has heard that node 1's reload is over."""
    await ring.nodes[1].until(lambda: ring.nodes[1].texts(Mark.RELOAD_ENDED) != [])
    for number in numbers:
        node = ring.nodes[number]
        await node.until(lambda node=node: node.texts(Mark.SETTING_CHANGED) != [])


async def test_times_when_changed_then_the_next_failure_is_noticed_by_them(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    ring.files = dict.fromkeys((1, 2, 3), with_ring(FASTER))
    ring.nodes[1].hang_up()
    await reloaded(ring, 1, 2, 3)
    began = time.monotonic_ns()
    ring.nodes[2].close()
    await ring.until_agreed(1, 3)
    assert time.monotonic_ns() - began < QUICK.token_timeout_ns
    assert "totem.token: 1000 ms -> 200 ms" in ring.nodes[3].texts(Mark.SETTING_CHANGED)


async def test_files_when_one_is_broken_then_no_node_changes_and_the_log_says_why(ring):
    ring.start(1, 2)
    await ring.until_agreed(1, 2)
    ring.files = {1: with_ring(FASTER), 2: broken}
    ring.nodes[1].hang_up()
    await ring.nodes[1].until(lambda: ring.nodes[1].texts(Mark.RELOAD_ENDED) != [])
    assert ring.nodes[1].texts(Mark.RELOAD_ENDED) == ["failed; nothing was changed on any node"]
    assert ring.nodes[2].texts(Mark.CONFIGURATION_REFUSED) == ["f:3: totem.token: found x"]
    assert ring.nodes[1].texts(Mark.SETTING_CHANGED) == []


async def test_command_when_given_then_tells_what_each_node_does(ring):
    ring.start(1, 2)
    await ring.until_agreed(1, 2)
    ring.files = {1: with_ring(FASTER), 2: with_ring(FASTER)}
    status, output, errors = await unisono("reload", "--instance", str(ring.path(2)))
    assert (status, errors) == (0, "")
    assert "node 1: changed totem.token: 1000 ms -> 200 ms" in output
    assert "node 2: changed totem.token: 1000 ms -> 200 ms" in output
    ring.files = {1: lambda settings: replace(settings, cluster_name="other"), 2: broken}
    status, output, errors = await unisono("reload", "--instance", str(ring.path(2)))
    assert status == 1
    assert "node 1: kept until its next start: totem.cluster_name: nothing -> other" in output
    assert "node 2: cannot use its file: f:3: totem.token: found x" in output
    assert errors == "unisono reload: nothing was changed on any node\n"
    status, output, _ = await unisono("reload", "--json", "--instance", str(ring.path(1)))
    assert status == 1
    assert json.loads(output)["nodes"]["2"]["problems"] == ["f:3: totem.token: found x"]


async def test_users_when_granted_then_they_may_connect(ring):
    ring.start(1)
    await ring.until_agreed(1)
    ring.files = {1: lambda s: replace(s, access=AccessSettings(uids=frozenset((7,))))}
    ring.nodes[1].hang_up()
    await reloaded(ring, 1)
    assert ring.nodes[1].texts(Mark.SETTING_CHANGED) == ["uidgid.uid: nothing -> 7"]
    assert ring.nodes[1]._settings.access.uids == {7}


async def test_log_when_changed_then_lines_go_where_they_shall(ring, tmp_path):
    ring.start(1)
    await ring.until_agreed(1)
    file = tmp_path / "new.log"

    def logged(settings: Settings) -> Settings:
        logging = replace(settings.logging, to_logfile=True, logfile=str(file), debug="on")
        return replace(settings, logging=logging)

    ring.files = {1: logged}
    ring.nodes[1].hang_up()
    await reloaded(ring, 1)
    ring.nodes[1]._log.flush()
    assert "Config reload: done" in file.read_text()


# -- nodes come and go -----------------------------------------------------------------------------


@asynccontextmanager
async def growing(kind: type[Ring], directory: Path):
    ring = kind(directory, 2)
    try:
        ring.start(1, 2)
        await ring.until_agreed(1, 2)
        yield ring
    finally:
        ring.close()


@pytest.mark.parametrize("kind", [Ring, SecureRing])
async def test_node_when_added_on_the_whole_ring_then_it_may_join(kind, tmp_path):
    async with growing(kind, tmp_path) as ring:
        ring.size = 3  # all files have three nodes now
        ring.start(3)
        await ring.until_agreed(1, 2)
        assert list(ring.nodes[1].facts()["members"]) == [1, 2]
        ring.nodes[1].hang_up()
        await reloaded(ring, 1, 2)
        await ring.until_agreed(1, 2, 3)


@pytest.mark.parametrize("kind", [Ring, SecureRing])
async def test_node_when_taken_away_then_the_others_go_on_without_it(kind, tmp_path):
    async with growing(kind, tmp_path) as ring:
        ring.size = 3
        ring.nodes[1].hang_up()
        await reloaded(ring, 1, 2)
        ring.start(3)
        await ring.until_agreed(1, 2, 3)
        two = ring.settings(1).nodes[:2]
        ring.files = dict.fromkeys((1, 2), lambda settings: replace(settings, nodes=two))
        ring.nodes[1].hang_up()
        await ring.until_agreed(1, 2)
        status = ring.nodes[1].facts()["transport"]
        assert [peer["node"] for peer in status.get("peers", [])] in ([], [2])
        ring.nodes[3].close()


# -- reading ---------------------------------------------------------------------------------------


class Reader:
    """A Reading whose file is opened when a test says so."""

    def __init__(self, settings: Settings, patience: float) -> None:
        self.settings = settings
        self.gate = threading.Event()
        self.reads = 0
        self.told: list[ConfigurationRead] = []
        self.news = asyncio.Event()
        self.reading = Reading(
            self.load,
            lambda: settings,
            self.tell,
            loop=asyncio.get_running_loop(),
            patience=patience,
        )

    def load(self) -> Loaded:
        self.reads += 1
        assert self.gate.wait(SECONDS_MAX)
        return Loaded(self.settings, [])

    def tell(self, found: ConfigurationRead) -> None:
        self.told.append(found)
        self.news.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while len(self.told) < count:
                self.news.clear()
                await self.news.wait()


async def test_reading_when_asked_again_meanwhile_then_read_once_more_for_all_of_them(ring):
    reader = Reader(ring.settings(1), SECONDS_MAX)
    for ticket in (1, 2, 3):
        reader.reading.read(ReadConfiguration(ticket), NOW)
    reader.gate.set()
    await reader.until(3)
    assert reader.reads == 2
    assert [one.ticket for one in reader.told] == [1, 2, 3]
    assert all(one.changes is not None for one in reader.told)
    reader.reading.close()


async def test_reading_when_asked_far_too_often_then_refused_at_once(ring):
    reader = Reader(ring.settings(1), SECONDS_MAX)
    for ticket in range(RELOADS_WAITING_MAX + 3):
        reader.reading.read(ReadConfiguration(ticket), NOW)
    assert [one.problems for one in reader.told] == [("too many reloads at once",)] * 2
    reader.gate.set()
    await reader.until(RELOADS_WAITING_MAX + 3)
    assert reader.reads == 2
    reader.reading.close()


async def test_reading_when_the_disk_hangs_then_told_in_time_and_no_second_thread(ring):
    reader = Reader(ring.settings(1), 0.05)
    reader.reading.read(ReadConfiguration(1), NOW)
    await reader.until(1)
    assert reader.told[0].problems == ("no answer within 0.05 s",)
    reader.reading.read(ReadConfiguration(2), NOW)
    await reader.until(2)
    assert reader.reads == 1
    reader.gate.set()
    async with asyncio.timeout(SECONDS_MAX):
        while reader.reading._thread is not None:
            await asyncio.sleep(0)
    reader.reading.read(ReadConfiguration(3), NOW)
    await reader.until(3)
    assert reader.told[2].changes is not None
    reader.reading.close()


async def test_reading_when_it_fails_in_a_way_that_nobody_foresaw_then_told(ring):
    reader = Reader(ring.settings(1), SECONDS_MAX)
    reader.reading = Reading(
        lambda: json.loads("{"),
        lambda: reader.settings,
        reader.tell,
        loop=asyncio.get_running_loop(),
    )
    reader.reading.read(ReadConfiguration(1), NOW)
    await reader.until(1)
    assert "JSONDecodeError" in reader.told[0].problems[0]
    reader.reading.close()


# -- the signal ------------------------------------------------------------------------------------


def test_hang_up_when_signalled_then_files_are_opened_and_the_configuration_is_read(host):
    log = host.config.parent / "log"
    logging = f"logging {{\n    to_stderr: yes\n    to_logfile: yes\n    logfile: {log}\n}}\n"
    text = host.config.read_text() + logging
    host.config.write_text(text)
    command = host.command("-f")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(process, "ready to provide service")
            log.rename(log.with_suffix(".1"))
            host.config.write_text(text.replace("token: 1000", "token: 2000"))
            process.send_signal(signal.SIGHUP)
            wait_for(process, "totem.token: 1000 ms -> 2000 ms")
            wait_for(process, "Config reload: done")
            host.config.write_text(text.replace("token: 1000", "token: never"))
            process.send_signal(signal.SIGHUP)
            wait_for(process, "Unable to reload the configuration")
            wait_for(process, "Config reload: failed")
            process.terminate()
            assert process.wait(SECONDS_MAX) == 0
        finally:
            process.kill()
    assert "Config reload: done" in log.read_text()
    assert "Config reload: done" not in log.with_suffix(".1").read_text()


def wait_for(process: subprocess.Popen, text: str) -> None:
    for line in process.stderr:
        if text in line:
            return
    pytest.fail(f"the daemon ended before it said: {text}")


async def unisono(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "unisono.cli.main",
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()
