"""`unisono metrics` beside real daemons: what it says, to whom, and whom it does not wait for."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from unisono import Message, blocking
from unisono.base.limits import (
    METRICS_REQUEST_BYTES_MAX,
    METRICS_REQUESTS_MAX,
)
from unisono.cli.demo.daemons import Daemon, configuration, free_network, make_key
from unisono.cli.metrics.exposition import expose
from unisono.cli.metrics.server import Refused, read_request
from unisono.observe.metric_table import FAMILIES, SECTIONS, measure_silence, measure_status
from unisono.observe.metrics import Kind, find

ROOT = Path(__file__).resolve().parents[2]
SECONDS_MAX = 20.0
FLOOD_MESSAGES = 50
QUORUM = "quorum {\n    provider: corosync_votequorum\n}\n"
NAMES = {family.name: family for part in SECTIONS.values() for family in part}
SCRAPE = b"GET /metrics HTTP/1.1\r\n"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Values = dict[tuple[str, ...], float]


def _command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "unisono.cli.main", "metrics", *map(str, arguments)]


def _once(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(_command(*arguments), check=False, capture_output=True, text=True)


def _values(text: str, parse=parse_text) -> Values:
    """Every sample of an exposition by name and labels, as prometheus_client reads it."""
    samples: list[Sample] = [sample for family in parse(text) for sample in family.samples]
    values = {}
    for sample in samples:
        family = NAMES[sample.name]
        assert set(sample.labels) == set(family.labels)
        values[sample.name, *(sample.labels[label] for label in family.labels)] = sample.value
    assert len(values) == len(samples)
    return values


class Served:
    """`unisono metrics --listen` as a process."""

    def __init__(self, listen: str, instance: Path) -> None:
        command = _command("--listen", listen, "--instance", instance)
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.where = self.line().partition("serving ")[2]
        self.path = listen.removeprefix("unix:") if listen.startswith("unix:") else ""

    def line(self) -> str:
        """The next line of its standard error."""
        return self.process.stderr.readline().rstrip()

    def connect(self) -> socket.socket:
        if self.path:
            stream = socket.socket(socket.AF_UNIX)
            stream.settimeout(SECONDS_MAX)
            stream.connect(self.path)
            return stream
        host, _, port = self.where.removeprefix("http://").partition("/")[0].rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), SECONDS_MAX)

    def get(self, **headers: str) -> tuple[http.client.HTTPResponse, str]:
        """One scrape."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = self.connect()
        try:
            connection.request("GET", "/metrics", headers=headers)
            response = connection.getresponse()
            return response, response.read().decode()
        finally:
            connection.close()

    def scrape(self) -> Values:
        response, text = self.get()
        assert response.status == 200
        return _values(text)

    def exchange(self, request: bytes) -> bytes:
        """What comes back for raw bytes, until the server ends the connection."""
        with self.connect() as stream:
            stream.sendall(request)
            answer = b""
            while chunk := stream.recv(65_536):
                answer += chunk
        return answer


@contextmanager
def _served(listen: str, instance: Path, ending: int = signal.SIGTERM) -> Iterator[Served]:
    """A server that has to end well when it is told to."""
    served = Served(listen, instance)
    try:
        yield served
        served.process.send_signal(ending)
        assert served.process.wait(SECONDS_MAX) == 0
    finally:
        served.process.kill()
        served.process.wait()
        served.process.stderr.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Path]:
    """Directory of the first of two daemons on the secure transport that see each other."""
    text = configuration(2, free_network(2), make_key(tmp_path)) + QUORUM
    daemons = [Daemon(tmp_path / f"n{index}", index, text) for index in range(2)]
    with ExitStack() as stack:
        for daemon in daemons:
            stack.callback(daemon.stop)
            daemon.start()
        _await_pair(tmp_path / "n0")
        yield tmp_path / "n0"


def _await_pair(directory: Path) -> None:
    end = time.monotonic() + SECONDS_MAX
    while True:
        status = _status(directory)
        peers = status.get("daemon", {}).get("transport", {}).get("peers", [])
        if peers and peers[0]["links"][0]["latency_us"] and len(status["members"]) == 2:
            return
        assert time.monotonic() < end
        time.sleep(0.05)


def _status(directory: Path) -> dict:
    command = [sys.executable, "-m", "unisono.cli.main", "status", "--json", "--seconds", "0"]
    answer = subprocess.run(
        [*command, "--instance", str(directory)], check=False, capture_output=True, text=True
    )
    return json.loads(answer.stdout) if answer.stdout else {}


