"""Keys: the secrets that the configuration names, from their files to what the transport holds.

Speaks:      `load_keyring` and `load_static_keys` at start; `active_authkey` and `read_authkey` for
             who changes keys; `check_keys` for `unisonod -t`.
Counterpart: corosync exec/totemconfig.c, totem_config_keyread.
Keeps:       a key that others can read is refused with the command that mends it; nothing here
             shows more of a key than its size or what is public of it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from unisono.base.errors import ConfigError
from unisono.base.ids import NodeId
from unisono.base.limits import KEYS_RETIRED_MAX
from unisono.config.security import encode_public_key
from unisono.config.settings import NodeSettings, SecureSettings, Settings
from unisono.crypto.keys import AUTHKEY_BYTES_MAX, AUTHKEY_BYTES_MIN, KID_BYTES
from unisono.crypto.noise import KEY_BYTES, StaticKeys
from unisono.linux.key_file import (
    MissingKeyFile,
    check_config_file,
    next_path,
    previous_path,
    read_key_file,
    retired_path,
)
from unisono.secure.authkeys import Authkey, Authkeys
from unisono.secure.context import Keyring

_RETIRED_BYTES_MAX: Final = KEYS_RETIRED_MAX * (2 * KID_BYTES + 1)
_KEYGEN: Final = "run `unisono keygen` on one node and copy the file to all nodes"
_KEYGEN_NODE: Final = "run `unisono keygen --node` on this node and give its line to all nodes"


def load_keyring(
    secure: SecureSettings, cluster: str, config_file: Path, *, alone: bool
) -> Keyring:
    """The cluster's key, and those before and after it while they change. ConfigError.

    A cluster of one node (`alone`) has nobody to agree with: without a key file it makes a key
    for this life.
    """
    keys = load_authkeys(secure, cluster, config_file, alone=alone)
    ring = Keyring(keys.active.keys)
    keys.put_into(ring)
    return ring


def load_authkeys(
    secure: SecureSettings, cluster: str, config_file: Path, *, alone: bool
) -> Authkeys:
    """The same with the keys themselves, for who changes them. ConfigError."""
    if alone and not secure.key and not Path(secure.key_file).exists():
        return Authkeys(Authkey.of(os.urandom(AUTHKEY_BYTES_MIN), cluster))
    active = Authkey.of(active_authkey(secure, config_file), cluster)
    if secure.key:
        return Authkeys(active)
    path = Path(secure.key_file)
    others = [read_authkey(each) for each in (next_path(path), previous_path(path))]
    following, previous = (Authkey.of(raw, cluster) if raw else None for raw in others)
    return Authkeys(active, following, previous, read_retired(retired_path(path))).settled()


def read_retired(path: Path) -> tuple[bytes, ...]:
    """The fingerprints of removed keys; those of a damaged file are forgotten. ConfigError."""
    try:
        text = read_key_file(path, _RETIRED_BYTES_MAX)
    except MissingKeyFile:
        return ()
    try:
        kids = [bytes.fromhex(line) for line in text.decode("ascii").split()]
    except ValueError:
        return ()
    return tuple(kid for kid in kids if len(kid) == KID_BYTES)[-KEYS_RETIRED_MAX:]


def active_authkey(secure: SecureSettings, config_file: Path) -> bytes:
    """The authkey that the configuration names, 128 to 4096 bytes. ConfigError.

    `config_file` holds `secure.key` when that is set: then others must not be able to read it.
    """
    if secure.key:
        check_config_file(config_file)
        text = secure.key.encode("utf-8", "surrogateescape")
        return _checked(text, f"totem.key in {config_file}")
    raw = read_authkey(Path(secure.key_file))
    if raw is None:
        raise ConfigError(f"the key file {secure.key_file} is missing: {_KEYGEN}")
    return raw


def read_authkey(path: Path) -> bytes | None:
    """The authkey in a file, 128 to 4096 bytes; None without a file. ConfigError."""
    try:
        raw = read_key_file(path, AUTHKEY_BYTES_MAX)
    except MissingKeyFile:
        return None
    return _checked(raw, f"the key file {path}")


def load_static_keys(
    secure: SecureSettings, nodes: Sequence[NodeSettings], me: NodeId
) -> dict[NodeId, StaticKeys]:
    """Level 2: the static keys for each peer; empty on level 1. ConfigError."""
    if not secure.private_key_file:
        return {}
    path = Path(secure.private_key_file)
    try:
        secret = read_key_file(path, KEY_BYTES)
    except MissingKeyFile as error:
        raise ConfigError(f"{error}: {_KEYGEN_NODE}") from error
    if len(secret) != KEY_BYTES:
        raise ConfigError(f"the key file {path} is no private key: it has not {KEY_BYTES} bytes")
    own = X25519PrivateKey.from_private_bytes(secret)
    public = own.public_key().public_bytes_raw()
    for node in nodes:
        if node.node_id == me and node.public_key != public:
            raise ConfigError(
                f"nodelist.node.ust_pubkey of node {me} is not the public key of {path}, "
                f"which is {encode_public_key(public)}"
            )
        if not _is_usable(own, node.public_key):
            raise ConfigError(
                f"nodelist.node.ust_pubkey of node {node.node_id} is no public key of anybody: "
                f"{_KEYGEN_NODE}"
            )
    return {
        node.node_id: StaticKeys(secret, node.public_key) for node in nodes if node.node_id != me
    }


def check_keys(settings: Settings, config_file: Path) -> list[str]:
    """What is wrong with the keys of a configuration, a line each; nothing is written."""
    secure = settings.transport.secure
    if secure is None:
        return []
    errors = []
    for look in (
        lambda: load_keyring(
            secure, settings.cluster_name, config_file, alone=len(settings.nodes) == 1
        ),
        lambda: load_static_keys(secure, settings.nodes, settings.node_id),
    ):
        try:
            look()
        except ConfigError as error:
            errors.append(str(error))
    return errors


def _checked(authkey: bytes, what: str) -> bytes:
    if not AUTHKEY_BYTES_MIN <= len(authkey) <= AUTHKEY_BYTES_MAX:
        size = str(len(authkey)) if len(authkey) < AUTHKEY_BYTES_MIN else "more"
        raise ConfigError(
            f"{what} has {size} bytes; allowed: {AUTHKEY_BYTES_MIN}..{AUTHKEY_BYTES_MAX}"
        )
    return authkey


def _is_usable(own: X25519PrivateKey, public: bytes) -> bool:
    """Whether an agreement with it gives a key: a point of small order gives the same to all."""
    try:
        own.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return False
    return True
