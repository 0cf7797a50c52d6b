"""The repository's own manners: few checks, each of which has a reason to exist."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.requirements import REQUIREMENTS, shown_by

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "unisono"
PLATE_LINES_MAX = 12
BLOB_BYTES_MAX = 256 * 1024
VECTOR_BYTES_MAX = 4 * 1024 * 1024
REASON_CHARS_MIN = 8
HOMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
"""Names for functions whose home nobody looked for."""
LABELS = ("Speaks:", "Counterpart:", "Keeps:", "Never:")
GENERATORS = (
    "generate_blocking",
    "generate_map",
    "draw_states",
    "generate_configuration",
    "generate_scenarios",
    "generate_properties",
    "generate_metrics",
    "generate_requirements",
)

# Assembled from parts, so that this file does not contain what it looks for.
WORKPLACE = re.compile(
    "|".join(
        (
            r"/(wo" + r"rk|fa" + r"rm)/(main|steering|in|\.library|\.mirror)",
            r"\.\./(sha" + r"red|\.library)",
            r"\b(sub" + r"agents?|Cla" + r"ude|Anth" + r"ropic|LL" + r"M|AI ass" + r"istant)\b",
        )
    ),
    re.IGNORECASE,
)
UNPUBLISHED = re.compile(r"\b(totem|ipc|executive|speed-budget|simulation)\.m" + r"d\b")
"""Notes that a reader cannot open; name the paper, the header or the man page instead."""
_CODES = r"[A-Z]+\d+(?:,\s*[A-Z]+\d+)*"
IGNORED = re.compile(rf"#\s*(?:type:\s*ignore(?:\[[^\]]*\])?|noqa(?::\s*{_CODES})?)(?![\w-])(.*)")


@cache
def _files() -> list[Path]:
    """Every file that is or could be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def _texts() -> list[tuple[Path, str]]:
    texts = []
    for path in _files():
        data = path.read_bytes()
        if b"\0" not in data:
            texts.append((path, data.decode(errors="replace")))
    return texts


def _lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path, text in _texts()
        for number, line in enumerate(text.splitlines(), 1)
        if (match := pattern.search(line))
    ]


ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_room_has_a_door_plate_of_at_most_twelve_lines(room: str) -> None:
    plate = ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text()))
    assert plate, "say in the docstring of __init__.py what the room is for"
    lines = plate.splitlines()
    assert len(lines) <= PLATE_LINES_MAX
    assert any(line.startswith(LABELS) for line in lines), f"labels: {', '.join(LABELS)}"


def test_module_always_says_what_it_is() -> None:
    mute = [
        str(path.relative_to(ROOT))
        for path in SOURCE.rglob("*.py")
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not mute


@pytest.mark.parametrize("tool", GENERATORS)
def test_generated_file_when_generated_again_is_the_same(tool: str) -> None:
    script = ROOT / "tools" / f"{tool}.py"
    answer = subprocess.run(
        [sys.executable, script, "--check"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert answer.returncode == 0, f"make rewrite\n{answer.stdout}{answer.stderr}"


def test_text_never_names_a_workplace() -> None:
    assert not _lines_with(WORKPLACE)


def test_reference_is_always_to_something_public() -> None:
    assert not _lines_with(UNPUBLISHED)


def test_file_is_small_unless_it_is_a_vector() -> None:
    large = [
        f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes"
        for path in _files()
        if path.stat().st_size
        > (VECTOR_BYTES_MAX if ROOT / "tests" / "vectors" in path.parents else BLOB_BYTES_MAX)
    ]
    assert not large


def test_ignored_finding_always_has_a_reason() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path, text in _texts()
        if path.suffix in {".py", ".pyi"}
        for number, line in enumerate(text.splitlines(), 1)
        for match in [IGNORED.search(line)]
        if match and "re.compile" not in line and len(match.group(1).strip()) < REASON_CHARS_MIN
    ]
    assert not bare, "write the reason behind the code: `# noqa: BLE001  # a plug-in may raise all`"


def test_file_is_named_after_a_thing() -> None:
    homeless = [
        str(path.relative_to(ROOT)) for path in _files() if HOMELESS & {path.stem, path.parent.name}
    ]
    assert not homeless


def _imported(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def test_module_is_never_named_like_a_standard_one_in_use() -> None:
    modules = list(SOURCE.rglob("*.py"))
    used = set().union(*map(_imported, modules)) & sys.stdlib_module_names
    named = {path: path.parent.name if path.stem == "__init__" else path.stem for path in modules}
    assert not [str(path.relative_to(ROOT)) for path, name in named.items() if name in used]


def test_requirement_always_has_a_test_and_every_number_is_known() -> None:
    assert set(shown_by()) == set(REQUIREMENTS)
