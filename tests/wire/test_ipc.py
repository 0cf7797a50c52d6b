"""Local IPC codecs against recorded exchanges: both directions, and every truncation."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.errors import CsError, UsageError, WireError
from unisono.base.ids import NodeId, Pid, RingId, RingSeq
from unisono.wire.ipc import cfg, cmap, cpg, qb, quorum

VECTORS = Path(__file__).parents[1] / "vectors" / "ipc"
TOKEN = re.compile(r"\[([zu]):(\d+)\]|([0-9a-f]{2})")
LAYOUTS = json.loads((VECTORS / "layouts.json").read_text())["structs"]
NAME_TYPES = {"mar_cpg_name_t": 4, "mar_name_t": 2, "cs_name_t": 2}


class Case(NamedTuple):
    """One recorded message; `known` is 0xff where the sender defined the byte."""

    name: str
    service: str
    channel: str
    struct: str | None
    data: bytes
    known: bytes


def unpack_hex(text: str) -> tuple[bytes, bytes]:
    """(data, known) of the vectors' compressed hex."""
    data, known = bytearray(), bytearray()
    for kind, count, pair in TOKEN.findall(text):
        piece = bytes(int(count)) if kind else bytes.fromhex(pair)
        data += piece
        known += (b"\0" if kind == "u" else b"\xff") * len(piece)
    return bytes(data), bytes(known)


def layout_mask(case: Case) -> bytes:
    """0xff over the fields of the C struct: what stands between is padding, undefined."""
    if case.struct is None:
        return b"\xff" * len(case.data)
    mask = bytearray(len(case.data))
    spans(case.struct, 0, mask, case.data)
    return bytes(mask)


def spans(struct: str, base: int, mask: bytearray, data: bytes) -> None:
    """Mark the bytes of `struct` at `base`; names only as far as their length says."""
    for _, offset, size, kind in LAYOUTS[struct]["fields"]:
        at, inner = base + offset, kind.removeprefix("struct ")
        if inner in NAME_TYPES:
            width = NAME_TYPES[inner]
            length = int.from_bytes(data[at : at + width], "little")
            value = at + (2 if inner == "cs_name_t" else 8)
            mask[at : at + width] = b"\xff" * width
            mask[value : value + length] = b"\xff" * length
        elif inner in LAYOUTS and size is not None:
            spans(inner, at, mask, data)
        else:
            end = len(mask) if size is None else at + size
            mask[at:end] = b"\xff" * (end - at)


def load(file: str, *, mask_padding: bool = False) -> Iterator[Case]:
    """Every message of a vector file."""
    for item in json.loads((VECTORS / file).read_text())["items"]:
        data, known = unpack_hex(item["data"])
        assert len(data) == item["length"]
        service = item.get("service", "")
        case = Case(item["name"], service, item["channel"], item.get("struct"), data, known)
        if mask_padding:
            case = case._replace(known=both(known, layout_mask(case)))
        yield case


def both(a: bytes, b: bytes) -> bytes:
    """Bitwise and of two masks."""
    return bytes(x & y for x, y in zip(a, b, strict=True))


Recode = Callable[[memoryview], bytes]


def status(ident: int) -> Recode:
    """A reply that is a header only."""
    return lambda m: qb.encode_status(ident, qb.decode_status(m))


def plain(encode: Callable[[], bytes]) -> Recode:
    """A request that is a header only."""

    def recode(m: memoryview) -> bytes:
        qb.check_request(m, 16)
        return encode()

    return recode


def recode_mcast(m: memoryview) -> bytes:
    guarantee, payload = cpg.decode_mcast(m)
    return cpg.encode_mcast(payload, guarantee)


def recode_join(m: memoryview) -> bytes:
    join = cpg.decode_join(m)
    return cpg.encode_join(join.name, join.pid, join.flags)


def recode_leave(m: memoryview) -> bytes:
    leave = cpg.decode_leave(m)
    return cpg.encode_leave(leave.name, leave.pid)


def recode_iteration(m: memoryview) -> bytes:
    reply = cpg.decode_iteration_next_reply(m)
    return cpg.encode_iteration_next_reply(reply.name, reply.node_id, reply.pid, reply.error)


def recode_membership(m: memoryview) -> bytes:
    reply = cpg.decode_membership_reply(m)
    return cpg.encode_membership_reply(reply.members, reply.error)


