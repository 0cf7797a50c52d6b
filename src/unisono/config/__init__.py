"""Config: corosync.conf(5) in, frozen settings objects out.

Speaks:      the configuration grammar and one schema table: every key, its default, bounds, unit.
Counterpart: corosync exec/coroparse.c, totemconfig.c; man corosync.conf(5).
Keeps:       the schema is the only place that knows a default, a bound or a unit.
Never:       opens a file or resolves a name itself (callers pass text and a resolver).
"""

from unisono.config.load import Loaded, load
from unisono.config.problems import ConfigErrors

__all__ = ["ConfigErrors", "Loaded", "load"]
