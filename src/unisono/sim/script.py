"""Scripts: scenarios in words, with the expected output below each command.

Speaks:      `command`, `----`, `expected output`; `run_script(text) -> text` as it really is.
Counterpart: etcd raft testdata and its rafttest runner.
Keeps:       one verb, one small handler; the checkers judge every scenario, too.
"""

from collections.abc import Callable, Sequence
from typing import Final

from unisono.base.ids import MS, NodeId
from unisono.sim import verbs_faults, verbs_looks, verbs_messages
from unisono.sim.plan_words import PLAN, PlanError, run_words
from unisono.sim.scene import Scene, ScriptError, named

SEPARATOR: Final = "----"


def nodes(scene: Scene, words: list[str]) -> None:
    """`nodes 1 2 3 [OPTION...]`: make them, start them, let them settle.

    `down` leaves them stopped, `formed` does not tell how they found each other.
    `token=MS`, `deaf=ROTATIONS` and `mtu=BYTES` are settings of the ring; `compat` lets all treat
    the ring as if a Corosync daemon were on it; `cancel_hold` lets a request for a message end the
    token's hold. Where one is `hostile`, only the end and the bounds are judged.
    `services` puts the engine above the ring, with `versions=7,7,6` as config_version of each node;
    `votequorum` with `votes=1,1,3`, `two_node` and `wait_for_all`. A second `nodes` begins anew.
    """
    numbers = [NodeId(int(word)) for word in words if word.isdigit()]
    scene.build(numbers, words, named(words))
    if "down" not in words:
        for node in numbers:
            scene.cluster.start(node)
        scene.settle()
    if "formed" in words:
        scene.lines.flush()


def settle(scene: Scene, words: list[str]) -> None:
    """`settle`: until nothing visible has happened for longer than any time-out."""
    scene.settle()


def tick(scene: Scene, words: list[str]) -> None:
    """`tick MS`: that much time passes."""
    scene.cluster.run_until(scene.cluster.now + int(float(words[0]) * MS))


Handler = Callable[[Scene, list[str]], list[str] | None]
VERBS: Final[dict[str, Handler]] = {
    "nodes": nodes,
    "settle": settle,
    "tick": tick,
    **verbs_messages.VERBS,
    **verbs_faults.VERBS,
    **verbs_looks.VERBS,
}


class Script:
    """One scenario in progress."""

    def __init__(self) -> None:
        self.scene = Scene()

    def run(self, commands: Sequence[str]) -> str:
        """Carry the commands out; what the nodes did, as text without a final newline."""
        if commands[0].split()[0] == PLAN:
            return _run_plan(commands)
        output: list[str] = []
        self.scene.begin_block()
        for command in commands:
            verb, *words = command.split()
            handler = VERBS.get(verb)
            if handler is None:
                raise ScriptError(f"no such command: {command}")
            try:
                output += handler(self.scene, words) or []
            except (ValueError, KeyError, IndexError) as error:
                raise ScriptError(f"{command}: {error!r}") from error
        return "\n".join(output + self.scene.lines.flush()) or "ok"

    def conclude(self) -> None:
        """Let the checkers judge the whole, if all is settled. Raises Violation."""
        self.scene.conclude()


def run_script(text: str) -> str:
    """Run a whole scenario file; returns it with the output as it really is. Raises ScriptError."""
    script = Script()
    blocks = [_run_block(script, block) for block in text.strip().split("\n\n")]
    script.conclude()
    return "\n\n".join(blocks) + "\n"


def _run_plan(lines: Sequence[str]) -> str:
    """A block whose first word is `plan` is a whole run, with dice and calm, as `shrink` writes."""
    try:
        return run_words(lines)
    except PlanError as error:
        raise ScriptError(str(error)) from error


def _run_block(script: Script, block: str) -> str:
    head = block.split(f"\n{SEPARATOR}", maxsplit=1)[0].splitlines()
    commands = [line for line in head if line.strip() and not line.startswith("#")]
    if not commands:
        return block
    return "\n".join([*head, SEPARATOR, script.run(commands)])


__all__ = ["SEPARATOR", "VERBS", "Script", "ScriptError", "run_script"]
