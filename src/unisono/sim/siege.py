"""Siege: everything that befalls the secure transport alone, as makers of faults.

Speaks:      `SIEGE`: names and makers; `is_harmless(fault)`.
Counterpart: the threats and failure modes of docs/explanation/security.md.
Keeps:       whoever has no key may replay, forge, flood and drop handshakes: none of that may
             change a view.
"""

from random import Random
from typing import Final

from unisono.base.ids import MS
from unisono.base.limits import SECURE_ROOM_BYTES_MIN
from unisono.sim.hazard import Fault, Maker, Storm, duration, spread, two
from unisono.sim.intruder import FORGERIES

LINKS_DRAWN: Final = 3
HANDSHAKES: Final = ("hello", "answer", "cookie")
LONG: Final = 5.0
LATER: Final = 20.0
"""Time-outs after which what was recorded may still come again."""
NEXT_KEY: Final = 2
FOREIGN_KEY: Final = 9
_ALWAYS_HARMLESS: Final = frozenset(
    {"eavesdrop", "replay", "flood", "forge_packets", "redirect", "spoil", "hint", "rekey",
     "snapshot"}
)  # fmt: skip
"""Rotations are changes of keys while all run."""


def is_harmless(fault: Fault) -> bool:
    """Whether no view may change for it, once a ring was formed in fair weather."""
    if fault.verb in ("sieve", "unsieve"):
        return fault.arguments[0] in HANDSHAKES
    if fault.verb == "rekey":
        return bool(fault.arguments[-1])
    return fault.verb in _ALWAYS_HARMLESS


def _pair(
    storm: Storm, random: Random, begin: int, verbs: tuple[str, str], arguments: tuple[object, ...]
) -> list[Fault]:
    end = begin + duration(random, storm, LONG)
    return [Fault(begin, verbs[0], arguments), Fault(end, verbs[1], arguments)]


# -- links ----------------------------------------------------------------------------------------


def _link(random: Random) -> int:
    return random.randrange(LINKS_DRAWN)


