"""`unisono metrics`, printed beside real daemons: names, values, and the keys they come from."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.scrapes import (
    NAMES,
    OPENMETRICS,
    ask_status,
    command,
    expected_of,
    once,
    parse_openmetrics,
    parse_text,
    read_values,
)
from unisono import blocking
from unisono.cli.metrics.exposition import expose
from unisono.cli.metrics.server import Refused, read_request
from unisono.observe.metric_table import FAMILIES, measure_silence, measure_status
from unisono.observe.metrics import Kind, find

ROOT = Path(__file__).resolve().parents[2]


def test_metrics_of_a_pair_when_printed_then_names_and_values_are_the_status_s(pair: Path) -> None:
    before = expected_of(ask_status(pair))
    answer = once("--instance", pair)
    after = expected_of(ask_status(pair))
    assert (answer.returncode, answer.stderr) == (0, "")
    values = read_values(answer.stdout)
    assert set(values) == set(before) == set(after)
    # With every kind of status there is, nothing of the table is left out.
    assert {name[0] for name in values} == set(NAMES)
    for name, value in values.items():
        if NAMES[name[0]].kind is Kind.COUNTER:
            assert before[name] <= value <= after[name], name
    assert values["unisono_up",] == 1
    for name in ("node_id", "members", "quorate", "ring_sequence"):
        assert values[f"unisono_{name}",] == after[f"unisono_{name}",]
    assert values["unisono_members",] == 2
    assert values["unisono_link_up", "2", "0"] == 1
    assert 0 < values["unisono_link_latency_seconds", "2", "0"] < 1
    assert values["unisono_votes", "total"] == 2
    assert values["unisono_ring_token_visits_total",] > 0
    assert values["unisono_transport_received_bytes_total",] > 0


def test_status_when_the_daemon_counts_something_then_the_table_has_it(pair: Path) -> None:
    status = ask_status(pair)
    transport = status["daemon"]["transport"]
    counted = {f"daemon.ring_counters.{name}" for name in status["daemon"]["ring_counters"]}
    counted |= {f"daemon.transport.{name}" for name in transport if type(transport[name]) is int}
    counted -= {"daemon.transport.generation"}  # of the sender key: it begins again
    assert counted <= {family.source for family in FAMILIES}
    frames = transport["peers"][0]["frames"]
    values = expected_of(status)
    of_frames = ("unisono_peer_frames_total", "unisono_peer_packets_dropped_total")
    assert {name[2] for name in values if name[0] in of_frames} == set(frames)


TYPES = {
    "number": (int, float),
    "true or false": bool,
    "text": str,
    "list": list,
    "object": dict,
}
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \| ([^|]*) ?\|$", re.MULTILINE)


def test_promised_keys_when_looked_for_then_real_daemons_have_them(
    pair: Path, instance: Path
) -> None:
    rows = ROW.findall((ROOT / "docs" / "reference" / "status.md").read_text())
    assert len(rows) > 40
    with blocking.connect(pair) as node, node.group("orders"):
        secure = ask_status(pair)
    plain = ask_status(instance)
    for source, kind, only in rows:
        statuses = [secure] if only.strip() else [secure, plain]
        if "groups.*" in source:
            statuses = [secure]  # nobody has joined one at the other
        for status in statuses:
            found = list(find(source, status))
            names = re.findall(r"\{([^}]+)\}", source)
            assert len(found) >= (len(names[0].split(",")) if names else 1), source
            for _labels, value in found:
                assert isinstance(value, TYPES[kind]), source
                assert isinstance(value, bool) == (kind == "true or false"), source


def test_metrics_without_a_daemon_when_printed_then_0_and_words(tmp_path: Path) -> None:
    answer = once("--instance", tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "no daemon" in answer.stderr
    assert read_values(answer.stdout) == {("unisono_up",): 0.0}


def test_metrics_without_the_library_then_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError\n")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    answer = subprocess.run(
        command("--instance", tmp_path),
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.count("\n") == 1
    assert "pip install 'unisono[metrics]'" in answer.stderr


# -- parts ---------------------------------------------------------------------------------------


def test_request_when_its_header_is_written_in_any_way_then_accept_is_found() -> None:
    request = read_request(b"GET /metrics HTTP/1.1\r\nHost: a\r\nACCEPT:  text/plain \r\nB")
    assert request.accept == "text/plain"


@pytest.mark.parametrize("end", ["\r", "\n", "\x85", "\x0b"])
def test_header_when_it_has_another_end_of_line_in_it_then_it_ends_there(end: str) -> None:
    request = read_request(f"GET /metrics HTTP/1.1\r\nAccept: a/b{end}X: 1".encode("latin-1"))
    assert request.accept == "a/b"


def test_request_when_empty_then_refused() -> None:
    with pytest.raises(Refused) as raised:
        read_request(b"")
    assert raised.value.status == 400


@given(
    parts=st.lists(
        st.sampled_from(
            ["application/openmetrics-text", "text/plain", ";", ",", "=", "version", "version=",
             "escaping=", "allow-utf-8", "1", "0", ".", "x", " ", "\xa0", "\xb2"],
        ),
        max_size=12,
    )
)  # fmt: skip
def test_accept_when_anything_then_a_text_that_its_content_type_names(parts: list[str]) -> None:
    text, content_type = expose(measure_silence(), "".join(parts))
    is_openmetrics = content_type.startswith("application/openmetrics-text")
    parse = parse_openmetrics if is_openmetrics else parse_text
    assert read_values(text.decode(), parse) == {("unisono_up",): 0.0}


def test_text_when_a_label_has_anything_in_it_then_the_parsers_read_it_back() -> None:
    name = '/var/log/a "b"\\n{c="d"} #\u00fc'
    status = {"daemon": {"log_lines_lost": {name: 3}}}
    for accept, parse in (("", parse_text), (OPENMETRICS, parse_openmetrics)):
        text = expose(measure_status(status), accept)[0].decode()
        assert read_values(text, parse)["unisono_log_lines_lost_total", name] == 3
    assert read_values(expose(measure_silence())[0].decode()) == {("unisono_up",): 0.0}
