"""The libqb server against clients that are right, gone, silent, wrong, or hostile."""

import os
import random
import re
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ipc.peers import Served, receive_reply, serving, shake_hands
from unisono.base.clients import Credentials
from unisono.base.errors import ClusterError, ConnectionLost, CsError, UsageError, WireError
from unisono.base.ids import Pid
from unisono.ipc.directory import ConnectionDirectory, sweep
from unisono.ipc.endpoint import (
    Endpoint,
    abstract_address,
    instance_endpoint,
    make_instance_directory,
)
from unisono.ipc.qb_client import QbClient, connect
from unisono.ipc.ring import Consumer, Producer, Ring, open_ring
from unisono.wire.ipc import cpg, qb
from unisono.wire.ipc.shm import FLOW_AT, READ_AT, SEMAPHORE_AT

KINDS = ["shm", "socket"]
SECONDS_MAX = 40.0
NOBODY = 65_534


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, request.param) as server:
        yield server


@pytest.fixture
def shm(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path, "shm") as server:
        yield server


def event(client: QbClient) -> memoryview:
    """The next event, waited for."""
    end = time.monotonic() + SECONDS_MAX
    while (message := client.read_event()) is None:
        assert time.monotonic() < end
        time.sleep(0.0005)
    return memoryview(message)


def join(client: QbClient, name: bytes = b"g") -> None:
    reply = client.call(cpg.encode_join(name, os.getpid()))
    assert qb.decode_status(memoryview(reply)) == CsError.OK
    assert cpg.decode_confchg(event(client)).joined[0].pid == os.getpid()


def works(served: Served) -> bool:
    """Whether a client that is right is served: call, join, message, delivery."""
    with served.connect() as client:
        reply = client.call(cpg.encode_local_get())
        assert cpg.decode_local_get_reply(memoryview(reply)) == (CsError.OK, 7)
        join(client, b"works")
        client.send_request([cpg.mcast_header(5), b"hello"])
        return bytes(cpg.decode_deliver(event(client)).payload) == b"hello"


# -- clients that are right -----------------------------------------------------------------------


def test_client_when_it_multicasts_then_everything_returns_in_order(served: Served) -> None:
    with served.connect() as client:
        join(client)
        messages = [bytes([n % 256]) * (n * 37 % 5_000) for n in range(2_000)]
        returned = 0
        for message in messages:
            while not client.try_send([cpg.mcast_header(len(message)), message]):
                assert bytes(cpg.decode_deliver(event(client)).payload) == messages[returned]
                returned += 1
        while returned < len(messages):
            assert bytes(cpg.decode_deliver(event(client)).payload) == messages[returned]
            returned += 1
        assert client.read_event() is None


def test_client_when_a_message_is_the_largest_then_it_returns(served: Served) -> None:
    with served.connect() as client:
        join(client)
        payload = os.urandom((1 << 20) - 1_024)
        for _ in range(4):
            while not client.try_send([cpg.mcast_header(len(payload)), payload]):
                time.sleep(0.001)
            assert cpg.decode_deliver(event(client)).payload == payload


def test_client_when_request_exceeds_what_was_agreed_then_usage_error(served: Served) -> None:
    with served.connect() as client:
        assert client.message_bytes_max == 1 << 20
        with pytest.raises(UsageError):
            client.send_request([bytes((1 << 20) + 1)])


@pytest.mark.parametrize("kind", KINDS)
def test_reader_when_it_is_slow_then_nothing_is_lost(tmp_path: Path, kind: str) -> None:
    """More than a ring, or a socket's queue, holds: the server keeps and retries."""
    with serving(tmp_path, kind) as served, served.connect() as slow, served.connect() as sender:
        join(slow)
        join(sender)
        payload = os.urandom(50_000)
        event(slow)
        for _ in range(100):
            while not sender.try_send([cpg.mcast_header(len(payload)), payload]):
                time.sleep(0.001)
            assert cpg.decode_deliver(event(sender)).payload == payload
        for _ in range(100):
            assert cpg.decode_deliver(event(slow)).payload == payload


