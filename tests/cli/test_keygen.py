"""`unisono keygen`: corosync-keygen's options and statuses, without its surprises."""

import os
import stat
from base64 import b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from unisono.base.errors import ConfigError
from unisono.cli.keygen import run
from unisono.crypto.keys import derive
from unisono.linux.key_file import read_key_file

CONFIG = "totem {\n    version: 2\n    cluster_name: demo\n}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "corosync.conf"
    path.write_text(CONFIG)
    return path


def test_key_when_made_then_256_bytes_for_its_owner_and_the_fingerprint_of_the_cluster(
    tmp_path: Path, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "authkey"
    old = os.umask(0)
    try:
        assert run(["-k", str(path), "-c", str(config), "-l"]) == 0
    finally:
        os.umask(old)
    key = path.read_bytes()
    assert len(key) == 256
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert path.stat().st_nlink == 1
    printed = capsys.readouterr().out
    assert derive(key, "demo").fingerprint in printed
    assert key.hex() not in printed
    assert sorted(each.name for each in tmp_path.iterdir()) == ["authkey", "corosync.conf"]


def test_keys_when_made_twice_then_differ(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(["-k", str(tmp_path / name)]) == 0
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_key_when_one_exists_then_kept_unless_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "authkey"
    path.write_bytes(b"old")
    assert run(["-k", str(path)]) == 2
    assert path.read_bytes() == b"old"
    assert "--force" in capsys.readouterr().err
    assert run(["-k", str(path), "--force", "-s", "128"]) == 0
    assert len(path.read_bytes()) == 128
    assert stat.S_IMODE(path.stat().st_mode) == 0o400


def test_key_when_the_path_is_a_link_then_its_target_is_not_touched(tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "authkey"
    target.write_bytes(b"precious")
    path.symlink_to(target)
    assert run(["-k", str(path)]) == 2
    assert run(["-k", str(path), "--force"]) == 0
    assert target.read_bytes() == b"precious"
    assert not path.is_symlink()


@pytest.mark.parametrize("size", ["127", "4097", "-1", "many", ""])
def test_size_when_out_of_range_then_status_1_and_the_range_is_named(
    tmp_path: Path, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "authkey"
    with pytest.raises(SystemExit) as ended:
        run(["-k", str(path), f"--size={size}"])
    assert ended.value.code == 1
    assert "128 to 4096" in capsys.readouterr().err
    assert not path.exists()


def test_random_file_when_too_short_then_status_1_and_no_key(tmp_path: Path) -> None:
    source, path = tmp_path / "source", tmp_path / "authkey"
    source.write_bytes(bytes(100))
    assert run(["-k", str(path), "-r", str(source), "-s", "128"]) == 1
    assert run(["-k", str(path), "-r", str(tmp_path / "absent")]) == 1
    assert not path.exists()
    source.write_bytes(bytes(range(200)))
    assert run(["-k", str(path), "-r", str(source), "-s", "128"]) == 0
    assert path.read_bytes() == bytes(range(128))


def test_key_when_the_directory_is_missing_then_status_2(tmp_path: Path) -> None:
    assert run(["-k", str(tmp_path / "absent" / "authkey")]) == 2


def test_fingerprint_when_no_cluster_is_known_then_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = str(tmp_path / "absent.conf")
    assert run(["-k", str(tmp_path / "a"), "-c", absent]) == 0
    assert "--cluster NAME" in capsys.readouterr().out
    assert run(["-k", str(tmp_path / "b"), "-c", absent, "--cluster", "demo"]) == 0
    fingerprint = derive((tmp_path / "b").read_bytes(), "demo").fingerprint
    assert fingerprint in capsys.readouterr().out


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o420, 0o777])
def test_key_file_when_open_to_others_then_refused_with_the_command(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "authkey"
    path.write_bytes(bytes(128))
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 0400 {path}"):
        read_key_file(path, 4096)


def test_key_file_when_right_then_read_and_one_byte_more_than_allowed_shows(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    path.write_bytes(bytes(5000))
    path.chmod(0o400)
    assert len(read_key_file(path, 4096)) == 4097


@pytest.mark.parametrize("kind", ["directory", "pipe", "absent"])
def test_key_file_when_no_regular_file_then_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "authkey"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path, 0o400)
    with pytest.raises(ConfigError, match="key file"):
        read_key_file(path, 4096)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_key_file_when_somebody_elses_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    path.write_bytes(bytes(128))
    path.chmod(0o400)
    os.chown(path, 12345, 0)
    with pytest.raises(ConfigError, match="chown"):
        read_key_file(path, 4096)


# -- a node's key pair -----------------------------------------------------------------------------


def public_line(key: bytes) -> str:
    public = X25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()
    return f"    ust_pubkey: {b64encode(public).decode()}\n"


def test_node_key_when_made_then_the_private_half_is_kept_and_the_public_one_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "private"
    assert run(["--node", "-k", str(path)]) == 0
    key = path.read_bytes()
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    printed = capsys.readouterr().out
    assert public_line(key) in printed
    assert b64encode(key).decode() not in printed
    assert key.hex() not in printed


def test_node_key_when_the_configuration_names_its_file_then_it_goes_there(tmp_path: Path) -> None:
    config, path = tmp_path / "corosync.conf", tmp_path / "mine"
    config.write_text(f"totem {{\nversion: 2\nust_private_key_file: {path}\n}}\n")
    assert run(["--node", "-c", str(config)]) == 0
    assert len(path.read_bytes()) == 32


def test_node_key_when_one_exists_then_kept_and_its_line_is_shown_once_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "private"
    path.write_bytes(b"k" * 32)
    path.chmod(0o400)
    assert run(["--node", "-k", str(path)]) == 2
    assert path.read_bytes() == b"k" * 32
    told = capsys.readouterr()
    assert told.out == public_line(b"k" * 32)
    assert "--force" in told.err
    assert run(["--node", "-k", str(path), "--force"]) == 0
    assert path.read_bytes() != b"k" * 32


@pytest.mark.parametrize(
    ("content", "mode"), [(b"x" * 200, 0o400), (b"x" * 31, 0o400), (b"x" * 32, 0o440)]
)
def test_node_key_when_another_file_is_there_then_nothing_of_it_is_shown(
    tmp_path: Path, content: bytes, mode: int, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "authkey"
    path.write_bytes(content)
    path.chmod(mode)
    assert run(["--node", "-k", str(path)]) == 2
    assert capsys.readouterr().out == ""


def test_node_key_when_a_size_is_given_then_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["--node", "-s", "256", "-k", str(tmp_path / "private")])
    assert ended.value.code == 1
    assert "32 bytes" in capsys.readouterr().err


def test_node_key_when_the_source_is_too_short_then_status_1_and_no_key(tmp_path: Path) -> None:
    source, path = tmp_path / "source", tmp_path / "private"
    source.write_bytes(bytes(31))
    assert run(["--node", "-k", str(path), "-r", str(source)]) == 1
    assert not path.exists()
