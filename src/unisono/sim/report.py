"""Report: what a person is told about runs: one line a seed, the cause of a failure, the speed.

Keeps:       text only; nothing here runs anything.
"""

from dataclasses import dataclass
from typing import Final

from unisono.base.ids import SECOND
from unisono.sim.run import Outcome

LAST_LINES_SHOWN: Final = 40
_MINUTES_PER_HOUR: Final = 60


@dataclass(slots=True)
class Tally:
    """Sums over many runs."""

    seeds: int = 0
    failed: int = 0
    events: int = 0
    simulated_ns: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one run."""
        self.seeds += 1
        self.failed += not outcome.ok
        self.events += outcome.calls
        self.simulated_ns += outcome.simulated_ns

    def speed(self, wall_seconds: float, jobs: int) -> str:
        """Events per second and simulated hours per minute, of all processes together."""
        wall = max(wall_seconds, 1e-9)
        minutes = self.simulated_ns / SECOND / 60
        return (
            f"{self.events:,} events in {wall:.1f} s with {jobs} processes:"
            f" {self.events / wall:,.0f} events/s,"
            f" {minutes / wall * 60 / _MINUTES_PER_HOUR:.1f} simulated hours a minute"
        )


def describe(outcome: Outcome) -> str:
    """One line for one seed."""
    counts = outcome.counts
    return (
        f"seed {outcome.seed} {outcome.storm} nodes {outcome.nodes}: "
        f"{'ok' if outcome.ok else 'FAILED ' + outcome.name},"
        f" {counts.get('Installed', 0)} views, {counts.get('Sent', 0)} sent,"
        f" {counts.get('Delivered', 0)} delivered, {outcome.datagrams} datagrams,"
        f" {outcome.calls} events, {outcome.simulated_ns / SECOND:.1f} s, {outcome.digest[:16]}"
    )


def explain(outcome: Outcome, again: str) -> str:
    """What failed, what led to it, and the command that shows it again."""
    lines = [f"  {line}" for line in outcome.last[-LAST_LINES_SHOWN:]]
    lines.append(f"  {outcome.text}")
    lines.append(f"  again: {again}")
    return "\n".join(lines)


def counters(counters: dict[str, int]) -> str:
    """Counters by name, in a line."""
    return " ".join(f"{name}={count}" for name, count in sorted(counters.items()))
