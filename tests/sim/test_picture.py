"""The page of a run: what a browser makes of it, what it leaves out, what it never contains."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from unisono.base.ids import MS, NodeId
from unisono.sim import trace
from unisono.sim.checkers import ring_checkers
from unisono.sim.cluster import Cluster, ring_settings
from unisono.sim.network import NetworkOptions
from unisono.sim.outages import Outages
from unisono.sim.picture import Recorder, render
from unisono.sim.run import Request, run_seed

SEED = 1
PAGE_BYTES_MAX = 3_000_000
BROWSER_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--virtual-time-budget=3000",
)
INNER_IDS = (None, "asleep", "tired", "hot")
EVIL = "</script><script>document.title='caught'</script><b id=evil>&amp;"


@dataclass
class Verdict:
    """A made-up outcome."""

    seed: int = 7
    name: str = ""
    text: str = ""
    digest: str = "00"
    simulated_ns: int = 100 * MS
    datagrams: int = 0


class Page(HTMLParser):
    """What a reader finds in a page: texts by id of the part, rings that are drawn, ids."""

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.items: dict[str, list[str]] = {}
        self.texts: dict[str, str] = {}
        self.rings: set[str] = set()
        self.classes: list[str] = []
        self._part = ""
        self._in_item = False
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if named.get("id") not in INNER_IDS:
            self._part = named["id"] or ""
        self.texts.setdefault(self._part, "")
        self.rings |= {named.get("data-ring") or ""}
        self.classes += (named.get("class") or "").split()
        if tag == "li":
            self._in_item = True
            self.items.setdefault(self._part, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_item = self._in_item and tag != "li"

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self._part, "")
        self.texts[self._part] += data
        if self._in_item:
            self.items[self._part][-1] += data


def open_in_browser(page: str, folder: Path) -> Page:
    """What the browser's document is after its scripts ran."""
    browser = shutil.which("chromium")
    if browser is None:
        assert os.geteuid() != 0, "needs Debian's chromium: make setup"
        pytest.skip("needs Debian's chromium, which only root can install: make setup as root")
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    command = [browser, *BROWSER_OPTIONS, f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, "--dump-dom", path.as_uri()], check=True, capture_output=True, timeout=120
    )
    return Page(done.stdout.decode())


def picture_of(*records: trace.Record, verdict: Verdict | None = None) -> str:
    recorder = Recorder()
    for record in records:
        recorder(record)
    return render(recorder, verdict or Verdict())


BOOT = trace.Booted(0, trace.Process(NodeId(1), 1), 1, True)


@pytest.mark.timeout(180)
def test_page_when_a_browser_opens_it_then_all_views_of_the_seed_are_there(tmp_path: Path) -> None:
    records: list[trace.Record] = []
    recorder = Recorder()

    def watch(record: trace.Record) -> None:
        records.append(record)
        recorder(record)

    outcome = run_seed(Request(SEED), watch)
    page = open_in_browser(render(recorder, outcome), tmp_path)

    views = [record for record in records if isinstance(record, trace.Installed)]
    assert len(views) >= 10
    listed = [re.fullmatch(r"([\d,.]+)(.*)", item) for item in page.items["views"]]
    shown = {(round(float(item[1].replace(",", ""))), item[2]) for item in listed if item}
    for view in views:
        times = {int(view.time / MS), int(view.time / MS) + 1}
        assert {(time, str(view).partition(": ")[2]) for time in times} & shown
    assert {str(view.ring) for view in views if view.regular} <= page.rings
    assert page.texts["plot"].count("{") >= 3, "members stand in the lanes"
    assert "calm" in page.classes
    assert "trans" in page.classes
    assert f"Seed {SEED}" in page.texts["heading"]


@pytest.mark.timeout(180)
def test_page_when_a_property_fails_then_the_checkers_words_are_red(tmp_path: Path) -> None:
    text = "agreed order: at 60.000000 ms: 1 before 2 <here>"
    verdict = Verdict(name="agreed order", text=text)
    page = open_in_browser(picture_of(BOOT, verdict=verdict), tmp_path)
    assert page.texts["violation"].splitlines()[0] == text
    assert {"alarm", "alarmring", "failed"} <= set(page.classes)


@pytest.mark.timeout(180)
def test_page_when_texts_are_hostile_then_they_stay_texts(tmp_path: Path) -> None:
    verdict = Verdict(name=EVIL, text=EVIL)
    written = picture_of(BOOT, trace.Faulted(50 * MS, EVIL), verdict=verdict)
    page = open_in_browser(written, tmp_path)
    assert "evil" not in page.texts
    assert EVIL in page.texts["violation"]
    assert page.texts[""].strip().startswith(f"Seed 7: {EVIL}"), "the title is still ours"
    assert any(EVIL in item for item in page.items["records"])


def test_page_when_written_then_names_no_other_place() -> None:
    recorder = Recorder()
    outcome = run_seed(Request(2), recorder)
    page = render(recorder, outcome)
    assert not re.findall(r"(?i)https?:|\bimport\b|@import|url\((?!#)|\bsrc=", page)
    assert re.findall(r'href="([^"]*)"', page) == ["data:,"]
    assert "default-src 'none'" in page
    assert len(page.encode()) < PAGE_BYTES_MAX


