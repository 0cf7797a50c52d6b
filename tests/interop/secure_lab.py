"""Laboratories with keys: rings over the secure transport, or Corosync's encrypted knet.

Speaks:      `secure(kinds)`, `encrypted_corosync(kinds)`; `status`, `refusals`, `ring_changes`.
Keeps:       every host gets its own copy of the authkey, mode 0400, as an operator would do it.
"""

import select
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.interop.conf import Section
from tests.interop.intruder import inside
from tests.interop.lab import DAEMONS, Lab
from unisono import blocking

KEY_PATH: Final = "/etc/corosync/authkey"
LEAK_PATH: Final = "/run/entropy"
DAEMONS["l"] = (
    sys.executable,
    str(Path(__file__).with_name("leaky_unisonod.py")),
    LEAK_PATH,
    *DAEMONS["u"][1:],
)
"""A kind of daemon more: Unisono's, with its dice seen through."""
UNISONO: Final = str(Path(sys.executable).with_name("unisono"))
AUTHKEY: Final = Random("authkey of the laboratory").randbytes(256)
OTHER_AUTHKEY: Final = Random("some other authkey").randbytes(256)
OURS: Final = {"crypto_cipher": None, "crypto_hash": None}
THEIRS: Final = {"crypto_cipher": "aes256", "crypto_hash": "sha256"}


def give_key(lab: Lab, n: int, authkey: bytes = AUTHKEY) -> None:
    """Lay the authkey where the daemon of host `n` looks for it."""
    file = lab.network.host(n).path(KEY_PATH)
    file.unlink(missing_ok=True)
    file.touch(0o400)
    file.write_bytes(authkey)


def secure(kinds: str = "uuu", *, totem: Section | None = None, **keywords: Any) -> Lab:
    """Unisono daemons over the secure transport, which is the default."""
    lab = Lab(kinds, "ust", totem={**OURS, **(totem or {})}, **keywords)
    for n in lab.nodes:
        give_key(lab, n)
    return lab


def encrypted_corosync(kinds: str = "ccc", *, totem: Section | None = None, **keywords: Any) -> Lab:
    """Debian's Corosync over knet with aes256 and sha256."""
    lab = Lab(kinds, "knet", totem={**THEIRS, **(totem or {})}, **keywords)
    for n in lab.nodes:
        give_key(lab, n)
    return lab


def leaked(lab: Lab) -> list[bytes]:
    """Every secret of 32 bytes that the leaky daemons have drawn."""
    drawn = b"".join(lab.network.host(n).path(LEAK_PATH).read_bytes() for n in lab.nodes)
    return [drawn[at : at + 32] for at in range(0, len(drawn), 32)]


def ring_changes(lab: Lab) -> dict[int, int]:
    """How many rings each host's client has been in; one may be told to it twice."""
    return {
        n: len({(ring["rep"], ring["seq"]) for ring in client.all("ring")})
        for n, client in lab.clients.items()
    }


def status(lab: Lab, n: int) -> dict[str, Any]:
    """What the daemon of host `n` says of itself."""
    with inside(lab.network.host(n)), blocking.connect(protocol="native") as node:
        return node.status()


def refusals(lab: Lab, n: int) -> Counter[str]:
    """Packets that the daemon of host `n` has dropped so far, by reason."""
    found = status(lab, n)["daemon"]["transport"]
    total = Counter[str](found["dropped"])
    for peer in found["peers"]:
        total.update({name: count for name, count in peer["frames"].items() if name != "delivered"})
    return total


def wait_doing_nothing(lab: Lab, seconds: float) -> None:
    """Read what the clients say for so long: to see that nothing happens, one must wait."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select(list(lab.clients.values()), [], [], left)
        for client in ready:
            assert client.feed(), f"client {client.node} ended\n{lab.describe()}"