def _expected(status: dict) -> Values:
    return {
        (family.name, *labels): value
        for family, samples in measure_status(status)
        for labels, value in samples
    }


# -- once ----------------------------------------------------------------------------------------


def test_metrics_of_a_pair_when_printed_then_names_and_values_are_the_status_s(pair: Path) -> None:
    before = _expected(_status(pair))
    answer = _once("--instance", pair)
    after = _expected(_status(pair))
    assert (answer.returncode, answer.stderr) == (0, "")
    values = _values(answer.stdout)
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
    status = _status(pair)
    transport = status["daemon"]["transport"]
    counted = {f"daemon.ring_counters.{name}" for name in status["daemon"]["ring_counters"]}
    counted |= {f"daemon.transport.{name}" for name in transport if type(transport[name]) is int}
    counted -= {"daemon.transport.generation"}  # of the sender key: it begins again
    assert counted <= {family.source for family in FAMILIES}
    frames = transport["peers"][0]["frames"]
    values = _expected(status)
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
        secure = _status(pair)
    plain = _status(instance)
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
    answer = _once("--instance", tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert "no daemon" in answer.stderr
    assert _values(answer.stdout) == {("unisono_up",): 0.0}


def test_metrics_without_the_library_then_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "prometheus_client.py").write_text("raise ImportError\n")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    answer = subprocess.run(
        _command("--instance", tmp_path),
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.count("\n") == 1
    assert "pip install 'unisono[metrics]'" in answer.stderr


# -- served --------------------------------------------------------------------------------------


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "unix"])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_server_when_scraped_then_both_formats_are_right_and_its_end_is_clean(
    instance: Path, tmp_path: Path, listen: str, ending: int
) -> None:
    path = tmp_path / "metrics.sock"
    with _served(f"unix:{path}" if listen == "unix" else listen, instance, ending) as served:
        response, text = served.get()
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        values = _values(text)
        assert values["unisono_up",] == 1
        assert values["unisono_members",] == 1
        response, text = served.get(Accept=OPENMETRICS)
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert set(_values(text, parse_openmetrics)) == set(values)
        assert text.endswith("# EOF\n")
        assert path.exists() == (listen == "unix")
    assert not path.exists()


def test_counters_when_scraped_under_load_then_they_never_fall(pair: Path) -> None:
    stop = threading.Event()

    def flood() -> None:
        with blocking.connect(pair) as node, node.group("flood") as group:
            events = iter(group)
            while not stop.is_set():
                for _ in range(FLOOD_MESSAGES):
                    group.send(bytes(200))
                seen = 0
                while seen < FLOOD_MESSAGES:
                    seen += isinstance(next(events), Message)

    with _served("127.0.0.1:0", pair) as served:
        thread = threading.Thread(target=flood)
        thread.start()
        try:
            scrapes = [served.scrape() for _ in range(30)]
        finally:
            stop.set()
            thread.join()
    grew = set()
    for before, after in pairwise(scrapes):
        for name, value in before.items():
            if NAMES[name[0]].kind is Kind.COUNTER:
                assert after[name] >= value, name
                grew |= {name} if after[name] > value else set()
    assert ("unisono_ring_messages_sent_total",) in grew
    assert ("unisono_deliveries_total", "blocks") in grew


def test_daemon_when_scraped_at_once_by_many_then_asked_ten_times_a_second_at_most(
    instance: Path,
) -> None:
    with _served("127.0.0.1:0", instance) as served:
        asked = "unisono_marks_total", "client_connected"
        start = time.monotonic()
        first = served.scrape()[asked]
        for _ in range(60):
            last = served.scrape()[asked]
        assert last - first <= (time.monotonic() - start) / 0.1 + 1


def test_daemon_when_gone_then_0_and_when_back_then_1(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "n0", 0, configuration(1, free_network(1), make_key(tmp_path)))
    with ExitStack() as stack:
        stack.callback(daemon.stop)
        daemon.start()
        served = stack.enter_context(_served("127.0.0.1:0", tmp_path / "n0"))
        _await_up(served, 1.0)
        daemon.kill()
        values = _await_up(served, 0.0)
        assert values == {("unisono_up",): 0.0}
        daemon.start()
        assert len(_await_up(served, 1.0)) > 1
        lines = [served.line() for _ in range(2)]
        while "answers again" not in lines[-1]:
            lines.append(served.line())
        assert len(lines) <= 4  # at most before the start and after the death, however often asked
        assert "no answer: " in lines[-2]