def recode_confchg(m: memoryview) -> bytes:
    event = cpg.decode_confchg(m)
    return cpg.encode_confchg(event.name, event.members, event.left, event.joined)


def recode_deliver(m: memoryview) -> bytes:
    event = cpg.decode_deliver(m)
    headers = cpg.DeliverHeaders(event.name)
    header = headers.header(event.node_id, event.pid, len(event.payload))
    assert header is headers.header(event.node_id, event.pid, len(event.payload))
    whole = cpg.encode_deliver(event.name, event.node_id, event.pid, event.payload)
    assert whole == header + event.payload
    return whole


def recode_totem_confchg(m: memoryview) -> bytes:
    event = cpg.decode_totem_confchg(m)
    return cpg.encode_totem_confchg(event.ring, event.members)


def swap(
    decode: Callable[[memoryview], tuple[int, int]], encode: Callable[[int, int], bytes]
) -> Recode:
    """Decoders give (error, value), encoders take (value, error)."""

    def recode(m: memoryview) -> bytes:
        error, value = decode(m)
        return encode(value, error)

    return recode


CPG_REQUESTS: dict[int, Recode] = {
    0: recode_join,
    1: recode_leave,
    2: recode_mcast,
    3: lambda m: cpg.encode_membership_get(cpg.decode_membership_get(m)),
    4: plain(cpg.encode_local_get),
    5: lambda m: cpg.encode_iteration_initialize(*cpg.decode_iteration_initialize(m)),
    6: lambda m: cpg.encode_iteration_next(cpg.decode_iteration_handle(m)),
    7: lambda m: cpg.encode_iteration_finalize(cpg.decode_iteration_handle(m)),
    8: plain(cpg.encode_finalize),
    12: lambda m: cpg.encode_partial_mcast(cpg.decode_partial_mcast(m)),
}
CPG_REPLIES: dict[int, Recode] = {
    0: status(0),
    1: status(1),
    3: recode_membership,
    7: swap(cpg.decode_local_get_reply, cpg.encode_local_get_reply),
    9: swap(cpg.decode_iteration_initialize_reply, cpg.encode_iteration_initialize_reply),
    10: recode_iteration,
    11: status(11),
    12: status(12),
    18: status(18),
}
CPG_EVENTS: dict[int, Recode] = {
    4: recode_confchg,
    5: recode_deliver,
    13: recode_totem_confchg,
    17: lambda m: cpg.encode_partial_deliver(cpg.decode_partial_deliver(m)),
}


def recode_killnode(m: memoryview) -> bytes:
    request = cfg.decode_killnode(m)
    return cfg.encode_killnode(request.node_id, request.reason)


def recode_addrs(m: memoryview) -> bytes:
    reply = cfg.decode_get_node_addrs_reply(m)
    return cfg.encode_get_node_addrs_reply(reply.family, reply.addresses, reply.error)


CFG_REQUESTS: dict[int, Recode] = {
    2: recode_killnode,
    4: lambda m: cfg.encode_reply_to_shutdown(cfg.decode_reply_to_shutdown(m)),
    5: lambda m: cfg.encode_get_node_addrs(cfg.decode_get_node_addrs(m)),
    6: plain(cfg.encode_local_get),
    10: lambda m: cfg.encode_trackstart(cfg.decode_trackstart(m)),
    11: plain(cfg.encode_trackstop),
}
CFG_REPLIES: dict[int, Recode] = {
    2: status(2),
    3: status(3),
    8: status(8),
    11: recode_addrs,
    12: swap(cfg.decode_local_get_reply, cfg.encode_local_get_reply),
    13: status(13),
}
CFG_EVENTS: dict[int, Recode] = {10: swap(cfg.decode_testshutdown, cfg.encode_testshutdown)}

QUORUM_REQUESTS: dict[int, Recode] = {
    0: plain(quorum.encode_getquorate),
    1: lambda m: quorum.encode_trackstart(quorum.decode_trackstart(m)),
    2: plain(quorum.encode_trackstop),
    3: plain(quorum.encode_gettype),
    4: lambda m: quorum.encode_model_gettype(quorum.decode_model_gettype(m)),
}


def recode_getquorate(m: memoryview) -> bytes:
    error, quorate = quorum.decode_getquorate_reply(m)
    return quorum.encode_getquorate_reply(quorate, error)


def recode_notification(m: memoryview) -> bytes:
    event = quorum.decode_notification(m)
    return quorum.encode_notification(event.quorate, event.ring_seq, event.nodes)


