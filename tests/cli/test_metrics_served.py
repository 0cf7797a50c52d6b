"""`unisono metrics --listen` beside real daemons: what it says, and whom it does not wait for."""

import os
import signal
import threading
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cli.scrapes import (
    NAMES,
    OPENMETRICS,
    SECONDS_MAX,
    Served,
    Values,
    ask_status,
    once,
    parse_openmetrics,
    read_values,
    served_at,
)
from unisono import Message, blocking
from unisono.base.limits import METRICS_REQUEST_BYTES_MAX, METRICS_REQUESTS_MAX
from unisono.cli.demo.daemons import Daemon, configuration, free_network, make_key
from unisono.observe.metrics import Kind

FLOOD_MESSAGES = 50
SCRAPE = b"GET /metrics HTTP/1.1\r\n"


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:0", "unix"])
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_server_when_scraped_then_both_formats_are_right_and_its_end_is_clean(
    instance: Path, tmp_path: Path, listen: str, ending: int
) -> None:
    path = tmp_path / "metrics.sock"
    with served_at(f"unix:{path}" if listen == "unix" else listen, instance, ending) as served:
        response, text = served.get()
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        values = read_values(text)
        assert values["unisono_up",] == 1
        assert values["unisono_members",] == 1
        response, text = served.get(Accept=OPENMETRICS)
        assert response.headers["Content-Type"].startswith("application/openmetrics-text")
        assert set(read_values(text, parse_openmetrics)) == set(values)
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

    with served_at("127.0.0.1:0", pair) as served:
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
    with served_at("127.0.0.1:0", instance) as served:
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
        served = stack.enter_context(served_at("127.0.0.1:0", tmp_path / "n0"))
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
    with served_at("127.0.0.1:0", instance) as served:
        assert served.scrape()["unisono_up",] == 1
        pid = ask_status(instance)["daemon"]["pid"]
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
    with served_at("127.0.0.1:0", tmp_path) as served:
        answer = served.exchange(request_bytes)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        head = answer.partition(b"\r\n\r\n")[0]
        assert b"X: 1" not in head
        assert served.scrape() == {("unisono_up",): 0.0}


def test_request_when_too_large_then_ended_and_the_next_scrape_goes_on(tmp_path: Path) -> None:
    with served_at("127.0.0.1:0", tmp_path) as served:
        with (
            served.connect() as stream,
            pytest.raises((BrokenPipeError, ConnectionResetError)),
        ):
            stream.sendall(bytes(10_000 * METRICS_REQUEST_BYTES_MAX))
        assert served.scrape() == {("unisono_up",): 0.0}


def test_clients_when_silent_then_the_next_scrape_does_not_wait(instance: Path) -> None:
    with served_at("127.0.0.1:0", instance) as served, ExitStack() as stack:
        streams = [stack.enter_context(served.connect()) for _ in range(3 * METRICS_REQUESTS_MAX)]
        for stream in streams[-METRICS_REQUESTS_MAX:]:
            stream.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        start = time.monotonic()
        assert served.scrape()["unisono_up",] == 1
        assert time.monotonic() - start < 2
        assert streams[0].recv(1) == b""  # the oldest made room


def test_reader_when_it_takes_nothing_then_the_next_scrape_does_not_wait(instance: Path) -> None:
    with served_at("127.0.0.1:0", instance) as served, ExitStack() as stack:
        for _ in range(METRICS_REQUESTS_MAX):
            stack.enter_context(served.connect()).sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert served.scrape()["unisono_up",] == 1


@pytest.mark.parametrize(
    ("listen", "words"),
    [("0.0.0.0:9166", "only loopback"), ("localhost:9166", "not a numeric address")],
)
def test_address_when_not_loopback_then_refused_in_one_line(listen: str, words: str) -> None:
    answer = once("--listen", listen)
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert words in answer.stderr


def test_socket_when_its_server_was_killed_then_replaced_and_when_it_lives_not(
    tmp_path: Path,
) -> None:
    listen = f"unix:{tmp_path}/metrics.sock"
    with pytest.raises(AssertionError), served_at(listen, tmp_path, signal.SIGKILL):
        pass
    with served_at(listen, tmp_path) as served:
        answer = once("--listen", listen)
        assert answer.returncode == 1
        assert "another server listens there" in answer.stderr
        assert served.scrape() == {("unisono_up",): 0.0}
