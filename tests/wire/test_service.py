"""Service messages of real daemons decode to what was recorded, and encode to the same bytes."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import UsageError, WireError
from unisono.base.ids import NodeId, Pid, RingId, RingSeq
from unisono.wire.ipc.cpg import encode_name
from unisono.wire.ring.pg import decode_prefix
from unisono.wire.service import cfg, cmap, cpg, header, native, sync, votequorum

VECTORS = Path(__file__).parent.parent / "vectors" / "totem"
Record = dict[str, Any]
HEADER_PADDING = [(4, 8), (12, 16)]
"""C senders leave the header's padding unset in some messages."""


def load() -> dict[str, tuple[Record, bytes]]:
    """Each distinct recorded message (without the sender's pointer) by a readable name."""
    found: dict[str, tuple[Record, bytes]] = {}
    for path in sorted(VECTORS.glob("*.app.jsonl")):
        for number, line in enumerate(path.read_text().splitlines()):
            record = json.loads(line)
            if "hex" in record:
                whole = bytes.fromhex(record["hex"])
                _, start = decode_prefix(whole)
                kind = record["decoded"].get("sync") or record["decoded"]["name"]
                found[f"{path.name.split('.')[0]}-{number}-{kind}"] = record, whole[start:]
    return found


RECORDS = load()


def ring_of(decoded: Record) -> RingId:
    return RingId(NodeId(decoded["ring_id"]["rep"]), RingSeq(decoded["ring_id"]["seq"]))


def again(decoded: Record, payload: bytes) -> tuple[bytes, list[tuple[int, int]]]:
    """Decode, compare with the record, encode; and the byte ranges that are not ours to choose."""
    view = memoryview(payload)
    match decoded.get("sync") or f"{decoded['service']} {decoded['name']}":
        case "barrier":
            barrier = sync.decode_sync(view)
            assert barrier == sync.Barrier(ring_of(decoded))
            return sync.encode_barrier(barrier.ring), HEADER_PADDING
        case "service_build":
            build = sync.decode_sync(view)
            assert build == sync.ServiceBuild(ring_of(decoded), decoded["service_list"])
            return sync.encode_service_build(build.ring, build.services), HEADER_PADDING
        case "CMAP mcast":
            message = cmap.decode_mcast(view)
            assert [item.key.decode() for item in message.items] == [
                item["key"] for item in decoded["items"]
            ]
            assert cmap.config_version(message.items) == decoded["items"][0].get("value", 0)
            assert message.reason == decoded["reason"]
            return cmap.encode_mcast(message), HEADER_PADDING
        case "CPG procjoin" | "CPG procleave":
            change = cpg.decode_process(view)
            told = (change.name.decode(), change.pid, change.reason)
            assert told == (decoded["group"], decoded["pid"], decoded["reason"])
            encode = {"procjoin": cpg.encode_procjoin, "procleave": cpg.encode_procleave}
            return encode[decoded["name"]](change.name, change.pid, change.reason), HEADER_PADDING
        case "CPG joinlist":
            processes = cpg.decode_joinlist(view)
            assert [(one.name.decode(), one.pid) for one in processes] == [
                (entry["group"], entry["pid"]) for entry in decoded["entries"]
            ]
            return cpg.encode_joinlist(processes), HEADER_PADDING
        case "CPG downlist":
            downlist = cpg.decode_downlist(view)
            assert downlist == cpg.Downlist(decoded["old_members"], decoded["nodeids"])
            # Entries beyond the count are those of an earlier list.
            free = (32 + 4 * len(downlist.left), 1568)
            encoded = cpg.encode_downlist(downlist.old_members, downlist.left)
            return encoded, [*HEADER_PADDING, free]
        case "CPG mcast":
            field, pid, data = cpg.decode_mcast(view)
            assert field == encode_name(decoded["group"].encode())
            assert (pid, len(data)) == (decoded["pid"], decoded["msglen"])
            headers = cpg.McastHeaders(decoded["group"].encode(), pid, decoded["source_nodeid"])
            # source.conn is an address in the sender's memory.
            return headers.header(len(data)) + data, [*HEADER_PADDING, (176, 184)]
        case "VOTEQUORUM nodeinfo":
            info = votequorum.decode_nodeinfo(view)
            assert info == votequorum.NodeInfo(
                decoded["nodeid"], decoded["votes"], decoded["expected_votes"], decoded["flags"]
            )
            return votequorum.encode_nodeinfo(info), HEADER_PADDING
        case "VOTEQUORUM reconfigure":
            order = votequorum.decode_reconfigure(view)
            assert order == votequorum.Reconfigure(
                decoded["nodeid"], decoded["value"], decoded["param"]
            )
            return votequorum.encode_reconfigure(order), [*HEADER_PADDING, (28, 32)]
        case "CFG killnode":
            kill = cfg.decode_killnode(view)
            assert (kill.node_id, kill.reason.decode() + "\0") == (
                decoded["nodeid"],
                decoded["reason"],
            )
            # The reason's field is not cleared beyond its end.
            end = 32 + len(kill.reason) + 1
            return cfg.encode_killnode(kill), [*HEADER_PADDING, (20, 24), (26, 32), (end, 288)]
        case "CFG reload_config":
            assert cfg.decode_sourced(view) == decoded["source_nodeid"]
            return cfg.encode_reload_config(decoded["source_nodeid"]), [*HEADER_PADDING, (20, 32)]
        case "CFG shutdown":
            cfg.decode_shutdown(view)
            return cfg.encode_shutdown(), HEADER_PADDING
        case unknown:
            raise AssertionError(unknown)


