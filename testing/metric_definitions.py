"""The metrics that the source defines."""

from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from tokensvc.telemetry import gauges, metrics


@dataclass(frozen=True)
class Definition:
    """
    One metric.

    Attributes:
        name: Name in a scrape, without the suffixes of a histogram.
        series: Names of its series in a scrape.
        labels: Names of its labels.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    series: tuple[str, ...]


def definitions() -> list[Definition]:
    """Return all metrics of the service, sorted by name."""
    found = [
        value
        for module in (metrics, gauges)
        for value in vars(module).values()
        if isinstance(value, MetricWrapperBase)
    ]
    return sorted(map(_definition, found), key=lambda definition: definition.name)


def _definition(metric: MetricWrapperBase) -> Definition:
    name = metric._name
    if isinstance(metric, Counter):
        kind, name = "counter", f"{name}_total"
    series = (name,)
    if isinstance(metric, Histogram):
        kind, series = "histogram", (f"{name}_bucket", f"{name}_sum", f"{name}_count")
    if isinstance(metric, Gauge):
        kind = "gauge"
    return Definition(name, kind, metric._labelnames, metric._documentation, series)