@pytest.mark.parametrize("kind", KINDS)
def test_reader_when_it_never_reads_then_it_is_dropped_and_others_go_on(
    tmp_path: Path, kind: str
) -> None:
    with serving(tmp_path, kind) as served:
        dead, sender = served.connect(), served.connect()
        join(dead)
        join(sender)
        payload = bytes(1_000_000)
        deadline = time.monotonic() + SECONDS_MAX
        while len(served.directories()) == 2:
            assert time.monotonic() < deadline
            sender.try_send([cpg.mcast_header(len(payload)), payload])
            while sender.read_event() is not None:
                continue
        with pytest.raises(ConnectionLost):
            dead.call(cpg.encode_local_get())
        sender.close()
        assert works(served)
    assert served.report["marks"]["CLIENT_TOO_SLOW"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_server_when_paused_then_flow_control_tells_and_resume_goes_on(
    tmp_path: Path, kind: str
) -> None:
    with serving(tmp_path, kind, "--pause-every", "10") as served, served.connect() as client:
        join(client)
        seen = set()
        for number in range(200):
            payload = number.to_bytes(4, "little")
            while not client.try_send([cpg.mcast_header(4), payload]):
                time.sleep(0.001)
            seen.add(client.flow_control)
            assert bytes(cpg.decode_deliver(event(client)).payload) == payload
        seen.add(client.flow_control)
        assert 2 in seen
        reply = client.call(cpg.encode_local_get())
        assert qb.decode_status(memoryview(reply)) == CsError.OK
        assert client.flow_control == 0


def test_client_when_it_asks_to_be_disconnected_then_it_is(served: Served) -> None:
    client = served.connect()
    client.send_request([qb.encode_request(qb.DISCONNECT)])
    with pytest.raises(ConnectionLost):
        client.read_reply(SECONDS_MAX)
    assert client.closed
    served.await_directories(0)


@pytest.mark.parametrize("kind", KINDS)
def test_call_when_the_server_is_killed_then_connection_lost_and_successor_sweeps(
    tmp_path: Path, kind: str
) -> None:
    with serving(tmp_path, kind, survives=False) as served:
        client = served.connect()
        other = served.connect()
        served.process.send_signal(signal.SIGSTOP)
        killer = threading.Timer(0.1, served.process.kill)
        killer.start()
        with pytest.raises(ConnectionLost):
            client.call(cpg.encode_local_get())
        killer.join()
        assert client.closed
        with pytest.raises(ConnectionLost):
            event(other)
        left = served.directories()
    with serving(tmp_path, kind) as successor:
        assert works(successor)
    assert not [name for name in left if Path("/dev/shm", name).exists()]


def test_sweep_when_names_are_others_then_they_stay(tmp_path: Path) -> None:
    """Other servers' directories, living owners, other namespaces, files, symbolic links."""
    mine = Credentials(Pid(1), os.geteuid(), os.getegid())
    alive = ConnectionDirectory(mine, 3)
    name = Path(alive.path).name
    keep = [
        name,
        "qb-999999999-1-2-AbCdEf",
        name.replace(f"qb-{os.getpid()}-", "qb-999999999-").replace("unisono.", "unisono.9"),
        "unrelated",
    ]
    gone = name.replace(f"qb-{os.getpid()}-", "qb-999999999-")
    reborn = re.sub(r"\.[0-9a-f]+(\.[0-9a-f]{8})$", r".1\1", name)
    for entry in [*keep, gone, reborn]:
        (tmp_path / entry).mkdir()
        (tmp_path / entry / "qb-request-cpg-data").touch()
    link = gone[:-1] + ("0" if gone[-1] != "0" else "1")
    (tmp_path / link).symlink_to(tmp_path / "unrelated")
    occupied = gone[:-2] + "zz".replace("z", "f") if not gone.endswith("ff") else gone[:-2] + "ee"
    (tmp_path / occupied).mkdir()
    (tmp_path / occupied / "not-ours").touch()
    alive.remove()
    assert sorted(sweep(str(tmp_path))) == sorted([gone, reborn])
    left = {entry.name for entry in tmp_path.iterdir()}
    assert left == {*keep, link, occupied}
    assert (tmp_path / "unrelated" / "qb-request-cpg-data").exists()


# -- clients that stop ----------------------------------------------------------------------------


def test_handshake_when_it_stops_at_any_byte_then_it_costs_nothing(served: Served) -> None:
    request = qb.encode_connect_request(1 << 20)
    before = served.descriptors()
    for length in range(len(request) + 1):
        with served.stream() as stream:
            stream.sendall(request[:length])
            if length % 2:
                stream.shutdown(socket.SHUT_WR)
    assert works(served)
    served.await_directories(0)
    served.await_descriptors(before)


def test_handshake_when_it_comes_byte_by_byte_then_it_works(served: Served) -> None:
    with served.stream() as stream:
        for byte in qb.encode_connect_request(1 << 20):
            stream.sendall(bytes([byte]))
        assert receive_reply(stream).error == 0


@pytest.mark.parametrize("kind", KINDS)
def test_handshake_when_the_peer_is_silent_then_it_ends_in_time(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind, "--handshake-seconds", "0.2") as served:
        before = served.descriptors()
        with served.stream() as stream:
            stream.sendall(b"\xff\xff")
            stream.settimeout(SECONDS_MAX)
            assert stream.recv(1) == b""
        served.await_descriptors(before)


@pytest.mark.parametrize(
    "request_bytes",
    [bytes(24), struct.pack("<i4xi4xI4x", -1, 25, 4_096), struct.pack("<i4xi4xI4x", 2, 24, 4_096)],
)
def test_handshake_when_it_is_something_else_then_closed(
    served: Served, request_bytes: bytes
) -> None:
    with served.stream() as stream:
        stream.sendall(request_bytes)
        assert stream.recv(1) == b""
    assert works(served)


@pytest.mark.parametrize(
    ("wish", "agreed"), [(0, 12_328), (500_000, 500_000), (0xFFFFFFFF, 1 << 20)]
)
def test_handshake_when_the_wish_is_odd_then_it_is_clamped(
    served: Served, wish: int, agreed: int
) -> None:
    with served.stream() as stream:
        assert shake_hands(stream, wish).message_bytes_max == agreed


def test_client_when_it_vanishes_after_the_reply_then_nothing_is_left(served: Served) -> None:
    before = served.descriptors()
    for _ in range(10):
        with served.stream() as stream:
            stream.sendall(qb.encode_connect_request(1 << 20))
    for _ in range(10):
        with served.stream() as stream:
            assert shake_hands(stream).error == 0
    served.await_directories(0)
    served.await_descriptors(before)


def test_client_when_it_vanishes_in_a_request_then_nothing_is_left(shm: Served) -> None:
    """Any word of the chunk may be missing, with or without the byte that announces it."""
    before = shm.descriptors()
    message = cpg.encode_local_get()
    chunk = struct.pack("<II", len(message), 0xA1A1A1A1) + message
    for length in range(len(chunk) + 1):
        for announce in (b"", b"\0"):
            with shm.stream() as stream:
                reply = shake_hands(stream)
                ring = open_ring(reply.request.decode(), reply.message_bytes_max)
                os.pwrite(ring.data_fd, chunk[:length], 0)
                stream.sendall(announce)
                ring.close()
    assert works(shm)
    shm.await_directories(0)
    shm.await_descriptors(before)


def test_client_when_it_dies_with_output_waiting_then_nothing_is_left(served: Served) -> None:
    before = served.descriptors()
    dead, sender = served.connect(), served.connect()
    join(dead)
    join(sender)
    payload = bytes(500_000)
    for _ in range(8):
        while not sender.try_send([cpg.mcast_header(len(payload)), payload]):
            time.sleep(0.001)
        event(sender)
    dead.close()
    join_left = cpg.decode_confchg(event(sender))
    assert join_left.left[0].reason == cpg.Reason.PROCDOWN
    sender.close()
    served.await_directories(0)
    served.await_descriptors(before)


# -- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--clients", "--clients-per-uid"])
@pytest.mark.parametrize("kind", KINDS)
def test_connect_when_there_are_too_many_then_refused_until_one_leaves(
    tmp_path: Path, kind: str, option: str
) -> None:
    with serving(tmp_path, kind, option, "3") as served:
        clients = [served.connect() for _ in range(3)]
        with pytest.raises(ClusterError) as refused:
            served.connect()
        assert refused.value.code is CsError.LIBRARY
        clients.pop().close()
        served.await_directories(2)
        clients.append(served.connect())
        for client in clients:
            client.close()


def test_connect_when_many_peers_are_silent_then_others_are_served(served: Served) -> None:
    silent = [served.stream() for _ in range(400)]
    assert works(served)
    for stream in silent:
        stream.close()


@pytest.mark.parametrize("kind", KINDS)
def test_connect_when_descriptors_run_out_at_any_point_then_nothing_is_left(
    tmp_path: Path, kind: str
) -> None:
    with serving(tmp_path, kind) as served:
        before = served.descriptors()
        outcomes = []
        for spare in range(1, 12):
            resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (before + spare, 4_096))
            try:
                served.connect().close()
                outcomes.append(CsError.OK)
            except ClusterError as refused:
                outcomes.append(refused.code)
            served.await_directories(0)
            served.await_descriptors(before)
        assert outcomes[0] is CsError.LIBRARY
        assert outcomes[-1] is CsError.OK


