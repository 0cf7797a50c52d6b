"""Exposition: measured families as text, written by the `prometheus_client` library.

Keeps:       the reader chooses the format, as the library offers it; what it cannot make sense of
             gets the format that every reader knows.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from unisono.observe.metrics import Kind, Measured

_VERSIONS: Final = re.compile(r"version=([^;,]*)")
_NUMBER: Final = re.compile(r"[0-9]{1,4}(\.[0-9]{1,4}){0,2}")


class _Collected(Collector):
    """What the library asks for families."""

    def __init__(self, measured: Sequence[Measured]) -> None:
        self._measured = measured

    def collect(self) -> Iterable[Metric]:
        for family, samples in self._measured:
            made: CounterMetricFamily | GaugeMetricFamily
            if family.kind is Kind.COUNTER:
                made = CounterMetricFamily(family.name, family.help, labels=family.labels)
            else:
                made = GaugeMetricFamily(family.name, family.help, labels=family.labels)
            for labels, value in samples:
                made.add_metric(labels, value)
            yield made


def expose(measured: Sequence[Measured], accept: str = "") -> tuple[bytes, str]:
    """The text, and its Content-Type; `accept` is the header of that name."""
    # The library compares version numbers without looking whether they are any.
    is_sound = all(_NUMBER.fullmatch(number.strip()) for number in _VERSIONS.findall(accept))
    encode, content_type = choose_encoder(accept if is_sound else "")
    return encode(_Collected(measured)), content_type
