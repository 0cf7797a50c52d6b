"""Black boxes: what a flight recorder leaves behind, as bytes and as entries that people read.

Speaks:      our ring and dump formats, version 1; libqb's dumps, version 2 and the one before it.
Counterpart: libqb lib/log_blackbox.c, lib/ringbuffer.c, lib/log_format.c.
Keeps:       a reader answers with what is valid and says what is not; only what is no dump at all
             raises WireError.
Never:       trusts an index or a length that it finds in a dump.
"""
