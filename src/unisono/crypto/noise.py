"""Noise: the handshake by which two nodes that hold one authkey agree on fresh keys. All of it.

Speaks:      `write(ephemeral, payload) -> message`, `read(message) -> payload`, `split()`.
Counterpart: the Noise Protocol Framework, revision 34, patterns NNpsk0 and KKpsk0 with X25519,
             AES-256-GCM and SHA-256.
Keeps:       a handshake is two messages; one that does not open raises WireError and leaves no key.
Never:       throws dice: the ephemeral secret comes in, and belongs to one handshake only.

A handshake is a running hash `h` of all that both have seen, a chaining key `ck` into which every
secret is mixed, and a cipher key that follows from it. Each message is a list of tokens:

    NNpsk0   -> psk, e            <- e, ee
    KKpsk0   -> psk, e, es, ss    <- e, ee, se      (both know each other's static key before)

`psk` mixes in the pre-shared key, `e` sends an ephemeral public key, two letters are a
Diffie-Hellman between the initiator's (first letter) and the responder's key. With pre-shared keys
an ephemeral public key is mixed into the keys, too, so that no cipher key is ever used twice.
"""

from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from hmac import digest
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unisono.base.errors import UsageError, WireError

KEY_BYTES: Final = 32
TAG_BYTES: Final = 16


