"""Real traffic of three Corosync daemons, in its total order, as events for one engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from unisono.base.ids import NodeId, RingId, RingSeq
from unisono.wire.ring.pg import decode_prefix
from unisono.wire.service import cpg, sync

VECTORS = Path(__file__).parent.parent / "vectors" / "totem"
Record = dict[str, Any]


class Said(NamedTuple):
    """One reassembled message."""

    ring: RingId
    seq: int
    origin: NodeId
    group: bytes
    payload: bytes
    decoded: Record
    phase: str


class RingLife(NamedTuple):
    """One ring: who was in it, which of them came from which ring, and all that was said in it."""

    ring: RingId
    members: tuple[NodeId, ...]
    previous: dict[NodeId, RingId | None]
    messages: list[Said]


def _ring(record: Record) -> RingId:
    return RingId(NodeId(record["rep"]), RingSeq(record["seq"]))


def _payload(record: Record) -> bytes:
    """The message; those that the vectors keep without bytes are made from their fields."""
    if "hex" in record:
        whole = bytes.fromhex(record["hex"])
        return whole[decode_prefix(whole)[1] :]
    decoded = record["decoded"]
    if decoded.get("sync") == "service_build":
        return sync.encode_service_build(_ring(decoded["ring_id"]), decoded["service_list"])
    if decoded["name"] == "downlist":
        return cpg.encode_downlist(decoded["old_members"], decoded["nodeids"])
    assert decoded["name"] == "mcast"
    headers = cpg.McastHeaders(decoded["group"].encode(), decoded["pid"], record["origin"])
    data = bytes.fromhex(decoded["data_head"])
    return headers.header(decoded["msglen"]) + data.ljust(decoded["msglen"], b"\0")


def load(name: str) -> list[Said]:
    """Every message of a run in the order of the file: rings in time, messages by sequence."""
    lines = (VECTORS / f"{name}.app.jsonl").read_text().splitlines()
    return [
        Said(
            _ring(record["ring"]),
            record["last_seq"],
            NodeId(record["origin"]),
            record["decoded"]["groups"][0].encode(),
            _payload(record),
            record["decoded"],
            record.get("phase", ""),
        )
        for record in map(json.loads, lines)
    ]


def rings(name: str) -> Iterator[RingLife]:
    """The rings of a run; members are those whose service list for the ring is in it."""
    by_ring: dict[RingId, list[Said]] = {}
    for said in load(name):
        by_ring.setdefault(said.ring, []).append(said)
    last: dict[NodeId, RingId] = {}
    for ring, messages in by_ring.items():
        ordered = sorted(messages, key=lambda said: said.seq)
        members = sorted(
            {
                said.origin
                for said in messages
                if said.decoded.get("sync") == "service_build"
                and _ring(said.decoded["ring_id"]) == ring
            }
        )
        yield RingLife(ring, tuple(members), {one: last.get(one) for one in members}, ordered)
        for one in members:
            last[one] = ring
