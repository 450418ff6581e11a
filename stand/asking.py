"""Asks InfluxDB what Grafana would: the variables of a query replaced as its InfluxDB data source replaces them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
POINTS_MAX = 400

# Grafana's round intervals, from its documentation of $__interval, in s.
ROUND_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)


def duration_s(text: str) -> int:
    return int(text[:-1]) * UNIT_S[text[-1]]


def step_s(span_s: float, points_max: float, least_s: float) -> int:
    """The round interval that gives about `points_max` points, never below the least."""
    wanted_s = max(span_s / points_max, least_s)
    return next((one for one in ROUND_S if one >= wanted_s), ROUND_S[-1])


def every_panel(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Also those in folded rows; no headings."""
    for panel in document["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def span_s(document: Mapping[str, Any], panel: Mapping[str, Any]) -> int:
    """How far back a panel looks when nobody chose another time."""
    return duration_s(panel.get("timeFrom") or document["time"]["from"].removeprefix("now-"))


def interpolated(
    query: str,
    start_ms: int,
    end_ms: int,
    *,
    chosen: Mapping[str, str] | None = None,
    least: str = "1s",
    points_max: float = POINTS_MAX,
) -> str:
    """`chosen`: variable → regular expression; those not named are All."""
    step = step_s((end_ms - start_ms) / 1000, points_max, duration_s(least))
    text = query.replace("$timeFilter", f"time >= {start_ms}ms and time <= {end_ms}ms")
    text = text.replace("$__interval", f"{step}s")
    text = re.sub(r"\$\{(\w+):regex\}", lambda found: (chosen or {}).get(found[1], ".*"), text)
    assert "$" not in text.replace("$/", ""), f"a variable is left in {text}"
    return text


def panel_queries(document: Mapping[str, Any], panel: Mapping[str, Any], end_ms: int, **options: Any) -> list[str]:
    seconds = options.pop("seconds", None) or span_s(document, panel)
    return [
        interpolated(
            target["query"], end_ms - seconds * 1000, end_ms, least=panel.get("interval", "1s"),
            points_max=panel.get("maxDataPoints", POINTS_MAX), **options,
        )
        for target in panel["targets"]
    ]  # fmt: skip
