"""Two links in one ring, IPv4 and IPv6: one of them dies and heals, and nobody is parted."""

import time

import pytest

from tests.interop.lab import CONF_PATH, Lab
from tests.interop.netns import Network, run
from tests.interop.secure_lab import ring_changes, secure, status, wait_doing_nothing

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]

SECONDS_MAX = 5.0
CUT = """table inet cut {
  chain input { type filter hook input priority 0; meta nfproto ipv4 udp dport 5405 drop; }
  chain output { type filter hook output priority 0; meta nfproto ipv4 udp dport 5405 drop; }
}
"""


def give_second_link(lab: Lab, mode: str) -> None:
    """Link 1 over IPv6 for every host."""
    for n in lab.nodes:
        file = lab.network.host(n).path(CONF_PATH)
        text = file.read_text().replace("ip_version: ipv4", f"link_mode: {mode}")
        for other in lab.nodes:
            ipv4, ipv6 = Network.addresses(other)
            text = text.replace(
                f"ring0_addr: {ipv4}\n", f"ring0_addr: {ipv4}\n    ring1_addr: {ipv6}\n"
            )
        file.write_text(text)


def filter_packets(lab: Lab, n: int, rules: str) -> None:
    """Replace the packet filter of host `n`."""
    nft = ["nsenter", "-t", str(lab.network.host(n).pid), "--net", "--", "nft"]
    run([*nft, "flush", "ruleset"])
    if rules:
        run([*nft, "-f", "-"], rules)


def links_up(lab: Lab, n: int) -> dict[tuple[int, int], bool]:
    """By peer and link: whether host `n` calls it up."""
    peers = status(lab, n)["daemon"]["transport"]["peers"]
    return {(p["node"], link["link"]): link["up"] for p in peers for link in p["links"]}


def wait_for_links(lab: Lab, n: int, link: int, *, up: bool) -> float:
    """Until every peer's `link` is up (or down) at host `n`; the seconds that took."""
    start = time.monotonic()
    while any(is_up is not up for (_, number), is_up in links_up(lab, n).items() if number == link):
        assert time.monotonic() - start < SECONDS_MAX, links_up(lab, n)
        wait_doing_nothing(lab, 0.05)
    return time.monotonic() - start


@pytest.mark.parametrize("mode", ["passive", "active", "rr"])
def test_link_when_it_dies_and_heals_then_no_view_changes_and_it_is_used_again(mode: str) -> None:
    with secure("uuu") as lab:
        give_second_link(lab, mode)
        lab.form()
        for link in (0, 1):
            wait_for_links(lab, 2, link, up=True)
        before = ring_changes(lab)
        lab.send(3_000, 200, gap_us=1_000)
        filter_packets(lab, 2, CUT)
        assert wait_for_links(lab, 2, 0, up=False) < 2
        assert all(is_up for (_, link), is_up in links_up(lab, 2).items() if link == 1)
        filter_packets(lab, 2, "")
        assert wait_for_links(lab, 2, 0, up=True) < SECONDS_MAX
        lab.finish(timeout=30)
        assert ring_changes(lab) == before
