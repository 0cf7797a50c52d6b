"""Every captured ring datagram decodes to its recorded fields and encodes to the same bytes."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from unisono.base.errors import WireError
from unisono.wire.ring import pg, srp

VECTORS = Path(__file__).parent.parent / "vectors" / "totem"
CAPTURES = sorted(p.name for p in VECTORS.glob("*.jsonl") if ".app." not in p.name)
NATIVE = [name for name in CAPTURES if name != "synthetic_be.jsonl"]


@cache
def records(name: str) -> list[dict[str, Any]]:
    """All records of one capture."""
    return [json.loads(line) for line in (VECTORS / name).read_text().splitlines()]


def encode(message: srp.RingMessage) -> bytes:
    """The datagram of any decoded message."""
    match message:
        case srp.Token():
            return srp.encode_token(message)
        case srp.Mcast():
            header = srp.encode_mcast_header(
                origin=message.origin,
                system_from=message.system_from,
                seq=message.seq,
                this_seqno=message.this_seqno,
                ring=message.ring,
                guarantee=message.guarantee,
                encapsulated=message.encapsulated,
                node_id=message.node_id,
                target=message.target,
            )
            return header + encode_body(message)
        case srp.MergeDetect():
            return srp.encode_merge_detect(message)
        case srp.Join():
            return srp.encode_join(message)
        case srp.CommitToken():
            return srp.encode_commit(message)
        case srp.HoldCancel():
            return srp.encode_hold_cancel(message)


def encode_body(message: srp.Mcast) -> bytes:
    """The body again from its decoded parts."""
    body = memoryview(message.datagram)[srp.MCAST_HEADER_BYTES :]
    if message.encapsulated:
        return encode(srp.decode(body))
    fragmented, continuation, parts = pg.decode_packet(body)
    header = pg.encode_packet_header(fragmented, continuation, [len(part) for part in parts])
    return header + b"".join(parts)


def fields_of(message: srp.RingMessage) -> dict[str, Any]:
    """The decoded message in the vectors' own field names."""

    def ring(value: Any) -> dict[str, int]:
        return {"rep": value.rep, "seq": value.seq}

    match message:
        case srp.Token():
            return {
                "seq": message.seq,
                "token_seq": message.token_seq,
                "aru": message.aru,
                "aru_addr": message.aru_addr,
                "ring_id": ring(message.ring),
                "backlog": message.backlog,
                "fcc": message.fcc,
                "retrans_flg": message.retrans_flg,
            }
        case srp.Mcast():
            return {
                "system_from": message.system_from,
                "seq": message.seq,
                "this_seqno": message.this_seqno,
                "ring_id": ring(message.ring),
                "guarantee": message.guarantee,
            }
        case srp.MergeDetect():
            return {"system_from": message.system_from, "ring_id": ring(message.ring)}
        case srp.Join():
            return {
                "system_from": message.system_from,
                "ring_seq": message.ring_seq,
                "proc_list": message.proc,
                "failed_list": message.failed,
                "leave": message.leave,
            }
        case srp.CommitToken():
            return {
                "token_seq": message.token_seq,
                "ring_id": ring(message.ring),
                "memb_index": message.memb_index,
                "addr": message.addr,
                "memb_list": [
                    {
                        "ring_id": ring(entry.ring),
                        "aru": entry.aru,
                        "high_delivered": entry.high_delivered,
                        "received_flg": entry.received_flg,
                    }
                    for entry in message.entries
                ],
            }
        case srp.HoldCancel():
            return {"ring_id": ring(message.ring)}


@pytest.mark.parametrize("name", NATIVE)
def test_decode_when_captured_then_fields_are_as_recorded(name: str) -> None:
    for record in records(name):
        recorded = record["decoded"]
        decoded = fields_of(srp.decode(bytes.fromhex(record["hex"])))
        assert decoded == {key: recorded[key] for key in decoded}


@pytest.mark.parametrize("name", NATIVE)
def test_encode_when_decoded_then_bytes_are_the_same(name: str) -> None:
    for record in records(name):
        datagram = bytes.fromhex(record["hex"])
        assert encode(srp.decode(datagram)) == datagram


@pytest.mark.parametrize("name", NATIVE)
def test_decode_when_cut_anywhere_then_wire_error_only(name: str) -> None:
    """A cut message body may still be a well-formed mcast, never a well-formed packet."""
    seen: set[tuple[str, int]] = set()
    for record in records(name):
        datagram = bytes.fromhex(record["hex"])
        key = (record["decoded"]["msg"], len(datagram))
        if key in seen:
            continue
        seen.add(key)
        for cut in range(len(datagram)):
            with pytest.raises(WireError):
                decode_whole(datagram[:cut])


def decode_whole(datagram: bytes) -> None:
    """Decode down to the parts of the innermost packet."""
    message = srp.decode(datagram)
    if isinstance(message, srp.Mcast):
        body = memoryview(datagram)[srp.MCAST_HEADER_BYTES :]
        if message.encapsulated:
            decode_whole(bytes(body))
        else:
            pg.decode_packet(body)


def test_decode_when_big_endian_then_refused() -> None:
    """Mixed-endian rings cannot complete synchronisation in Corosync either."""
    swapped = records("synthetic_be.jsonl")
    assert swapped
    for record in swapped:
        with pytest.raises(WireError, match="big-endian"):
            srp.decode(bytes.fromhex(record["hex"]))
        assert srp.decode(bytes.fromhex(record["hex_le"]))