@pytest.mark.parametrize("name", RECORDS)
def test_recorded_message_when_decoded_and_encoded_then_fields_and_bytes_are_equal(
    name: str,
) -> None:
    record, payload = RECORDS[name]
    decoded = record["decoded"]
    encoded, free = again(decoded, payload)
    assert header.message_id(memoryview(payload)) == decoded["id"]
    masked_own, masked_theirs = bytearray(encoded), bytearray(payload)
    for start, end in free:
        masked_own[start:end] = masked_theirs[start:end] = bytes(end - start)
    assert masked_own.hex() == masked_theirs.hex()


def test_recorded_messages_when_counted_then_every_kind_is_there() -> None:
    kinds = {name.rsplit("-", 1)[1] for name in RECORDS}
    assert kinds == {
        "barrier",
        "service_build",
        "mcast",
        "procjoin",
        "procleave",
        "joinlist",
        "downlist",
        "nodeinfo",
        "reconfigure",
        "killnode",
        "reload_config",
        "shutdown",
    }


RING = RingId(NodeId(1), RingSeq(9))
GROUP = b"group\0with any bytes\xff"
HEADERS = cpg.McastHeaders(GROUP, 77, 3)
SAMPLES: dict[str, tuple[bytes, Callable[[memoryview], object], object]] = {
    "barrier": (sync.encode_barrier(RING), sync.decode_sync, sync.Barrier(RING)),
    "service_build": (
        sync.encode_service_build(RING, [0, 2, 40]),
        sync.decode_sync,
        sync.ServiceBuild(RING, [0, 2, 40]),
    ),
    "procjoin": (
        cpg.encode_procjoin(GROUP, 77, 1),
        cpg.decode_process,
        cpg.ProcessChange(GROUP, Pid(77), 1),
    ),
    "procleave": (
        cpg.encode_procleave(b"n" * 128, 77, 5),
        cpg.decode_process,
        cpg.ProcessChange(b"n" * 128, Pid(77), 5),
    ),
    "joinlist": (
        cpg.encode_joinlist([cpg.Process(GROUP, Pid(1)), cpg.Process(b"", Pid(2))]),
        cpg.decode_joinlist,
        [cpg.Process(GROUP, Pid(1)), cpg.Process(b"", Pid(2))],
    ),
    "downlist": (
        cpg.encode_downlist(3, [2, 3]),
        cpg.decode_downlist,
        cpg.Downlist(3, [NodeId(2), NodeId(3)]),
    ),
    "mcast": (
        HEADERS.header(5) + b"hello",
        cpg.decode_mcast,
        (encode_name(GROUP), 77, b"hello"),
    ),
    "partial_mcast": (
        HEADERS.partial_header(9, 5, 1) + b"hello",
        cpg.decode_partial_mcast,
        cpg.PartialMcast(encode_name(GROUP), 9, Pid(77), 1, memoryview(b"hello")),
    ),
    "nodeinfo": (
        votequorum.encode_nodeinfo(votequorum.NodeInfo(NodeId(2), 1, 3, 9)),
        votequorum.decode_nodeinfo,
        votequorum.NodeInfo(NodeId(2), 1, 3, 9),
    ),
    "reconfigure": (
        votequorum.encode_reconfigure(votequorum.Reconfigure(NodeId(2), 5, 2)),
        votequorum.decode_reconfigure,
        votequorum.Reconfigure(NodeId(2), 5, 2),
    ),
    "qdevice_reg": (
        votequorum.encode_qdevice_reg(votequorum.QdeviceReg(1, b"Qdevice")),
        votequorum.decode_qdevice_reg,
        votequorum.QdeviceReg(1, b"Qdevice"),
    ),
    "qdevice_reconfigure": (
        votequorum.encode_qdevice_reconfigure(votequorum.QdeviceReconfigure(b"old", b"new")),
        votequorum.decode_qdevice_reconfigure,
        votequorum.QdeviceReconfigure(b"old", b"new"),
    ),
    "cmap mcast": (
        cmap.encode_mcast(cmap.Mcast(0, [cmap.Item(b"a", 11, b"xyz"), cmap.Item(b"b", 0, b"")])),
        cmap.decode_mcast,
        cmap.Mcast(0, [cmap.Item(b"a", 11, b"xyz"), cmap.Item(b"b", 0, b"")]),
    ),
    "killnode": (
        cfg.encode_killnode(cfg.KillNode(NodeId(2), b"why")),
        cfg.decode_killnode,
        cfg.KillNode(NodeId(2), b"why"),
    ),
    "shutdown": (cfg.encode_shutdown(), cfg.decode_shutdown, None),
    "reload_config": (cfg.encode_reload_config(4), cfg.decode_sourced, 4),
    "ringreenable": (cfg.encode_ringreenable(4), cfg.decode_sourced, 4),
    "crypto_reconfig": (cfg.encode_crypto_reconfig(2), cfg.decode_crypto_reconfig, 2),
    "hello": (native.encode_hello(RING, 7), native.decode_native, native.Hello(RING, 7)),
    "block": (
        native.encode_block(GROUP, 77, b"block"),
        native.decode_native,
        native.Block(GROUP, Pid(77), memoryview(b"block")),
    ),
}
DECODERS = sorted({decode for _, decode, _ in SAMPLES.values()}, key=lambda f: f.__qualname__)


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_when_encoded_and_decoded_then_it_is_equal(name: str) -> None:
    encoded, decode, value = SAMPLES[name]
    assert decode(memoryview(encoded)) == value


