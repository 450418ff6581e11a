"""What is special about street lights: who should shine and does not, and what all of it draws."""

from dashboards.frame import CALM, NONE_IS_GOOD, QUARTER, Frame, Panel, Target, chart, single
from dashboards.influxql import STEP, Query, call, newest_by
from dashboards.kind_panels import ZONE_NAME

LIT = '"level" > 0.005'
ASKED_AND_DARK = '"level" > 0.2 AND "power_w" < 2'
"""A driver that shines at a fifth draws more than 2 W, whatever the lamp."""


def dark(frame: Frame) -> Panel:
    return single(
        frame, "lighting.dark", Target(Query([call("count", "level")], _now(frame), (ASKED_AND_DARK,))),
        levels=NONE_IS_GOOD, window=frame.now, none="none_now",
    )  # fmt: skip


def lit(frame: Frame) -> Panel:
    return single(
        frame, "lighting.lit", Target(Query([call("count", "level")], _now(frame), (LIT,))),
        levels=CALM, window=frame.now, none="none_now",
    )  # fmt: skip


def power(frame: Frame) -> Panel:
    return single(
        frame, "lighting.power", Target(Query([call("sum", "power_w")], _now(frame))), unit="watt", window=frame.now
    )


def power_by_zone(frame: Frame) -> Panel:
    moment = Query([call("sum", "power_w")], "nabd_zones", frame.zones, ("commune", "zone"), every=QUARTER)
    query = Query([call("mean", "power_w")], moment, (), ("commune", "zone"), every=STEP)
    return chart(frame, "lighting.power_by_zone", Target(query, name=ZONE_NAME), unit="watt", least=0.0, width=24)


def _now(frame: Frame) -> Query:
    return newest_by("street_light", ("level", "power_w"), ("asset",), frame.readings)
