"""Metrics out of a status, whatever stands in it."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unisono.base import limits
from unisono.base.errors import WireError
from unisono.base.marks import Mark
from unisono.observe import metrics
from unisono.observe.metric_table import (
    FAMILIES,
    RING_STATES,
    SECTIONS,
    SYNC_STATES,
    UP,
    measure_silence,
    measure_status,
)
from unisono.observe.metrics import Family, Kind, find, measure
from unisono.services.sync import SyncState
from unisono.totem.transitions import State

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"unisono_[a-z]+(_[a-z]+)*")
STATUS = {
    "node_id": 7,
    "ring": {"rep": 3, "seq": 12},
    "members": [3, 7],
    "sync": {"state": "finished", "aborted": 2, "service": None},
    "quorate": False,
    "votes": {"expected": 3, "total": 2, "quorum": 2, "of_tomorrow": 9},
    "of_tomorrow": {"a": [None]},
    "daemon": {
        "version": "1.2",
        "state": "gather",
        "clients": {"cpg": 2, "native": 0},
        "queue_level": 0.25,
        "transport": {
            "kind": "ust",
            "bytes_sent": 4096,
            "dropped": {"forged": 5},
            "complaints": [{}, {}],
            "peers": [
                {
                    "node": 3,
                    "session": "0a",
                    "gone": False,
                    "frames": {"delivered": 8, "forged": 1},
                    "links": [
                        {"link": 0, "up": True, "latency_us": 215, "mtu": 9000},
                        {"link": 1, "up": False, "latency_us": 0, "mtu": 0},
                    ],
                },
            ],
        },
        "recorder": {"on": True, "keeper": 0},
        "log_lines_lost": {"/var/log/a.log": 40},
        "marks": {"token_lost": 3, "of_tomorrow": 4},
    },
}


def _values(status: dict) -> dict[tuple[str, ...], float]:
    """Every sample, by name and labels."""
    return {
        (family.name, *labels): value
        for family, samples in measure_status(status)
        for labels, value in samples
    }


def _gauge(source: str, reading: metrics.Reading = metrics.number, *labels: str) -> Family:
    return Family("unisono_tried", Kind.GAUGE, "", source, labels, reading)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (("up",), 1),
        (("node_id",), 7),
        (("ring_representative",), 3),
        (("ring_sequence",), 12),
        (("members",), 2),
        (("quorate",), 0),
        (("votes", "expected"), 3),
        (("votes", "total"), 2),
        (("sync_state", "finished"), 1),
        (("sync_state", "waiting"), 0),
        (("sync_aborted_total",), 2),
        (("build_info", "1.2"), 1),
        (("ring_state", "gather"), 1),
        (("ring_state", "operational"), 0),
        (("clients", "cpg"), 2),
        (("clients", "native"), 0),
        (("send_queue_ratio",), 0.25),
        (("transport_info", "ust"), 1),
        (("transport_sent_bytes_total",), 4096),
        (("transport_dropped_total", "forged"), 5),
        (("transport_complaints",), 2),
        (("peer_session", "3"), 1),
        (("peer_gone", "3"), 0),
        (("peer_frames_total", "3", "delivered"), 8),
        (("peer_packets_dropped_total", "3", "forged"), 1),
        (("link_up", "3", "0"), 1),
        (("link_up", "3", "1"), 0),
        (("link_latency_seconds", "3", "0"), 0.000215),
        (("link_mtu_bytes", "3", "0"), 9000),
        (("recorder_on",), 1),
        (("recorder_keeper_alive",), 0),
        (("log_lines_lost_total", "/var/log/a.log"), 40),
        (("marks_total", "token_lost"), 3),
        (("marks_total", "of_tomorrow"), 4),
        (("marks_total", "ring_slowed"), 0),
    ],
)
def test_status_when_measured_then_each_number_is_the_status_s(
    name: tuple[str, ...], value: float
) -> None:
    values = _values(STATUS)
    assert values[f"unisono_{name[0]}", *name[1:]] == value


@pytest.mark.parametrize(
    "name",
    [
        ("votes", "of_tomorrow"),  # unknown
        ("link_latency_seconds", "3", "1"),  # not measured yet
        ("link_pings_lost_total", "3", "0"),  # missing
        ("transport_reads_total",),
        ("ring_native",),
    ],
)
def test_status_when_unknown_or_missing_then_no_sample(name: tuple[str, ...]) -> None:
    assert (f"unisono_{name[0]}", *name[1:]) not in _values(STATUS)


def test_status_when_empty_then_the_daemon_is_up_and_nothing_else_is_known() -> None:
    assert _values({}) == {("unisono_up",): 1.0}


def test_silence_when_measured_then_the_daemon_is_down_and_nothing_else_is_known() -> None:
    assert [(family, *samples) for family, samples in measure_silence()] == [(UP, ((), 0.0))]


def test_marks_when_none_was_made_then_each_known_one_is_0() -> None:
    values = _values({"daemon": {"marks": {}}})
    marks = {name[1]: value for name, value in values.items() if name[0] == "unisono_marks_total"}
    assert marks == {mark.name.lower(): 0.0 for mark in Mark}


def test_state_when_of_a_newer_daemon_then_it_is_there_beside_the_known_ones() -> None:
    values = _values({"daemon": {"state": "levitating"}})
    states = {name[1]: value for name, value in values.items() if name[0] == "unisono_ring_state"}
    assert states == {**dict.fromkeys(RING_STATES, 0.0), "levitating": 1.0}


def test_states_when_compared_with_the_machines_then_they_are_theirs() -> None:
    assert tuple(state.value for state in State) == RING_STATES
    assert tuple(state.value for state in SyncState) == SYNC_STATES


# -- what a status can be ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "place"),
    [
        ({"members": 3}, "status.members: expected a list or an object, found int"),
        ({"ring": 3}, "status.ring: expected an object, found int"),
        ({"node_id": "one"}, "status.node_id: expected a number, found str"),
        ({"node_id": True}, "status.node_id: expected a number, found bool"),
        ({"quorate": 1}, "status.quorate: expected true or false, found int"),
        ({"node_id": math.nan}, "status.node_id: this number is too large"),
        ({"node_id": 10**400}, "status.node_id: this number is too large"),
        ({"sync": {"aborted": -1}}, "status.sync.aborted: expected a count, found int"),
        ({"sync": {"state": 4}}, "status.sync.state: expected a text, found int"),
        ({"daemon": {"recorder": {"keeper": 1.5}}},
         "status.daemon.recorder.keeper: expected a text or a whole number, found float"),
        ({"daemon": {"transport": {"peers": {}}}},
         "status.daemon.transport.peers: expected a list, found dict"),
        ({"daemon": {"transport": {"peers": [1]}}},
         "status.daemon.transport.peers: expected a list of objects, found list"),
        ({"daemon": {"transport": {"peers": [{"node": [], "gone": True}]}}},
         "status.daemon.transport.peers: expected a text, found list"),
        ({"daemon": {"transport": {"peers": 2 * [{"node": 3, "gone": True}]}}},
         "status.daemon.transport.peers[3].gone: 3 is there twice"),
    ],
)  # fmt: skip
def test_status_when_wrong_then_the_place_is_named(status: dict, place: str) -> None:
    with pytest.raises(WireError) as raised:
        measure_status(status)
    assert str(raised.value) == place


def test_status_when_null_then_no_sample() -> None:
    assert not measure([_gauge("a.b")], {"a": None})
    assert not measure([_gauge("a.b")], {"a": {"b": None}})


def test_entry_when_it_lacks_its_name_then_it_is_left_out() -> None:
    family = _gauge("peers[node].mtu", metrics.number, "node")
    status = {"peers": [{"mtu": 1}, {"node": "two", "mtu": 2}]}
    assert [each.samples for each in measure([family], status)] == [[(("two",), 2.0)]]


def test_samples_when_more_than_the_bound_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "METRIC_SAMPLES_MAX", 2)
    family = _gauge("clients.*", metrics.number, "service")
    assert len(measure([family], {"clients": {"a": 1, "b": 2}})[0].samples) == 2
    with pytest.raises(WireError, match="more than 2 of these"):
        measure([family], {"clients": {"a": 1, "b": 2, "c": 3}})


def test_bound_when_compared_with_the_largest_ring_then_every_link_fits() -> None:
    assert limits.METRIC_SAMPLES_MAX >= limits.NODES_MAX * limits.LINKS_MAX


def test_text_when_it_could_upset_a_reader_then_it_is_made_harmless() -> None:
    name = 'a\x1b[1m\n\ud800"\x85'
    values = _values({"daemon": {"marks": {name: 1}}})
    label = next(labels[1] for labels, value in values.items() if value == 1 and len(labels) == 2)
    assert label == 'a?[1m??"?'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def _places(part: object, path: tuple = ()) -> Iterator[tuple]:
    """The way to everything in a status."""
    entries = part.items() if isinstance(part, dict) else ()
    if isinstance(part, list):
        entries = enumerate(part)
    for step, below in entries:
        yield (*path, step)
        yield from _places(below, (*path, step))


@given(place=st.sampled_from(list(_places(STATUS))), value=JSON)
def test_status_when_anything_stands_anywhere_then_nothing_but_wire_error(
    place: tuple, value: object
) -> None:
    status = json.loads(json.dumps(STATUS))
    part = status
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    try:
        measured = measure_status(status)
    except WireError:
        return
    for _family, samples in measured:
        assert all(math.isfinite(sample.value) for sample in samples)
        assert len({sample.labels for sample in samples}) == len(samples)


# -- the table -----------------------------------------------------------------------------------


ALL = [family for part in SECTIONS.values() for family in part]


def test_table_when_read_then_names_differ_and_have_the_form() -> None:
    names = [family.name for family in ALL]
    assert len(set(names)) == len(names)
    for family in ALL:
        assert NAME.fullmatch(family.name)
        assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
        assert family.help.endswith(".")
        assert "|" not in family.help + family.source


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_family_when_read_then_it_has_a_label_for_each_step_that_is_many(family: Family) -> None:
    many = family.source.count("*") + family.source.count("[") + family.source.count("{")
    adds_one = family.reading is metrics.word or family.reading.__name__ == "reading"
    assert len(family.labels) == many + adds_one
    if family.zeros:
        assert many == 1


def test_page_when_its_keys_are_read_then_each_metric_s_source_is_promised() -> None:
    page = (ROOT / "docs" / "reference" / "status.md").read_text()
    promised = "\n".join(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    whole = json.loads(json.dumps(STATUS))
    for source in promised.splitlines():
        list(find(source, whole))  # each can be read
    assert not [family.source for family in FAMILIES if not _is_promised(family.source, promised)]


def _is_promised(source: str, promised: str) -> bool:
    """Whether a line of the page has this source, perhaps among `{others}`."""
    stem, _, last = source.rpartition(".")
    names = set(last.strip("{}").split(","))
    for line in promised.splitlines():
        start, _, end = line.rpartition(".")
        if start == stem and names <= set(end.strip("{}").split(",")):
            return True
    return False