@pytest.mark.parametrize("name", SAMPLES)
def test_sample_when_cut_at_any_byte_then_wire_error(name: str) -> None:
    encoded, decode, _ = SAMPLES[name]
    # A native block has no length of its own: totem's message ends it, the block checks itself.
    end = native.HEADER_BYTES + len(GROUP) if name == "block" else len(encoded)
    for length in range(end):
        with pytest.raises(WireError):
            decode(memoryview(encoded)[:length])


@pytest.mark.parametrize("name", RECORDS)
def test_recorded_message_when_cut_then_wire_error(name: str) -> None:
    record, payload = RECORDS[name]
    step = 1 if len(payload) < 400 else 7
    for length in range(0, len(payload), step):
        with pytest.raises(WireError):
            again(record["decoded"], payload[:length])


@given(data=st.data())
def test_decoder_when_bytes_are_spoiled_then_it_raises_wire_error_or_nothing(
    data: st.DataObject,
) -> None:
    encoded, decode, _ = SAMPLES[data.draw(st.sampled_from(sorted(SAMPLES)))]
    spoiled = bytearray(encoded)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WireError):
        decode(memoryview(spoiled))


@given(st.binary(max_size=700), st.sampled_from(DECODERS))
def test_decoder_when_bytes_are_random_then_it_raises_wire_error_or_nothing(
    payload: bytes, decode: Callable[[memoryview], object]
) -> None:
    with contextlib.suppress(WireError):
        decode(memoryview(payload))


def test_mcast_headers_when_sizes_are_many_then_memory_stays_bounded() -> None:
    headers = cpg.McastHeaders(b"g", 1, 1)
    for size in range(1_000):
        assert len(headers.header(size)) == cpg.MCAST_BYTES
    assert len(headers._known) <= headers.KNOWN_MAX


@pytest.mark.parametrize(("version", "size"), [(7, 336), (0, 328)])
def test_config_version_when_set_or_absent_then_sizes_are_the_daemons(
    version: int, size: int
) -> None:
    encoded = cmap.encode_config_version(version, cmap.REASON_SYNC)
    assert len(encoded) == size
    assert cmap.config_version(cmap.decode_mcast(memoryview(encoded)).items) == version


@pytest.mark.parametrize(
    "encode",
    [
        lambda: sync.encode_service_build(RING, [0] * 129),
        lambda: cpg.encode_downlist(400, [1] * 385),
        lambda: cpg.encode_procjoin(b"n" * 129, 1, 1),
        lambda: native.block_prefix(b"n" * 129, 1),
    ],
)
def test_encoder_when_given_more_than_fits_then_usage_error(encode: Callable[[], bytes]) -> None:
    with pytest.raises(UsageError):
        encode()


def changed(encoded: bytes, at: int, value: int) -> memoryview:
    spoiled = bytearray(encoded)
    spoiled[at : at + 4] = value.to_bytes(4, "little")
    return memoryview(spoiled)


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [
        ("service_build", 32, 129),
        ("service_build", 32, 0xFFFF_FFFF),
        ("barrier", 0, 7),
        ("downlist", 24, 385),
        ("procjoin", 16, 129),
        ("mcast", 152, 4),
        ("partial_mcast", 160, 4),
        ("partial_mcast", 152, 4),
        ("partial_mcast", 176, 0),
        ("partial_mcast", 176, 4),
        ("cmap mcast", 48, 257),
        ("cmap mcast", 48 + 272, 20_000),
        ("qdevice_reg", 16, 2),
        ("killnode", 24, 300),
        ("hello", 0, 0x0203),
        ("hello", 0, 0x0109),
        ("block", 2, 500),
    ],
)
def test_sample_when_a_count_is_out_of_bounds_then_wire_error(
    name: str, at: int, value: int
) -> None:
    encoded, decode, _ = SAMPLES[name]
    with pytest.raises(WireError):
        decode(changed(encoded, at, value))


def test_config_version_when_the_key_is_not_told_then_none() -> None:
    assert cmap.config_version([]) is None
