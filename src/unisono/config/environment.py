"""Environment: which configuration file, key file and state directory to use, and who says so.

Speaks:      COROSYNC_MAIN_CONFIG_FILE, COROSYNC_TOTEM_AUTHKEY_FILE, COROSYNC_RUN_DIR (Corosync 2)
             and STATE_DIRECTORY (systemd.exec(5), Corosync 3.1.10).
Keeps:       argument, then the configuration's own key, then the environment, then the default.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from unisono.config import schema


class Subject(Enum):
    """What is chosen."""

    MAIN_FILE = "configuration file"
    KEY_FILE = "key file"
    STATE_DIR = "state directory"


@dataclass(frozen=True, slots=True)
class Choice:
    """A path and where it comes from, for the log: `str()` gives one line."""

    subject: Subject
    path: str
    source: str
    """`argument`, `default`, a `section.key`, or the name of an environment variable."""

    def __str__(self) -> str:
        return f"{self.subject.value}: {self.path} ({self.source})"


def _schema_default(section: str, name: str) -> str:
    row = schema.key_row(section, name)
    assert row is not None
    return str(row.default)


MAIN_FILE_DEFAULT: Final = "/etc/corosync/corosync.conf"

_RULES: Final = {
    Subject.MAIN_FILE: ("", ("COROSYNC_MAIN_CONFIG_FILE",), MAIN_FILE_DEFAULT),
    Subject.KEY_FILE: (
        "totem.keyfile",
        ("COROSYNC_TOTEM_AUTHKEY_FILE",),
        _schema_default("totem", "keyfile"),
    ),
    Subject.STATE_DIR: (
        "system.state_dir",
        ("STATE_DIRECTORY", "COROSYNC_RUN_DIR"),
        _schema_default("system", "state_dir"),
    ),
}
"""Key of the configuration, variables in order, default."""


def choose(
    subject: Subject,
    environ: Mapping[str, str],
    *,
    argument: str | None = None,
    configured: str | None = None,
) -> Choice:
    """The path to use; None and empty mean not given. `configured` is the configuration's key."""
    key, variables, default = _RULES[subject]
    if argument:
        return Choice(subject, argument, "argument")
    if configured and key:
        return Choice(subject, configured, key)
    for name in variables:
        if environ.get(name):
            return Choice(subject, environ[name], name)
    return Choice(subject, default, "default")
