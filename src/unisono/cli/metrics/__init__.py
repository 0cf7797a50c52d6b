"""`unisono metrics`: a daemon's numbers for Prometheus, once or over HTTP.

Speaks:      the text formats of Prometheus and OpenMetrics; HTTP/1.1, one GET for each connection.
Keeps:       this is a process of its own, a client like any other: whoever scrapes it, and however
             often, reaches the daemon at a bounded pace and never the ring.
"""
