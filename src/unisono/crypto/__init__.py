"""Crypto: keys, handshakes and windows of the secure transport, as pure computations.

Speaks:      bytes in, bytes out; entropy and time come in as arguments.
Counterpart: knet's crypto modules; WireGuard for the handshake's shape.
Keeps:       primitives come from `cryptography` and the standard library; only their composition is
             ours, and the handshake stands in one file.
Never:       I/O, clocks, randomness; key bytes in an error, a mark or a repr.
"""
