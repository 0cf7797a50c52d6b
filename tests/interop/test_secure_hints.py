"""Forged ICMP: a member that is said to be gone, or behind a narrow path, is neither."""

import socket
import time
from collections.abc import Callable
from struct import Struct

import pytest

from tests.interop.intruder import inside
from tests.interop.lab import Lab
from tests.interop.rings import assert_load_ordered
from tests.interop.secure_lab import ring_changes, secure, status, wait_doing_nothing

pytestmark = pytest.mark.timeout(60)

STRANGER, PORT = 4, 5405
_IP = Struct(">BBHHHBBH4s4s")
_ICMP = Struct(">BBHHH")
_UDP = Struct(">HHHH")
UNREACHABLE, PORT_CLOSED, TOO_LARGE = 3, 3, 4
NARROW = 576
ROUNDS = 400


def checksum(data: bytes) -> int:
    total = sum(Struct(f">{len(data) // 2}H").unpack(data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_header(source: str, target: str, protocol: int, size: int) -> bytes:
    ends = socket.inet_aton(source), socket.inet_aton(target)
    return _IP.pack(0x45, 0, _IP.size + size, 0, 0, 64, protocol, 0, *ends)


def complaint(liar: str, victim: str, code: int) -> bytes:
    """What `liar` would send to `victim` if it did not want what came to it."""
    quoted = ip_header(victim, liar, socket.IPPROTO_UDP, 1_000) + _UDP.pack(PORT, PORT, 1_000, 0)
    head = _ICMP.pack(UNREACHABLE, code, 0, 0, NARROW if code == TOO_LARGE else 0)
    whole = head + quoted
    whole = whole[:2] + checksum(whole).to_bytes(2, "big") + whole[4:]
    return ip_header(liar, victim, socket.IPPROTO_ICMP, len(whole)) + whole


def test_members_when_icmp_slanders_them_then_they_stay_and_frames_stay_as_large(
    laboratory: Callable[..., Lab],
) -> None:
    with secure("uuu", strangers=1) as lab:
        lab.form()
        addresses = {n: lab.network.addresses(n)[0] for n in lab.nodes}
        lies = [
            (complaint(addresses[liar], addresses[victim], code), addresses[victim])
            for liar in lab.nodes
            for victim in lab.nodes
            for code in (PORT_CLOSED, TOO_LARGE)
            if liar != victim
        ]
        with inside(lab.network.host(STRANGER)):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        rings = ring_changes(lab)
        rooms = status(lab, 1)["daemon"]["transport"]["device_bytes"]
        lab.send(500, 1_000, gap_us=2_000)
        with raw:
            for _ in range(ROUNDS):
                for packet, victim in lies:
                    raw.sendto(packet, (victim, 0))
                time.sleep(0.005)
        wait_doing_nothing(lab, 1)
        assert ring_changes(lab) == rings, lab.describe()
        assert_load_ordered(lab, messages=100)
        for n in lab.nodes:
            told = status(lab, n)["daemon"]["transport"]
            # The lies arrived, and had no effect.
            assert told["port_closed"] > ROUNDS / 4
            assert told["device_bytes"] == rooms
            assert all(link["up"] for peer in told["peers"] for link in peer["links"])
            assert all(link["changes"] == 1 for peer in told["peers"] for link in peer["links"])
