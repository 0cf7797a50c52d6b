"""Which paths are used: argument, configuration, environment, default."""

import pytest

from tests.config.texts import HOST, NAMES, conf
from unisono.config import load
from unisono.config.environment import Choice, Subject, choose

ENVIRON = {
    "COROSYNC_MAIN_CONFIG_FILE": "/e/main",
    "COROSYNC_TOTEM_AUTHKEY_FILE": "/e/key",
    "COROSYNC_RUN_DIR": "/e/run",
    "STATE_DIRECTORY": "/e/state",
}


@pytest.mark.parametrize(
    ("subject", "drop", "argument", "configured", "path", "source"),
    [
        (Subject.MAIN_FILE, "", "/a", None, "/a", "argument"),
        (Subject.MAIN_FILE, "", None, None, "/e/main", "COROSYNC_MAIN_CONFIG_FILE"),
        (Subject.MAIN_FILE, "*", None, None, "/etc/corosync/corosync.conf", "default"),
        (Subject.KEY_FILE, "", "/a", "/c", "/a", "argument"),
        (Subject.KEY_FILE, "", None, "/c", "/c", "totem.keyfile"),
        (Subject.KEY_FILE, "", None, "", "/e/key", "COROSYNC_TOTEM_AUTHKEY_FILE"),
        (Subject.KEY_FILE, "*", None, None, "/etc/corosync/authkey", "default"),
        (Subject.STATE_DIR, "", None, "/c", "/c", "system.state_dir"),
        (Subject.STATE_DIR, "", "", None, "/e/state", "STATE_DIRECTORY"),
        (Subject.STATE_DIR, "STATE_DIRECTORY", None, None, "/e/run", "COROSYNC_RUN_DIR"),
        (Subject.STATE_DIR, "*", None, None, "/var/lib/corosync", "default"),
    ],
)
def test_choose_when_several_say_then_the_nearest_wins(
    subject: Subject,
    drop: str,
    argument: str | None,
    configured: str | None,
    path: str,
    source: str,
) -> None:
    environ = {name: value for name, value in ENVIRON.items() if drop not in ("*", name)}
    found = choose(subject, environ, argument=argument, configured=configured)
    assert found == Choice(subject, path, source)
    assert str(found) == f"{subject.value}: {path} ({source})"


def test_choose_when_a_variable_is_empty_then_it_is_as_if_unset() -> None:
    environ = {"COROSYNC_MAIN_CONFIG_FILE": ""}
    assert choose(Subject.MAIN_FILE, environ).source == "default"


@pytest.mark.parametrize(
    ("more", "environ", "state_dir"),
    [
        ("", {}, "/var/lib/corosync"),
        ("", ENVIRON, "/e/state"),
        ("system {\nstate_dir: /c\n}", ENVIRON, "/c"),
    ],
)
def test_load_when_state_dir_is_given_then_settings_and_choices_agree(
    more: str, environ: dict[str, str], state_dir: str
) -> None:
    loaded = load(conf(more=more), "f", [], NAMES, HOST, environ=environ)
    assert loaded.settings.state_dir == state_dir
    assert state_dir in [choice.path for choice in loaded.choices]
