"""Run inside `unshare -n -m`: real libcpg clients at our server, our client at a real Corosync.

Usage: in_namespace.py libcpg PROBE shm|socket
       in_namespace.py corosync shm|socket
Prints one JSON object; every process that it starts ends with it.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.ipc.peers import Served, serving
from unisono.base.errors import ClusterError, ConnectionLost, CsError
from unisono.ipc.endpoint import default_endpoint
from unisono.ipc.qb_client import QbClient, connect
from unisono.wire.ipc import cfg, cmap, cpg, qb, quorum

NOBODY = 65_534
SECONDS_MAX = 60.0
CONFIG = """
totem {{
    version: 2
    cluster_name: ipc
    transport: udpu
    token: 1000
}}
nodelist {{
    node {{
        nodeid: 3
        ring0_addr: 127.0.0.1
    }}
}}
quorum {{
    provider: corosync_votequorum
    expected_votes: 1
}}
system {{
    qb_ipc_type: {kind}
    sched_rr: no
}}
logging {{
    to_stderr: yes
    to_syslog: no
}}
"""


def prepare() -> None:
    """A loopback, and shared memory of our own."""
    run("ip", "link", "set", "lo", "up")
    run("mount", "-t", "tmpfs", "shm", "/dev/shm")


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX)
    if done.returncode:
        raise SystemExit(f"{command}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


# -- libcpg programs at our server ---------------------------------------------------------------


def libcpg(probe: str, kind: str) -> dict[str, Any]:
    """Every way to use the probe, as root and as another user, and Debian's tool."""
    results: dict[str, Any] = {}
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    with serving(None, kind, "--admit", str(NOBODY), "--pause-every", "5000") as served:
        descriptors = served.descriptors()
        for name, arguments in {
            "small": ["10000", "64"],
            "empty": ["100", "0"],
            "lazy": ["3000", "100", "lazy"],
            "large": ["40", "300000"],
            "largest": ["5", "1047552"],
            "fragments": ["3", "2500000"],
        }.items():
            results[name] = json.loads(run(probe, *arguments))
        results["nobody"] = json.loads(run(*as_nobody, probe, "1000", "500"))
        results["tool"] = tool_sees_a_group(probe, served)
        served.await_directories(0)
        served.await_descriptors(descriptors)
    results["report"] = served.report
    return results


def tool_sees_a_group(probe: str, served: Served) -> bool:
    """corosync-cpgtool lists a waiting client; then the client is killed."""
    client = subprocess.Popen([probe, "1", "1", "hang"], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    try:
        assert client.stdout.readline() == "joined 7\n"
        listed = run("corosync-cpgtool", "-e")
        expected = ["probe", str(client.pid), "7", "(127.0.0.1)"]
        return listed.split()[-4:] == expected and served.process.poll() is None
    finally:
        client.kill()
        client.wait()
        client.stdout.close()


# -- our client at Corosync ----------------------------------------------------------------------


def corosync(kind: str) -> dict[str, Any]:
    """Start Corosync, use each service, end it."""
    with tempfile.TemporaryDirectory() as directory:
        for name in ("lib", "run", "log"):
            Path(directory, name).mkdir()
        run("mount", "--bind", f"{directory}/lib", "/var/lib/corosync")
        run("mount", "--bind", f"{directory}/log", "/var/log/corosync")
        run("mount", "--bind", f"{directory}/run", "/run")
        config = Path(directory, "corosync.conf")
        config.write_text(CONFIG.format(kind=kind))
        with Path(directory, "output").open("w") as log:
            command = ["corosync", "-f", "-c", str(config)]
            daemon = subprocess.Popen(command, stderr=log, stdout=log)
            try:
                return use(daemon)
            finally:
                if daemon.poll() is None:
                    daemon.kill()
                daemon.wait()


def await_service(name: str) -> QbClient:
    """Connect as soon as the daemon is ready."""
    end = time.monotonic() + SECONDS_MAX
    while True:
        try:
            return connect(default_endpoint(name))
        except ClusterError as reason:
            if reason.code not in (CsError.TRY_AGAIN, CsError.LIBRARY) or time.monotonic() > end:
                raise
            time.sleep(0.02)


def use(daemon: "subprocess.Popen[bytes]") -> dict[str, Any]:
    """Every service, then the daemon's death."""
    results: dict[str, Any] = {}
    with await_service("cmap") as client:
        key = b"totem.cluster_name"
        value = cmap.decode_get_reply(memoryview(client.call(cmap.encode_get(key, 64))))
        results["cmap"] = cmap.decode_value(value.type, value.value)
    with await_service("cfg") as client:
        results["cfg"] = cfg.decode_local_get_reply(memoryview(client.call(cfg.encode_local_get())))
    with await_service("quorum") as client:
        reply = client.call(quorum.encode_getquorate())
        results["quorum"] = quorum.decode_getquorate_reply(memoryview(reply))
        assert qb.decode_status(memoryview(client.call(quorum.encode_trackstart(3)))) == CsError.OK
        results["nodes"] = quorum.decode_notification(event(client)).nodes
    client = await_service("cpg")
    results["transport"] = type(client).__name__
    results["server"] = (client.server.pid == daemon.pid, client.server.uid)
    results["cpg"] = exchange(client)
    daemon.kill()
    daemon.wait()
    try:
        client.call(cpg.encode_local_get())
    except ConnectionLost:
        results["lost"] = client.closed
    return results


def event(client: QbClient) -> memoryview:
    end = time.monotonic() + SECONDS_MAX
    while (message := client.read_event()) is None:
        assert time.monotonic() < end
        time.sleep(0.0002)
    return memoryview(message)


def exchange(client: QbClient) -> dict[str, Any]:
    """Join, many messages of many sizes, a fragmented one, leave."""
    assert qb.decode_status(memoryview(client.call(cpg.encode_join(b"grp", os.getpid(), 1)))) == 1
    joined = cpg.decode_confchg(event(client))
    ring = cpg.decode_totem_confchg(event(client))
    sizes = [n * 31 % 6_000 for n in range(2_000)] + [500_000, 1_000_000, 1_047_552, 0, 1]
    returned = again = 0

    def take(message: memoryview) -> None:
        nonlocal returned
        payload = cpg.decode_deliver(message).payload
        assert payload == bytes([returned % 251]) * sizes[returned]
        returned += 1

    for number, size in enumerate(sizes):
        payload = bytes([number % 251]) * size
        while client.flow_control or not client.try_send([cpg.mcast_header(size), payload]):
            again += 1
            take(event(client))
    while returned < len(sizes):
        take(event(client))
    fragment = os.urandom(1_000)
    for place in (cpg.Fragment.FIRST, cpg.Fragment.LAST):
        header = cpg.partial_mcast_header(1_000, 2_000, place)
        status = qb.decode_status(memoryview(client.call(header + fragment)))
        partial = cpg.decode_partial_deliver(event(client))
    assert qb.decode_status(memoryview(client.call(cpg.encode_leave(b"grp", os.getpid())))) == 1
    left = cpg.decode_confchg(event(client))
    return {
        "joined": [tuple(member) for member in joined.joined] == [(3, os.getpid(), 1)],
        "ring": ring.members,
        "returned": returned,
        "fragment": (status, bytes(partial.payload) == fragment),
        "left": left.left[0].reason,
    }


def main() -> None:
    prepare()
    match sys.argv[1:]:
        case ["libcpg", probe, kind]:
            results = libcpg(probe, kind)
        case ["corosync", kind]:
            results = corosync(kind)
        case _:
            raise SystemExit(__doc__)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
