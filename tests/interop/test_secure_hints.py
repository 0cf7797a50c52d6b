"""Forged ICMP: a member that is said to be gone, or behind a narrow path, is neither."""

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any

import pytest

from tests.interop.intruder import inside
from tests.interop.lab import Lab
from tests.interop.secure_lab import ring_changes, secure, status, wait_doing_nothing

pytestmark = pytest.mark.timeout(60)

STRANGER, PORT = 4, 5405
_IP = Struct(">BBHHHBBH4s4s")
_ICMP = Struct(">BBHHH")
_UDP = Struct(">HHHH")
UNREACHABLE, NO_PROTOCOL, PORT_CLOSED, TOO_LARGE, NO_ROUTE = 3, 2, 3, 4, 5
NARROW = 576
ROUNDS = 400
FLOOD_SECONDS = 3
ROOM_BYTES = 1_472


def checksum(data: bytes) -> int:
    total = sum(Struct(f">{len(data) // 2}H").unpack(data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_header(source: str, target: str, protocol: int, size: int) -> bytes:
    ends = socket.inet_aton(source), socket.inet_aton(target)
    return _IP.pack(0x45, 0, _IP.size + size, 0, 0, 64, protocol, 0, *ends)


def complaint(liar: str, victim: str, code: int, source: int) -> bytes:
    """What `liar` would send to `victim` if it did not want what came from its port `source`."""
    quoted = ip_header(victim, liar, socket.IPPROTO_UDP, 1_000) + _UDP.pack(source, PORT, 1_000, 0)
    head = _ICMP.pack(UNREACHABLE, code, 0, 0, NARROW if code == TOO_LARGE else 0)
    whole = head + quoted
    whole = whole[:2] + checksum(whole).to_bytes(2, "big") + whole[4:]
    return ip_header(liar, victim, socket.IPPROTO_ICMP, len(whole)) + whole


def knocking_ports(lab: Lab, n: int) -> dict[str, int]:
    """From where host `n` knocks at each peer's port; an attacker would read it off the wire."""
    found = {}
    rows = Path(f"/proc/{lab.network.host(n).pid}/net/udp").read_text().splitlines()[1:]
    for row in rows:
        local, remote = (text.split(":") for text in row.split()[1:3])
        if int(remote[1], 16) == PORT:
            found[socket.inet_ntoa(bytes.fromhex(remote[0])[::-1])] = int(local[1], 16)
    return found


def lies(lab: Lab, codes: Sequence[int]) -> list[tuple[bytes, str]]:
    """From each member to each other one, and whom to send it to."""
    addresses = {n: lab.network.addresses(n)[0] for n in lab.nodes}
    return [
        (complaint(addresses[liar], addresses[victim], code, source), addresses[victim])
        for victim in lab.nodes
        for liar in lab.nodes
        for code in codes
        if liar != victim
        for source in (PORT, knocking_ports(lab, victim)[addresses[liar]])
    ]


def transport(lab: Lab, n: int) -> dict[str, Any]:
    found: dict[str, Any] = status(lab, n)["daemon"]["transport"]
    return found


def assert_nobody_believed(lab: Lab) -> None:
    """Each link is up, and was never down; frames are as large as ever."""
    for n in lab.nodes:
        told = transport(lab, n)
        assert told["device_bytes"] == {"0": ROOM_BYTES}
        links = [link for peer in told["peers"] for link in peer["links"]]
        assert all(link["up"] and link["changes"] == 1 for link in links), links


@pytest.fixture
def lab(laboratory: Callable[..., Lab]) -> Iterator[Lab]:
    with secure("uuu", strangers=1) as made:
        made.form()
        yield made


@pytest.fixture
def raw(lab: Lab) -> Iterator[socket.socket]:
    """A socket of the stranger that sends whole IP packets."""
    with inside(lab.network.host(STRANGER)):
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with made:
        yield made


def test_members_when_icmp_slanders_them_then_they_stay_and_frames_stay_as_large(
    lab: Lab, raw: socket.socket
) -> None:
    rings = ring_changes(lab)
    before = {n: transport(lab, n)["port_closed"] for n in lab.nodes}
    lab.send(500, 1_000, gap_us=2_000)
    for code in (PORT_CLOSED, TOO_LARGE):  # one after the other: a socket keeps the last error only
        slander = lies(lab, (code,))
        for _ in range(ROUNDS // 2):
            for packet, victim in slander:
                raw.sendto(packet, (victim, 0))
            time.sleep(0.005)
    lab.finish()
    wait_doing_nothing(lab, 1)
    assert ring_changes(lab) == rings, lab.describe()
    assert_nobody_believed(lab)
    # The lies arrived.
    assert all(transport(lab, n)["port_closed"] > before[n] for n in lab.nodes)


def test_ring_when_flooded_with_icmp_then_it_stays_and_is_as_fast_afterwards(
    lab: Lab, raw: socket.socket
) -> None:
    rings = ring_changes(lab)
    slander = lies(lab, (NO_PROTOCOL, PORT_CLOSED, TOO_LARGE, NO_ROUTE))
    lab.send(500, 30_000, gap_us=5_000)
    end = time.monotonic() + FLOOD_SECONDS
    while time.monotonic() < end:
        for packet, victim in slander:
            raw.sendto(packet, (victim, 0))
    lab.finish()
    wait_doing_nothing(lab, 1)
    assert ring_changes(lab) == rings, lab.describe()
    assert_nobody_believed(lab)
    before = {n: transport(lab, n)["batches_sent"] for n in lab.nodes}
    lab.send(10, 60_000)
    lab.finish()
    # The kernel still cuts frames into packets.
    assert all(transport(lab, n)["batches_sent"] > before[n] + 10 for n in lab.nodes)
