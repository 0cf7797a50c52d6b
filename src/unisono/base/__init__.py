"""Base: the words that every other room shares: ids, events, errors, limits, marks and two ports.

Speaks:      nothing on its own; it has no state and no protocol.
Keeps:       one definition of each id, each bound and each error.
Never:       imports another room.
"""