class Pattern(Enum):
    """A handshake pattern: its full name (32 bytes, so it is the first hash) and its tokens."""

    NN = b"Noise_NNpsk0_25519_AESGCM_SHA256", (("psk", "e"), ("e", "ee"))
    KK = b"Noise_KKpsk0_25519_AESGCM_SHA256", (("psk", "e", "es", "ss"), ("e", "ee", "se"))

    def __init__(self, label: bytes, messages: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        assert len(label) == sha256().digest_size
        self.label = label
        self.messages = messages


@dataclass(frozen=True, slots=True, repr=False)
class StaticKeys:
    """Long-lived keys of the KK pattern: own secret and peer's public key, 32 bytes each."""

    own: bytes
    peer_public: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Secrets:
    """What a finished handshake gives: 32-byte keys for each direction, and the final hash."""

    send: bytes
    receive: bytes
    hash: bytes
    """Names this session; the same at both ends, and no secret."""


class Handshake:
    """One side of one handshake: the initiator writes and then reads, the responder the reverse."""

    __slots__ = ("_ck", "_done", "_ephemeral", "_h", "_initiator", "_key", "_nonce", "_pattern",
                 "_peer_ephemeral", "_psk", "_static")  # fmt: skip

    def __init__(
        self, *, initiator: bool, psk: bytes, prologue: bytes, static_keys: StaticKeys | None = None
    ) -> None:
        """KKpsk0 with `static_keys`, NNpsk0 without. UsageError unless keys have 32 bytes."""
        if len(psk) != KEY_BYTES:
            raise UsageError(f"a pre-shared key has {KEY_BYTES} bytes, not {len(psk)}")
        self._pattern = Pattern.NN if static_keys is None else Pattern.KK
        self._initiator = initiator
        self._psk = psk
        self._h = self._ck = self._pattern.label
        self._key: AESGCM | None = None
        self._nonce = 0
        self._done = 0
        self._ephemeral: X25519PrivateKey | None = None
        self._peer_ephemeral: X25519PublicKey | None = None
        self._static: tuple[X25519PrivateKey, X25519PublicKey] | None = None
        self._mix_hash(prologue)
        if static_keys is not None:
            self._know(static_keys)

    def copy(self) -> "Handshake":
        """The same state once more: a message that may be forged is read by a copy."""
        twin = Handshake.__new__(Handshake)
        for name in self.__slots__:
            setattr(twin, name, getattr(self, name))
        return twin

    # -- messages ----------------------------------------------------------------------------------

    def write(self, ephemeral: bytes, payload: bytes) -> bytes:
        """The next message; `ephemeral` is 32 fresh random bytes that nothing else ever uses."""
        tokens = self._next(writing=True)
        self._ephemeral = X25519PrivateKey.from_private_bytes(ephemeral)
        public = self._ephemeral.public_key().public_bytes_raw()
        for token in tokens:
            if token == "e":
                self._mix_ephemeral(public)
            else:
                self._mix_token(token)
        return public + self._seal(payload)

    def read(self, message: bytes) -> bytes:
        """The payload of the peer's next message; WireError when it is not genuine."""
        tokens = self._next(writing=False)
        if len(message) < KEY_BYTES + TAG_BYTES:
            raise WireError(f"handshake message of {len(message)} bytes")
        public = message[:KEY_BYTES]
        self._peer_ephemeral = X25519PublicKey.from_public_bytes(public)
        for token in tokens:
            if token == "e":
                self._mix_ephemeral(public)
            else:
                self._mix_token(token)
        return self._open(message[KEY_BYTES:])

    def split(self) -> Secrets:
        """The keys of the session; UsageError before both messages have passed."""
        if self._done != len(self._pattern.messages):
            raise UsageError("the handshake is not finished")
        first, second = _expand(self._ck, b"", 2)
        to_responder, to_initiator = first, second
        if self._initiator:
            return Secrets(send=to_responder, receive=to_initiator, hash=self._h)
        return Secrets(send=to_initiator, receive=to_responder, hash=self._h)

    def _next(self, *, writing: bool) -> tuple[str, ...]:
        """The tokens of the next message. A handshake that failed is never advanced again."""
        if self._done >= len(self._pattern.messages):
            raise UsageError("the handshake is over")
        if writing is not (self._initiator is (self._done == 0)):
            raise UsageError("it is the peer's turn to write" if writing else "it is our turn")
        tokens = self._pattern.messages[self._done]
        self._done += 1
        return tokens

    # -- tokens ------------------------------------------------------------------------------------

    def _know(self, static_keys: StaticKeys) -> None:
        """The pre-messages of KK: both static public keys, the initiator's first."""
        own = X25519PrivateKey.from_private_bytes(static_keys.own)
        publics = [own.public_key().public_bytes_raw(), static_keys.peer_public]
        for public in publics if self._initiator else reversed(publics):
            self._mix_hash(public)
        self._static = own, X25519PublicKey.from_public_bytes(static_keys.peer_public)

    def _mix_ephemeral(self, public: bytes) -> None:
        self._mix_hash(public)
        self._mix_key(public)

    def _mix_token(self, token: str) -> None:
        if token == "psk":
            self._ck, mixed, key = _expand(self._ck, self._psk, 3)
            self._mix_hash(mixed)
            self._set_key(key)
            return
        initiators, responders = token[0], token[1]
        mine, theirs = (initiators, responders) if self._initiator else (responders, initiators)
        own = self._ephemeral if mine == "e" else self._static and self._static[0]
        peer = self._peer_ephemeral if theirs == "e" else self._static and self._static[1]
        assert own is not None, "the pattern names only keys that exist by then"
        assert peer is not None, "the pattern names only keys that exist by then"
        try:
            self._mix_key(own.exchange(peer))
        except ValueError as reason:  # a point of small order: no peer chooses one
            raise WireError("handshake message with a degenerate key") from reason

    # -- symmetric state ---------------------------------------------------------------------------

    def _mix_hash(self, data: bytes) -> None:
        self._h = sha256(self._h + data).digest()

    def _mix_key(self, material: bytes) -> None:
        self._ck, key = _expand(self._ck, material, 2)
        self._set_key(key)

    def _set_key(self, key: bytes) -> None:
        self._key = AESGCM(key)
        self._nonce = 0

    def _seal(self, payload: bytes) -> bytes:
        assert self._key is not None, "each message begins with a key"
        sealed = self._key.encrypt(self._next_nonce(), payload, self._h)
        self._mix_hash(sealed)
        return sealed

    def _open(self, sealed: bytes) -> bytes:
        assert self._key is not None, "each message begins with a key"
        try:
            payload = self._key.decrypt(self._next_nonce(), sealed, self._h)
        except InvalidTag:
            raise WireError("handshake message that does not open") from None
        self._mix_hash(sealed)
        return payload

    def _next_nonce(self) -> bytes:
        nonce = bytes(4) + self._nonce.to_bytes(8, "big")
        self._nonce += 1
        return nonce


def _expand(chaining_key: bytes, material: bytes, count: int) -> tuple[bytes, ...]:
    """HKDF as Noise section 4.3 defines it: `count` outputs of 32 bytes."""
    temporary = digest(chaining_key, material, sha256)
    outputs: list[bytes] = []
    previous = b""
    for number in range(1, count + 1):
        previous = digest(temporary, previous + bytes((number,)), sha256)
        outputs.append(previous)
    return tuple(outputs)
