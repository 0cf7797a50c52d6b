"""Attrition: everything that happens to machines and daemons, as makers of faults.

Speaks:      `ATTRITION` and `LIES`: names and makers.
Counterpart: FoundationDB's MachineAttrition workload.
Keeps:       what ATTRITION does, the protocol must bear without any harm; what LIES does may void
             what was agreed on, since nobody signs anything, but must not stop anybody for good.
"""

from random import Random
from typing import Final

from unisono.base.ids import MS, SECOND
from unisono.sim.counterfeits import KINDS
from unisono.sim.hazard import Fault, Maker, Storm, duration, spread, two

EFFECTS_MAX: Final = 40
MINUTES_10: Final = 600 * SECOND
STATES: Final = ("gather", "commit", "recovery", "recovery", "sync", "sync")
FIELD_VALUES: Final = (0, 1, 2, 30, 31, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)
AHEAD: Final = (0, 0, 0, -4, 4, 1 << 20, (1 << 32) - 1, 1 << 40, (1 << 62))
"""How far a forged ring sequence is from the victim's: the own ring, old ones, impossible ones."""


def _again(random: Random, storm: Storm, begin: int, kill: Fault, longer: int = 0) -> list[Fault]:
    """The same node starts again after a while."""
    down = duration(random, storm) + longer
    return [kill, Fault(begin + down, "start", (kill.arguments[0],))]


