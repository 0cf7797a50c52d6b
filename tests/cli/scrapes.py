"""Scrapes: `unisono metrics` as a process, and what `prometheus_client` reads out of its text."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from unisono.observe.metric_table import SECTIONS, measure_status

__all__ = ["NAMES", "OPENMETRICS", "SECONDS_MAX", "Served", "Values", "ask_status", "await_pair",
           "command", "expected_of", "once", "parse_openmetrics", "parse_text", "read_values",
           "served_at"]  # fmt: skip

SECONDS_MAX = 20.0
NAMES = {family.name: family for part in SECTIONS.values() for family in part}
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
Values = dict[tuple[str, ...], float]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "unisono.cli.main", "metrics", *map(str, arguments)]


def once(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True)


def read_values(text: str, parse=parse_text) -> Values:
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
        told = command("--listen", listen, "--instance", instance)
        self.process = subprocess.Popen(told, stderr=subprocess.PIPE, text=True)
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
        return read_values(text)

    def exchange(self, request: bytes) -> bytes:
        """What comes back for raw bytes, until the server ends the connection."""
        with self.connect() as stream:
            stream.sendall(request)
            answer = b""
            while chunk := stream.recv(65_536):
                answer += chunk
        return answer


@contextmanager
def served_at(listen: str, instance: Path, ending: int = signal.SIGTERM) -> Iterator[Served]:
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


def ask_status(directory: Path) -> dict:
    asked = [sys.executable, "-m", "unisono.cli.main", "status", "--json", "--seconds", "0"]
    answer = subprocess.run(
        [*asked, "--instance", str(directory)], check=False, capture_output=True, text=True
    )
    return json.loads(answer.stdout) if answer.stdout else {}


def expected_of(status: dict) -> Values:
    return {
        (family.name, *labels): value
        for family, samples in measure_status(status)
        for labels, value in samples
    }


def await_pair(directory: Path) -> None:
    end = time.monotonic() + SECONDS_MAX
    while True:
        status = ask_status(directory)
        peers = status.get("daemon", {}).get("transport", {}).get("peers", [])
        if peers and peers[0]["links"][0]["latency_us"] and len(status["members"]) == 2:
            return
        assert time.monotonic() < end
        time.sleep(0.05)