def _await_up(served: Served, wanted: float) -> Values:
    end = time.monotonic() + SECONDS_MAX
    while True:
        values = served.scrape()
        if values["unisono_up",] == wanted:
            return values
        assert time.monotonic() < end
        time.sleep(0.02)


def test_daemon_when_it_hangs_then_0_within_its_time(instance: Path) -> None:
    with _served("127.0.0.1:0", instance) as served:
        assert served.scrape()["unisono_up",] == 1
        pid = _status(instance)["daemon"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            assert _await_up(served, 0.0) == {("unisono_up",): 0.0}
            assert time.monotonic() - start < 4
        finally:
            os.kill(pid, signal.SIGCONT)
        _await_up(served, 1.0)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /metrics\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/more HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\n\r\n", 405),
        (b"GET /metrics?name=up HTTP/1.0\r\n\r\n", 200),
        (SCRAPE + b"Accept: \xff;=,=;version\r\n\r\n", 200),
        (SCRAPE + b"Accept: application/openmetrics-text; version=x\r\n\r\n", 200),
        (SCRAPE + b"Accept: application/openmetrics-text; version=1.0\rX: 1\r\n\r\n", 200),
    ],
)  # fmt: skip
def test_request_when_odd_then_answered_and_the_next_scrape_goes_on(
    tmp_path: Path, request_bytes: bytes, status: int
) -> None:
    with _served("127.0.0.1:0", tmp_path) as served:
        answer = served.exchange(request_bytes)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        head = answer.partition(b"\r\n\r\n")[0]
        assert b"X: 1" not in head
        assert served.scrape() == {("unisono_up",): 0.0}


def test_request_when_too_large_then_ended_and_the_next_scrape_goes_on(tmp_path: Path) -> None:
    with _served("127.0.0.1:0", tmp_path) as served:
        with (
            served.connect() as stream,
            pytest.raises((BrokenPipeError, ConnectionResetError)),
        ):
            stream.sendall(bytes(10_000 * METRICS_REQUEST_BYTES_MAX))
        assert served.scrape() == {("unisono_up",): 0.0}


def test_clients_when_silent_then_the_next_scrape_does_not_wait(instance: Path) -> None:
    with _served("127.0.0.1:0", instance) as served, ExitStack() as stack:
        streams = [stack.enter_context(served.connect()) for _ in range(3 * METRICS_REQUESTS_MAX)]
        for stream in streams[-METRICS_REQUESTS_MAX:]:
            stream.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        start = time.monotonic()
        assert served.scrape()["unisono_up",] == 1
        assert time.monotonic() - start < 2
        assert streams[0].recv(1) == b""  # the oldest made room


def test_reader_when_it_takes_nothing_then_the_next_scrape_does_not_wait(instance: Path) -> None:
    with _served("127.0.0.1:0", instance) as served, ExitStack() as stack:
        for _ in range(METRICS_REQUESTS_MAX):
            stack.enter_context(served.connect()).sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert served.scrape()["unisono_up",] == 1


@pytest.mark.parametrize(
    ("listen", "words"),
    [("0.0.0.0:9166", "only loopback"), ("localhost:9166", "not a numeric address")],
)
def test_address_when_not_loopback_then_refused_in_one_line(listen: str, words: str) -> None:
    answer = _once("--listen", listen)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert words in answer.stderr


def test_socket_when_its_server_was_killed_then_replaced_and_when_it_lives_not(
    tmp_path: Path,
) -> None:
    listen = f"unix:{tmp_path}/metrics.sock"
    with pytest.raises(AssertionError), _served(listen, tmp_path, signal.SIGKILL):
        pass
    with _served(listen, tmp_path) as served:
        answer = _once("--listen", listen)
        assert answer.returncode == 1
        assert "another server listens there" in answer.stderr
        assert served.scrape() == {("unisono_up",): 0.0}


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
    assert _values(text.decode(), parse) == {("unisono_up",): 0.0}


def test_text_when_a_label_has_anything_in_it_then_the_parsers_read_it_back() -> None:
    name = '/var/log/a "b"\\n{c="d"} #\u00fc'
    status = {"daemon": {"log_lines_lost": {name: 3}}}
    for accept, parse in (("", parse_text), (OPENMETRICS, parse_openmetrics)):
        text = expose(measure_status(status), accept)[0].decode()
        assert _values(text, parse)["unisono_log_lines_lost_total", name] == 3
    assert _values(expose(measure_silence())[0].decode()) == {("unisono_up",): 0.0}