def test_page_when_there_is_too_much_then_it_is_small_and_says_what_is_missing() -> None:
    recorder = Recorder()
    recorder(BOOT)
    who = trace.Process(NodeId(1_234_567_890), 12)
    ring = trace.Ring(NodeId(1_234_567_890), 1 << 40, 1)
    for number in range(20_000):
        key = (1 << 52) + number
        recorder(trace.Delivered(10**10 + number, who, NodeId(1_234_567_890), key, ring, number))
    for number in range(20_000):
        recorder(trace.Faulted(11**10 + number, "cut " + ",".join(["1234567890"] * 50)))
    page = render(recorder, Verdict())
    assert len(page.encode()) < PAGE_BYTES_MAX
    notes = recorder.document(Verdict())["notes"]
    sends, views = (re.fullmatch(r"the first ([\d,]+) (.*) not drawn", notes[n]) for n in (1, 0))
    assert sends
    assert views
    assert (sends[2], views[2]) == ("sends and deliveries", "views, faults and starts")
    assert 1_000 < int(sends[1].replace(",", "")) < 19_000
    assert notes[2:] == ["token moves were not recorded"]


def make_cluster(nodes: int) -> Cluster:
    return Cluster(
        [NodeId(number + 1) for number in range(nodes)],
        seed="picture",
        settings=ring_settings(500),
        options=NetworkOptions(),
        checkers=ring_checkers(),
    )


def test_recorder_when_it_taps_a_cluster_then_tokens_and_joins_are_there_and_nothing_changes() -> (
    None
):
    recorder = Recorder()
    tapped, plain = make_cluster(3), make_cluster(3)
    recorder.tap(tapped)
    tapped.trace.watch(recorder)
    for cluster in (tapped, plain):
        for node in cluster.nodes:
            cluster.start(node)
        cluster.run_until(700 * MS)
    document = recorder.document(Verdict(simulated_ns=tapped.now))
    assert tapped.trace.hexdigest() == plain.trace.hexdigest()
    rounds = [(source, target) for _, source, target, _ in document["tokens"]]
    assert rounds[-3:] in (
        [(0, 1), (1, 2), (2, 0)],
        [(1, 2), (2, 0), (0, 1)],
        [(2, 0), (0, 1), (1, 2)],
    )
    assert all(since <= time for time, _, _, since in document["tokens"])
    assert {"JOIN", "COMMIT"} <= set(document["datagram_kinds"])
    assert len(document["datagrams"]) + len(document["tokens"]) == tapped.network.delivered
    assert document["notes"] == []


def test_delivery_when_its_send_is_on_the_page_then_it_points_at_it() -> None:
    ring = trace.Ring(NodeId(1), 5, 0)
    one, two = trace.Process(NodeId(1), 1), trace.Process(NodeId(2), 1)
    recorder = Recorder()
    recorder(trace.Sent(1, one, 77, False, False))
    recorder(trace.Delivered(2, two, NodeId(1), 77, ring, 1))
    recorder(trace.Delivered(3, two, NodeId(1), 78, ring, 2))
    rows = recorder.document(Verdict())["records"]
    assert [row[4:] for row in rows] == [[], [0], [-1]]


def test_cuts_when_they_overlap_then_they_add_up_until_each_is_over() -> None:
    outages = Outages()
    for time, what in (
        (10, "cut 1,2,3 | 4"),
        (20, "flap 1 | 2,3,4 every 5 ms"),
        (30, "rejoin 1,2,3 | 4"),
        (40, "cut 1,2 | 2,3 | 4"),
        (50, "heal"),
        (60, "unflap 1 | 2,3,4"),
        (70, "cut 2 > 3"),
        (75, "rejoin 2 > 1"),
        (80, "rejoin 2 > 3"),
        (90, "clog 3"),
    ):
        outages.take(trace.Faulted(time, what))
    outages.end(95)
    nodes = [NodeId(number) for number in (1, 2, 3, 4)]
    assert outages.bands(nodes) == [
        [10, 20, "cut 1,2,3 | 4", [0, 0, 0, 1]],
        [20, 30, "cut 1,2,3 | 4; flap 1 | 2,3,4", [0, 1, 1, 2]],
        [30, 40, "flap 1 | 2,3,4", [0, 1, 1, 1]],
        [40, 50, "flap 1 | 2,3,4; cut 1,2 | 2,3 | 4", [0, 1, 2, 3]],
        [50, 60, "flap 1 | 2,3,4", [0, 1, 1, 1]],
        [70, 75, "cut 2 > 3", [-1] * 4],
        [75, 80, "cut 2 > 3", [-1] * 4],
        [90, 95, "clog 3", [-1] * 4],
    ]


def test_pause_when_the_daemon_runs_then_it_lasts_until_it_resumes_dies_or_all_is_over() -> None:
    outages = Outages()
    who = {number: trace.Process(NodeId(number), 1) for number in (1, 2, 3)}
    for process in who.values():
        outages.take(trace.Booted(0, process, 1, True))
    for what in ("pause 1", "freeze 2", "pause 3", "pause 4", "slow 1 x50"):
        outages.take(trace.Faulted(10, what))
    outages.take(trace.Faulted(20, "resume 1"))
    outages.take(trace.Faulted(25, "slow 1 x1"))
    outages.take(trace.Crashed(30, who[2], False))
    outages.take(trace.Calmed(40, 50))
    lanes = {NodeId(number): number - 1 for number in (1, 2, 3, 4)}
    assert outages.spells(lanes) == [
        [0, 10, 20, "asleep"],
        [0, 10, 25, "slow"],
        [1, 10, 30, "asleep"],
        [2, 10, 40, "asleep"],
    ]
