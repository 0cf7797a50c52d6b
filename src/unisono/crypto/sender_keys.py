"""Sender keys: each node seals its frames once, with a key of its own that all others hold.

Speaks:      `OwnKey.seal(frame) -> packet`, `PeerKeys.learn`, `PeerKeys.open(packet) -> frame`;
             `seal_parts`, `unseal` and `accept` for frames that travel in pieces.
Counterpart: Signal's sender keys; no group key exists, so no membership change needs an agreement.
Keeps:       one writer for each key, and no counter twice under it; a frame opens once; of each
             peer at most two generations are kept.
Never:       decides when a key is made, told or dropped.
"""

from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from unisono.base.errors import UsageError
from unisono.base.group import Buffer
from unisono.base.ids import Nanos, NodeId
from unisono.crypto.keys import KEY_BYTES, group_key
from unisono.crypto.replay import Window
from unisono.wire.ust.header import HEADER_BYTES, Flag, Header, PacketType, encode_nonce

GROUP_WINDOW: Final = 8_192
"""Counters of one sender that may be late: several rotations of the widest window."""
GENERATIONS_MAX: Final = 2
FRAMES_PER_KEY_MAX: Final = 1 << 28
BYTES_PER_KEY_MAX: Final = 1 << 38


class Aead(Protocol):
    """A cipher that also authenticates."""

    def encrypt(self, nonce: bytes, data: Buffer, associated_data: Buffer, /) -> bytes:
        """Seal."""

    def decrypt(self, nonce: bytes, data: Buffer, associated_data: Buffer, /) -> bytes:
        """Open, or raise InvalidTag."""


Cipher = Callable[[bytes], Aead]
CIPHERS: Final[dict[str, Cipher]] = {"aes256": AESGCM, "chacha20": ChaCha20Poly1305}
"""By the name in the configuration (`totem.crypto_cipher`)."""


_ADDRESSED: Final = int(Flag.ADDRESSED)


def _address(node: NodeId) -> bytes:
    """What the seal of an addressed frame covers besides its header."""
    return node.to_bytes(4, "big")


class OwnKey:
    """The key under which this node seals, of one generation."""

    __slots__ = ("_aead", "_counter", "_sealed_bytes", "_secret", "_sender", "generation",
                 "is_told")  # fmt: skip

    def __init__(self, cipher: Cipher, sender: NodeId, generation: int, secret: bytes) -> None:
        """`secret` is 32 random bytes that were never used before."""
        if len(secret) != KEY_BYTES:
            raise UsageError(f"a sender key has {KEY_BYTES} bytes")
        self.generation = generation
        self.is_told = True
        """Whether peers that lack it should get it; one that may have been used by a machine that
        was rolled back is kept by those who have it."""
        self._secret = bytearray(secret)
        self._aead = cipher(group_key(secret, sender, generation))
        self._sender = sender
        self._counter = 0
        self._sealed_bytes = 0

    @property
    def secret(self) -> bytes:
        """What peers must be told, in a session."""
        return bytes(self._secret)

    @property
    def next_counter(self) -> int:
        """The counter of the next frame: whoever learns the key now must accept nothing older."""
        return self._counter

    @property
    def is_worn(self) -> bool:
        """Whether so much was sealed that a new generation is due."""
        return self._counter >= FRAMES_PER_KEY_MAX or self._sealed_bytes >= BYTES_PER_KEY_MAX

    def seal(self, frame: Buffer, salt: int, flags: int = 0, to: NodeId | None = None) -> bytes:
        """A GROUP packet: header, sealed frame, tag. `salt` is fresh and random for each batch.

        With `to`, only that node can open it, although others hold the key, too.
        """
        header, sealed = self.seal_parts(frame, salt, flags, to)
        return header + sealed

    def seal_parts(
        self, frame: Buffer, salt: int, flags: int = 0, to: NodeId | None = None
    ) -> tuple[bytes, bytes]:
        """A GROUP packet in two parts: its header, and the sealed frame with its tag."""
        counter = self._counter
        self._counter = counter + 1
        self._sealed_bytes += len(frame)
        if to is not None:
            flags |= _ADDRESSED
        header = Header(
            PacketType.GROUP, flags, self.generation, self._sender, salt, counter
        ).encode()
        bound = header if to is None else header + _address(to)
        return header, self._aead.encrypt(encode_nonce(salt, counter), frame, bound)

    def erase(self) -> None:
        """Overwrite the secret; copies that Python made may live until their memory is reused."""
        self._secret[:] = bytes(len(self._secret))


