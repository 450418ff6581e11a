"""What is special about waste bins: which are full, which may burn, where the lorry goes first."""

from dashboards.frame import NONE_IS_GOOD, NOTICE, PLAIN, Column, Frame, Panel, Target, rows, single
from dashboards.influxql import Query, call, newest_by

FULL = 0.8  # as the shipped rule bin_full
HOT_C = 65  # as the shipped rule bin_on_fire


def full(frame: Frame) -> Panel:
    query = Query([call("count", "fill_level")], _now(frame), (f'"fill_level" >= {FULL}',))
    return single(
        frame, "waste.full", Target(query), levels=((None, PLAIN), (1.0, NOTICE)), window=frame.now, none="none_now"
    )


def hot(frame: Frame) -> Panel:
    newest = newest_by("waste_bin", ("temperature_c",), ("asset",), frame.readings)
    query = Query([call("count", "temperature_c")], newest, (f'"temperature_c" >= {HOT_C}',))
    return single(frame, "waste.hot", Target(query), levels=NONE_IS_GOOD, window=frame.now, none="none_now")


def fill(frame: Frame) -> Panel:
    query = Query([call("mean", "fill_level")], _now(frame))
    return single(frame, "waste.fill", Target(query), unit="percentunit", window=frame.now, decimals=0)


def fullest(frame: Frame) -> Panel:
    group = ("asset", "zone", "waste_type")
    query = newest_by("waste_bin", ("fill_level", "battery_level"), group, frame.readings)
    words = frame.words
    assert frame.kind is not None
    kind = frame.kind
    setting = kind.settings["waste_type"]
    columns = (
        Column("asset", words("column.asset"), link=True),
        Column("zone", words("column.zone")),
        Column("waste_type", words.of(setting.labels), said={value: words.value(value) for value in setting.values}),
        Column("fill_level", words.of(kind.metrics["fill_level"].labels), "percentunit", bar=(0.0, 1.0)),
        Column("battery_level", words.of(kind.metrics["battery_level"].labels), "percentunit"),
    )
    return rows(
        frame, "waste.fullest", Target(query, rows=True), columns,
        sort="fill_level", descending=True, window=frame.now, width=24,
    )  # fmt: skip


def _now(frame: Frame) -> Query:
    return newest_by("waste_bin", ("fill_level",), ("asset",), frame.readings)
