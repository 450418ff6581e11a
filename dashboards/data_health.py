"""Can the data be trusted? How complete they are, what is missing, how good the clocks are, what was turned away."""

from contract import quality
from contract.kind import Kinds
from contract.records import Quality
from dashboards.frame import (
    BAD,
    GOOD,
    LEDGER_WINDOW,
    NONE_IS_GOOD,
    NOTICE,
    Column,
    Frame,
    Panel,
    Target,
    chart,
    levels_by,
    rows,
    single,
)
from dashboards.influxql import STEP, Query, call, newest_by, quoted

COMPLETE = 0.99
POOR = 0.95
DAY = "24h"
TROUBLES = {quality.word(flag): int(flag) for flag in Quality if flag}
COUNTS = ("have", "missing", "gone")
TURNED_AWAY = 'spread("quarantined") + spread("store_refused") AS "quarantined"'
"""What went to the quarantine: from ingest, and from a store that refuses for good what ingest believed."""
COMPLETENESS = 'sum("have") / (sum("have") + sum("missing") + sum("gone")) AS "completeness"'


def completeness(frame: Frame) -> Panel:
    """Summed over the window's samples as they are: the newest of each device alone would cost ten times as much."""
    query = Query([COMPLETENESS], "nabd_ledger", frame.place)
    levels = ((None, BAD), (POOR, NOTICE), (COMPLETE, GOOD))
    return single(
        frame, "data.completeness", Target(query), unit="percentunit", window=LEDGER_WINDOW, levels=levels,
        decimals=2, width=6,
    )  # fmt: skip


def missing(frame: Frame) -> Panel:
    query = Query([call("sum", "missing")], _ledger(frame, "missing"))
    return single(frame, "data.missing", Target(query), levels=NONE_IS_GOOD, window=LEDGER_WINDOW, width=6)


def gone(frame: Frame) -> Panel:
    query = Query([call("sum", "gone")], _ledger(frame, "gone"))
    return single(frame, "data.gone", Target(query), window=LEDGER_WINDOW, width=6)


def quarantined(frame: Frame) -> Panel:
    query = Query([TURNED_AWAY], "nabd_health")
    return single(frame, "data.quarantined", Target(query), levels=NONE_IS_GOOD, window=DAY, width=6, none="none_now")


def clock_quality(frame: Frame, kinds: Kinds) -> Panel:
    """Readings of the last day that something is known against, by what it is."""
    targets = []
    for name, bit in TROUBLES.items():
        where = (*frame.place, f'"quality" % {2 * bit} >= {bit}')  # numbers are floats, which have no bits
        readings = Query([call("count", "quality", "n")], tuple(kinds), where)
        targets.append(Target(Query([call("sum", "n")], readings), name=frame.words(f"quality.{name}")))
    return levels_by(frame, "data.clock_quality", *targets, window=DAY)


def gaps(frame: Frame) -> Panel:
    targets = [
        Target(Query([call("mean", name)], "nabd_health", every=STEP), name=frame.words(f"ledger.{name}"))
        for name in ("missing", "gone")
    ]
    return chart(frame, "data.gaps", *targets, step="1m", least=0.0, width=8)


def turned_away(frame: Frame) -> Panel:
    targets = [
        Target(
            Query([f"non_negative_difference(last({quoted(name)})) AS {quoted(name)}"], "nabd_health", every=STEP),
            name=frame.words(f"outcome.{name}"),
        )
        for name in ("quarantined", "store_refused", "deferred", "duplicate")
    ]
    return chart(frame, "data.turned_away", *targets, step="5m", bars=True, width=8)


def worst(frame: Frame) -> Panel:
    query = newest_by("nabd_ledger", ("completeness", *COUNTS), ("asset", "zone", "kind"), frame.place)
    words = frame.words
    columns = (
        Column("asset", words("column.asset"), link=True),
        Column("zone", words("column.zone")),
        Column("kind", words("column.kind")),
        Column("completeness", words("column.completeness"), "percentunit", 2, bar=(0.0, 1.0)),
        *(Column(name, words(f"ledger.{name}"), "none", 0) for name in COUNTS),
    )
    return rows(
        frame, "data.worst", Target(query, rows=True), columns, sort="completeness", window=LEDGER_WINDOW, width=24
    )


def _ledger(frame: Frame, field: str) -> Query:
    return newest_by("nabd_ledger", (field,), ("device",), frame.place)
