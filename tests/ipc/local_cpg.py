"""A stand-alone CPG server of one node, to drive the libqb server with real clients.

Prints "ready", serves until its standard input ends, then prints what it saw as JSON.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from unisono.base.clients import (
    ClientConnected,
    ClientGone,
    ClientRequest,
    Credentials,
    Service,
)
from unisono.base.errors import CsError, WireError
from unisono.base.group import Marked
from unisono.base.ids import ClientId, NodeId, Pid, RingId, RingSeq
from unisono.ipc.directory import sweep
from unisono.ipc.endpoint import default_endpoint, instance_endpoint
from unisono.ipc.qb import QbServer
from unisono.wire.ipc import cfg, cpg, qb

NODE = NodeId(7)
RING = RingId(NODE, RingSeq(4))
EACCES = 13


class LocalCpg:
    """The handler: CPG as one node alone would serve it, and the two CFG calls that tools make."""

    def __init__(self, uids: frozenset[int], pause_every: int = 0) -> None:
        self.servers: dict[Service, QbServer] = {}
        self.services: dict[ClientId, Service] = {}
        self.pids: dict[ClientId, Pid] = {}
        self.groups: dict[bytes, dict[ClientId, cpg.Member]] = {}
        self.headers: dict[bytes, cpg.DeliverHeaders] = {}
        self.group_of: dict[ClientId, bytes] = {}
        self.walks: dict[int, list[tuple[bytes, int, int]]] = {}
        self.handles = itertools.count(1)
        self.uids = uids
        self.pause_every = pause_every
        self.multicasts = 0
        self.marks: Counter[str] = Counter()

    def mark(self, marked: Marked) -> None:
        """Count a mark."""
        self.marks[marked.mark.name] += 1

    # -- Handler ---------------------------------------------------------------------------------

    def submitted(self) -> None:
        pass

    def admit(self, service: Service, credentials: Credentials) -> int:
        """Root, and whom the command line names."""
        return 0 if credentials.uid == 0 or credentials.uid in self.uids else EACCES

    def submit(self, request: ClientConnected | ClientRequest | ClientGone) -> None:
        """Serve one request."""
        match request:
            case ClientConnected(client, service, credentials):
                self.services[client] = service
                self.pids[client] = credentials.pid
            case ClientGone(client):
                self.leave(client, cpg.Reason.PROCDOWN)
                del self.services[client]
            case ClientRequest(client, message):
                try:
                    self.serve(client, message)
                except WireError as reason:
                    self.servers[self.services[client]].disconnect(client, str(reason))

    def serve(self, client: ClientId, message: memoryview) -> None:
        """One request of either service."""
        if self.services[client] is Service.CPG:
            self.serve_cpg(client, message)
        else:
            self.serve_cfg(client, message)

    def reply(self, client: ClientId, message: bytes) -> None:
        """Answer."""
        self.servers[self.services[client]].reply(client, message)

    def notify(self, client: ClientId, pieces: list[bytes | bytearray | memoryview]) -> None:
        """Send an event."""
        self.servers[self.services[client]].notify(client, pieces)

    # -- CFG -------------------------------------------------------------------------------------

    def serve_cfg(self, client: ClientId, message: memoryview) -> None:
        """LOCAL_GET, GET_NODE_ADDRS."""
        match qb.message_id(message):
            case cfg.Request.LOCAL_GET:
                self.reply(client, cfg.encode_local_get_reply(NODE))
            case cfg.Request.GET_NODE_ADDRS:
                self.reply(client, cfg.encode_get_node_addrs_reply(cfg.AF_INET, [b"\x7f\0\0\1"]))
            case _:
                self.reply(client, qb.encode_status(0, CsError.INVALID_PARAM))

    # -- CPG -------------------------------------------------------------------------------------

    def serve_cpg(self, client: ClientId, message: memoryview) -> None:
        """One CPG request."""
        match qb.message_id(message):
            case cpg.Request.MCAST:
                _, payload = cpg.decode_mcast(message)
                self.multicast(client, payload)
            case cpg.Request.PARTIAL_MCAST:
                self.fragment(client, cpg.decode_partial_mcast(message))
            case cpg.Request.JOIN:
                join = cpg.decode_join(message)
                self.reply(client, qb.encode_status(cpg.Response.JOIN, CsError.OK))
                self.join(client, join)
            case cpg.Request.LEAVE:
                self.reply(client, qb.encode_status(cpg.Response.LEAVE, CsError.OK))
                self.leave(client, cpg.Reason.LEAVE)
            case cpg.Request.LOCAL_GET:
                self.reply(client, cpg.encode_local_get_reply(NODE))
            case cpg.Request.MEMBERSHIP:
                name = cpg.decode_membership_get(message)
                members = list(self.groups.get(name, {}).values())
                self.reply(client, cpg.encode_membership_reply(members))
            case cpg.Request.FINALIZE:
                self.reply(client, qb.encode_status(cpg.Response.FINALIZE, CsError.OK))
            case _:
                self.walk(client, message)

    def join(self, client: ClientId, join: cpg.Join) -> None:
        """Join, then the ring for those who asked for it."""
        members = self.groups.setdefault(join.name, {})
        members[client] = cpg.Member(NODE, join.pid)
        self.group_of[client] = join.name
        self.headers.setdefault(join.name, cpg.DeliverHeaders(join.name))
        self.change(join.name, [], [cpg.Member(NODE, join.pid, cpg.Reason.JOIN)])
        if join.flags & cpg.JOIN_DELIVER_INITIAL_TOTEM_CONF:
            self.notify(client, [cpg.encode_totem_confchg(RING, [NODE])])

    def leave(self, client: ClientId, reason: cpg.Reason) -> None:
        """Leave for whatever reason; the leaver sees it too."""
        name = self.group_of.pop(client, None)
        if name is None:
            return
        member = self.groups[name][client]._replace(reason=reason)
        receivers = list(self.groups[name])
        del self.groups[name][client]
        self.change(name, [member], [], receivers)

    def change(
        self,
        name: bytes,
        left: list[cpg.Member],
        joined: list[cpg.Member],
        receivers: list[ClientId] | None = None,
    ) -> None:
        """Tell the group."""
        members = self.groups[name]
        event = cpg.encode_confchg(name, list(members.values()), left, joined)
        for client in members if receivers is None else receivers:
            self.notify(client, [event])

    def multicast(self, client: ClientId, payload: memoryview) -> None:
        """Deliver to the whole group."""
        name = self.group_of.get(client)
        if name is None:
            return
        header = self.headers[name].header(NODE, self.pids[client], len(payload))
        for member in self.groups[name]:
            self.notify(member, [header, payload])
        self.multicasts += 1
        if self.pause_every and self.multicasts % self.pause_every == 0:
            server = self.servers[Service.CPG]
            server.pause()
            asyncio.get_running_loop().call_later(0.002, server.resume)

    def fragment(self, client: ClientId, part: cpg.PartialMcast) -> None:
        """Deliver a fragment, then answer."""
        name = self.group_of[client]
        header = cpg.partial_deliver_header(
            cpg.encode_name(name),
            NODE,
            self.pids[client],
            message_bytes=part.message_bytes,
            payload_bytes=len(part.payload),
            fragment=part.fragment,
        )
        for member in self.groups[name]:
            self.notify(member, [header, part.payload])
        self.reply(client, qb.encode_status(cpg.Response.PARTIAL_SEND, CsError.OK))

    def walk(self, client: ClientId, message: memoryview) -> None:
        """Iterations."""
        match qb.message_id(message):
            case cpg.Request.ITERATION_INITIALIZE:
                cpg.decode_iteration_initialize(message)
                handle = next(self.handles)
                self.walks[handle] = [
                    (name, member.node_id, member.pid)
                    for name, members in sorted(self.groups.items())
                    for member in members.values()
                ]
                self.reply(client, cpg.encode_iteration_initialize_reply(handle))
            case cpg.Request.ITERATION_NEXT:
                entries = self.walks[cpg.decode_iteration_handle(message)]
                if entries:
                    self.reply(client, cpg.encode_iteration_next_reply(*entries.pop(0)))
                else:
                    end = cpg.encode_iteration_next_reply(error=CsError.NO_SECTIONS)
                    self.reply(client, end)
            case cpg.Request.ITERATION_FINALIZE:
                del self.walks[cpg.decode_iteration_handle(message)]
                self.reply(client, qb.encode_status(cpg.Response.ITERATION_FINALIZE, CsError.OK))
            case _:
                self.reply(client, qb.encode_status(0, CsError.INVALID_PARAM))


def make_servers(handler: LocalCpg, kind: str, instance: Path | None = None, **limits: Any) -> None:
    """CPG and CFG servers for the handler; inside a running loop."""
    numbers = itertools.count(1)
    for service in (Service.CPG, Service.CFG):
        name = service.name.lower()
        endpoint = default_endpoint(name) if instance is None else instance_endpoint(instance, name)
        server = QbServer(
            service, endpoint, kind, handler, numbers=numbers, marks=handler.mark, **limits
        )
        server.start()
        handler.servers[service] = server


async def serve(options: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    handler = LocalCpg(frozenset(options.admit), options.pause_every)
    swept = sweep()
    make_servers(
        handler,
        options.kind,
        options.instance,
        clients_per_uid_max=options.clients_per_uid,
        clients_max=options.clients,
        handshake_seconds_max=options.handshake_seconds,
    )
    descriptors = len(os.listdir("/proc/self/fd"))
    end = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, end.set)
    print("ready", flush=True)
    await end.wait()
    left = len(os.listdir("/proc/self/fd")) - descriptors
    for server in handler.servers.values():
        server.close()
    report = {
        "marks": handler.marks,
        "descriptors_left": left,
        "clients": len(handler.services),
        "swept": swept,
    }
    print(json.dumps(report), flush=True)


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["shm", "socket"])
    parser.add_argument("--admit", type=int, action="append", default=[])
    parser.add_argument("--pause-every", type=int, default=0)
    parser.add_argument("--instance", type=Path)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--clients-per-uid", type=int, default=64)
    parser.add_argument("--handshake-seconds", type=float, default=5.0)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