def recode_v1_quorum(m: memoryview) -> bytes:
    event = quorum.decode_v1_quorum(m)
    return quorum.encode_v1_quorum(event.quorate, event.ring, event.nodes)


def recode_v1_nodelist(m: memoryview) -> bytes:
    event = quorum.decode_v1_nodelist(m)
    return quorum.encode_v1_nodelist(event.ring, event.members, event.joined, event.left)


QUORUM_REPLIES: dict[int, Recode] = {
    0: recode_getquorate,
    1: status(1),
    2: status(2),
    4: swap(quorum.decode_gettype_reply, quorum.encode_gettype_reply),
    5: swap(quorum.decode_gettype_reply, quorum.encode_model_gettype_reply),
}
QUORUM_EVENTS: dict[int, Recode] = {
    3: recode_notification,
    6: recode_v1_quorum,
    7: recode_v1_nodelist,
}


def recode_get_reply(m: memoryview) -> bytes:
    reply = cmap.decode_get_reply(m)
    if reply.error != CsError.OK:
        return cmap.encode_get_failure(reply.error)
    value = reply.value or bytes(reply.value_bytes)
    return cmap.encode_get_reply(reply.type, value, len(m) - 40)


def recode_iter_next(m: memoryview) -> bytes:
    reply = cmap.decode_iter_next_reply(m)
    return cmap.encode_iter_next_reply(reply.key, reply.value_bytes, reply.type, reply.error)


CMAP_REQUESTS: dict[int, Recode] = {
    2: lambda m: cmap.encode_get(*cmap.decode_get(m)),
    4: lambda m: cmap.encode_iter_init(cmap.decode_iter_init(m)),
    5: lambda m: cmap.encode_iter_next(cmap.decode_iter_handle(m)),
    6: lambda m: cmap.encode_iter_finalize(cmap.decode_iter_handle(m)),
    9: lambda m: cmap.encode_set_current_map(cmap.decode_set_current_map(m)),
}
CMAP_REPLIES: dict[int, Recode] = {
    2: recode_get_reply,
    4: swap(cmap.decode_iter_init_reply, cmap.encode_iter_init_reply),
    5: recode_iter_next,
    6: status(6),
    10: status(10),
}
TABLES: dict[tuple[str, str], dict[int, Recode]] = {
    ("cpg", "request"): CPG_REQUESTS,
    ("cpg", "response"): CPG_REPLIES,
    ("cpg", "event"): CPG_EVENTS,
    ("cfg", "request"): CFG_REQUESTS,
    ("cfg", "response"): CFG_REPLIES,
    ("cfg", "event"): CFG_EVENTS,
    ("quorum", "request"): QUORUM_REQUESTS,
    ("quorum", "response"): QUORUM_REPLIES,
    ("quorum", "event"): QUORUM_EVENTS,
    ("cmap", "request"): CMAP_REQUESTS,
    ("cmap", "response"): CMAP_REPLIES,
}
"""Messages of CFG and CMAP that the product answers without decoding are absent."""

ALL = [
    *load("cpg.json"),
    *load("cfg.json"),
    *load("quorum.json"),
    *load("cmap.json"),
    *(case for case in load("libclient_requests.json", mask_padding=True)),
]
COVERED = [
    case
    for case in ALL
    if qb.message_id(memoryview(case.data)) in TABLES.get((case.service, case.channel), {})
]


def recoder(case: Case) -> Recode:
    """The function under test for a recorded message."""
    return TABLES[case.service, case.channel][qb.message_id(memoryview(case.data))]


def undefined(case: Case) -> list[tuple[int, int]]:
    """Spans that the sender left undefined though the recording shows bytes there."""
    size = len(case.data)
    match case.struct:
        case "req_lib_cpg_iterationinitialize" if case.data[152] != cpg.IterationType.ONE_GROUP:
            return [(16, 152)]
        case "req_lib_cpg_mcast" | "req_lib_cpg_partial_mcast":
            return [(16, 24)]
        case "res_lib_cfg_get_node_addrs" if qb.decode_status(memoryview(case.data)) != CsError.OK:
            return [(24, size)]
        case (
            "res_lib_cpg_totem_confchg_callback"
            | "res_lib_quorum_notification"
            | "res_lib_quorum_v1_quorum_notification"
            | "res_lib_quorum_v1_nodelist_notification"
        ):
            return [(size - 4, size)]
        case _:
            return []


