"""Energy and water: how much the city used, today and day by day, and where."""

from dashboards.frame import ZONE, Frame, Panel, Target, chart, single
from dashboards.influxql import Query, call, chosen, is_tag, newest_by
from dashboards.kind_panels import ZONE_NAME

LAMPS, VALVES = "street_light", "irrigation_valve"
NOW = "30m"  # two periods of lamps and valves
DAY, MONTH = "24h", "30d"


def energy_day(frame: Frame) -> Panel:
    return single(
        frame, "resources.energy_day", _grown(frame, LAMPS, "energy_wh", 1.0), unit="watth", window=DAY, width=6
    )


def power(frame: Frame) -> Panel:
    newest = newest_by(LAMPS, ("power_w",), ("asset",), frame.readings)
    return single(
        frame, "resources.power", Target(Query([call("sum", "power_w")], newest)), unit="watt", window=NOW, width=6
    )


def water_day(frame: Frame) -> Panel:
    return single(
        frame, "resources.water_day", _grown(frame, VALVES, "volume_ml", 0.001), unit="litre", window=DAY, width=6
    )


def flow(frame: Frame) -> Panel:
    newest = newest_by(VALVES, ("flow_l_min",), ("asset",), frame.readings)
    return single(
        frame, "resources.flow", Target(Query([call("sum", "flow_l_min")], newest)), unit="flowlpm", window=NOW, width=6
    )


def energy_by_day(frame: Frame) -> Panel:
    return _by_day(frame, "resources.energy_by_day", LAMPS, "energy_wh", 1.0, "watth")


def water_by_day(frame: Frame) -> Panel:
    return _by_day(frame, "resources.water_by_day", VALVES, "volume_ml", 0.001, "litre")


def water_by_crop(frame: Frame) -> Panel:
    query = _by(frame, VALVES, "volume_ml", 0.001, ("crop",))
    return chart(
        frame, "resources.water_by_crop", Target(query, name="$tag_crop"), unit="litre", bars=True, step="1d",
        window=MONTH,
    )  # fmt: skip


def energy_by_circuit(frame: Frame) -> Panel:
    query = _by(frame, LAMPS, "energy_wh", 1.0, ("circuit",))
    return chart(
        frame, "resources.energy_by_circuit", Target(query, name="$tag_circuit"), unit="watth", bars=True, step="1d",
        window=MONTH,
    )  # fmt: skip


def _grown(frame: Frame, kind: str, counter: str, factor: float) -> Target:
    """What the counters grew over the range, device by device: a new controller's counter begins anew."""
    scale = f" * {factor:g}" if factor != 1.0 else ""
    grown = Query([f'last("{counter}") - first("{counter}") AS "grown"'], kind, frame.readings, ("device",))
    return Target(Query([f'sum("grown"){scale} AS "{counter}"'], grown))


def _by_day(frame: Frame, key: str, kind: str, counter: str, factor: float, unit: str) -> Panel:
    query = _by(frame, kind, counter, factor, ("commune", "zone"))
    return chart(frame, key, Target(query, name=ZONE_NAME), unit=unit, bars=True, step="1d", window=MONTH)


def _by(frame: Frame, kind: str, counter: str, factor: float, group: tuple[str, ...]) -> Query:
    scale = f" * {factor:g}" if factor != 1.0 else ""
    where = (is_tag("kind", kind), *chosen(*frame.variables))
    return Query([f'sum("{counter}"){scale} AS "{counter}"'], "nabd_zones", where, group, every="1d", zone=ZONE)
