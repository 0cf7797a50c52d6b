"""Token uniqueness (P17): one token to a ring; a number is given once, by one process, and grows.

Counterpart: Totem paper, section 3 (token.token_seq); corosync exec/totemsrp.c, my_token_seq.
Keeps:       whoever acts on the token numbered n sends number n + 1: two with one number mean that
             two processes, or one twice, acted on the same token. To repeat one's last is legal.
"""

from typing import Final

from unisono.base.ids import seq_less
from unisono.sim.checkers.checker import Checker
from unisono.sim.trace import Process, Ring, TokenPassed

REMEMBERED: Final = 1_024
"""Tokens of each ring that are compared."""


class TokenUniqueness(Checker):
    """Fires on two different tokens with one number in one ring, and on a number that falls."""

    name = "token uniqueness"
    properties = (
        ("P17", "no two different tokens have one number; at most one process acts on a number"),
    )

    def __init__(self) -> None:
        self._tokens: dict[Ring, dict[int, TokenPassed]] = {}
        self._last: dict[Process, tuple[TokenPassed, dict[int, TokenPassed]]] = {}

    def on_token_passed(self, fact: TokenPassed) -> None:
        """Compare with the one of the same number, and with one's last."""
        _, who, ring, number, *_ = fact
        before = self._last.get(who)
        if before is None or before[0].ring != ring:
            tokens = self._tokens.setdefault(ring, {})
        else:
            last, tokens = before
            if last.token_seq == number and last.datagram == fact.datagram:
                return
            if number < last.token_seq and seq_less(number, last.token_seq):
                raise self.fail(
                    fact.time, f"{who} passed token {number} of {ring} on after {last.token_seq}"
                )
        self._last[who] = (fact, tokens)
        other = tokens.setdefault(number, fact)
        if other is not fact:
            raise self.fail(
                fact.time,
                f"token {number} of {ring} was passed on by {other.who} at {other.time} ns as"
                f" {other.datagram.hex()}, by {who} as {fact.datagram.hex()}",
            )
        if len(tokens) > REMEMBERED:
            del tokens[next(iter(tokens))]
