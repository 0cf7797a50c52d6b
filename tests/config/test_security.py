"""Cipher, cluster key and public keys, and that no message shows what must stay secret."""

import base64

import pytest

from tests.config.texts import HOST, NAMES, conf, errors_of, node, read
from unisono.config import ConfigErrors, load
from unisono.config.document import read_document
from unisono.config.grammar import parse
from unisono.config.problems import Report
from unisono.config.security import decode_public_key, encode_public_key
from unisono.config.settings import SecureSettings

ONE, TWO = bytes(range(32)), bytes(range(1, 33))
SECRET = "correct-horse-battery-staple" * 6


def secured(totem: str = "", nodes: str = "", environ: dict[str, str] | None = None):
    text = conf(totem, nodes, transport="ust")
    secure = load(text, "f", [], NAMES, HOST, environ=environ).settings.transport.secure
    assert isinstance(secure, SecureSettings)
    return secure


def refused(totem: str = "", nodes: str = "") -> list[str]:
    return errors_of(conf(totem, nodes, transport="ust"))


# -- crypto ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("totem", "cipher"),
    [
        ("", "aes256"),
        ("crypto_cipher: aes256\ncrypto_hash: sha256", "aes256"),
        ("crypto_cipher: chacha20", "chacha20"),
        ("secauth: on", "aes256"),
        ("secauth: on\ncrypto_cipher: chacha20", "chacha20"),
        ("secauth: off\ncrypto_cipher: aes256", "aes256"),  # crypto_* win over secauth
    ],
)
def test_crypto_when_ust_can_then_its_cipher_is_used_and_nothing_said(
    totem: str, cipher: str
) -> None:
    loaded = read(conf(totem, transport="ust"))
    assert loaded.warnings == []
    assert loaded.settings.transport.secure is not None
    assert loaded.settings.transport.secure.cipher == cipher


@pytest.mark.parametrize(
    ("totem", "errors"),
    [
        (
            "crypto_cipher: none",
            [
                (
                    "f:4: totem.crypto_cipher: found none, but transport ust is always encrypted; "
                    "allowed: aes256, chacha20; choose `transport: udpu` to run without"
                )
            ],
        ),
        (
            "crypto_hash: none",
            [
                (
                    "f:4: totem.crypto_hash: found none, but transport ust is always encrypted; "
                    "allowed: sha256; choose `transport: udpu` to run without"
                )
            ],
        ),
        (
            "secauth: off",
            [
                (
                    "f:4: totem.secauth: found off, but transport ust is always encrypted; "
                    "allowed: on; choose `transport: udpu` to run without"
                )
            ],
        ),
        (
            "crypto_cipher: aes128",
            [
                (
                    "f:4: totem.crypto_cipher: found aes128; allowed with transport ust: "
                    "aes256, chacha20"
                )
            ],
        ),
        (
            "crypto_cipher: aes192",
            [
                (
                    "f:4: totem.crypto_cipher: found aes192; allowed with transport ust: "
                    "aes256, chacha20"
                )
            ],
        ),
    ],
)
def test_crypto_when_less_is_asked_for_then_it_is_refused_with_the_way_out(
    totem: str, errors: list[str]
) -> None:
    assert refused(totem) == errors


@pytest.mark.parametrize("line", ["crypto_hash: sha512", "crypto_hash: md5", "crypto_model: nss"])
def test_crypto_when_a_key_has_no_effect_then_it_warns(line: str) -> None:
    [warning] = read(conf(line, transport="ust")).warnings
    assert warning.startswith(f"f:4: totem.{line.partition(':')[0]}: is ignored by transport ust")


def test_cluster_name_when_it_is_not_utf8_then_the_keys_cannot_be_made_from_it() -> None:
    text = conf("cluster_name: rog\udce9", transport="ust")
    [error] = errors_of(text)
    assert error == "f:4: totem.cluster_name: found rog\\udce9; allowed with transport ust: UTF-8"
    assert not errors_of(text.replace("\udce9", "é"))


# -- the cluster's key -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("totem", "environ", "key_file", "key"),
    [
        ("", {}, "/etc/corosync/authkey", ""),
        ("", {"COROSYNC_TOTEM_AUTHKEY_FILE": "/e"}, "/e", ""),
        ("keyfile: /k", {"COROSYNC_TOTEM_AUTHKEY_FILE": "/e"}, "/k", ""),
        (f"key: {SECRET}\nkeyfile: /k", {}, "/k", ""),
        (f"key: {SECRET}", {"COROSYNC_TOTEM_AUTHKEY_FILE": "/e"}, "/e", SECRET),
    ],
)
def test_key_when_several_say_where_it_is_then_the_nearest_wins(
    totem: str, environ: dict[str, str], key_file: str, key: str
) -> None:
    secure = secured(totem, environ=environ)
    assert (secure.key_file, secure.key) == (key_file, key)


@pytest.mark.parametrize(
    ("totem", "transport", "told"),
    [
        ("", "ust", True),
        (f"key: {SECRET}", "ust", False),
        ("", "udpu", False),
    ],
)
def test_choices_when_a_key_file_is_read_then_the_log_hears_which(
    totem: str, transport: str, told: bool
) -> None:
    choices = [str(each) for each in read(conf(totem, transport=transport)).choices]
    assert ("key file: /etc/corosync/authkey (default)" in choices) is told


