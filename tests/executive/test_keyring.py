"""Keys that change while the ring turns: real nodes, files, sockets, and the command."""

import asyncio
import json
import os
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

import unisono.executive.keyring
from tests.executive.somebody import NOBODY, as_nobody
from tests.executive.test_node_secure import KEY, SecureRing
from unisono import Message, aio
from unisono.base.clients import Credentials
from unisono.base.errors import CsError
from unisono.base.ids import ClientId, NodeId, Pid
from unisono.base.keyring import KeyringAsked
from unisono.base.marks import Mark
from unisono.config.settings import AccessSettings, SecureSettings
from unisono.crypto.keys import derive
from unisono.crypto.sender_keys import CIPHERS
from unisono.executive.keyring import KeyFiles, KeyringDesk
from unisono.executive.keys import load_authkeys
from unisono.secure.authkeys import Authkey, Authkeys
from unisono.secure.context import Context, Keyring
from unisono.secure.rotation import Rotation
from unisono.wire import native
from unisono.wire.native import Verb

NEW = bytes(range(5, 205))
OLD_KEY, NEW_KEY, OTHER_KEY = (Authkey.of(raw, "") for raw in (KEY, NEW, b"other" * 40))
ROUND = 50


@pytest.fixture
async def ring(tmp_path: Path) -> AsyncIterator[SecureRing]:
    made = SecureRing(tmp_path, 3)
    yield made
    made.close()


async def keyring(ring: SecureRing, node: int, *arguments: str) -> tuple[int, str, str]:
    """Run `unisono keyring` against the node: status, output, errors."""
    verb, *rest = arguments
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "unisono.cli.main", "keyring", verb,
        "--instance", str(ring.path(node)), *rest,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


def key_file(ring: SecureRing, node: int, suffix: str = "") -> Path:
    return ring.path(node) / f"authkey{suffix}"


def new_key(ring: SecureRing) -> str:
    file = ring.directory / "new"
    file.write_bytes(NEW)
    file.chmod(0o400)
    return str(file)


# -- real nodes ------------------------------------------------------------------------------------