def masked(data: bytes, case: Case) -> bytes:
    """`data` with all that the recorded sender did not define as zeros."""
    result = bytearray(both(data, case.known))
    for start, end in undefined(case):
        result[start:end] = bytes(end - start)
    return bytes(result)


def test_vectors_of_cpg_are_all_covered() -> None:
    missing = {
        (case.name, qb.message_id(memoryview(case.data)))
        for case in ALL
        if case.service == "cpg" and case not in COVERED
    }
    assert {ident for _, ident in missing} <= {9, 10, 11, 13, 0}
    assert {name for name, ident in missing if ident in (0, 13)} <= {"out_of_range.request"}
    assert len(COVERED) > 110


@pytest.mark.parametrize("case", COVERED, ids=lambda c: f"{c.service}-{c.name}")
def test_recorded_message_when_decoded_and_encoded_then_same_bytes(case: Case) -> None:
    again = recoder(case)(memoryview(case.data))
    assert masked(again, case) == masked(case.data, case)


@pytest.mark.parametrize("case", COVERED, ids=lambda c: f"{c.service}-{c.name}")
def test_recorded_message_when_cut_then_wire_error(case: Case) -> None:
    recode = recoder(case)
    step = 1 if len(case.data) < 20_000 else 4_099
    for length in [*range(0, len(case.data), step), len(case.data) - 1]:
        with pytest.raises(WireError):
            recode(memoryview(case.data)[:length])


@pytest.mark.parametrize("case", COVERED, ids=lambda c: f"{c.service}-{c.name}")
def test_recorded_message_when_cut_with_its_header_mended_then_wire_error_or_whole(
    case: Case,
) -> None:
    """A shorter message with a truthful header is refused, unless only padding was cut."""
    recode = recoder(case)
    tail = 4 if case.channel == "event" else 0
    bare = 24 if case.channel == "response" and qb.decode_status(memoryview(case.data)) != 1 else -1
    step = 1 if len(case.data) < 20_000 else 4_099
    for length in range(16, len(case.data), step):
        data = bytearray(case.data[:length])
        data[8:12] = length.to_bytes(4, "little")
        try:
            recode(memoryview(data))
        except WireError:
            continue
        allowed = length == bare or length >= len(case.data) - tail or shrinks(case, length)
        assert allowed, length


def shrinks(case: Case, length: int) -> bool:
    """Messages with room for more (9248, GET's buffer) stay whole when unused room is cut."""
    if case.struct == "res_lib_cpg_membership_get":
        return length >= 32 + 24 * case.data[24]
    if case.struct == "res_lib_cmap_get":
        return length >= 40 + case.data[24] or length == 40
    return False


@given(st.binary(max_size=300))
def test_decoders_when_given_noise_then_wire_error_only(noise: bytes) -> None:
    for table in TABLES.values():
        for recode in table.values():
            try:
                recode(memoryview(noise))
            except WireError:
                continue


