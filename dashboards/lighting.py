"""What is special about street lights: who should shine and does not, and what all of it draws."""

from dashboards.frame import CALM, NONE_IS_GOOD, QUARTER, Frame, Panel, Target, chart, single
from dashboards.influxql import STEP, Query, call, newest_by
from dashboards.kind_panels import ZONE_NAME

LIT = '"level" > 0.005'
ASKED_AND_DARK = '"level" > 0.2 AND "power_w" < 2'
"""A driver that shines at a fifth draws more than 2 W, whatever the lamp."""


def dark(frame: Frame) -> Panel:
    query = Query([call("count", "level")], _now(frame, "level", "power_w"), (ASKED_AND_DARK,))
    return single(frame, "lighting.dark", Target(query), levels=NONE_IS_GOOD, window=frame.now, none="none_now")


def lit(frame: Frame) -> Panel:
    query = Query([call("count", "level")], _now(frame, "level"), (LIT,))
    return single(frame, "lighting.lit", Target(query), levels=CALM, window=frame.now, none="none_now")


def power(frame: Frame) -> Panel:
    return single(
        frame,
        "lighting.power",
        Target(Query([call("sum", "power_w")], _now(frame, "power_w"))),
        unit="watt",
        window=frame.now,
    )


def power_by_zone(frame: Frame) -> Panel:
    moment = Query([call("sum", "power_w")], "nabd_zones", frame.zones, ("commune", "zone"), every=QUARTER)
    query = Query([call("mean", "power_w")], moment, (), ("commune", "zone"), every=STEP)
    return chart(frame, "lighting.power_by_zone", Target(query, name=ZONE_NAME), unit="watt", least=0.0, width=24)


def _now(frame: Frame, *fields: str) -> Query:
    """Only the fields that are wanted: each costs as much as the first."""
    return newest_by("street_light", fields, ("asset",), frame.readings)