def test_accept_when_the_server_has_no_descriptors_then_it_recovers(served: Served) -> None:
    limit = (served.descriptors() + 3, 4_096)
    resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, limit)
    waiting = [served.stream() for _ in range(20)]
    time.sleep(0.05)
    for stream in waiting:
        stream.close()
    resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (4_096, 4_096))
    assert works(served)


# -- clients that are wrong -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(15),
        struct.pack("<i4xi4x", 4, 17),
        struct.pack("<i4xi4x", 4, 15),
        struct.pack("<i4xi4x", 4, -1),
        struct.pack("<i4xi4x", 4, 0x7FFFFFFF),
        cpg.encode_mcast(b"hello")[:30],
    ],
)
def test_request_when_its_header_lies_then_only_that_client_ends(
    served: Served, message: bytes
) -> None:
    with served.connect() as good, served.connect() as bad:
        join(good)
        bad.try_send([message])
        with pytest.raises(ConnectionLost):
            bad.read_reply(SECONDS_MAX)
        assert good.call(cpg.encode_local_get())
    assert works(served)


def test_request_when_longer_than_its_header_says_then_it_is_cut(served: Served) -> None:
    with served.connect() as client:
        assert client.call(cpg.encode_local_get() + b"trailing")


def test_request_when_id_is_unknown_then_invalid_param(served: Served) -> None:
    with served.connect() as client:
        for ident in (13, 99, -1, -2, -77):
            reply = memoryview(client.call(qb.encode_request(ident)))
            assert qb.decode_status(reply) == CsError.INVALID_PARAM


