"""Narration: what nodes and clients did, in lines that a reviewer can believe.

Speaks:      trace records in; lines out, equal lines of several subjects as one.
Keeps:       no subject's lines are ever put in another order than they had.
"""

from unisono.base.ids import NodeId
from unisono.sim import trace


class Narration:
    """What happened since the last look. `texts` and `names` give messages and clients names."""

    def __init__(self) -> None:
        self.texts: dict[int, str] = {}
        self.names: dict[trace.Member, str] = {}
        self.next_name = ""
        """The name of the client that starts next."""
        self.hidden: set[str] = set()
        """Kinds of lines, by their first word, that the reader need not see."""
        self.count = 0
        """Lines so far, hidden ones too."""
        self.last = 0
        """When the last of them was added: virtual nanoseconds."""
        self._now = 0
        self._lines: dict[str, list[tuple[int, str]]] = {}

    def take(self, record: trace.Record) -> None:
        """Remember what a reader wants to see of `record`."""
        self._now = record.time
        match record:
            case trace.Delivered():
                text = self.texts.get(record.key)
                if text is not None:
                    self._add(record.who, f"deliver from={record.origin} {text}")
            case trace.Installed():
                self._add(record.who, _view(record))
            case trace.Crashed():
                self._add(record.who, "left" if record.clean else "killed")
            case trace.ClientStarted():
                self.names[record.member] = self.next_name
            case trace.GroupDelivered():
                text = self.texts.get(record.key)
                if text is not None:
                    self._add(record.member, f"gets {text} from {self.name(record.sender)}")
            case trace.GroupViewed():
                self._add(record.member, self._group_view(record))
            case _:
                pass

    def _group_view(self, record: trace.GroupViewed) -> str:
        members = ",".join(map(self.name, record.members)) or "-"
        joined = "".join(f" +{self.name(each)}({why})" for each, why in record.joined)
        left = "".join(f" -{self.name(each)}({why})" for each, why in record.left)
        return f"group={members}{joined}{left}"

    def name(self, member: trace.Member) -> str:
        """What the scenario calls a client."""
        return self.names.get(member, str(member))

    def _add(self, subject: trace.Process | trace.Member, line: str) -> None:
        is_client = isinstance(subject, trace.Member)
        name = self.name(subject) if isinstance(subject, trace.Member) else str(subject.node)
        self.count += 1
        self.last = self._now
        if line.split(maxsplit=1)[0].partition("=")[0] in self.hidden:
            return
        self._lines.setdefault(name if is_client else name.rjust(10), []).append((self.count, line))

    def begin_anew(self) -> None:
        """Another cluster: its clients and messages have names of their own."""
        self.flush()
        self.texts.clear()
        self.names.clear()
        self.count = self.last = 0

    def flush(self) -> list[str]:
        """The lines so far; the line that most subjects have next comes first, then the oldest."""
        queues = {who: lines[::-1] for who, lines in sorted(self._lines.items())}
        self._lines = {}
        merged = []
        while queues:
            heads: dict[str, list[str]] = {}
            for who, lines in queues.items():
                heads.setdefault(lines[-1][1], []).append(who)
            first = {line: min(queues[who][-1][0] for who in whos) for line, whos in heads.items()}
            line = min(heads, key=lambda each: (-len(heads[each]), first[each]))
            merged.append(f"{','.join(who.strip() for who in heads[line])}: {line}")
            for who in heads[line]:
                queues[who].pop()
                if not queues[who]:
                    del queues[who]
        return merged


def _view(record: trace.Installed) -> str:
    members = ",".join(map(str, record.members)) or "-"
    if record.regular:
        return f"view ring={record.ring} members={members}{_named('joined', record.joined)}"
    return f"transitional members={members}{_named('left', record.left)}"


def _named(name: str, nodes: tuple[NodeId, ...]) -> str:
    return f" {name}={','.join(map(str, nodes))}" if nodes else ""
