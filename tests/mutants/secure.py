"""Mutants of the secure transport: nonces, replay windows, sessions, pieces, hints."""

from typing import Final

from tests.mutants.mutant import Mutant
from unisono.crypto.noise import Handshake
from unisono.crypto.replay import Window
from unisono.crypto.sender_keys import OwnKey, PeerKeys
from unisono.secure.frames import FrameSealer
from unisono.secure.handshakes import Handshakes
from unisono.secure.links import Links
from unisono.secure.peer import Peer
from unisono.secure.session import Session
from unisono.secure.telling import Telling

SECURE: Final = (
    Mutant(
        "frames-salted-with-zero",
        "Nonces of frames are their counters alone, which a rolled back machine counts again.",
        FrameSealer,
        "seal",
        'salt = int.from_bytes(drawn[:_SALT_BYTES], "big")',
        "salt = 0",
    ),
    Mutant(
        "sessions-salted-with-zero",
        "Nonces of a session are its counters alone.",
        Session,
        "seal",
        'number = int.from_bytes(salt, "big")',
        "number = 0",
    ),
    Mutant(
        "frame-counter-stands-still",
        "Every frame has the same counter.",
        OwnKey,
        "seal_parts",
        "self._counter = counter + 1",
        "self._counter = counter",
    ),
    Mutant(
        "one-ephemeral-key",
        "Every HELLO of a daemon's life is made with the same ephemeral key.",
        Handshakes,
        "begin",
        "context.entropy(_EPHEMERAL_BYTES)",
        "context.boot * 2",
    ),
    Mutant(
        "private-half-is-sent",
        "A handshake message begins with the ephemeral key's private half.",
        Handshake,
        "write",
        "return public +",
        "return ephemeral +",
    ),
    Mutant(
        "pieces-in-clear",
        "A frame that is larger than a packet is cut into pieces before it is sealed.",
        FrameSealer,
        "seal",
        "return encode_pieces(number, sealed, room, header)",
        "return encode_pieces(number, bytes(frame) + sealed[-16:], room, header)",
    ),
    Mutant(
        "window-not-asked",
        "Whatever opens is a new frame.",
        PeerKeys,
        "accept",
        "if not self._generations[header.key].window.accept(header.counter):",
        "if self._generations[header.key].window.accept(header.counter) is None:",
    ),
    Mutant(
        "window-remembers-the-highest",
        "Of the frames in the window only the newest counts as seen.",
        Window,
        "accept",
        "if self._bits & bit:",
        "if bit == 1:",
    ),
    Mutant(
        "key-opens-the-past",
        "Who learns a key accepts what was sealed with it before.",
        PeerKeys,
        "learn",
        "_Generation(aead, secret, next_counter)",
        "_Generation(aead, secret, 0)",
    ),
    Mutant(
        "forged-is-taken",
        "A frame that does not open is handed on as it came.",
        PeerKeys,
        "unseal",
        "        return None",
        "        return bytes(sealed)",
    ),
    Mutant(
        "target-not-bound",
        "A frame for one node opens at every node that has the key.",
        OwnKey,
        "seal_parts",
        "    if to is not None:\n        flags |= _ADDRESSED\n",
        "    to = None\n",
    ),
    Mutant(
        "hint-is-believed",
        "A peer whose port is said to be closed is gone.",
        Links,
        "suspect",
        "self._begin_round(now)",
        "self.gone = True",
    ),
    Mutant(
        "unconfirmed-session-is-used",
        "Who answers a HELLO takes the new session up at once, though the HELLO may be a replay.",
        Peer,
        "on_hello",
        "self.packets.append((Reach.BACK, answer))",
        "self.packets.append((Reach.BACK, answer)); "
        "self._adopt(next(reversed(self._handshakes._pending.values())).session, now)",
    ),
    Mutant(
        "key-told-once",
        "A sender key that got lost on its way is not told again.",
        Telling,
        "tell",
        "Nanos(now + KEY_RETRY_NS) if lacking else None",
        "None",
    ),
    Mutant(
        "greeted-once",
        "A HELLO that got lost is not repeated.",
        Peer,
        "_greet",
        "self._greet_at = Nanos(now + self._retry_ns + spread)",
        "self._greet_at = Nanos(now + (1 << 60) + spread)",
    ),
)
