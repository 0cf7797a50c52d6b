"""Secure: the machine of the secure transport, between the ring's datagrams and the sockets.

Speaks:      the machine's five verbs; UST/1 packets on one side, the ring's datagrams on the other.
Counterpart: knet (libknet crypto, links, path MTU), WireGuard for sessions and timers.
Keeps:       nothing unauthenticated goes up; whatever fails here is counted and dropped, and no
             failed handshake takes anything from a peer that works.
Never:       I/O, clocks, dice: time and entropy come in as arguments.
"""
