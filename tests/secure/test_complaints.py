"""Complaints: the right words at the right times, and never more than there is room for."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base.ids import MS, NO_RING, SECOND, Nanos, NodeId, RingSeq
from unisono.base.limits import COMPLAINT_LINES_MAX, COMPLAINTS_MAX
from unisono.secure.complaints import REPEAT_NS, SHOWN_NS, Complaints, Reason, classify
from unisono.wire.ring.srp import Join, MergeDetect, encode_join, encode_merge_detect
from unisono.wire.ust.header import Header, PacketType

A = "10.0.0.3:5405"
START = Nanos(500 * SECOND)


def at(seconds: float) -> Nanos:
    return Nanos(START + int(seconds * SECOND))


def note(book: Complaints, source: str = A, seconds: float = 0, **more: object) -> str | None:
    reason = more.pop("reason", Reason.CORRUPT_OR_FORGED)
    node = more.pop("node", NodeId(3))
    assert isinstance(reason, Reason) and not more
    return book.note(source, 0, node, reason, at(seconds))  # type: ignore[arg-type] # a node or None


# -- words -----------------------------------------------------------------------------------------


def test_line_when_keys_differ_then_exactly_this() -> None:
    book = Complaints()
    prints = {"theirs": "9a8b7c6d", "ours": "1f2e3d4c"}
    first = book.note(A, 0, NodeId(3), Reason.KEY_DIFFERS, at(0), **prints)
    assert first == (
        "Invalid digest from 10.0.0.3:5405 link=0 claims-node=3 reason=key-differs "
        "theirs=9a8b7c6d ours=1f2e3d4c packets=1 in=0s: the authkey files are not the same; "
        'run "unisono keyring show" on both nodes'
    )
    for count in range(127):
        assert book.note(A, 0, NodeId(3), Reason.KEY_DIFFERS, at(count * 0.2), **prints) is None
    assert book.note(A, 0, NodeId(3), Reason.KEY_DIFFERS, at(30), **prints) == (
        "Invalid digest from 10.0.0.3:5405 link=0 claims-node=3 reason=key-differs "
        "theirs=9a8b7c6d ours=1f2e3d4c packets=128 in=30s: the authkey files are not the same; "
        'run "unisono keyring show" on both nodes'
    )


@pytest.mark.parametrize("reason", Reason)
def test_line_when_any_reason_then_the_fixed_order_and_a_help_of_its_own(reason: Reason) -> None:
    line = Complaints().note(A, 2, None, reason, at(0))
    assert line is not None
    form = r"Invalid digest from (\S+) link=2 claims-node=- reason=(\S+) packets=1 in=0s: (.{20,})"
    found = re.fullmatch(form, line)
    assert found is not None and found[1] == A and found[2] == reason.value
    others = [Complaints().note(A, 2, None, one, at(0)) for one in Reason if one is not reason]
    assert not any(found[3] in str(other) for other in others)
    assert "{" not in line


def test_line_when_clear_text_then_says_who_sends_it() -> None:
    line = note(Complaints(), reason=Reason.UNENCRYPTED_PEER)
    assert line is not None and "node 3 sends clear text, this node requires crypto" in line
    line = note(Complaints(), reason=Reason.UNENCRYPTED_PEER, node=None)
    assert line is not None and ": the peer sends clear text" in line


def test_line_when_the_version_differs_then_both_are_told() -> None:
    line = Complaints().note(A, 0, None, Reason.PROTOCOL_VERSION, at(0), theirs="2", ours="1")
    assert line is not None and "reason=protocol-version theirs=2 ours=1 packets=1" in line


# -- times -----------------------------------------------------------------------------------------


def test_note_when_packets_flood_in_then_one_line_per_half_minute_and_no_packet_uncounted() -> None:
    book = Complaints()
    lines = [note(book, seconds=step * 0.01) for step in range(9_001)]
    told = [line for line in lines if line]
    counts = [int(re.findall(r"packets=(\d+)", line)[0]) for line in told]
    assert counts == [1, 3_000, 3_000, 3_000] and sum(counts) == 9_001
    assert [re.findall(r"in=(\d+)s", line)[0] for line in told] == ["0", "30", "30", "30"]


def test_note_when_other_reason_or_other_address_then_a_line_of_its_own() -> None:
    book = Complaints()
    assert note(book) and not note(book)
    assert note(book, reason=Reason.KEY_DIFFERS)
    assert note(book, "10.0.0.4:5405")
    assert note(book, "[fe80::1]:5405") and not note(book, "[fe80::1]:5406")
    assert note(book, "fe80::2") and not note(book, "fe80::2") and note(book, "fe80::3")


def test_note_when_only_the_port_changes_then_no_further_line() -> None:
    book = Complaints()
    assert sum(note(book, f"10.0.0.3:{port}") is not None for port in range(1, 60_000, 7)) == 1


def test_note_when_silent_for_long_then_the_rest_is_told_with_the_next() -> None:
    book = Complaints()
    note(book)
    for _ in range(9):
        note(book, seconds=1)
    line = note(book, seconds=100)
    assert line is not None and "packets=10 in=100s" in line


# -- bounds ----------------------------------------------------------------------------------------


def test_note_when_addresses_are_invented_then_lines_and_table_are_bounded_and_all_counted() -> (
    None
):
    book = Complaints()
    lines = [note(book, f"10.1.{n // 250}.{n % 250}:5405", n / 1_000) for n in range(20_000)]
    assert sum(line is not None for line in lines) == COMPLAINT_LINES_MAX
    rows = book.status(at(20))
    assert len(rows) == COMPLAINTS_MAX
    assert sum(int(str(row["packets"])) for row in rows) == 20_000


def test_note_when_the_table_is_full_then_newcomers_share_one_entry_and_one_line() -> None:
    book = Complaints()
    for n in range(COMPLAINTS_MAX - 1):
        note(book, f"10.1.0.{n}:5405", n * 0.01)
    lines = [note(book, f"10.2.0.{n % 200}:5405", 2.6 + n * 0.01) for n in range(2_700)]
    assert not any(lines)  # the lines of this half minute were used up by the first ones
    for n in range(COMPLAINTS_MAX - 1):
        note(book, f"10.1.0.{n}:5405", 29.6)
    late = [note(book, f"10.2.0.{n}:5405", 30 + n * 0.01) for n in range(200)]
    told = [line for line in late if line]
    assert len(told) == 1 and "packets=2701 in=0s: this and others, of more than 256" in told[0]
    assert {row["source"] for row in book.status(at(33))} >= {"others"}


def test_note_when_the_table_is_full_of_silent_ones_then_the_oldest_makes_room() -> None:
    book = Complaints()
    for n in range(COMPLAINTS_MAX + 50):
        note(book, f"10.1.{n // 250}.{n % 250}:5405")
    line = note(book, "10.9.9.9:5405", 31)
    assert line is not None and line.startswith("Invalid digest from 10.9.9.9:5405 ")
    assert "others" not in line


def test_note_when_the_first_of_all_goes_on_then_another_makes_room() -> None:
    book = Complaints()
    for n in range(COMPLAINTS_MAX):
        note(book, f"10.1.{n // 250}.{n % 250}:5405")
    note(book, "10.1.0.0:5405", 20)
    line = note(book, "10.9.9.9:5405", 31)
    assert line is not None and "others" not in line


def test_note_when_lines_were_used_up_then_told_in_the_next_half_minute() -> None:
    book = Complaints()
    for n in range(COMPLAINT_LINES_MAX):
        assert note(book, f"10.1.0.{n}:5405")
    assert note(book, seconds=29) is None
    line = note(book, seconds=30)
    assert line is not None and "packets=2 in=0s" in line


@given(
    st.lists(
        st.tuples(
            st.integers(0, 400), st.sampled_from(Reason), st.integers(0, 40_000), st.booleans()
        ),
        max_size=400,
    )
)
def test_note_when_anything_comes_then_bounded_per_window_and_source(
    packets: list[tuple[int, Reason, int, bool]],
) -> None:
    book = Complaints()
    now = START
    told: list[tuple[int, tuple[str, Reason]]] = []
    for number, reason, milliseconds, claims in packets:
        now = Nanos(now + milliseconds * MS // 20)
        source = f"10.0.{number // 200}.{number % 200}:5405"
        line = book.note(source, 0, NodeId(9) if claims else None, reason, now)
        if line is not None:
            assert line.startswith("Invalid digest from ") and "\n" not in line
            told.append((now, (source, reason)))
        assert len(book.status(now)) <= COMPLAINTS_MAX
    for index, (when, key) in enumerate(told):
        window = [one for one in told[index:] if one[0] < when + REPEAT_NS]
        assert len(window) <= 2 * COMPLAINT_LINES_MAX
        assert [one[1] for one in window].count(key) == 1


# -- status ----------------------------------------------------------------------------------------


def test_status_when_a_minute_has_passed_then_not_shown_any_more() -> None:
    book = Complaints()
    book.note(A, 1, NodeId(3), Reason.KEY_DIFFERS, at(0), theirs="aa", ours="bb")
    note(book, "10.0.0.4:5405", 30)
    assert book.status(at(31)) == [
        {
            "source": A, "link": 1, "node": 3, "reason": "key-differs", "packets": 1,
            "theirs": "aa", "ours": "bb", "seconds_ago": 31,
        },
        {
            "source": "10.0.0.4:5405", "link": 0, "node": 3, "reason": "corrupt-or-forged",
            "packets": 1, "theirs": "", "ours": "", "seconds_ago": 1,
        },
    ]  # fmt: skip
    assert len(book.status(Nanos(START + SHOWN_NS))) == 1
    assert book.status(at(90)) == []


# -- what a packet is ------------------------------------------------------------------------------


def test_classify_when_another_version_of_ours_then_protocol_version() -> None:
    packet = bytearray(Header(PacketType.PAIR, 0, 1, NodeId(3), 0, 1).encode())
    assert classify(packet) is Reason.CORRUPT_OR_FORGED
    for version in (0, 2, 15):
        packet[1] = version << 4 | 5
        assert classify(memoryview(packet)) is Reason.PROTOCOL_VERSION


def test_classify_when_totem_in_clear_then_unencrypted_peer() -> None:
    join = Join(NodeId(1), [NodeId(1)], [], RingSeq(4))
    assert classify(encode_join(join)) is Reason.UNENCRYPTED_PEER
    assert classify(encode_merge_detect(MergeDetect(NodeId(1), NO_RING))) is Reason.UNENCRYPTED_PEER
    assert classify(encode_join(join)[:12]) is Reason.OTHER_TRANSPORT


@pytest.mark.parametrize(
    "packet",
    [
        # knet's onwire.h: version, type, node id, newest version, padding, then the payload.
        bytes.fromhex("018100030100") + bytes(24),
        bytes.fromhex("010000030100") + b"\x00\x01\x00\x00\x01\x00" + bytes(40),
        bytes.fromhex("018300020100") + bytes(1_400),
    ],
)
def test_classify_when_knet_without_crypto_then_unencrypted_peer(packet: bytes) -> None:
    assert classify(packet) is Reason.UNENCRYPTED_PEER
    assert classify(packet[:6]) is Reason.OTHER_TRANSPORT
    assert classify(b"\x02" + packet[1:]) is Reason.OTHER_TRANSPORT
    assert classify(packet[:1] + b"\x42" + packet[2:]) is Reason.OTHER_TRANSPORT
    assert classify(packet[:5] + b"\x01" + packet[6:]) is Reason.OTHER_TRANSPORT


@given(st.binary(max_size=100))
def test_classify_when_anything_then_a_reason(packet: bytes) -> None:
    reason = classify(packet)
    if packet[:1] not in (b"\x55", b"\x70", b"\x01"):
        assert reason is Reason.OTHER_TRANSPORT
