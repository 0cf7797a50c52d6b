"""Path MTU: how large a datagram one link carries, found by probes and watched ever after.

Speaks:      `probe` and `check` name the size of a ping to send, `answered` and `small_answered`
             report pongs; `room` is the largest UDP payload known to arrive.
Counterpart: RFC 8899 (packetization layer path MTU discovery); knet's pmtud.
Keeps:       a size is too large only when smaller pings sent after it are answered; what the
             network says of itself (ICMP) is never asked, for anybody can say it.
Never:       clocks, pings themselves (secure.link), sockets.
"""

from typing import Final

from unisono.base.ids import SECOND, Nanos
from unisono.base.limits import (
    SECURE_ROOM_BYTES_LEAST,
    SECURE_ROOM_BYTES_MIN,
    UDP_PAYLOAD_BYTES_MAX,
)
from unisono.wire.ust.header import HEADER_BYTES, TAG_BYTES
from unisono.wire.ust.records import Pad, Ping, Record, encode_records

STEP_BYTES: Final = 16
"""The search ends when what fits and what does not are so close."""
TRIES: Final = 3
"""Probes of one size before it counts as too large (RFC 8899, MAX_PROBES)."""
CHECKS_LOST_MAX: Final = 2
"""Lost checks of the room in use, in a row, that mean a black hole."""
IP_HEADERS_BYTES: Final = 48
"""IPv6 and UDP: what `knet_mtu` counts and a UDP payload does not (IPv4 would leave 20 more)."""
_PROBE_BYTES_MIN: Final = HEADER_BYTES + len(encode_records([Ping(0, 0), Pad(0)])) + TAG_BYTES


def padding(size: int) -> int:
    """Bytes of the Pad beside a Ping in a PAIR packet of `size` bytes; none below 57."""
    return max(0, size - _PROBE_BYTES_MIN)


def probe_records(link: int, time_ns: int, size: int) -> list[Record]:
    """A ping; with `size` one that makes a UDP payload of so many bytes."""
    ping = Ping(link, time_ns)
    return [ping, Pad(padding(size))] if size else [ping]


class PathRoom:
    """What one link to one peer carries. Silent between `stop` and `start`."""

    __slots__ = (
        "_base", "_check_at", "_fixed", "_guesses", "_high", "_interval_ns", "_limit", "_lost",
        "_next_at", "_size", "_started", "_tried_at", "_tries", "_wait_ns", "room",
    )  # fmt: skip

    def __init__(self, *, mtu_bytes: int, interval_ns: int, wait_ns: int) -> None:
        """`mtu_bytes` as `knet_mtu` (an IP packet; 0: probe); `wait_ns` between two tries."""
        self._fixed = _clamp(mtu_bytes - IP_HEADERS_BYTES) if mtu_bytes else 0
        self._interval_ns = max(interval_ns, SECOND)
        self._wait_ns = wait_ns
        self._limit = 0
        """What the interface takes; 0 until it is told."""
        self._base = self._fixed or SECURE_ROOM_BYTES_MIN
        """The room that is assumed without a probe."""
        self.room = self._base
        """Largest UDP payload that is known to arrive."""
        self._started = False
        self._rest()

    def _rest(self) -> None:
        """Nothing is asked, nothing is waited for."""
        self._guesses: list[int] = []
        self._high = 0
        """The least size known, or supposed, not to fit."""
        self._size = 0
        """What is being probed; 0: nothing."""
        self._tries = 0
        self._tried_at = Nanos(0)
        self._next_at: Nanos | None = None
        self._check_at: Nanos | None = None
        """When the unanswered check of the room was sent."""
        self._lost = 0

    @property
    def deadline(self) -> Nanos | None:
        """When `probe` has something to say."""
        return self._next_at

    # -- what the owner tells ----------------------------------------------------------------------

    def start(self, now: Nanos) -> None:
        """The link is up: search."""
        self._started = True
        self._search([self._limit], now)

    def stop(self) -> None:
        """The link is down: what it will carry when it comes back is anybody's guess."""
        self._started = False
        self.room = self._base
        self._rest()

    def limit(self, payload: int, now: Nanos) -> None:
        """The interface takes UDP payloads of at most `payload` bytes."""
        limit = _clamp(payload)
        if limit == self._limit:
            return
        self._limit = limit
        self._base = min(self._fixed or SECURE_ROOM_BYTES_MIN, limit)
        self.room = self._base if self._fixed else min(self.room, limit)
        if self._started:
            self._search([limit], now)

    def answered(self, size: int, now: Nanos) -> None:
        """A ping of `size` bytes was answered: the path carries that."""
        if size == self.room:
            self._check_at, self._lost = None, 0
        if self.room < size <= self._limit and not self._fixed and self._started:
            self.room = size
            self._check_at, self._lost = None, 0
            self._choose(now)

    def small_answered(self, sent: Nanos, now: Nanos) -> None:
        """A small ping of time `sent` was answered: what large ones before it were not, is lost."""
        # Half a wait between them, so that one overtaking the other on the way condemns nothing.
        before = sent - self._wait_ns // 2
        if self._size and self._tries == TRIES and self._tried_at <= before:
            self._high = self._size
            self._choose(now)
        if self._check_at is not None and self._check_at <= before:
            self._check_at = None
            self._lost += 1
            if self._lost == CHECKS_LOST_MAX:
                former, self.room = self.room, self._base
                self._search([former, self._limit], now)

    # -- what the owner asks -----------------------------------------------------------------------

    def probe(self, now: Nanos) -> int:
        """The size of the probe to send now; 0: none is due."""
        if self._next_at is None or now < self._next_at:
            return 0
        if not self._size:
            # One step up tells whether the path has grown at all, where the limit does not fit.
            self._search([self._limit, self.room + STEP_BYTES], now)
            if not self._size:
                return 0
        self._tries += 1
        self._tried_at = now
        self._next_at = Nanos(now + self._wait_ns) if self._tries < TRIES else None
        return self._size

    def check(self, now: Nanos) -> int:
        """The size of a heartbeat that makes sure of the room in use; 0: a small one will do."""
        if self._fixed or not self._started or self.room <= self._base:
            return 0
        self._check_at = now
        return self.room

    # -- the search --------------------------------------------------------------------------------

    def _search(self, guesses: list[int], now: Nanos) -> None:
        """Look for a larger room: first these sizes, then half-way between fits and fits not."""
        self._check_at, self._lost = None, 0
        self._guesses = guesses
        self._high = self._limit + 1
        self._choose(now)

    def _choose(self, now: Nanos) -> None:
        """The next size to try, at once; or none, until the interval is over."""
        self._tries = 0
        self._size = 0
        if self._fixed or not self._limit:
            self._next_at = None
            return
        while self._guesses and not self._size:
            guess = self._guesses.pop(0)
            if self.room < guess < self._high:
                self._size = guess
        if not self._size and self._high - self.room > STEP_BYTES:
            self._size = (self.room + self._high) // 2
        self._next_at = now if self._size else Nanos(now + self._interval_ns)


def _clamp(payload: int) -> int:
    return min(max(payload, SECURE_ROOM_BYTES_LEAST), UDP_PAYLOAD_BYTES_MAX)
