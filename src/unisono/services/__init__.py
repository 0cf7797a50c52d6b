"""Services: what ordered messages mean, and what local clients may ask for.

Speaks:      the group port (base.group) downwards, the client port (base.clients) upwards.
Counterpart: corosync exec/{sync,cpg,votequorum,vsf_quorum,cmap,cfg}.c.
Keeps:       equal messages in equal order give equal state at every node; `Engine` is the machine.
Never:       I/O, a clock, dice, logging; totem (base.group is between).
"""

from unisono.services.access import may_connect
from unisono.services.engine import Engine

__all__ = ["Engine", "may_connect"]