@pytest.mark.parametrize("size", [0, 1, 127])
def test_key_when_it_is_too_short_then_its_size_is_told(size: int) -> None:
    text = "@" * size
    assert refused(f"key: {text}") == [f"f:4: totem.key: found {size} bytes; allowed: 128..4096"]


def test_key_when_settings_are_printed_then_it_is_not_shown() -> None:
    loaded = read(conf(f"key: {SECRET}", transport="ust"))
    assert loaded.settings.transport.secure is not None
    assert loaded.settings.transport.secure.key == SECRET
    assert SECRET[:8] not in repr(loaded)


def test_key_when_what_was_parsed_is_printed_then_it_is_not_shown() -> None:
    parsed = parse(conf(f"key: {SECRET}"), "f")
    document = read_document(parsed, Report("f"))
    assert document.section("totem").text("key") == SECRET
    assert SECRET[:8] not in repr(list(parsed.entries)) + repr(document)


@pytest.mark.parametrize(
    "line",
    [
        "key: {}x{{y",
        "key:{{{}",
        "key:{{= {}",
        "key {{ {} }}",
        "key = {}",
        "key {}",
        "key={}",
        "key {}: x",
        "key: {} }}",
        "key: {}" + "y" * 400,
        "key: \0{}",
        "keys: {}",
        "KEY: {}",
        "  key: {}\n}}\ntotem {{\nkey: short",
    ],
)
@pytest.mark.parametrize("transport", ["ust", "udpu"])
def test_key_when_its_line_is_wrong_then_no_message_shows_it(line: str, transport: str) -> None:
    text = conf(line.format(SECRET[:140]), transport=transport)
    try:
        told = read(text).warnings
    except ConfigErrors as refusal:
        told = [*refusal.errors, str(refusal), repr(refusal)]
    assert SECRET[:6] not in "\n".join(told)


def test_key_when_it_is_a_section_then_it_is_one_as_before() -> None:
    [warning] = read(conf("key {\n}", transport="ust")).warnings
    assert warning.startswith("f:4: totem.key: unknown section is ignored")


# -- level 2 ---------------------------------------------------------------------------------------


def pair(first: str, second: str) -> str:
    return node("192.0.2.1", 1, first) + node("192.0.2.2", 2, second)


@pytest.mark.parametrize("encode", [bytes.hex, encode_public_key, lambda key: key.hex().upper()])
def test_public_keys_when_all_nodes_have_one_then_it_is_level_2(encode) -> None:
    nodes = pair(f"ust_pubkey: {encode(ONE)}", f"ust_pubkey: {encode(TWO)}")
    settings = read(conf("", nodes, transport="ust")).settings
    assert [each.public_key for each in settings.nodes] == [ONE, TWO]
    assert settings.transport.secure is not None
    assert settings.transport.secure.private_key_file == "/etc/corosync/ust_private_key"
    assert secured("ust_private_key_file: /p", nodes).private_key_file == "/p"


def test_public_keys_when_no_node_has_one_then_it_is_level_1() -> None:
    assert secured().private_key_file == ""


GOOD = encode_public_key(TWO)


@pytest.mark.parametrize(
    ("totem", "nodes", "error"),
    [
        (
            "",
            pair("", f"ust_pubkey: {GOOD}"),
            "f:7: nodelist.node.ust_pubkey: not set, but f:14 has one; allowed: for all nodes or",
        ),
        (
            "",
            pair(f"ust_pubkey: {GOOD}", f"ust_pubkey: {TWO.hex()}"),
            "f:15: nodelist.node.ust_pubkey: found the key of f:10; allowed: one for each node",
        ),
        (
            "ust_private_key_file: /p",
            "",
            "f:4: totem.ust_private_key_file: given, but no node has a ust_pubkey; allowed: both",
        ),
        ("", node("192.0.2.1", 1, "ust_pubkey:"), 'f:10: nodelist.node.ust_pubkey: found ""; allo'),
        (
            "",
            node("192.0.2.1", 1, f"ust_pubkey: {GOOD[:-4]}"),
            f"f:10: nodelist.node.ust_pubkey: found {GOOD[:-4]}; allowed: 32 bytes in base64 or",
        ),
    ],
)
def test_public_keys_when_they_are_wrong_then_the_place_is_told(
    totem: str, nodes: str, error: str
) -> None:
    [line] = refused(totem, nodes)
    assert line.startswith(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0" * 63,
        "0" * 63 + "g",
        "é" * 44,
        "é" * 64,
        GOOD + "A",
        GOOD[:20] + "!" + GOOD[21:],
        base64.b64encode(bytes(33)).decode(),
    ],
)
def test_decode_public_key_when_it_is_none_then_none(text: str) -> None:
    assert decode_public_key(text) is None


def test_decode_public_key_when_the_padding_is_left_out_then_it_is_read() -> None:
    assert decode_public_key(GOOD.rstrip("=")) == TWO
