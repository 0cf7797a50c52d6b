"""Transport: datagrams between the nodes of a ring.

Speaks:      UDP over IPv4 and IPv6, unicast, multicast and broadcast.
Counterpart: corosync exec/totemnet.c, totemudp.c, totemudpu.c.
Keeps:       the network can do anything; a transport counts, marks and drops, and never raises.
Never:       looks into a datagram (totem, wire.ring).
"""
