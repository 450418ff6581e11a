"""What is special about irrigation: what is open now, what flows, and what flows though it should not."""

from dashboards.frame import NONE_IS_GOOD, Frame, Panel, Target, chart, single
from dashboards.influxql import Query, call, newest_by
from dashboards.kind_panels import ZONE_NAME

LEAK_L_MIN = 0.5  # a flow meter at rest shows less


def open_now(frame: Frame) -> Panel:
    return single(
        frame, "irrigation.open", Target(Query([call("sum", "open")], _now(frame))), window=frame.now, none="none_now"
    )


def flow(frame: Frame) -> Panel:
    query = Query([call("sum", "flow_l_min")], _now(frame))
    return single(frame, "irrigation.flow", Target(query), unit="flowlpm", window=frame.now)


def leaks(frame: Frame) -> Panel:
    query = Query([call("count", "open")], _now(frame), ('"open" = 0', f'"flow_l_min" > {LEAK_L_MIN}'))
    return single(frame, "irrigation.leaks", Target(query), levels=NONE_IS_GOOD, window=frame.now, none="none_now")


def leases(frame: Frame) -> Panel:
    """What was asked of valves, and what they did not confirm."""
    targets = [
        Target(
            Query([call("count", "version")], "nabd_leases", (*frame.place, f"\"change\" = '{change}'"), every="1h"),
            name=frame.words(f"lease.{change}"),
        )
        for change in ("sent", "confirmed", "unconfirmed", "refused")
    ]
    return chart(frame, "irrigation.leases", *targets, bars=True, step="1h", width=24)


def soil_moisture(frame: Frame) -> Panel:
    assert frame.kind is not None
    select = 'sum("soil_moisture") / sum("soil_moisture_n") AS "soil_moisture"'
    query = Query([select], "nabd_zones", frame.zones, ("commune", "zone"), every="$__interval")
    return chart(frame, "irrigation.soil", Target(query, name=ZONE_NAME), unit="percentunit", least=0.0, width=24)


def _now(frame: Frame) -> Query:
    return newest_by("irrigation_valve", ("open", "flow_l_min"), ("asset",), frame.readings)