def _crash(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    if random.random() < 0.5:
        kill = Fault(begin, "kill_within", (node, random.randrange(EFFECTS_MAX)))
    else:
        kill = Fault(begin, "kill", (node,))
    return _again(random, storm, begin, kill)


def _crash_in_send(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    place = (random.choice((0, 0, 1, 5)), random.randrange(1 << 16))
    return _again(random, storm, begin, Fault(begin, "kill_in_send", (node, *place)))


def _crash_in_state(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Killed in the middle of a change of membership, which the crash of another may bring."""
    node, other = two(random, storm)
    state, effects = random.choice(STATES), random.choice((0, 0, 1, 2, 3, 5, 8, 13))
    within = int(storm.token_ns * random.choice((1, 3, 6)))
    trap = Fault(begin, "kill_in_state", (node, state, effects, within))
    faults = [trap, Fault(begin + within + duration(random, storm), "start", (node,))]
    if random.random() < 0.6:
        faults += _again(random, storm, begin, Fault(begin, "kill", (other,)))
    return faults


def _lost_store(random: Random, storm: Storm, begin: int) -> list[Fault]:
    return _without_store(random, storm, begin, "start_without_store", ())


def _old_store(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """The disk is that of some rings ago."""
    return _without_store(random, storm, begin, "start_with_old_store", (random.randint(1, 8),))


def _without_store(
    random: Random, storm: Storm, begin: int, verb: str, how: tuple[int, ...]
) -> list[Fault]:
    node = random.choice(storm.nodes)
    # Long enough that nobody still forms a ring with the one who forgot its number.
    down = duration(random, storm) + 3 * (storm.token_ns + storm.consensus_ns)
    return [Fault(begin, "kill", (node,)), Fault(begin + down, verb, (node, *how))]


def _leave(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    return _again(random, storm, begin, Fault(begin, "leave", (node,)))


def _stopped(random: Random, storm: Storm, begin: int, verb: str, length: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    return [Fault(begin, verb, (node,)), Fault(begin + length, "resume", (node,))]


def _pause(random: Random, storm: Storm, begin: int) -> list[Fault]:
    return _stopped(random, storm, begin, "pause", duration(random, storm))


def _sleep(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A second to ten minutes."""
    return _stopped(random, storm, begin, "pause", int(spread(random, SECOND, MINUTES_10)))


def _freeze(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A virtual machine stands still, and so does its clock."""
    return _stopped(random, storm, begin, "freeze", duration(random, storm))


def _leap(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A virtual machine stands still; its clock makes up for it, and more, at once."""
    node = random.choice(storm.nodes)
    end = begin + duration(random, storm, 1.0)
    ahead = int(MS * spread(random, 1, 60_000))
    return [
        Fault(begin, "freeze", (node,)),
        Fault(end, "leap", (node, ahead)),
        Fault(end, "resume", (node,)),
    ]


def _drift(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    rate = random.randint(-100_000, 100_000)
    return [
        Fault(begin, "drift", (node, rate)),
        Fault(begin + duration(random, storm, 10.0), "drift", (node, 0)),
    ]


def _slow(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    return [
        Fault(begin, "slow", (node, int(spread(random, 2, 1_000)))),
        Fault(begin + duration(random, storm, 5.0), "slow", (node, 1)),
    ]


def _pace(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    return [
        Fault(begin, "pace", (node, True)),
        Fault(begin + duration(random, storm), "pace", (node, False)),
    ]


def _reload(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """All files change, one of them for the worse perhaps, and one or two daemons are told."""
    node, other = two(random, storm)
    window, most = random.choice(((50, 17), (20, 5), (100, 40), (300, 300)))
    broken = random.choice((0, 0, 0, other))
    faults = [Fault(begin, "write_files", (window, most, broken)), Fault(begin, "reload", (node,))]
    if random.random() < 0.3:
        faults.append(Fault(begin + random.randrange(storm.token_ns), "reload", (other,)))
    return faults


def _configure(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A node restarts with another file: other time-outs, or somebody is missing in it."""
    node, other = two(random, storm)
    token_ms = random.choice((0, 150, 400, 2_000))
    strangers = (other,) if other != node and random.random() < 0.5 else ()
    again = begin + duration(random, storm)
    back = again + duration(random, storm, 5.0)
    end = random.choice(("kill", "leave"))
    return [
        Fault(begin, end, (node,)),
        Fault(begin, "configure", (node, token_ms, strangers)),
        Fault(again, "start", (node,)),
        Fault(back, end, (node,)),
        Fault(back, "configure", (node, 0, ())),
        Fault(back + duration(random, storm), "start", (node,)),
    ]


# -- lies -----------------------------------------------------------------------------------------


def _overheard(random: Random, storm: Storm, begin: int, verb: str) -> list[Fault]:
    """Somebody listens, and sends what was heard again, as it was or not."""
    faults = [Fault(begin, "eavesdrop")]
    for _ in range(random.randint(1, 20)):
        time = begin + duration(random, storm, LISTENS)
        arguments = [random.choice(storm.nodes), random.randrange(1 << 16)]
        if verb == "tamper":
            arguments += [random.randrange(12), random.choice(FIELD_VALUES)]
        faults.append(Fault(time, verb, tuple(arguments)))
    return faults


LISTENS: Final = 5.0


def _echo(random: Random, storm: Storm, begin: int) -> list[Fault]:
    return _overheard(random, storm, begin, "echo")


def _tamper(random: Random, storm: Storm, begin: int) -> list[Fault]:
    return _overheard(random, storm, begin, "tamper")


def _forge(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A few forged datagrams at one victim."""
    victim = random.choice(storm.nodes)
    faults = []
    for _ in range(random.randint(1, 6)):
        sender, rep = random.choice(storm.nodes), random.choice((0, 0, *storm.nodes))
        about = (random.choice(KINDS), sender, rep, random.choice(AHEAD), random.getrandbits(32))
        faults.append(Fault(begin, "forge", (victim, *about)))
        begin += int(MS * spread(random, 0.01, 100))
    return faults


def _corrupt(random: Random, storm: Storm, begin: int) -> list[Fault]:
    return [
        Fault(begin, "corrupt", (spread(random, 0.001, 0.3),)),
        Fault(begin + duration(random, storm), "corrupt", (0.0,)),
    ]


def _twin(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Two daemons with one node id."""
    node = random.choice(storm.nodes)
    return [
        Fault(begin, "twin", (node,)),
        Fault(begin + duration(random, storm, 5.0), "end_twin", (node,)),
    ]


def _forgetful(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A node comes back at once without its store, while others remember its rings."""
    node = random.choice(storm.nodes)
    back = random.choice((0, 1, 2, 5))
    return [
        Fault(begin, "kill", (node,)),
        Fault(begin + duration(random, storm), "start_anyway", (node, back)),
    ]


ATTRITION: Final[dict[str, Maker]] = {
    "crash": _crash,
    "crash_in_send": _crash_in_send,
    "crash_in_state": _crash_in_state,
    "lost_store": _lost_store,
    "old_store": _old_store,
    "leave": _leave,
    "pause": _pause,
    "sleep": _sleep,
    "freeze": _freeze,
    "leap": _leap,
    "drift": _drift,
    "slow": _slow,
    "pace": _pace,
    "configure": _configure,
    "reload": _reload,
}
LIES: Final[dict[str, Maker]] = {
    "echo": _echo,
    "tamper": _tamper,
    "forge": _forge,
    "corrupt": _corrupt,
    "twin": _twin,
    "forgetful": _forgetful,
}
