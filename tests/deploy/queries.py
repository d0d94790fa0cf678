"""What a query of Prometheus names, compared with the metrics of the source."""

import re

from testing.metric_definitions import definitions

SERIES = {series: metric for metric in definitions() for series in metric.series}
TARGET_LABELS = {"instance", "job"}
"""Labels that Prometheus adds."""

_NAME = re.compile(r"\btokensvc_\w+")
_SELECTOR = re.compile(r"\b(tokensvc_\w+)\{([^}]*)\}")
_MATCHER = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")


def labels_of(series: str) -> set[str]:
    """Return the labels that a series has in Prometheus."""
    own = {"le"} if series.endswith("_bucket") else set()
    return {*SERIES[series].labels, *own} | TARGET_LABELS


def unknown_names(expression: str) -> list[str]:
    """Return the metrics and labels of a query that the service does not have."""
    names = set(_NAME.findall(expression))
    unknown = sorted(names - SERIES.keys())
    known = names & SERIES.keys()
    for series, matchers in _SELECTOR.findall(expression):
        if series in known:
            unknown += sorted(set(_MATCHER.findall(matchers)) - labels_of(series))
    labels = TARGET_LABELS.union(*(labels_of(series) for series in known))
    for grouping in _GROUPING.findall(expression):
        unknown += sorted(set(re.findall(r"\w+", grouping)) - labels)
    return unknown