def _link_cut(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """One link is down for all, for one node, between two, or in one direction."""
    source, target = two(random, storm)
    ends = random.choice([(0, 0), (source, 0), (source, target)])
    return _pair(storm, random, begin, ("cut_link", "join_link"), (_link(random), *ends))


def _link_flap(random: Random, storm: Storm, begin: int) -> list[Fault]:
    link, period = _link(random), int(MS * spread(random, 5, 3_000))
    return [
        Fault(begin, "flap_link", (link, period)),
        Fault(begin + duration(random, storm, LONG), "unflap_link", (link,)),
    ]


def _link_rain(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """One link loses, doubles, reorders or delays."""
    worse = {
        "loss": (0.05, 0.3, 0.9),
        "reorder": (0.1, 0.5),
        "duplicate": (0.1, 0.5),
        "delay_mean_ns": (5 * MS, 50 * MS),
    }
    name = random.choice(sorted(worse))
    link = _link(random)
    return [
        Fault(begin, "weather_of_link", (link, (name, random.choice(worse[name])))),
        Fault(
            begin + duration(random, storm, LONG),
            "weather_of_link",
            (link, (name, getattr(storm.quiet, name))),
        ),
    ]


def _narrow(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """The path of a link carries less than it did, for a while."""
    link, room = _link(random), random.randint(SECURE_ROOM_BYTES_MIN, 1_471)
    return [
        Fault(begin, "narrow", (link, room)),
        Fault(begin + duration(random, storm, LONG), "narrow", (link, 0)),
    ]


def _interface(random: Random, storm: Storm, begin: int) -> list[Fault]:
    node = random.choice(storm.nodes)
    room = random.choice((SECURE_ROOM_BYTES_MIN, 1_400, 1_472, 8_972))
    return [Fault(begin, "limit_path", (node, _link(random), room))]


# -- what is lost ---------------------------------------------------------------------------------


def _sieved(random: Random, storm: Storm, begin: int, kind: str) -> list[Fault]:
    source, target = two(random, storm)
    ends = random.choice([(0, 0), (source, 0), (0, target), (source, target)])
    sieve = (kind, *ends, random.choice((0.3, 0.8, 1.0)))
    return _pair(storm, random, begin, ("sieve", "unsieve"), sieve)


def _packet_sieve(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Sessions, or frames, do not pass."""
    return _sieved(random, storm, begin, random.choice(("pair", "group")))


def _handshake_sieve(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Handshakes do not pass."""
    return _sieved(random, storm, begin, random.choice(HANDSHAKES))


def _drought(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """No HELLO, or no ANSWER, arrives any more: sessions grow old."""
    return [Fault(begin, "sieve", (random.choice(HANDSHAKES[:2]), 0, 0, 1.0))]


# -- keys and memory ------------------------------------------------------------------------------


def _rotation(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Every node gets the next key, uses it, forgets the old one; some are late with each step."""
    steps = [(1, NEXT_KEY, 0), (NEXT_KEY, 0, 1), (NEXT_KEY, 0, 0)]
    faults = []
    for keys in steps[: random.randint(1, len(steps))]:
        pause = duration(random, storm, 2.0)
        for place, node in enumerate(storm.nodes):
            late = random.randrange(pause) if place else 0
            faults.append(Fault(begin + late, "rekey", (node, *keys, True)))
        begin += pause
    return faults


def _half_rotation(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Some nodes use the next key, others do not know it, and one of either starts anew."""
    faults = []
    for node in storm.nodes:
        keys = random.choice([(1, 0, 0), (1, NEXT_KEY, 0), (NEXT_KEY, 0, 1)])
        faults.append(Fault(begin, "rekey", (node, *keys, True)))
    node = random.choice(storm.nodes)
    again = begin + duration(random, storm)
    return [
        *faults,
        Fault(begin, "kill", (node,)),
        Fault(again, "start", (node,)),
        *_rotation(random, storm, again),
    ]


def _other_key(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A node starts with another authkey, and later with the right one."""
    node = random.choice(storm.nodes)
    again = begin + duration(random, storm, 1.0)
    back = again + duration(random, storm, LONG)
    return [
        Fault(begin, "kill", (node,)),
        Fault(begin, "rekey", (node, FOREIGN_KEY, 0, 0, False)),
        Fault(again, "start", (node,)),
        Fault(back, "kill", (node,)),
        Fault(back, "rekey", (node, 1, 0, 0, False)),
        Fault(back + duration(random, storm, 1.0), "start", (node,)),
    ]


def _roll_back(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A machine goes on from a snapshot: it sees that it stood still, or its clock hides it."""
    node = random.choice(storm.nodes)
    noticed = random.random() < 0.7
    return [
        Fault(begin, "snapshot", (node,)),
        Fault(begin + duration(random, storm), "roll_back", (node, noticed)),
    ]


def _restart_at_once(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """A daemon is back before its peers have noticed that it was gone."""
    node = random.choice(storm.nodes)
    return [
        Fault(begin, "kill", (node,)),
        Fault(begin + int(MS * spread(random, 0.1, 500)), "start", (node,)),
    ]


# -- the intruder ---------------------------------------------------------------------------------


def _replayed(random: Random, storm: Storm, begin: int, times: int) -> list[Fault]:
    faults = [Fault(begin, "eavesdrop")]
    for _ in range(times):
        time = begin + duration(random, storm, LATER)
        kind = random.choice(("", "", "group", "pair", "hello", "answer"))
        count = int(spread(random, 1, 300))
        about = (random.choice(storm.nodes), random.randrange(1 << 16), count, random.randrange(4))
        faults.append(Fault(time, "replay", (*about, kind)))
    return faults


def _replay(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """What was heard comes again, at once and later."""
    return _replayed(random, storm, begin, random.randint(1, 12))


def _late_replay(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """What was heard comes again minutes later, when sessions and perhaps keys are others."""
    faults = [Fault(begin, "eavesdrop")]
    for _ in range(random.randint(1, 6)):
        time = random.randrange(begin, max(storm.length_ns, begin + 1))
        about = (random.choice(storm.nodes), random.randrange(1 << 16), 300, random.randrange(4))
        faults.append(
            Fault(time, "replay", (*about, random.choice(("", "group", "pair", "hello"))))
        )
    return faults


def _replay_to_newborn(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """What a daemon has read in one life comes again in the next."""
    node = random.choice(storm.nodes)
    death = begin + duration(random, storm)
    birth = death + duration(random, storm, 1.0)
    faults = [
        Fault(begin, "eavesdrop"),
        Fault(death, "kill", (node,)),
        Fault(birth, "start", (node,)),
    ]
    for _ in range(random.randint(1, 6)):
        time = birth + duration(random, storm, 2.0)
        about = (node, random.randrange(1 << 16), int(spread(random, 10, 500)), 0)
        faults.append(Fault(time, "replay", (*about, random.choice(("", "group", "pair")))))
    return faults


def _forgery(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Packets that nobody made."""
    faults = [Fault(begin, "eavesdrop")]
    for _ in range(random.randint(1, 12)):
        time = begin + duration(random, storm, LONG)
        how, count = random.choice(FORGERIES), int(spread(random, 1, 100))
        about = (random.choice(storm.nodes), how, random.randrange(1 << 16), count)
        faults.append(Fault(time, "forge_packets", about))
    return faults


def _redirect(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Frames for one node arrive at another."""
    return [
        Fault(begin, "redirect", (random.choice((0.05, 0.5, 1.0)),)),
        Fault(begin + duration(random, storm, LONG), "redirect", (0.0,)),
    ]


def _spoil(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Whoever sends a frame in pieces is followed by somebody who sends others like them."""
    return [
        Fault(begin, "spoil", (random.choice((0.05, 0.5, 1.0)),)),
        Fault(begin + duration(random, storm, LONG), "spoil", (0.0,)),
    ]


def _withhold(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """What is said in sessions comes late; keys change meanwhile, and old frames come again."""
    end = begin + duration(random, storm, LATER)
    faults = [
        Fault(begin, "eavesdrop"),
        Fault(begin, "withhold", (random.choice((0.05, 0.3, 0.7)),)),
        Fault(end, "withhold", (0.0,)),
    ]
    for _ in range(random.randint(1, 3)):
        node, time = random.choice(storm.nodes), random.randrange(begin, end)
        faults += [
            Fault(time, "snapshot", (node,)),
            Fault(time, "roll_back", (node, True)),
            Fault(end + duration(random, storm, LATER), "replay",
                  (random.choice(storm.nodes), random.randrange(1 << 16), 500, 0, "group")),
        ]  # fmt: skip
    return faults


def _flood(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Recorded HELLOs by the hundred, so that cookies are asked of everybody."""
    pause = int(MS * spread(random, 0.2, 10))
    count = min(2_000, duration(random, storm, LONG) // pause)
    return [Fault(begin, "flood", (random.choice(storm.nodes), count, pause))]


def _hints(random: Random, storm: Storm, begin: int) -> list[Fault]:
    """Somebody says of nodes that live that their ports are closed."""
    faults = []
    for _ in range(random.randint(1, 30)):
        target, about = two(random, storm)
        faults.append(Fault(begin, "hint", (target, about, _link(random))))
        begin += int(MS * spread(random, 0.01, 100))
    return faults


SIEGE: Final[dict[str, Maker]] = {
    "link_cut": _link_cut,
    "link_flap": _link_flap,
    "link_rain": _link_rain,
    "narrow": _narrow,
    "interface": _interface,
    "packet_sieve": _packet_sieve,
    "handshake_sieve": _handshake_sieve,
    "drought": _drought,
    "rotation": _rotation,
    "half_rotation": _half_rotation,
    "other_key": _other_key,
    "roll_back": _roll_back,
    "restart_at_once": _restart_at_once,
    "replay": _replay,
    "late_replay": _late_replay,
    "replay_to_newborn": _replay_to_newborn,
    "forgery": _forgery,
    "redirect": _redirect,
    "spoil": _spoil,
    "withhold": _withhold,
    "flood": _flood,
    "hints": _hints,
}
