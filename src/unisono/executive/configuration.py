"""Configuration: where the daemon's file is, and how it is read at the start and again later.

Counterpart: corosync exec/main.c (-c, COROSYNC_MAIN_CONFIG_FILE), exec/coroparse.c.
Keeps:       paths are seen from the directory in which the daemon was started, also after it left.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

from unisono.config.environment import Subject, choose
from unisono.config.load import Loaded, load
from unisono.config.problems import ConfigErrors
from unisono.executive.host import SystemResolver, ThisHost, read_uidgid_files
from unisono.executive.keys import check_keys
from unisono.executive.reading import Load

CONFIG_BYTES_MAX: Final = 16 * 1024 * 1024
Files: TypeAlias = tuple[Path, Load]
"""The configuration file, and what reads it again."""


def read_configuration(argument: str | None, node_id: int | None = None) -> tuple[Loaded, str]:
    """The configuration and the path it came from. ConfigErrors, also when it is unreadable."""
    file = choose(Subject.MAIN_FILE, os.environ, argument=argument).path
    try:
        with Path(file).open("rb") as stream:
            text = stream.read(CONFIG_BYTES_MAX)
        host = ThisHost(node_id)
    except OSError as error:
        raise ConfigErrors([f"unisonod: cannot read {file}: {error.strerror}"]) from error
    extra = read_uidgid_files(file)
    return load(text, file, extra, SystemResolver(), host, environ=os.environ), file


def reader_of(file: Path, node_id: int | None, directory: Path) -> Load:
    """What reads the configuration again, and the keys that it speaks of."""

    def read() -> Loaded:
        loaded = with_absolute_paths(read_configuration(str(file), node_id)[0], directory)
        if errors := check_keys(loaded.settings, file):
            raise ConfigErrors(errors)
        return loaded

    return read


def with_absolute_paths(loaded: Loaded, directory: Path) -> Loaded:
    """The same, with the key files' paths seen from this directory."""
    transport = loaded.settings.transport
    if transport.secure is None:
        return loaded
    private = transport.secure.private_key_file
    secure = replace(
        transport.secure,
        key_file=str(directory / transport.secure.key_file),
        private_key_file=str(directory / private) if private else "",
    )
    return replace(
        loaded, settings=replace(loaded.settings, transport=replace(transport, secure=secure))
    )
