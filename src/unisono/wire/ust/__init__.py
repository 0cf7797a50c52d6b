"""UST/1 on the wire: the packets of the secure transport, and the records inside them.

Speaks:      `header` (24 bytes before everything), `handshake` (HELLO, ANSWER, COOKIE), `records`
             (what a session carries), `pieces` (frames that are larger than a datagram).
Counterpart: none, this format is ours.
Keeps:       integers are big-endian; every length is checked before it is believed.
Never:       keys, and whether anything is genuine: that is the caller's next question.
"""