# -- clients that are hostile ---------------------------------------------------------------------


def attack(served: Served, seed: int) -> None:
    """Connect by hand, then truncate, grow and scribble while the server works on the rings."""
    dice = random.Random(seed)
    with served.stream() as stream:
        reply = shake_hands(stream)
        if reply.error:
            return
        paths = [path.decode() for path in (reply.request, reply.response, reply.event)]
        rings = [open_ring(path, reply.message_bytes_max) for path in paths]
        producer = Producer(rings[0])
        stream.setblocking(False)
        requests = [
            cpg.encode_join(b"g", os.getpid(), 1),
            cpg.encode_mcast(bytes(3_000)),
            cpg.encode_local_get(),
            cpg.encode_membership_get(b"g"),
        ]
        try:
            for _ in range(dice.randrange(5, 60)):
                message = dice.choice(requests)
                producer.put([(len(message), (message,))])
                hurt(dice, rings)
                stream.send(bytes(dice.randrange(1, 4)), socket.MSG_NOSIGNAL)
                hurt(dice, rings)
        except (OSError, WireError):
            pass
        finally:
            for ring in rings:
                ring.close()


def hurt(dice: random.Random, rings: list[Ring]) -> None:
    """One thing that the owner of the files can do to them."""
    ring = dice.choice(rings)
    match dice.randrange(6):
        case 0:
            os.ftruncate(ring.header_fd, dice.choice([0, 1, 4_096, 8_200, 8_252, 1 << 20]))
        case 1:
            os.ftruncate(ring.data_fd, dice.choice([0, 4_096, 500_000, 1_052_672]))
        case 2:
            offset = dice.choice(
                [0, READ_AT, 8, 12, 8_204, SEMAPHORE_AT, SEMAPHORE_AT + 4, FLOW_AT]
            )
            os.pwrite(ring.header_fd, dice.randbytes(4), offset)
        case 3:
            os.pwrite(ring.data_fd, dice.randbytes(64), dice.randrange(0, 200_000, 4))
        case 4:
            os.pwrite(ring.header_fd, dice.randbytes(8_252), 0)
        case _:
            pass


