"""A node with another authkey: both sides say so and never share a configuration."""

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.interop.intruder import Recorder
from tests.interop.lab import Lab
from tests.interop.rings import assert_load_ordered
from tests.interop.secure_lab import (
    AUTHKEY,
    OTHER_AUTHKEY,
    UNISONO,
    give_key,
    secure,
    wait_doing_nothing,
)
from unisono.crypto.keys import derive

pytestmark = pytest.mark.timeout(60)

CLUSTER = "unison"
FORM = re.compile(r"Invalid digest from 10\.77\.0\.\d:5405 link=0 claims-node=\d ")
NOTICE_SECONDS = 5
SLICE_BYTES = 8
"""So many bytes of a key in a row are no accident."""


def complaints(lab: Lab, n: int) -> list[str]:
    return [line for line in lab.log(n).read_text().splitlines() if "Invalid digest" in line]


def slices(secret: bytes) -> Iterator[bytes]:
    """What would betray the secret, as it is and in hexadecimal digits."""
    for at in range(0, len(secret) - SLICE_BYTES + 1, SLICE_BYTES):
        part = secret[at : at + SLICE_BYTES]
        yield from (part, part.hex().encode(), repr(part)[2:-1].encode())


@contextmanager
def cores_allowed() -> Iterator[None]:
    """Processes that start now may leave core files, unless they see to it themselves."""
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def test_node_when_its_authkey_differs_then_both_sides_say_so_and_it_stays_alone(
    laboratory: Callable[..., Lab],
) -> None:
    ours, theirs = derive(AUTHKEY, CLUSTER), derive(OTHER_AUTHKEY, CLUSTER)
    with secure("uuu") as lab, Recorder(lab.network) as recorder, cores_allowed():
        give_key(lab, 3, OTHER_AUTHKEY)
        lab.start(1, 2, 3)
        lab.wait(
            "both sides complain",
            lambda: all(complaints(lab, n) for n in lab.nodes),
            timeout=NOTICE_SECONDS,
        )
        lab.wait_views([1, 2])
        lab.wait_views([3])
        assert_load_ordered(lab, [1, 2], messages=100)
        wait_doing_nothing(lab, 2)
        prints = dict.fromkeys((1, 2), (ours.fingerprint, theirs.fingerprint))
        prints[3] = theirs.fingerprint, ours.fingerprint
        said = b""
        for n, (own, other) in prints.items():
            lines = complaints(lab, n)
            assert len(lines) <= 2, lines
            for line in lines:
                assert f"reason=key-differs theirs={other} ours={own}" in line, line
                assert FORM.search(line), line
            shown = lab.run(n, UNISONO, "status", "--seconds", "0")
            assert shown.returncode != 0, shown
            assert other in shown.stdout + shown.stderr, shown
            asjson = lab.run(n, UNISONO, "status", "--seconds", "0", "--json")
            assert asjson.returncode == shown.returncode
            said += lab.log(n).read_bytes()
            said += f"{shown.stdout}{shown.stderr}{asjson.stdout}{asjson.stderr}".encode()
        said += b"".join(datagram.data for datagram in recorder.take())
        secrets = (AUTHKEY, OTHER_AUTHKEY, *(part for k in (ours, theirs) for part in
                                             (k.psk, k.mac1, k.cookie)))  # fmt: skip
        assert not [part for secret in secrets for part in slices(secret) if part in said]
        for n in lab.nodes:
            assert all(3 not in e["members"] or n == 3 for e in lab.clients[n].all("ring"))
            assert lab.clients[3].ring == (3,)
            limits = lab.network.host(n).path(f"/proc/{lab.daemons[n].pid}/limits").read_text()
            assert re.search(r"Max core file size +0 ", limits), limits
