"""A flood: forged packets of every sort, as many a second as asked for, from one host.

flooder.py HOST_PID TARGET RATE SECONDS RECORDING [SORTS]    tells packets sent and seconds taken

SORTS names some of the sorts, with commas between; all without.

RECORDING holds genuine packets, each after its length (u16). Packets leave in batches of one size,
which the kernel cuts (UDP_SEGMENT): that is what makes such rates possible from Python.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.interop.intruder import UDP_SEGMENT, Address, Impostor
from tests.secure.mutations import forgeries
from unisono.wire.ust.header import HEADER_BYTES, Flag, PacketType

PORT = 5405
SEGMENTS_MAX = 64
BATCH_BYTES_MAX = 60_000
BATCHES_PER_SORT = 40
SLICES_PER_SECOND = 200


Supply = Iterator[tuple[list[bytes], int]]


class Host(NamedTuple):
    """What Impostor wants to know of a host."""

    pid: int


class Batch(NamedTuple):
    """Packets of one size from one source."""

    source: Address
    size: int
    data: bytes
    count: int


def read_recording(path: Path) -> list[bytes]:
    """The genuine packets."""
    data, packets, at = path.read_bytes(), [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        packets.append(data[at + 2 : end])
        at = end
    return packets


def write_recording(path: Path, packets: list[bytes]) -> None:
    """The counterpart of `read_recording`."""
    path.write_bytes(b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets))


def batch(source: Address, packets: list[bytes], size: int) -> Batch:
    """As many of these as fit, each cut or filled up to `size`."""
    fitting = packets[: min(SEGMENTS_MAX, BATCH_BYTES_MAX // size)]
    data = b"".join(packet[:size].ljust(size, b"\0") for packet in fitting)
    return Batch(source, size, data, len(fitting))


def sorts(genuine: list[bytes], random: Random) -> dict[str, Supply]:
    """One endless supply for each sort: some packets, and the size that they shall have."""

    def of(kind: PacketType) -> list[bytes]:
        return [packet for packet in genuine if packet[1] & 0x0F == kind]

    def noise() -> Supply:
        while True:
            size = random.randrange(1, 1_400)
            yield [random.randbytes(size) for _ in range(SEGMENTS_MAX)], size

    def bent() -> Supply:
        while True:
            model = random.choice(genuine)
            yield list(forgeries([model], SEGMENTS_MAX, random.getrandbits(32))), len(model)

    def cut() -> Supply:
        while True:
            models = random.choices(genuine, k=SEGMENTS_MAX)
            yield models, random.randrange(1, min(map(len, models)) + 1)

    def pieces() -> Supply:
        models = [packet for packet in of(PacketType.GROUP) if packet[3] & Flag.PIECE]
        while True:
            model = random.choice(models)
            forged = []
            for _ in range(SEGMENTS_MAX):
                # The header and the frame's number stay, or belong to a frame that is to come.
                lead = bytearray(model[: HEADER_BYTES + 16])
                if random.random() < 0.5:
                    counter = int.from_bytes(lead[16:24], "big") + random.randrange(1, 5_000)
                    lead[16:24] = counter.to_bytes(8, "big")
                forged.append(bytes(lead) + random.randbytes(len(model) - len(lead)))
            yield forged, len(model)

    def hellos() -> Supply:
        captured = of(PacketType.HELLO)
        while True:
            yield random.choices(captured, k=SEGMENTS_MAX), len(captured[0])

    return {
        "noise": noise(),
        "bent": bent(),
        "cut": cut(),
        "pieces": pieces(),
        "hellos": hellos(),
    }


def prepare(genuine: list[bytes], senders: list[str], wanted: str, seed: int) -> list[Batch]:
    """A cycle of batches, from the members' addresses and from invented ones."""
    random = Random(seed)
    made: list[Batch] = []
    supplies = sorts(genuine, random)
    for supply in map(supplies.get, wanted.split(",") if wanted else supplies):
        assert supply is not None, wanted
        for _ in range(BATCHES_PER_SORT):
            packets, size = next(supply)
            if random.random() < 0.5:
                source = random.choice(senders), PORT
            else:
                source = f"10.77.0.{random.randrange(100, 120)}", random.randrange(5_000, 5_010)
            made.append(batch(source, packets, size))
    random.shuffle(made)
    return made


def flood(
    impostor: Impostor, target: Address, batches: list[Batch], rate: int, seconds: float
) -> tuple[int, float]:
    """Send at an even rate; packets that left, and the seconds that took."""
    start = time.monotonic()
    sent = at = 0
    while (passed := time.monotonic() - start) < seconds:
        while sent < rate * passed:
            source, size, data, count = batches[at % len(batches)]
            ancillary = [(17, UDP_SEGMENT, size.to_bytes(2, sys.byteorder))]
            impostor.as_source(source).sendmsg([data], ancillary, 0, target)
            sent += count
            at += 1
        time.sleep(1 / SLICES_PER_SECOND)
    return sent, time.monotonic() - start


def main(pid: str, target: str, rate: str, seconds: str, recording: str, wanted: str = "") -> None:
    genuine = read_recording(Path(recording))
    members = [f"10.77.0.{n}" for n in (1, 2, 3) if f"10.77.0.{n}" != target]
    with Impostor(Host(int(pid))) as impostor:
        batches = prepare(genuine, members, wanted, 4)
        print("ready", flush=True)
        sys.stdin.readline()
        print(*flood(impostor, (target, PORT), batches, int(rate), float(seconds)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
