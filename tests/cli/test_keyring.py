"""`unisono keyring`: what can be wrong before a daemon is asked, and what it says for people."""

from pathlib import Path

import pytest

from unisono.base.errors import CsError
from unisono.cli import keyring
from unisono.client.keyring import Said
from unisono.wire.native import Verb


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["turn"],
        ["install", "FILE", "--generate"],
        ["use", "12"],
        ["use", "not-hex!"],
        ["remove", "--timeout", "0"],
        ["show", "--force"],
    ],
)
def test_arguments_when_wrong_then_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        keyring.run(arguments)
    assert ended.value.code == 2
    assert "usage: unisono keyring" in capsys.readouterr().err


def test_command_when_there_is_no_daemon_then_one_line_and_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert keyring.run(["show", "--instance", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "no daemon" in errors


def test_key_file_when_others_can_read_it_then_refused_with_the_command_that_mends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new"
    file.write_bytes(b"k" * 200)
    file.chmod(0o644)
    assert keyring.run(["install", str(file)]) == 1
    assert f"chmod 0400 {file}" in capsys.readouterr().err


def heard(monkeypatch: pytest.MonkeyPatch, *said: Said) -> list[tuple[object, ...]]:
    asked: list[tuple[object, ...]] = []

    def ask(_directory: object, verb: Verb, argument: bytes, **options: object) -> list[Said]:
        asked.append((verb, argument, options["force"], options["seconds"]))
        return list(said)

    monkeypatch.setattr(keyring, "ask", ask)
    return asked


def test_install_when_some_acknowledge_late_then_progress_and_result_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = {"kid": "0a0b0c0d", "done": [1, 2], "missing": [], "absent": [3]}
    asked = heard(
        monkeypatch,
        Said(False, CsError.OK, {**done, "done": [1], "missing": [2]}),
        Said(True, CsError.OK, done),
    )
    assert keyring.run(["install", "--generate", "--timeout", "5"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "0a0b0c0d: acknowledged by node 1, not yet by node 2",
        "0a0b0c0d is installed on nodes 1 2; next: unisono keyring use",
        "node 3 absent: told when back, as long as the old key is there",
    ]
    ((verb, key, force, seconds),) = asked
    assert (verb, force, seconds) == (Verb.INSTALL, False, 5.0)
    assert isinstance(key, bytes)
    assert len(key) == 256


def test_command_when_refused_then_the_reason_and_the_nodes_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"text": "these nodes do not hold it yet", "missing": [2, 3]}
    heard(monkeypatch, Said(True, CsError.BAD_OPERATION, refused))
    assert keyring.run(["use", "0a0b0c0d", "--force"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "unisono keyring: these nodes do not hold it yet: nodes 2 3\n"


def test_command_when_the_transport_has_no_keys_then_it_says_which_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heard(monkeypatch, Said(True, CsError.NOT_SUPPORTED, {}))
    assert keyring.run(["show"]) == 1
    assert "ust" in capsys.readouterr().err


def test_remove_when_absent_nodes_may_lack_the_key_then_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"kid": "0a0b0c0d", "done": [1], "missing": [], "absent": [2, 3], "by_hand": [3]}
    heard(monkeypatch, Said(True, CsError.OK, body))
    assert keyring.run(["remove"]) == 0
    assert "node 3 absent and perhaps without the present key" in capsys.readouterr().out
