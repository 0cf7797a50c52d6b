"""Forged datagrams: random ones, and genuine ones bent, cut, stretched or sewn together."""

from collections.abc import Iterator, Sequence
from random import Random

FORGERIES = 100_000
"""Per decoder."""
EXTRA_BYTES_MAX = 64


def forgeries(genuine: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` datagrams, none of them one of `genuine`; the same for the same seed."""
    random = Random(seed)
    known = set(genuine)
    made = 0
    while made < count:
        packet = _forge(genuine, random)
        if packet not in known:
            made += 1
            yield packet


def _forge(genuine: Sequence[bytes], random: Random) -> bytes:
    packet = genuine[int(random.random() * len(genuine))]
    match int(random.random() * 8):
        case 0 | 1 | 2 | 3:
            return _bent(packet, random)
        case 4:
            return packet[: int(random.random() * len(packet))]
        case 5:
            return packet + random.randbytes(1 + int(random.random() * EXTRA_BYTES_MAX))
        case 6:
            other = genuine[int(random.random() * len(genuine))]
            at = int(random.random() * (1 + min(len(packet), len(other))))
            return packet[:at] + other[at:]
        case _:
            kept = int(random.random() * min(len(packet), 48))
            return packet[:kept] + random.randbytes(len(packet) - kept)


def _bent(packet: bytes, random: Random) -> bytes:
    """One to three bits flipped, in every other one near the beginning."""
    bent = bytearray(packet)
    reach = min(len(bent), 48) if random.random() < 0.5 else len(bent)
    for _ in range(1 + int(random.random() * 3)):
        bent[int(random.random() * reach)] ^= 1 << int(random.random() * 8)
    return bytes(bent)
