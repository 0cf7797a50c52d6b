"""Tokens: their sequences are renamed, so that a ring may go round for ever in one state.

Speaks:      `Renaming.rename(world)`.
Counterpart: data independence and symmetry reduction in explicit-state model checkers.
Keeps:       the order of all token sequences of a ring, and small gaps between them.

Machines only compare token sequences and add one to them. A gap of more than the number of nodes
cannot be told from a larger one: what is so far behind the token has been passed by every node.
"""

from unisono.sim.search_shelf import Place, Shelf
from unisono.sim.search_world import AGE_BITS, AGE_MASK, World


class Renaming:
    """Gives every token sequence the smallest number that keeps the order."""

    def __init__(self, shelf: Shelf, *, gap_max: int) -> None:
        self._shelf = shelf
        self._gap_max = gap_max
        self._moves: dict[tuple[Place, ...], dict[Place, int]] = {}

    def rename(self, world: World) -> World:
        """Give every token sequence the smallest number that keeps the order (and small gaps)."""
        shelf = self._shelf
        places = {place for number in world.nodes for place in shelf.nodes[number].places}
        flying = {entry >> AGE_BITS for letters in world.links for entry in letters}
        flying.update(letter for _, letter in world.held)
        tokens = {number: shelf.letters[number].place for number in sorted(flying)}
        places.update(place for place in tokens.values() if place)
        moves = self._moves_of(tuple(sorted(places)))
        if not moves:
            return world
        nodes = tuple(self._rename_node(number, moves) for number in world.nodes)
        renamed = {
            number: shelf.move_letter(number, moves[place])
            for number, place in tokens.items()
            if place in moves
        }
        links = tuple(
            tuple(
                renamed.get(entry >> AGE_BITS, entry >> AGE_BITS) << AGE_BITS | entry & AGE_MASK
                for entry in letters
            )
            for letters in world.links
        )
        held = tuple(sorted((link, renamed.get(letter, letter)) for link, letter in world.held))
        return world._replace(nodes=nodes, links=links, held=held)

    def _rename_node(self, number: int, moves: dict[Place, int]) -> int:
        mine = tuple(
            (place, moves[place]) for place in self._shelf.nodes[number].places if place in moves
        )
        return self._shelf.move_node(number, mine) if mine else number

    def _moves_of(self, places: tuple[Place, ...]) -> dict[Place, int]:
        moves = self._moves.get(places)
        if moves is None:
            moves = self._moves[places] = {}
            ring, before, now = None, 0, 0
            for place in places:
                if place[0] != ring:
                    now = min(place[1], 0)
                else:
                    now += min(place[1] - before, self._gap_max)
                ring, before = place
                if now != before:
                    moves[place] = now
        return moves
