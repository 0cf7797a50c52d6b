"""The state diagram of the ring, drawn from the live table: docs/explanation/ring-states.svg and
the table of transitions beside it.

Usage: draw_states.py [--check]

Only the places are chosen by hand; a state without a place, or an arrow without a route, is an
error, so the drawing cannot fall behind the table.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from unisono.totem.transitions import TABLE, Input, State

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "explanation"
WIDTH, HEIGHT = 960, 540
BOX_WIDTH, BOX_HEIGHT = 150, 46
LABEL_HEIGHT = 15

PLACES: dict[State, tuple[int, int]] = {
    State.STARTING: (270, 50),
    State.GATHER: (270, 220),
    State.COMMIT: (720, 220),
    State.RECOVERY: (720, 460),
    State.OPERATIONAL: (270, 460),
    State.LEFT: (720, 50),
}
# Points that the arrow passes, then where its labels stand (x, first line's y, anchor).
Route = tuple[list[tuple[int, int]], tuple[int, int, str]]
ROUTES: dict[tuple[State, State], Route] = {
    (State.STARTING, State.GATHER): ([(270, 73), (270, 197)], (280, 130, "start")),
    (State.OPERATIONAL, State.GATHER): ([(240, 437), (240, 243)], (230, 320, "end")),
    (State.GATHER, State.GATHER): (
        [(195, 210), (150, 210), (150, 230), (195, 230)],
        (142, 184, "end"),
    ),
    (State.GATHER, State.COMMIT): ([(345, 208), (645, 208)], (485, 182, "middle")),
    (State.COMMIT, State.GATHER): ([(645, 232), (345, 232)], (485, 250, "middle")),
    (State.COMMIT, State.RECOVERY): ([(740, 243), (740, 437)], (750, 340, "start")),
    (State.RECOVERY, State.RECOVERY): (
        [(795, 450), (835, 450), (835, 470), (795, 470)],
        (770, 502, "start"),
    ),
    (State.RECOVERY, State.OPERATIONAL): ([(645, 460), (345, 460)], (495, 480, "middle")),
    (State.RECOVERY, State.GATHER): ([(660, 437), (330, 243)], (515, 330, "start")),
}


def arrows() -> dict[tuple[State, State], list[Input]]:
    """Inputs of the table by the arrow that they belong to."""
    found: dict[tuple[State, State], list[Input]] = defaultdict(list)
    for (state, happening), (after, _) in TABLE.items():
        found[state, after].append(happening)
    return found


def text(x: int, y: int, content: str, anchor: str, kind: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def boxes() -> Iterator[str]:
    for state in State:
        x, y = PLACES[state]
        left, top = x - BOX_WIDTH // 2, y - BOX_HEIGHT // 2
        yield (
            f'<rect x="{left}" y="{top}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="10" '
            f'class="state{" working" if state is State.OPERATIONAL else ""}"/>'
        )
        yield text(x, y + 6, state.name, "middle", "name")


def lines() -> Iterator[str]:
    leaving = []
    for (state, after), inputs in arrows().items():
        if after is State.LEFT:
            leaving.append(f"{state.name} ({', '.join(i.value for i in inputs)})")
            continue
        points, (x, y, anchor) = ROUTES[state, after]
        path = " ".join(f"{px},{py}" for px, py in points)
        yield f'<polyline points="{path}" class="arrow" marker-end="url(#head)"/>'
        for number, happening in enumerate(inputs):
            yield text(x, y + number * LABEL_HEIGHT, happening.value, anchor, "label")
    x, y = PLACES[State.LEFT]
    yield text(x, y + 42, "from " + ", ".join(leaving[:2]) + ",", "middle", "label")
    for number in range(2, len(leaving), 2):
        more = ", ".join(leaving[number : number + 2])
        yield text(x, y + 42 + number // 2 * LABEL_HEIGHT, more, "middle", "label")


def drawing() -> str:
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">
<title>States of a ring member and what moves it between them</title>
<!-- Written by tools/draw_states.py from unisono.totem.transitions; do not edit. -->
<style>
text {{ font-family: sans-serif; fill: #1b2a38; }}
.name {{ font-size: 16px; font-weight: bold; }}
.label {{ font-size: 12.5px; }}
.state {{ fill: #eef3f8; stroke: #33536f; stroke-width: 2; }}
.working {{ fill: #d9f0dd; stroke: #2e7d4f; }}
.arrow {{ fill: none; stroke: #33536f; stroke-width: 1.6; }}
</style>
<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8"
 orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#33536f"/></marker></defs>
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
{chr(10).join(lines())}
{chr(10).join(boxes())}
</svg>
"""


def table() -> str:
    rows = [
        f"| {state.name} | {happening.value} | {after.name} | `{action}` |"
        for (state, happening), (after, action) in TABLE.items()
    ]
    head = [
        "<!-- Written by tools/draw_states.py from unisono.totem.transitions; do not edit. -->",
        "",
        "| state | what happens | next state | action of the machine |",
        "|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def main() -> int:
    stale = []
    for name, content in (("ring-states.svg", drawing()), ("ring-states.inc", table())):
        target = FOLDER / name
        if "--check" not in sys.argv[1:]:
            target.write_text(content)
        elif not target.exists() or target.read_text() != content:
            stale.append(str(target.relative_to(ROOT)))
    if stale:
        print(f"{', '.join(stale)}: not current: python tools/draw_states.py")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
