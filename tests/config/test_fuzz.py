"""Whatever the bytes: settings or ConfigErrors, and messages of one printable line."""

from hypothesis import example, given
from hypothesis import strategies as st

from tests.config.texts import HOST, NAMES
from unisono.config import ConfigErrors, load
from unisono.config.schema import SECTIONS

NAMES_KNOWN = sorted({name for path in SECTIONS for name in path.split(".")})
KEYS_KNOWN = [
    *sorted({key.name for row in SECTIONS.values() for key in row.keys}),
    "ring0_addr",
    "ring1_addr",
    "ring7_addr",
]
VALUES = [
    "",
    "0",
    "1",
    "2",
    "-1",
    "yes",
    "no",
    "on",
    "udp",
    "udpu",
    "ust",
    "none",
    "aes256",
    "127.0.0.1",
    "::1",
    "a..b",
    "%",
]

lines = st.one_of(
    st.sampled_from(NAMES_KNOWN).map("{} {{".format),
    st.just("}"),
    st.builds("{}: {}".format, st.sampled_from(KEYS_KNOWN), st.sampled_from(VALUES)),
    st.builds("{}: {}".format, st.sampled_from(KEYS_KNOWN), st.text(max_size=12)),
    st.text(max_size=12),
)


def check(text: str | bytes) -> None:
    lines: list[str] = []
    try:
        lines = load(text, "f", [("d/x", text)], NAMES, HOST).warnings
    except ConfigErrors as refusal:
        lines = refusal.errors or [""]
    for line in lines:
        assert line
        assert line.isprintable()
        line.encode("utf-8")


@given(st.binary(max_size=400))
def test_load_when_bytes_are_random_then_only_config_errors_escape(data: bytes) -> None:
    check(data)


@given(st.text(max_size=200))
@example("\ud800")
def test_load_when_text_is_random_then_only_config_errors_escape(text: str) -> None:
    check(text)


@given(st.lists(lines, max_size=40).map("\n".join))
def test_load_when_lines_are_shuffled_then_only_config_errors_escape(text: str) -> None:
    check(text)


@given(
    st.sampled_from(["udp", "ust"]),
    st.lists(lines, max_size=10),
    st.lists(lines, max_size=10),
    st.lists(lines, max_size=10),
)
def test_load_when_a_good_file_is_spoiled_then_only_config_errors_escape(
    transport: str, totem: list[str], node: list[str], more: list[str]
) -> None:
    parts = [
        "totem {", "version: 2", f"transport: {transport}", "cluster_name: x", *totem, "}",
        "nodelist {", "node {", "nodeid: 1", "ring0_addr: 127.0.0.1", *node, "}", "}", *more,
    ]  # fmt: skip
    check("\n".join(parts))
