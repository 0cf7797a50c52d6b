"""The key file: for its owner's eyes only, written whole or not at all.

Speaks:      open(2), fchmod(2), link(2), rename(2), fsync(2).
Counterpart: corosync tools/corosync-keygen.c; exec/totemconfig.c, read_keyfile.
Keeps:       a key that exists is never overwritten unless that is asked for; a reader of the file
             finds the old key or the new one, never a part; a file that others may open is refused;
             no message shows what is in it.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from unisono.base.errors import ConfigError

KEY_FILE_MODE: Final = 0o400
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_READ: Final = stat.S_IRGRP | stat.S_IROTH


class MissingKeyFile(ConfigError):
    """There is no key file."""


def next_path(path: Path) -> Path:
    """Where the key waits that will follow the one at `path`."""
    return path.with_name(f"{path.name}.next")


def previous_path(path: Path) -> Path:
    """Where the key stays for a while that was at `path` before."""
    return path.with_name(f"{path.name}.previous")


def retired_path(path: Path) -> Path:
    """Where the fingerprints stand of keys that were removed."""
    return path.with_name(f"{path.name}.retired")


def remove_key_file(path: Path) -> None:
    """See that there is no such file, also after a power failure. OSError."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    _sync_directory(path.parent)


def write_key_file(path: Path, key: bytes, *, replace: bool) -> None:
    """Make `path` with mode 0400. FileExistsError unless `replace`; OSError as it comes."""
    draft = path.with_name(f".{path.name}.{token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(draft, flags, KEY_FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), KEY_FILE_MODE)
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
        _sync_directory(path.parent)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def read_key_file(path: Path, bytes_max: int) -> bytes:
    """Up to `bytes_max` + 1 bytes of the key; ConfigError when others may open the file.

    MissingKeyFile, a ConfigError, when there is none.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise MissingKeyFile(f"the key file {path} is missing") from error
    except OSError as error:
        raise ConfigError(f"cannot read the key file {path}: {error.strerror}") from error
    try:
        _check(os.fstat(descriptor), path)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(bytes_max + 1)
    finally:
        os.close(descriptor)


def check_config_file(path: Path) -> None:
    """ConfigError when others may read a configuration file that holds the key itself."""
    try:
        found = path.stat()
    except OSError as error:
        raise ConfigError(f"cannot look at {path}: {error.strerror}") from error
    if found.st_mode & _OTHERS_READ:
        raise ConfigError(
            f"{path} holds totem.key and others can read it "
            f"(mode {stat.S_IMODE(found.st_mode):04o}): run chmod 0600 {path}"
        )


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"the key file {path} is not a regular file")
    if found.st_mode & _OTHERS:
        mode = stat.S_IMODE(found.st_mode)
        raise ConfigError(
            f"the key file {path} is open to others (mode {mode:04o}): run chmod 0400 {path}"
        )
    if found.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"the key file {path} belongs to uid {found.st_uid}: run chown root {path}"
        )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
