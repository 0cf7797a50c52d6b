"""Plan words: a whole plan as lines of text that say it exactly, and run again from them.

Speaks:      `write_plan(plan) -> lines`, `read_plan(lines) -> Plan`, `run_words(lines) -> text`;
             `write_scenario(plan, outcome)` gives a file for tests/scenarios.
Keeps:       `read_plan(write_plan(plan))` runs as `plan` does, byte for byte.
"""

from ast import literal_eval
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from textwrap import wrap
from typing import Any, Final

from unisono.base.ids import MS, NodeId
from unisono.config.settings import RingSettings
from unisono.sim import trace
from unisono.sim.armour import Armour
from unisono.sim.hazard import Fault
from unisono.sim.messages import size_of
from unisono.sim.narration import Narration
from unisono.sim.network import NetworkOptions
from unisono.sim.plan import RING, Plan
from unisono.sim.run import Outcome, run_plan
from unisono.sim.workload import ClientAction, Message

PLAN: Final = "plan"
"""The first word of a block that is a plan, see `script`."""
_LISTS: Final = ("starts", "faults", "messages", "actions")
_TABLES: Final = {"settings": RingSettings, "quiet": NetworkOptions, "armour": Armour}
_OPTIONAL: Final = frozenset({"armour"})
"""Tables that a plan need not have."""


class PlanError(ValueError):
    """The lines do not say a plan."""


# -- writing --------------------------------------------------------------------------------------


def write_plan(plan: Plan) -> list[str]:
    """One line for what holds throughout, one per table of settings, one per event."""
    single = [each.name for each in fields(Plan) if each.name not in (*_LISTS, *_TABLES)]
    lines = [_line(PLAN, {name: getattr(plan, name) for name in single})]
    for name, kind in _TABLES.items():
        table = getattr(plan, name)
        usual = kind()
        changed = {
            each.name: getattr(table, each.name)
            for each in fields(kind)
            if getattr(table, each.name) != getattr(usual, each.name)
        }
        if name in _OPTIONAL and not changed:
            continue
        lines.append(_line(f"{PLAN} {name}", changed))
    boots = [(time, f"boot {node}") for time, node in plan.starts]
    # Equal times keep this order: it is the one in which a run asks for the events.
    events = [(fault.time, _write_fault(fault)) for fault in plan.faults]
    events += [(action.time, _write_action(action)) for action in plan.actions]
    events += [(message.time, _write_message(message)) for message in plan.messages]
    events.sort(key=lambda event: event[0])
    return lines + [f"at {_write_time(time)} {words}" for time, words in boots + events]


def _line(head: str, values: dict[str, Any]) -> str:
    return " ".join([head, *(f"{name}={_word(value)}" for name, value in values.items())])


def _word(value: Any) -> str:
    """A value as one word. Raises PlanError for a text with blanks."""
    word = repr(value).replace(", ", ",")
    if any(letter.isspace() for letter in word):
        raise PlanError(f"not to be said in one word: {word}")
    return word


def _write_time(time: int) -> str:
    return f"{time // MS}.{time % MS:06}"


def _write_fault(fault: Fault) -> str:
    words = [fault.verb, *map(_word, fault.arguments)]
    return " ".join(words + ([f"pair={fault.pair}"] if fault.pair else []))


def _write_action(action: ClientAction) -> str:
    rest = {each.name: getattr(action, each.name) for each in fields(ClientAction)[3:]}
    return f"client {action.node} {_line(action.verb, rest)}"


def _write_message(message: Message) -> str:
    return f"send {message.node} {message.size} {'safe' if message.safe else 'agreed'}"


# -- reading --------------------------------------------------------------------------------------


def read_plan(lines: Iterable[str]) -> Plan:
    """The plan that `write_plan` wrote. Raises PlanError."""
    values: dict[str, Any] = {name: [] for name in _LISTS}
    for line in lines:
        words = line.split()
        try:
            if words[0] == "at":
                _read_event(_read_time(words[1]), words[2], words[3:], values)
            elif words[0] != PLAN:
                raise PlanError(f"neither a plan nor an event of one: {line}")
            elif len(words) > 1 and words[1] in _TABLES:
                values[words[1]] = _TABLES[words[1]](**_named(words[2:]))
            else:
                values |= _named(words[1:])
        except (IndexError, KeyError, SyntaxError, TypeError, ValueError) as error:
            raise PlanError(f"{line}: {error!r}") from error
    for name in _LISTS:
        values[name] = tuple(values[name])
    make: Callable[..., Plan] = Plan
    try:
        return make(**values)
    except TypeError as error:
        raise PlanError(str(error)) from error


def _read_event(time: int, verb: str, words: list[str], values: dict[str, Any]) -> None:
    if verb == "boot":
        values["starts"].append((time, NodeId(int(words[0]))))
    elif verb == "send":
        node, size, guarantee = words
        values["messages"].append(Message(time, NodeId(int(node)), int(size), guarantee == "safe"))
    elif verb == "client":
        action = ClientAction(time, NodeId(int(words[0])), words[1], **_named(words[2:]))
        values["actions"].append(action)
    else:
        pair = _named(word for word in words if word.startswith("pair="))
        arguments = tuple(literal_eval(word) for word in words if not word.startswith("pair="))
        values["faults"].append(Fault(time, verb, arguments, **pair))


def _read_time(word: str) -> int:
    whole, _, rest = word.partition(".")
    return int(whole) * MS + int(rest.ljust(6, "0")[:6])


def _named(words: Iterable[str]) -> dict[str, Any]:
    pairs = (word.partition("=") for word in words)
    return {name: literal_eval(value) for name, _, value in pairs}


# -- running --------------------------------------------------------------------------------------


class _Teller:
    """Narrates a run, giving its messages and clients the names that no scenario gave them."""

    def __init__(self, stack: str) -> None:
        self.lines = Narration()
        self._is_ring = stack == RING
        self._messages = 0

    def __call__(self, record: trace.Record) -> None:
        match record:
            case trace.Sent(during_sync=False) if self._is_ring:
                self._name(record.key)
            case trace.GroupSent():
                self._name(record.key)
            case trace.ClientStarted():
                self.lines.next_name = f"c{record.member.node}.{record.member.pid}"
            case _:
                pass
        self.lines.take(record)

    def _name(self, key: int) -> None:
        self._messages += 1
        self.lines.texts[key] = f"m{self._messages}[{size_of(key)}]"


def run_words(lines: Sequence[str]) -> str:
    """What the nodes did in the plan that `lines` say, and the verdict, without a final newline."""
    plan = read_plan(lines)
    teller = _Teller(plan.stack)
    outcome = run_plan(plan, teller)
    return "\n".join([*teller.lines.flush(), f"verdict: {_verdict(outcome)}"])


def _verdict(outcome: Outcome) -> str:
    """The checker's words in one line; of a traceback what was raised, not where."""
    if outcome.ok:
        return "ok"
    lines = outcome.text.splitlines()
    return lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"


def write_scenario(plan: Plan, outcome: Outcome, *, origin: str = "") -> str:
    """A scenario file that runs `plan`; `outcome` is what it came to, and is said in its head.

    `origin` names what `plan` was cut down from, such as the words after `unisono-sim`.
    """
    said = f"Cut down from {origin}. " if origin else ""
    lines = write_plan(plan)
    head = [f"# {line}" for line in wrap(f"{said}It came to: {_verdict(outcome)}", 98)]
    return "\n".join([*head, *lines, "----", run_words(lines)]) + "\n"
