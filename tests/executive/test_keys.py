"""Keys from their files: what is read, what is refused, and that nothing of a key is shown."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from unisono.base.errors import ConfigError
from unisono.base.ids import NodeId
from unisono.cli import keygen
from unisono.config import security
from unisono.config.settings import NodeSettings, SecureSettings, Settings, TransportSettings
from unisono.crypto import keys as cluster_keys
from unisono.crypto.keys import derive
from unisono.crypto.noise import Handshake
from unisono.executive.keys import check_keys, load_keyring, load_static_keys
from unisono.linux.key_file import next_path, previous_path

KEY, NEXT, PREVIOUS = (bytes([number]) * 200 for number in b"aNP")
SHORT = b"tell-tale" * 5
NO_FILE = Path("/does/not/matter")


def put(path: Path, content: bytes, mode: int = 0o400) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.fixture
def secure(tmp_path: Path) -> SecureSettings:
    return SecureSettings(key_file=str(put(tmp_path / "authkey", KEY)))


def refusal(secure: SecureSettings, config: Path = NO_FILE) -> str:
    with pytest.raises(ConfigError) as caught:
        load_keyring(secure, "demo", config, alone=False)
    assert "tell-tale" not in str(caught.value) + repr(caught.value)
    return str(caught.value)


# -- the cluster's key -----------------------------------------------------------------------------


def test_keyring_when_there_is_a_key_file_then_its_keys_are_of_this_cluster(
    secure: SecureSettings,
) -> None:
    ring = load_keyring(secure, "demo", NO_FILE, alone=False)
    assert ring.active == derive(KEY, "demo")
    assert ring.active != derive(KEY, "other")
    assert (ring.next, ring.previous) == (None, None)


def test_keyring_when_keys_change_then_those_beside_the_file_are_known_too(
    secure: SecureSettings,
) -> None:
    path = Path(secure.key_file)
    put(next_path(path), NEXT)
    assert load_keyring(secure, "demo", NO_FILE, alone=False).next == derive(NEXT, "demo")
    put(previous_path(path), PREVIOUS)
    ring = load_keyring(secure, "demo", NO_FILE, alone=False)
    assert (ring.active, ring.next, ring.previous) == tuple(
        derive(raw, "demo") for raw in (KEY, NEXT, PREVIOUS)
    )
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "authkey",
        "authkey.next",
        "authkey.previous",
    ]


def test_keyring_when_a_file_beside_holds_the_same_key_then_it_counts_once(
    secure: SecureSettings,
) -> None:
    put(next_path(Path(secure.key_file)), KEY)
    assert load_keyring(secure, "demo", NO_FILE, alone=False).next is None


def test_keyring_when_the_file_is_missing_then_the_way_to_one_is_told(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    assert refusal(SecureSettings(key_file=str(path))) == (
        f"the key file {path} is missing: run `unisono keygen` on one node and copy the file "
        "to all nodes"
    )


def test_keyring_when_a_file_cannot_be_looked_at_then_the_reason_is_told(tmp_path: Path) -> None:
    path = put(tmp_path / "file", b"") / "authkey"
    assert refusal(SecureSettings(key_file=str(path))) == (
        f"cannot read the key file {path}: Not a directory"
    )
    assert refusal(SecureSettings(key="x" * 128), path) == f"cannot look at {path}: Not a directory"


@pytest.mark.parametrize("name", ["authkey", "authkey.next", "authkey.previous"])
def test_keyring_when_others_can_read_a_key_then_the_command_is_told(
    secure: SecureSettings, name: str
) -> None:
    path = Path(secure.key_file).with_name(name)
    path.unlink(missing_ok=True)
    put(path, KEY, 0o440)
    assert f"run chmod 0400 {path}" in refusal(secure)


@pytest.mark.parametrize("name", ["authkey", "authkey.next", "authkey.previous"])
@pytest.mark.parametrize(
    ("content", "size"), [(SHORT, "45"), (b"", "0"), (b"tell-tale" * 456, "more")]
)
def test_keyring_when_a_key_has_a_wrong_size_then_only_its_size_is_told(
    secure: SecureSettings, name: str, content: bytes, size: str
) -> None:
    path = Path(secure.key_file).with_name(name)
    path.unlink(missing_ok=True)
    put(path, content)
    assert refusal(secure) == f"the key file {path} has {size} bytes; allowed: 128..4096"


def test_keyring_when_the_configuration_holds_the_key_then_no_file_is_read(tmp_path: Path) -> None:
    config = put(tmp_path / "corosync.conf", b"", 0o600)
    secure = SecureSettings(key_file=str(NO_FILE), key="é" * 64)
    ring = load_keyring(secure, "demo", config, alone=False)
    assert ring.active == derive("é".encode() * 64, "demo")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_keyring_when_others_can_read_the_configuration_that_holds_it_then_refused(
    tmp_path: Path, mode: int
) -> None:
    config = put(tmp_path / "corosync.conf", b"", mode)
    assert refusal(SecureSettings(key="tell-tale" * 20), config) == (
        f"{config} holds totem.key and others can read it (mode {mode:04o}): "
        f"run chmod 0600 {config}"
    )


def test_keyring_when_printed_then_it_shows_fingerprints_only(secure: SecureSettings) -> None:
    ring = load_keyring(secure, "demo", NO_FILE, alone=False)
    shown = repr(ring)
    assert repr(ring.active.kid) in shown
    for secret in (ring.active.psk, ring.active.mac1, ring.active.cookie, KEY[:4]):
        assert repr(secret)[2:-1] not in shown


def test_bounds_when_the_configuration_checks_a_key_then_they_are_those_of_the_keys() -> None:
    assert security.KEY_BYTES_MIN == cluster_keys.AUTHKEY_BYTES_MIN
    assert security.KEY_BYTES_MAX == cluster_keys.AUTHKEY_BYTES_MAX
    assert security.PUBLIC_KEY_BYTES == cluster_keys.KEY_BYTES


# -- level 2 ---------------------------------------------------------------------------------------

SECRETS = {NodeId(1): b"1" * 32, NodeId(2): b"2" * 32, NodeId(3): b"3" * 32}


def public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


NODES = [
    NodeSettings(node, str(node), ("",), public_key=public(secret))
    for node, secret in SECRETS.items()
]


@pytest.fixture
def level_2(secure: SecureSettings, tmp_path: Path) -> SecureSettings:
    path = put(tmp_path / "private", SECRETS[NodeId(1)])
    return replace(secure, private_key_file=str(path))


def test_static_keys_when_level_1_then_none(secure: SecureSettings) -> None:
    assert load_static_keys(secure, NODES, NodeId(1)) == {}


def test_static_keys_when_level_2_then_both_sides_of_a_pair_agree(
    level_2: SecureSettings, tmp_path: Path
) -> None:
    mine = load_static_keys(level_2, NODES, NodeId(1))
    assert set(mine) == {2, 3}
    other = replace(level_2, private_key_file=str(put(tmp_path / "p2", SECRETS[NodeId(2)])))
    theirs = load_static_keys(other, NODES, NodeId(2))
    psk = bytes(32)
    first = Handshake(initiator=True, psk=psk, prologue=b"", static_keys=mine[NodeId(2)])
    second = Handshake(initiator=False, psk=psk, prologue=b"", static_keys=theirs[NodeId(1)])
    assert second.read(first.write(b"e" * 32, b"hello")) == b"hello"
    assert "1111" not in repr(mine)


def test_static_keys_when_the_own_public_key_is_another_then_the_right_one_is_told(
    level_2: SecureSettings,
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_static_keys(level_2, NODES, NodeId(2))
    assert str(caught.value) == (
        f"nodelist.node.ust_pubkey of node 2 is not the public key of {level_2.private_key_file}, "
        f"which is {security.encode_public_key(public(SECRETS[NodeId(1)]))}"
    )


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_static_keys_when_a_peers_is_a_point_of_small_order_then_refused(
    level_2: SecureSettings, point: bytes
) -> None:
    nodes = [*NODES[:2], replace(NODES[2], public_key=point)]
    with pytest.raises(ConfigError, match="ust_pubkey of node 3 is no public key"):
        load_static_keys(level_2, nodes, NodeId(1))


@pytest.mark.parametrize(
    ("content", "mode", "error"),
    [
        (b"tell-tale" * 3, 0o400, "is no private key: it has not 32 bytes"),
        (b"tell-tale" * 4, 0o400, "is no private key: it has not 32 bytes"),
        (b"1" * 32, 0o404, "run chmod 0400"),
        (None, 0, "private is missing: run `unisono keygen --node` on this node"),
    ],
)
def test_static_keys_when_the_private_key_is_wrong_then_the_remedy_is_told(
    level_2: SecureSettings, content: bytes | None, mode: int, error: str
) -> None:
    path = Path(level_2.private_key_file)
    path.unlink()
    if content is not None:
        put(path, content, mode)
    with pytest.raises(ConfigError, match=re.escape(error)) as caught:
        load_static_keys(level_2, NODES, NodeId(1))
    assert "tell-tale" not in str(caught.value)


def test_check_when_several_keys_are_wrong_then_each_is_told(level_2: SecureSettings) -> None:
    settings = Settings(NodeId(1), tuple(NODES), TransportSettings("ust", "", secure=level_2))
    assert check_keys(settings, NO_FILE) == []
    for path in (level_2.key_file, level_2.private_key_file):
        Path(path).chmod(0o444)
    errors = check_keys(settings, NO_FILE)
    assert len(errors) == 2
    assert all("run chmod 0400" in error for error in errors)
    plain = replace(settings, transport=TransportSettings("udpu", ""))
    assert check_keys(plain, NO_FILE) == []


# -- unisonod -t -----------------------------------------------------------------------------------


def secured(host, *lines: str) -> None:
    text = host.config.read_text().replace("transport: udpu", "\n".join(lines))
    host.config.write_text(text)


def test_test_when_the_key_files_are_good_then_so_is_the_configuration(host, tmp_path) -> None:
    path = put(tmp_path / "authkey", KEY)
    secured(host, f"keyfile: {path}")
    ran = host.run("-t")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{host.config}: good\n", "")


def test_test_when_the_key_file_is_missing_then_it_says_so(host, tmp_path) -> None:
    secured(host, f"keyfile: {tmp_path}/none")
    ran = host.run("-t")
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"unisonod: the key file {tmp_path}/none is missing: run `unis")


def test_test_when_the_key_is_in_a_file_for_all_eyes_then_it_says_so(host) -> None:
    secured(host, "transport: ust", "key: " + "tell-tale" * 20)
    host.config.chmod(0o644)
    ran = host.run("-t")
    assert ran.returncode == 1
    assert f"run chmod 0600 {host.config}" in ran.stderr
    assert "tell-tale" not in ran.stderr + ran.stdout
    host.config.chmod(0o600)
    assert host.run("-t").returncode == 0


def test_test_when_keygen_made_the_keys_then_level_2_is_good(host, tmp_path, capsys) -> None:
    authkey, private = tmp_path / "authkey", tmp_path / "private"
    assert keygen.run(["-k", str(authkey)]) == 0
    assert keygen.run(["--node", "-k", str(private)]) == 0
    [line] = re.findall("ust_pubkey: .*", capsys.readouterr().out)
    other = f"ust_pubkey: {public(b'2' * 32).hex()}"
    secured(host, f"keyfile: {authkey}\nust_private_key_file: {private}")
    text = host.config.read_text()
    text = text.replace("nodeid: 1\n", f"nodeid: 1\n{line}\n")
    host.config.write_text(text.replace("nodeid: 2\n", f"nodeid: 2\n{other}\n"))
    ran = host.run("-t")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_load_keyring_when_alone_and_no_file_is_there_then_a_key_for_this_life(
    tmp_path: Path,
) -> None:
    secure = SecureSettings(key_file=str(tmp_path / "authkey"))
    first = load_keyring(secure, "demo", NO_FILE, alone=True)
    assert first.active.kid != load_keyring(secure, "demo", NO_FILE, alone=True).active.kid
    with pytest.raises(ConfigError, match="unisono keygen"):
        load_keyring(secure, "demo", NO_FILE, alone=False)