def test_rings_when_clients_truncate_and_scribble_then_the_server_works_on(shm: Served) -> None:
    before = shm.descriptors()
    with shm.connect() as good:
        join(good, b"good")
        for seed in range(150):
            attack(shm, seed)
            good.send_request([cpg.mcast_header(4), seed.to_bytes(4, "little")])
            delivered = cpg.decode_deliver(event(good))
            assert bytes(delivered.payload) == seed.to_bytes(4, "little")
    shm.await_directories(0)
    shm.await_descriptors(before)


def test_rings_when_truncated_again_and_again_during_traffic_then_no_signal(shm: Served) -> None:
    """A second process cuts the files in a loop while the first keeps both rings busy."""
    for _ in range(10):
        with shm.stream() as stream:
            reply = shake_hands(stream)
            paths = [path.decode() for path in (reply.request, reply.response, reply.event)]
            rings = [open_ring(path, reply.message_bytes_max) for path in paths]
            stop = threading.Event()
            cutter = threading.Thread(target=cut_until, args=(rings, stop))
            cutter.start()
            producer, events = Producer(rings[0]), Consumer(rings[2])
            message = cpg.encode_mcast(bytes(2_000))
            try:
                producer.put([(168, (cpg.encode_join(b"cut", os.getpid()),))])
                stream.sendall(b"\0")
                for _ in range(300):
                    producer.put([(len(message), (message,))])
                    stream.sendall(b"\0")
                    events.take(1)
            except (OSError, WireError):
                pass
            stop.set()
            cutter.join()
            for ring in rings:
                ring.close()
    assert works(shm)


def cut_until(rings: list[Ring], stop: threading.Event) -> None:
    """Truncate and restore all files until told to stop."""
    while not stop.is_set():
        for ring in rings:
            os.ftruncate(ring.header_fd, 0)
            os.ftruncate(ring.data_fd, 0)
            os.ftruncate(ring.header_fd, 8_252)
            os.ftruncate(ring.data_fd, 1_052_672)