class _Generation:
    """One key of one peer."""

    __slots__ = ("aead", "drop_at", "secret", "window")

    def __init__(self, aead: Aead, secret: bytes, next_counter: int) -> None:
        self.aead = aead
        self.secret = bytearray(secret)
        self.window = Window(GROUP_WINDOW, next_counter)
        self.drop_at: Nanos | None = None
        """Set by the first frame of a newer generation."""


class PeerKeys:
    """What is known of one peer's sender keys."""

    __slots__ = (
        "_cipher",
        "_dropped",
        "_generations",
        "_linger_ns",
        "_me",
        "_sender",
        "forged",
        "replayed",
    )

    def __init__(self, cipher: Cipher, me: NodeId, sender: NodeId, linger_ns: int) -> None:
        """An older generation stays readable for `linger_ns` after the first newer frame."""
        self._cipher = cipher
        self._me = _address(me)
        self._sender = sender
        self._linger_ns = linger_ns
        self._generations: dict[int, _Generation] = {}
        self._dropped = 0
        """The newest generation that was dropped: told again, it would open its frames again."""
        self.forged = 0
        """Packets that did not open."""
        self.replayed = 0
        """Packets that opened, but not for the first time."""

    @property
    def sender(self) -> NodeId:
        """The peer."""
        return self._sender

    def knows(self, generation: int) -> bool:
        """Whether frames of this generation can be opened."""
        return generation in self._generations

    def learn(self, generation: int, secret: bytes, next_counter: int) -> None:
        """The peer told its key in a session. Told again, it does not reopen what has passed.

        A key of the same number with another secret takes the place of the former: the peer is a
        machine that was rolled back. Only the session in use may say so.
        """
        known = self._generations.pop(generation, None)
        if known is not None and known.secret == secret:
            self._generations[generation] = known
            return
        if known is None and generation <= self._dropped:
            return
        aead = self._cipher(group_key(secret, self._sender, generation))
        self._generations[generation] = _Generation(aead, secret, next_counter)
        while len(self._generations) > GENERATIONS_MAX:
            self._drop(next(iter(self._generations)))

    def open(self, header: Header, packet: Buffer, now: Nanos) -> bytes | None:
        """The frame in a whole GROUP packet of a known generation; None if forged or replayed."""
        view = memoryview(packet)
        frame = self.unseal(header, view[:HEADER_BYTES], view[HEADER_BYTES:])
        if frame is None:
            self.forged += 1
            return None
        if not self.accept(header, now):
            self.replayed += 1
            return None
        return frame

    def unseal(self, header: Header, lead: Buffer, sealed: Buffer) -> bytes | None:
        """What was sealed under this header, whose bytes are `lead`; None when it is forged.

        Of a known generation; counts nothing: `accept` must still say that it is new.
        """
        aead = self._generations[header.key].aead
        bound = bytes(lead) + self._me if header.flags & _ADDRESSED else lead
        try:
            return aead.decrypt(encode_nonce(header.salt, header.counter), sealed, bound)
        except InvalidTag:
            return None

    def accept(self, header: Header, now: Nanos) -> bool:
        """Whether the authentic frame of this header is new; it is not new any more afterwards."""
        if not self._generations[header.key].window.accept(header.counter):
            return False
        if len(self._generations) > 1:
            self._retire_older(header.key, now)
        return True

    def has_seen(self, header: Header) -> bool:
        """Whether a frame of this header, if it were authentic, would be a replay."""
        return self._generations[header.key].window.has_seen(header.counter)

    def _retire_older(self, generation: int, now: Nanos) -> None:
        """Those that were learned before it."""
        for number, known in self._generations.items():
            if number == generation:
                return
            if known.drop_at is None:
                known.drop_at = Nanos(now + self._linger_ns)

    @property
    def deadline(self) -> Nanos | None:
        """When `expire` has something to drop."""
        return min(
            (known.drop_at for known in self._generations.values() if known.drop_at is not None),
            default=None,
        )

    def expire(self, now: Nanos) -> None:
        """Drop and erase what is due."""
        for number, known in list(self._generations.items()):
            if known.drop_at is not None and known.drop_at <= now:
                self._drop(number)

    def forget(self) -> None:
        """Drop everything: the peer's daemon was started anew, or left the configuration."""
        for number in list(self._generations):
            self._drop(number)
        self._dropped = 0

    def trust_anew(self) -> None:
        """There is a new session: what it tells was not withheld from an earlier time."""
        self._dropped = 0

    def _drop(self, generation: int) -> None:
        known = self._generations.pop(generation)
        self._dropped = max(self._dropped, generation)
        known.secret[:] = bytes(len(known.secret))
