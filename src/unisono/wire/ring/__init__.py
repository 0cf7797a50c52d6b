"""Ring datagrams: the single ring protocol's messages and the process-group packets inside them.

Speaks:      Totem SRP version 3 as Corosync 3 sends it over udp and udpu, little-endian only.
Counterpart: corosync exec/totemsrp.c (struct orf_token, mcast, memb_*), exec/totempg.c.
Keeps:       every count is checked against the datagram's length before it is used.
"""