def test_directory_when_replaced_by_a_link_then_nothing_else_is_removed(
    shm: Served, tmp_path: Path
) -> None:
    """The client owns its directory and may put another in its place."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "qb-request-cpg-data").touch()
    with shm.stream() as stream:
        directory = Path(shake_hands(stream).request.decode()).parent
        aside = directory.with_name(f"{directory.name}-aside")
        directory.rename(aside)
        directory.symlink_to(victim)
    deadline = time.monotonic() + SECONDS_MAX
    while list(aside.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert (victim / "qb-request-cpg-data").exists()
    directory.unlink()
    aside.rmdir()


@pytest.mark.parametrize("kind", KINDS)
def test_files_when_made_then_modes_are_libqbs(tmp_path: Path, kind: str) -> None:
    with serving(tmp_path, kind) as served, served.stream() as stream:
        reply = shake_hands(stream)
        directory = Path(reply.request.decode()).parent
        assert stat.S_IMODE(directory.stat().st_mode) == 0o770
        files = list(directory.iterdir())
        assert len(files) == (6 if kind == "shm" else 1)
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE((tmp_path / "cpg").stat().st_mode) == 0o666


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS)
def test_client_of_another_user_when_admitted_then_it_owns_its_files(
    tmp_path: Path, kind: str
) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.name.startswith("pytest-"):
            parent.chmod(0o755)
    with serving(tmp_path, kind, "--admit", str(NOBODY)) as served:
        with served.connect() as root_client:
            join(root_client)
            script = (
                "import sys, os; from tests.ipc.test_server import *;"
                "from unisono.ipc.qb_client import connect;"
                "from unisono.ipc.endpoint import Endpoint;"
                "c = connect(Endpoint('cpg', Path(sys.argv[1])));"
                "d = [n for n in os.listdir('/dev/shm') if f'-{os.getpid()}-' in n][0];"
                "assert os.stat('/dev/shm/' + d).st_uid == os.getuid();"
                "c.call(cpg.encode_join(b'x', os.getpid())); event(c);"
                "c.send_request([cpg.encode_mcast(b'hi')]);"
                "assert bytes(cpg.decode_deliver(event(c)).payload) == b'hi'; c.close()"
            )
            as_nobody(script, str(tmp_path / "cpg"))
        refused = "import sys;from tests.ipc.test_server import *;probe_refused(sys.argv[1])"
        as_nobody(refused, str(tmp_path / "cpg"), uid=NOBODY - 1)
    assert served.report["marks"]["CLIENT_REFUSED"] == 1


def probe_refused(path: str) -> None:
    """Run as a user who may not connect."""
    with pytest.raises(ClusterError) as refused:
        connect(Endpoint("cpg", Path(path)))
    assert refused.value.code is CsError.ACCESS


@pytest.mark.root
def test_datagram_when_injected_by_another_user_then_ignored(tmp_path: Path) -> None:
    """Until the server has connected its socket, the kernel lets anyone send to its name."""
    with serving(tmp_path, "socket") as served:
        with served.stream() as stream:
            base = shake_hands(stream).response.decode()
            script = (
                "import socket, sys;"
                "from unisono.ipc.endpoint import abstract_address;"
                "from unisono.wire.ipc import cpg;"
                "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
                "s.connect(abstract_address(sys.argv[1] + '-request'));"
                "s.send(cpg.encode_join(b'forged', 1))"
            )
            as_nobody(script, base)
            assert works(served)
            with served.connect() as client:
                reply = client.call(cpg.encode_membership_get(b"forged"))
                assert cpg.decode_membership_reply(memoryview(reply)).members == []
    assert served.report["marks"]["CLIENT_FOREIGN_DATAGRAM"] == 1


def as_nobody(script: str, *arguments: str, uid: int = NOBODY) -> None:
    """Run a Python script with another user's and group's rights."""
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", sys.executable]
    done = subprocess.run(
        [*command, "-c", script, *arguments], capture_output=True, text=True, timeout=SECONDS_MAX
    )
    assert done.returncode == 0, done.stderr


# -- endpoints ------------------------------------------------------------------------------------


def test_listen_when_a_server_lives_there_then_refused(served: Served) -> None:
    with pytest.raises(OSError, match="another daemon listens"):
        instance_endpoint(served.instance, "cpg").listen()
    assert works(served)


def test_listen_when_the_socket_is_stale_then_replaced(tmp_path: Path) -> None:
    endpoint = instance_endpoint(tmp_path, "cpg")
    endpoint.listen().close()
    assert endpoint.path is not None
    assert endpoint.path.exists()
    endpoint.listen().close()
    endpoint.withdraw()
    assert not endpoint.path.exists()


def test_listen_when_the_path_is_a_file_then_it_stays(tmp_path: Path) -> None:
    (tmp_path / "cpg").write_text("precious")
    with pytest.raises(OSError, match="not a socket"):
        instance_endpoint(tmp_path, "cpg").listen()
    assert (tmp_path / "cpg").read_text() == "precious"


def test_instance_directory_when_others_may_write_then_refused(tmp_path: Path) -> None:
    make_instance_directory(tmp_path / "new")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) & 0o022 == 0
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(PermissionError):
        make_instance_directory(tmp_path / "open")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    with pytest.raises(NotADirectoryError):
        make_instance_directory(tmp_path / "link")


def test_abstract_address_when_made_then_padded_to_108_bytes() -> None:
    assert abstract_address("cpg") == b"\0cpg" + bytes(104)
    with pytest.raises(OSError, match="name"):
        abstract_address("x" * 108)


def test_connect_when_nobody_listens_then_connection_lost(tmp_path: Path) -> None:
    with pytest.raises(ConnectionLost):
        connect(instance_endpoint(tmp_path, "cpg"))