async def test_rotation_under_load_loses_no_message_and_changes_no_view(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    views = {number: len(node.texts(Mark.VIEW_INSTALLED)) for number, node in ring.nodes.items()}
    sent = dict.fromkeys((1, 2, 3), 0)
    got: dict[int, list[tuple[int, int]]] = {1: [], 2: [], 3: []}
    done = asyncio.Event()

    async def talk(group, number):
        while not done.is_set():
            for _ in range(ROUND):
                await group.send(b"%d %d" % (number, sent[number]))
                sent[number] += 1
            await asyncio.sleep(0.001)
        await group.send(b"%d -1" % number)

    async def listen(group, number):
        ended = 0
        async for event in group:
            if isinstance(event, Message):
                sender, index = map(int, event.data.split())
                ended += index < 0
                got[number].append((sender, index))
                if ended == 3:
                    return

    async with aio.connect(ring.path(1)) as a, aio.connect(ring.path(2)) as b:
        async with aio.connect(ring.path(3)) as c:
            nodes = {1: a, 2: b, 3: c}
            groups = {number: node.group("load") for number, node in nodes.items()}
            for group in groups.values():
                await group.join()
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                for number, group in groups.items():
                    tasks.create_task(listen(group, number))
                    tasks.create_task(talk(group, number))
                steps = ("install", new_key(ring)), ("use",), ("remove",)
                for node, step in zip((1, 2, 3), steps, strict=True):
                    status, output, errors = await keyring(ring, node, *step)
                    assert status == 0, output + errors
                    await asyncio.sleep(0.1)
                done.set()
    assert min(sent.values()) > 10 * ROUND
    assert got[1] == got[2] == got[3]
    for number, count in sent.items():
        own = [index for sender, index in got[1] if sender == number]
        assert own == [*range(count), -1]
    for number, node in ring.nodes.items():
        assert len(node.texts(Mark.VIEW_INSTALLED)) == views[number]
        assert key_file(ring, number).read_bytes() == NEW
        assert stat.S_IMODE(key_file(ring, number).stat().st_mode) == 0o400
        assert not key_file(ring, number, ".next").exists()
        assert not key_file(ring, number, ".previous").exists()


async def test_node_that_was_down_comes_back_with_the_old_key_and_learns_the_new_one(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    ring.nodes.pop(3).close()
    await ring.until_agreed(1, 2)
    for step in ("install", new_key(ring)), ("use",):
        status, output, _ = await keyring(ring, 1, *step)
        assert status == 0
    assert "node 3 absent" in output
    assert key_file(ring, 3).read_bytes() == KEY
    ring.start(3)
    await ring.until_agreed(1, 2, 3)
    await ring.nodes[3].until(lambda: bool(ring.nodes[3].texts(Mark.KEY_USED)))
    assert key_file(ring, 3).read_bytes() == NEW
    status, output, _ = await keyring(ring, 2, "show")
    assert status == 0
    active = [line.split()[1] for line in output.splitlines() if line[:1] in "123"]
    assert active == [derive(NEW, "").fingerprint] * 3


async def test_node_that_was_down_until_the_old_key_was_removed_is_refused_and_named(ring):
    ring.start(1, 2, 3)
    await ring.until_agreed(1, 2, 3)
    ring.nodes.pop(3).close()
    await ring.until_agreed(1, 2)
    for step in ("install", new_key(ring)), ("use",), ("remove",):
        status, output, errors = await keyring(ring, 1, *step)
        assert status == 0, errors
    assert "node 3 absent" in output
    assert "by hand" in output
    ring.start(3)
    await ring.until_agreed(3)
    theirs = f"theirs={derive(KEY, '').fingerprint} ours={derive(NEW, '').fingerprint}"
    one, three = ring.nodes[1], ring.nodes[3]
    await one.until(lambda: any(theirs in text for text in one.texts(Mark.INVALID_DIGEST)))
    assert "reason=retired-key" in one.texts(Mark.INVALID_DIGEST)[0]
    theirs_there = f"theirs={derive(NEW, '').fingerprint} ours={derive(KEY, '').fingerprint}"
    await three.until(lambda: any(theirs_there in t for t in three.texts(Mark.INVALID_DIGEST)))
    assert one.facts()["members"] == [1, 2]


async def test_command_says_who_has_not_acknowledged(ring):
    config = ring.settings(3).transport
    key = "k" * 128
    assert config.secure is not None
    for number in (1, 2):
        ring.give_key(number, key.encode())
    (ring.directory / "conf").write_text("")
    (ring.directory / "conf").chmod(0o600)
    ring.start(1, 2)
    secure = replace(config.secure, key=key)
    node = ring.make(3, transport=replace(config, secure=secure))
    node._network._config_file = ring.directory / "conf"
    node.start()
    await ring.until_agreed(1, 2, 3)
    status, output, errors = await keyring(ring, 1, "install", new_key(ring), "--timeout", "1")
    assert status == 1
    assert "nodes 1 2, not yet by node 3" in output
    assert "node 3" in errors
    assert "totem.key" in node.texts(Mark.KEYS_NOT_STORED)[0]
    status, _, errors = await keyring(ring, 2, "use")
    assert status == 1
    assert "do not hold it yet" in errors


async def test_show_as_json_has_fingerprints_alone(ring):
    ring.start(1)
    await ring.until_agreed(1)
    await keyring(ring, 1, "install", "--generate")
    status, output, _ = await keyring(ring, 1, "show", "--json")
    assert status == 0
    body = json.loads(output)
    assert body["active"] == derive(KEY, "").fingerprint
    assert body["next"] == derive(key_file(ring, 1, ".next").read_bytes(), "").fingerprint
    assert KEY.hex()[:16] not in output


@pytest.mark.root
async def test_change_by_another_user_is_refused_even_if_it_may_connect(ring):
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)  # noqa: S103  others must get to the socket in it
        ring.directory = Path(directory)
        ring.make(1, access=AccessSettings(uids=frozenset([NOBODY]))).start()
        await ring.until_agreed(1)
        loop = asyncio.get_running_loop()
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with stream:
            with as_nobody():
                stream.connect(str(ring.path(1) / "unisono.sock"))
            question = native.encode_keyring(7, Verb.INSTALL, NEW)
            await loop.sock_sendall(stream, native.encode_hello() + question)
            received = b""
            async with asyncio.timeout(20):
                while len(frames := native.split_frames(memoryview(received))[0]) < 2:
                    received += await loop.sock_recv(stream, 4096)
        welcome, answer = map(native.decode_to_client, frames)
        assert isinstance(welcome, native.Welcome)
        assert isinstance(answer, native.Answer)
        assert answer.error == CsError.ACCESS
        assert not key_file(ring, 1, ".next").exists()


# -- the desk --------------------------------------------------------------------------------------


class Desk:
    """A desk of a lone node, whose ring delivers nothing."""

    def __init__(self, file: Path) -> None:
        keys = Authkeys(OLD_KEY)
        secure = SecureSettings(key_file=str(file))
        context = Context(
            NodeId(1), "", Keyring(keys.active.keys), CIPHERS["aes256"], os.urandom, bytes(16)
        )
        self.replies: list[native.ToClient] = []
        self.desk = KeyringDesk(
            Rotation(context, keys, [NodeId(1)]),
            KeyFiles(secure, keys),
            multicast=lambda *_: None,
            reply=lambda _, frame: self.replies.append(
                native.decode_to_client(memoryview(bytes(frame)))
            ),
            mark=lambda _: None,
            on_failure=lambda _: None,
            clock=lambda: 0,
            loop=asyncio.get_running_loop(),
        )

    def ask(self, uid: int, verb: int) -> None:
        who = Credentials(Pid(1), uid, uid)
        self.desk.take(KeyringAsked(ClientId(1), who, 7, verb, False, 0, NEW), 0)
        self.desk.close()


@pytest.mark.parametrize("verb", [Verb.INSTALL, Verb.USE, Verb.REMOVE, 99])
async def test_desk_when_neither_root_nor_owner_asks_for_a_change_then_refused(
    tmp_path, monkeypatch, verb
):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    made = Desk(tmp_path / "authkey")
    made.ask(NOBODY, verb)
    (answer,) = made.replies
    assert isinstance(answer, native.Answer)
    assert answer.error == CsError.ACCESS
    assert "root" in json.loads(bytes(answer.body))["text"]


async def test_desk_when_anybody_asks_to_see_fingerprints_then_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    made = Desk(tmp_path / "authkey")
    made.ask(NOBODY, Verb.SHOW)
    (answer,) = made.replies
    assert isinstance(answer, native.Answer)
    assert answer.error == CsError.OK


@pytest.mark.parametrize("uid", [0, 1000])
async def test_desk_when_root_or_the_owner_asks_then_heard(tmp_path, monkeypatch, uid):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    made = Desk(tmp_path / "authkey")
    made.ask(uid, Verb.INSTALL)
    assert not any(
        isinstance(said, native.Answer) and said.error == CsError.ACCESS for said in made.replies
    )


# -- the files -------------------------------------------------------------------------------------

STATES = [
    Authkeys(OLD_KEY),
    Authkeys(OLD_KEY, next=NEW_KEY),
    Authkeys(NEW_KEY, previous=OLD_KEY),
    Authkeys(NEW_KEY, retired=(OLD_KEY.kid,)),
    Authkeys(OLD_KEY, retired=(NEW_KEY.kid,)),
    Authkeys(NEW_KEY, next=OTHER_KEY, previous=OLD_KEY),
]
STEPS = [
    (before, after)
    for before in STATES
    for key in (OLD_KEY, NEW_KEY, OTHER_KEY)
    for after in (before.holding(key), before.using(key), before.without([key.kid]))
    if after != before and key.kid not in before.retired
]


class Crash(Exception):
    """The power fails."""


@pytest.mark.parametrize(("before", "after"), STEPS)
def test_files_when_the_power_fails_between_any_two_then_a_key_of_then_or_now_is_active(
    tmp_path, monkeypatch, before, after
):
    secure = SecureSettings(key_file=str(tmp_path / "authkey"))
    module = unisono.executive.keyring
    left = [0]

    def failing(function):
        def call(*arguments, **options):
            if left[0] == 0:
                raise Crash
            left[0] -= 1
            function(*arguments, **options)

        return call

    monkeypatch.setattr(module, "write_key_file", failing(module.write_key_file))
    monkeypatch.setattr(module, "remove_key_file", failing(module.remove_key_file))
    for survived in range(10):
        left[0] = 100
        for file in tmp_path.iterdir():
            file.unlink()
        assert KeyFiles(secure, Authkeys(Authkey.of(b"x" * 200, ""))).store(before) == ""
        files = KeyFiles(secure, load_authkeys(secure, "", tmp_path, alone=False))
        left[0] = survived
        try:
            assert files.store(after) == ""
        except Crash:
            found = load_authkeys(secure, "", tmp_path, alone=False)
            assert found.active in (before.active, after.active)
            kept = [key for key in (found.next, found.previous) if key is not None]
            assert {found.active, *kept} & {before.active}
            assert not {key.kid for key in (found.active, *kept)} & set(found.retired)
        else:
            assert load_authkeys(secure, "", tmp_path, alone=False) == after
            return
    raise AssertionError("no end")


def test_files_when_written_then_for_the_owner_alone(tmp_path):
    secure = SecureSettings(key_file=str(tmp_path / "authkey"))
    start = Authkeys(Authkey.of(b"x" * 200, ""))
    KeyFiles(secure, start).store(Authkeys(NEW_KEY, OTHER_KEY, OLD_KEY, (b"abcd",)))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    names = ("authkey", "authkey.next", "authkey.previous", "authkey.retired")
    assert modes == dict.fromkeys(names, 0o400)


def test_files_when_the_directory_is_gone_then_the_reason_is_told(tmp_path):
    secure = SecureSettings(key_file=str(tmp_path / "none" / "authkey"))
    problem = KeyFiles(secure, Authkeys(OLD_KEY)).store(Authkeys(NEW_KEY))
    assert "No such file" in problem
