"""The scripts that every stage plays, and more of them drawn from a seed."""

from random import Random
from typing import Final

from tests.interop.differential_script import steps_of

NODES: Final = (1, 2, 3)
LARGE: Final = 300_000
CHANGES: Final = (6, 8)
PATIENCE: Final = 1_000_000
"""totem.fail_recv_const: how many rotations take how long differs, see the docs."""
_FORMED: Final = """
start 1 2 3
open ann 1
settle
open bob 2
settle
open cat 3
settle
"""

SCRIPTS: Final = {
    "formation": _FORMED
    + f"""
        send ann,bob,cat 5
        settle
        send ann,bob,cat 3 size={LARGE}
        settle
        send ann,cat 3 safe
        settle
    """,
    "partition": _FORMED
    + f"""
        cut 1 | 2,3
        settle
        send ann,bob,cat 5
        send ann,bob 2 size={LARGE}
        settle
        heal
        settle
        send ann,bob,cat 5
        settle
    """,
    "crash": _FORMED
    + """
        kill 2
        settle
        send ann,cat 5
        settle
        start 2
        settle
        open bea 2
        settle
        send ann,bea,cat 5
        settle
    """,
    "goodbyes": _FORMED
    + """
        open dan 2
        settle
        send ann,bob,cat,dan 3
        settle
        leave bob
        settle
        send ann,cat,dan 3
        settle
        die dan
        settle
        send ann,cat 3
        settle
        stop 3
        settle
        send ann 3
        settle
        start 3
        settle
        open eve 3
        settle
        send ann,eve 3
        settle
    """,
    "one after the other ends": _FORMED
    + """
        open dan 2
        settle
        stop 3
        settle
        stop 2
        settle
        send ann 3
        settle
    """,
    "cut while all send": _FORMED
    + """
        send ann,bob,cat 300 gap=2000
        flow bob 100
        cut 1 | 2,3
        settle
        heal
        settle
    """,
    "crash while all send": _FORMED
    + """
        send ann,bob,cat 300 gap=2000
        flow bob 100
        kill 1
        settle
        send bob,cat 200 gap=2000
        flow bob 50
        die cat
        settle
    """,
    "large messages over changes": _FORMED
    + f"""
        send ann,bob 8 size={LARGE}
        flow bob 4
        cut 1,2 | 3
        settle
        send ann,bob 14 size={LARGE}
        flow ann 4
        heal
        settle
    """,
    "short cut": _FORMED
    + """
        send ann,bob,cat 200 gap=2000
        flow ann 50
        blink 200 1 | 2,3
        settle
    """,
    "deaf to messages": _FORMED
    + """
        deafen 3
        send ann 1 size=1000
        look 300
        send ann 1 size=1000 safe
        look 300
        hear
        settle
        send ann,bob,cat 2
        settle
    """,
}


def draw(seed: int) -> str:
    """A script of 6 to 8 changes, each followed by messages from all who are there."""
    return _Drawing(Random(f"differential {seed}")).draw()


class _Drawing:
    """A script in the making, and the world as it leaves it."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines = steps_of(_FORMED)
        self.clients = {"ann": 1, "bob": 2, "cat": 3}
        self.down: list[int] = []
        self.is_cut = False

    def draw(self) -> str:
        changes = {
            "cut": lambda: not self.is_cut,
            "heal": lambda: self.is_cut,
            "end": lambda: len(self.down) < 2 and len(self.clients) > 1,
            "return": lambda: bool(self.down),
            "open": lambda: len(self.clients) < 5,
            "part": lambda: len(self.clients) > 2,
        }
        for _ in range(self.random.randint(*CHANGES)):
            possible = [name for name, may in changes.items() if may()]
            getattr(self, f"_{self.random.choice(possible)}")()
            self.lines.append("settle")
            if self.clients:
                size = self.random.choice(("", "", f" size={LARGE}"))
                count = self.random.randint(1, 4)
                self.lines += [f"send {','.join(self.clients)} {count}{size}", "settle"]
        return "\n".join(self.lines)

    def _cut(self) -> None:
        alone = self.random.choice(NODES)
        rest = ",".join(str(node) for node in NODES if node != alone)
        self.lines.append(f"cut {alone} | {rest}")
        self.is_cut = True

    def _heal(self) -> None:
        self.lines.append("heal")
        self.is_cut = False

    def _end(self) -> None:
        node = self.random.choice([node for node in NODES if node not in self.down])
        self.lines.append(f"{self.random.choice(('kill', 'stop'))} {node}")
        self.down.append(node)
        self.clients = {name: at for name, at in self.clients.items() if at != node}

    def _return(self) -> None:
        node = self.down.pop(0)
        self.lines += [f"start {node}", "settle"]
        self._join(node)

    def _open(self) -> None:
        self._join(self.random.choice([node for node in NODES if node not in self.down]))

    def _join(self, node: int) -> None:
        name = f"c{sum(line.startswith('open') for line in self.lines) + 1}"
        self.lines.append(f"open {name} {node}")
        self.clients[name] = node

    def _part(self) -> None:
        name = self.random.choice(list(self.clients))
        self.lines.append(f"{self.random.choice(('leave', 'die'))} {name}")
        del self.clients[name]