@given(st.data())
def test_decoders_when_a_vector_is_spoiled_then_wire_error_only(data: Any) -> None:
    case = data.draw(st.sampled_from([c for c in COVERED if len(c.data) < 3_000]))
    spoiled = bytearray(case.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[at] = data.draw(st.integers(0, 255))
    try:
        recoder(case)(memoryview(spoiled))
    except (WireError, UsageError):
        return


def test_join_when_name_claims_129_bytes_then_name_too_long() -> None:
    message = bytearray(cpg.encode_join(b"g", 7))
    message[16] = 129
    with pytest.raises(cpg.NameTooLong):
        cpg.decode_join(memoryview(message))


def test_encode_name_when_too_long_then_usage_error() -> None:
    assert cpg.decode_name(cpg.encode_name(b"x" * 128)) == b"x" * 128
    with pytest.raises(UsageError):
        cpg.encode_name(b"x" * 129)


def test_mcast_when_payload_length_exceeds_message_then_wire_error() -> None:
    message = bytearray(cpg.encode_mcast(b"hello"))
    message[32:36] = (600).to_bytes(4, "little")
    with pytest.raises(WireError):
        cpg.decode_mcast(memoryview(message))


def test_confchg_lists_stand_in_the_order_members_left_joined() -> None:
    members = [cpg.Member(NodeId(1), Pid(10))]
    left = [cpg.Member(NodeId(2), Pid(20), cpg.Reason.LEAVE)]
    joined = [cpg.Member(NodeId(1), Pid(10), cpg.Reason.JOIN)] * 2
    message = cpg.encode_confchg(b"g", members, left, joined)
    assert message[160:184:8] == bytes([1, 2, 1])
    assert message[184 + 24] == 2
    event = cpg.decode_confchg(memoryview(message))
    assert (event.members, event.left, event.joined) == (members, left, joined)


def test_membership_reply_when_members_exceed_libcpg_array_then_cut_to_128() -> None:
    reply = cpg.encode_membership_reply([cpg.Member(NodeId(n), Pid(1)) for n in range(1, 200)])
    assert len(reply) == 9_248
    assert len(cpg.decode_membership_reply(memoryview(reply)).members) == 128


def test_deliver_headers_when_sizes_vary_then_memory_stays_bounded() -> None:
    headers = cpg.DeliverHeaders(b"g")
    for size in range(1_000):
        headers.header(1, 2, size)
    assert len(headers._known) <= cpg.DeliverHeaders.KNOWN_MAX


def test_iteration_initialize_when_type_is_not_one_group_then_name_is_ignored() -> None:
    message = bytearray(cpg.encode_iteration_initialize(cpg.IterationType.ALL))
    message[16:20] = b"\xff" * 4
    assert cpg.decode_iteration_initialize(memoryview(message)) == (cpg.IterationType.ALL, b"")


@pytest.mark.parametrize("name", ["cpg connect, shm", "cpg connect, socket"])
def test_connect_request_when_recorded_then_same_bytes(name: str) -> None:
    case = next(c for c in load("handshake.json") if c.name == name)
    wish = qb.decode_connect_request(memoryview(case.data))
    assert wish == 1_048_576
    assert qb.encode_connect_request(wish) == case.data


@pytest.mark.parametrize(
    ("name", "error", "kind"),
    [
        ("cpg connect reply, shm", 0, qb.SHM),
        ("cpg connect reply, socket", 0, qb.SOCKET),
        ("denied (uid not allowed)", -13, 0),
        ("daemon not ready yet", -11, 0),
    ],
)
def test_connect_reply_when_recorded_then_same_bytes(name: str, error: int, kind: int) -> None:
    case = next(c for c in load("handshake.json") if c.name == name)
    reply = qb.decode_connect_reply(memoryview(case.data))
    assert (reply.error, reply.kind) == (error, kind)
    assert both(qb.encode_connect_reply(reply), case.known) == case.data


def test_connect_reply_when_cut_then_wire_error() -> None:
    for case in load("handshake.json"):
        if case.name.startswith("scm"):
            continue
        decode: Callable[[memoryview], object] = qb.decode_connect_reply
        if len(case.data) == 24:
            decode = qb.decode_connect_request
        for length in range(0, len(case.data), 1):
            with pytest.raises(WireError):
                decode(memoryview(case.data)[:length])


def test_connect_reply_when_a_path_has_no_end_then_wire_error() -> None:
    data = bytearray(qb.CONNECT_REPLY.size)
    data[0:12] = b"\xff\xff\xff\xff\0\0\0\0" + (12_328).to_bytes(4, "little")
    data[40 : 40 + 4_096] = b"x" * 4_096
    with pytest.raises(WireError):
        qb.decode_connect_reply(memoryview(data))


def test_totem_confchg_when_without_tail_padding_then_accepted() -> None:
    ring = RingId(NodeId(1), RingSeq(5))
    message = bytearray(cpg.encode_totem_confchg(ring, [1, 2])[:-4])
    message[8] = len(message)
    assert cpg.decode_totem_confchg(memoryview(message)).members == [1, 2]


@pytest.mark.parametrize("kind", list(cmap.ValueType))
def test_cmap_value_when_encoded_then_decodes_to_itself(kind: cmap.ValueType) -> None:
    value: int | float | str | bytes = 5
    if kind is cmap.ValueType.STRING:
        value = "udpu"
    elif kind is cmap.ValueType.BINARY:
        value = b"\0\1"
    assert cmap.decode_value(kind, cmap.encode_value(kind, value)) == value


def test_cmap_value_when_unfit_then_errors() -> None:
    with pytest.raises(UsageError):
        cmap.encode_value(cmap.ValueType.UINT8, 256)
    with pytest.raises(WireError):
        cmap.decode_value(cmap.ValueType.UINT32, b"\0")
    with pytest.raises(WireError):
        cmap.decode_value(77, b"\0")
