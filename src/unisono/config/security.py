"""Security: cipher, cluster key and public keys, as the configuration asks for them.

Counterpart: corosync exec/totemconfig.c, totem_get_crypto, totem_config_keyread.
Keeps:       nothing is silently weaker than what was asked for; no message shows key bytes.
Never:       reads a key file (executive.keys).
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from unisono.config.document import Block
from unisono.config.grammar import shown
from unisono.config.problems import Report
from unisono.config.settings import UST

CIPHERS: Final = ("aes256", "chacha20")
KEY_BYTES_MIN: Final = 128
KEY_BYTES_MAX: Final = 4096
"""Sizes of an authkey, as libknet demands (KNET_MIN_KEY_LEN, KNET_MAX_KEY_LEN)."""
PUBLIC_KEY_BYTES: Final = 32
_OPEN: Final = {"crypto_cipher": "none", "crypto_hash": "none", "secauth": "off"}
"""The words that ask for no protection."""
_REMEDY: Final = {
    "crypto_cipher": "aes256, chacha20",
    "crypto_hash": "sha256",
    "secauth": "on",
}


def refuse_crypto(totem: Block, kind: str, report: Report) -> None:
    """udpu and udp protect nothing. crypto_* win over secauth, each for itself, as in Corosync."""
    for name in ("crypto_cipher", "crypto_hash"):
        culprit = name if name in totem.given else "secauth"
        found = totem.text(culprit)
        if culprit in totem.given and found != _OPEN[culprit]:
            reason = f"found {shown(found)}; allowed with transport {kind}: {_OPEN[culprit]}"
            text = f"{totem.place_of(culprit)}: totem.{culprit}: {reason}"
            if text not in report.errors:
                report.errors.append(text)


def check_crypto(totem: Block, report: Report) -> None:
    """The secure transport protects always, and with its own ciphers."""
    asked: list[str] = [name for name in ("crypto_cipher", "crypto_hash") if name in totem.given]
    if "crypto_cipher" not in asked and "secauth" in totem.given:  # which they win over
        asked.append("secauth")
    for name in asked:
        if totem.text(name) != _OPEN[name]:
            continue
        if "transport" not in totem.given:  # as in the file that Debian installs
            _warn(totem, name, "it always encrypts", report)
        else:
            report.error(
                totem.place_of(name),
                f"totem.{name}",
                f"found {totem.text(name)}, but transport {UST} is always encrypted; "
                f"allowed: {_REMEDY[name]}; choose `transport: udpu` to run without",
            )
    cipher = totem.text_given("crypto_cipher")
    if cipher not in ("", "none", *CIPHERS):
        report.error(
            totem.place_of("crypto_cipher"),
            "totem.crypto_cipher",
            f"found {cipher}; allowed with transport {UST}: {', '.join(CIPHERS)}",
        )
    if totem.text_given("crypto_hash") not in ("", "none", "sha256"):
        _warn(totem, "crypto_hash", "its cipher authenticates every packet", report)
    if "crypto_model" in totem.given:
        _warn(totem, "crypto_model", "it has one library", report)


def _warn(totem: Block, name: str, reason: str, report: Report) -> None:
    report.warning(
        totem.place_of(name), f"totem.{name}", f"is ignored by transport {UST}: {reason}"
    )


def cipher_of(totem: Block) -> str:
    """The cipher in force with the secure transport."""
    cipher = totem.text_given("crypto_cipher")
    return cipher if cipher in CIPHERS else CIPHERS[0]


def secret_of(totem: Block, report: Report) -> str:
    """`totem.key` when it is the key in force: `totem.keyfile` goes before it; empty otherwise."""
    if "key" not in totem.given or totem.text_given("keyfile"):
        return ""
    secret = totem.text("key")
    size = len(secret.encode("utf-8", "surrogateescape"))
    if not KEY_BYTES_MIN <= size <= KEY_BYTES_MAX:
        report.error(
            totem.place_of("key"),
            "totem.key",
            f"found {size} bytes; allowed: {KEY_BYTES_MIN}..{KEY_BYTES_MAX}",
        )
    return secret


def check_cluster_name(totem: Block, report: Report) -> None:
    """The cluster's name is part of every key, so all must read it alike."""
    name = totem.text("cluster_name")
    if any(0xDC80 <= ord(character) <= 0xDCFF for character in name):  # bytes that did not decode
        report.error(
            totem.place_of("cluster_name"),
            "totem.cluster_name",
            f"found {shown(name)}; allowed with transport {UST}: UTF-8",
        )


# -- level 2: a key pair for each node -------------------------------------------------------------


def public_keys(
    totem: Block, nodes: Sequence[Block], report: Report
) -> tuple[tuple[bytes, ...], str]:
    """Each node's public key, and the path of the own private key; empty on level 1."""
    having = [node for node in nodes if "ust_pubkey" in node.given]
    for node in nodes if having else ():
        if "ust_pubkey" not in node.given:
            report.error(
                node.place,
                "nodelist.node.ust_pubkey",
                f"not set, but {having[0].place_of('ust_pubkey')} has one; "
                "allowed: for all nodes or for none",
            )
    if not having and "ust_private_key_file" in totem.given:
        report.error(
            totem.place_of("ust_private_key_file"),
            "totem.ust_private_key_file",
            "given, but no node has a ust_pubkey; allowed: both or neither",
        )
    keys = tuple(_public_key(node, report) for node in nodes)
    _check_twice(nodes, keys, report)
    return keys, totem.text("ust_private_key_file") if having else ""


def _public_key(node: Block, report: Report) -> bytes:
    if "ust_pubkey" not in node.given:
        return b""
    key = decode_public_key(node.text("ust_pubkey"))
    if key is None:
        report.error(
            node.place_of("ust_pubkey"),
            "nodelist.node.ust_pubkey",
            f"found {shown(node.text('ust_pubkey'))}; allowed: {PUBLIC_KEY_BYTES} bytes in "
            "base64 or hexadecimal, as `unisono keygen --node` prints them",
        )
    return key or b""


def decode_public_key(text: str) -> bytes | None:
    """A public key from base64 or hexadecimal digits, None when it is neither."""
    try:
        if len(text) == 2 * PUBLIC_KEY_BYTES:
            key = binascii.unhexlify(text)
        else:
            key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:  # binascii.Error is one, and text beyond ASCII raises it, too
        return None
    return key if len(key) == PUBLIC_KEY_BYTES else None


def encode_public_key(key: bytes) -> str:
    """A public key as configuration files have it: base64."""
    return base64.b64encode(key).decode("ascii")


def _check_twice(nodes: Sequence[Block], keys: Sequence[bytes], report: Report) -> None:
    first: dict[bytes, Block] = {}
    for node, key in zip(nodes, keys, strict=True):
        if key and key in first:
            report.error(
                node.place_of("ust_pubkey"),
                "nodelist.node.ust_pubkey",
                f"found the key of {first[key].place_of('ust_pubkey')}; allowed: one for each node",
            )
        first.setdefault(key, node)
