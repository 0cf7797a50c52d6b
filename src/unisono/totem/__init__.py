"""Totem: the single ring protocol as one machine; datagrams in, order and membership out.

Speaks:      Totem SRP and totempg as Corosync 3 does, with real SAFE delivery between Unisono
             members.
Counterpart: corosync exec/totemsrp.c, totempg.c; Amir et al., "The Totem Single-Ring Ordering and
             Membership Protocol", ACM TOCS 1995.
Keeps:       owners carry out each drained list in order, feed what comes of it back in, and drain
             again until the list is empty, before they give the machine its next datagram.
Never:       sockets, clock, randomness, logging, services.
"""

from unisono.totem.machine import Reconfigure, Start, Totem
from unisono.totem.transitions import TABLE, Input, State

__all__ = ["TABLE", "Input", "Reconfigure", "Start", "State", "Totem"]
