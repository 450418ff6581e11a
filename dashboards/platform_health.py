"""Is Nabd itself well? Broker, log, store, deciding; and how hard the machine works."""

from dashboards.frame import BAD, CALM, GOOD, NONE_IS_GOOD, NOTICE, Frame, Panel, Target, chart, single
from dashboards.influxql import STEP, Query, call, quoted

NOW = "5m"
BEHIND_NOTICE, BEHIND_BAD = 5_000.0, 50_000.0
LOG_NOTICE, LOG_BAD = 0.7, 0.9
BEHIND = {"store": "store_position", "decider": "decider_position", "live": "live_position"}


def connected(frame: Frame) -> Panel:
    said = {"0": (frame.words("value.not_connected"), BAD), "1": (frame.words("value.connected"), GOOD)}
    return single(frame, "platform.connected", _last("connected"), said=said, window=NOW)


def faults(frame: Frame) -> Panel:
    return single(frame, "platform.faults", _last("faults"), levels=NONE_IS_GOOD, window=NOW)


def store_behind(frame: Frame) -> Panel:
    select = 'last("log_position") - last("store_position") AS "behind"'
    levels = ((None, GOOD), (BEHIND_NOTICE, NOTICE), (BEHIND_BAD, BAD))
    return single(frame, "platform.store_behind", Target(Query([select], "nabd_health")), levels=levels, window=NOW)


def log_full(frame: Frame) -> Panel:
    select = 'last("log_bytes") / last("log_bytes_max") AS "full"'
    levels = ((None, GOOD), (LOG_NOTICE, NOTICE), (LOG_BAD, BAD))
    return single(
        frame, "platform.log_full", Target(Query([select], "nabd_health")), unit="percentunit", levels=levels,
        window=NOW, decimals=0,
    )  # fmt: skip


def alarms(frame: Frame) -> Panel:
    return single(frame, "platform.alarms", _last("alarms_open"), levels=NONE_IS_GOOD, window=NOW)


def devices(frame: Frame) -> Panel:
    select = 'last("devices_online") / last("devices") AS "online"'
    return single(
        frame, "platform.devices", Target(Query([select], "nabd_health")), unit="percentunit", levels=CALM,
        window=NOW, decimals=0,
    )  # fmt: skip


def behind(frame: Frame) -> Panel:
    targets = [
        Target(
            Query([f'max("log_position") - max({quoted(field)}) AS {quoted(name)}'], "nabd_health", every=STEP),
            name=frame.words(f"consumer.{name}"),
        )
        for name, field in BEHIND.items()
    ]
    return chart(frame, "platform.behind", *targets, step="1m", least=0.0)


def accepted(frame: Frame) -> Panel:
    query = Query(['non_negative_derivative(last("accepted"), 1s) AS "accepted"'], "nabd_health", every=STEP)
    return chart(
        frame, "platform.accepted", Target(query, name=frame.words("outcome.accepted")), unit="recps", step="1m",
        least=0.0,
    )  # fmt: skip


def cpu(frame: Frame) -> Panel:
    query = Query(['non_negative_derivative(last("cpu_s"), 1s) AS "cpu"'], "nabd_health", every=STEP)
    target = Target(query, name=frame.words("consumer.cpu"))
    return chart(frame, "platform.cpu", target, unit="percentunit", step="1m", least=0.0)


def memory(frame: Frame) -> Panel:
    targets = [
        Target(Query([call("mean", field)], "nabd_health", every=STEP), name=frame.words(f"consumer.{field}"))
        for field in ("memory_bytes", "log_bytes")
    ]
    return chart(frame, "platform.memory", *targets, unit="bytes", step="1m", least=0.0)


def _last(field: str) -> Target:
    return Target(Query([call("last", field)], "nabd_health"))
