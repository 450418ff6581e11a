"""DuckDB's aggregates: the tables, and an hour of a kind made in SQL.

The rows are those of `aggregates.five_minutes` and `roll_up`, which this follows in all; the tests hold one against the
other. Every function works in the transaction of the cursor it is given.
"""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from adapters.stores.aggregates import COUNT_MARKED, READINGS, Befores, Measured, five_minutes, parts
from adapters.stores.duckdb_aggregate_rows import PLACE, Cursor, fetch, five, hours, insert, known
from adapters.stores.duckdb_tables import quoted, table
from contract.aggregates import FIVE_MINUTES_MS, HOUR_MS, MARKED, Gone, Place, Row, hour_of
from contract.kind import DAY_MS, Kind, Metric, MetricType

NEAR_MS = DAY_MS
"""A reading before or after is looked for among the five minutes so far, beyond it among the hours."""
SERIES = "device, asset"
ORDER = '"order.nth"'  # of the readings of a device on an asset; no metric has a dot in its name

# -- one hour


def aggregate(
    cursor: Cursor, kind: Kind, bounds_ms: tuple[int, int], devices: Sequence[str] | None, gone: Gone
) -> tuple[int, list[tuple[int, str]]]:
    """Make hours anew from their raw readings, of these devices or all; where raw readings are gone, add the late.

    Where five minutes are gone, too, the late are added to the hour, which nothing could make anew, and go themselves:
    so each is added once. (rows written, the (hour, device) whose increase has changed with it: those that follow a
    counter here).
    """
    cursor.register("chosen", pa.table({"device": pa.array(devices or [], pa.string())}))
    only = "" if devices is None else " AND device IN (SELECT device FROM chosen)"
    counters = [metric.name for metric in kind.metrics.values() if metric.type is MetricType.COUNTER]
    start_ms, end_ms = bounds_ms
    within = f"at_ms >= {start_ms} AND at_ms < {end_ms}{only}"
    raw = f"FROM {table(kind.name)} WHERE measured_at_ms >= {start_ms} AND measured_at_ms < {end_ms}{only}"
    is_gone, width_ms = start_ms < gone.raw_ms, FIVE_MINUTES_MS
    if is_gone and start_ms < gone.five_minutes_ms:
        width_ms = HOUR_MS
    if counters:
        was = _lasts(_table(kind.name, width_ms), counters, within)
        cursor.execute(f"CREATE OR REPLACE TEMP TABLE lasts AS {was}")
    if is_gone:
        written = _add_late(cursor, kind, counters, start_ms, within, raw, width_ms)
    else:
        if counters:
            _befores(cursor, kind.name, counters, start_ms, only, raw)
        cursor.execute(f"DELETE FROM {five(kind.name)} WHERE {within}")
        [(written,)] = cursor.execute(_five_minutes(kind, counters, raw)).fetchall()
    if width_ms == HOUR_MS:
        cursor.execute(f"DELETE {raw}")
    else:
        written = int(written) + _roll_up(cursor, kind, within)
    return written, _followers(cursor, kind.name, counters, end_ms, within, width_ms) if counters else []


def _table(kind: str, width_ms: int) -> str:
    return five(kind) if width_ms == FIVE_MINUTES_MS else hours(kind)


def _add_late(
    cursor: Cursor, kind: Kind, counters: Sequence[str], hour_ms: int, within: str, raw: str, width_ms: int
) -> int:
    """The rows of what is known of readings that are gone, and of those that came later."""
    metrics = ", ".join(map(quoted, kind.metrics))
    late: dict[tuple[str, str], list[Measured]] = {}
    for at_ms, seq, stream, device, asset, commune, zone, group, quality, *values in cursor.execute(
        f"SELECT measured_at_ms, seq, stream, {', '.join(PLACE)}, quality, {metrics} {raw}"
    ).fetchall():
        measured = {metric: value for metric, value in zip(kind.metrics, values, strict=True) if value is not None}
        place = Place(device, asset, commune, zone, group)
        late.setdefault((device, asset), []).append(Measured(at_ms, seq, stream, place, quality, measured))
    rows = cursor.execute(f"SELECT DISTINCT device FROM {_table(kind.name, width_ms)} WHERE {within}").fetchall()
    devices = sorted({device for device, _ in late} | {device for (device,) in rows})  # a reading before may be new
    return sum(_add_late_of(cursor, kind, counters, hour_ms, device, late, width_ms) for device in devices)


def _add_late_of(
    cursor: Cursor,
    kind: Kind,
    counters: Sequence[str],
    hour_ms: int,
    device: str,
    late: Mapping[tuple[str, str], Sequence[Measured]],
    width_ms: int,
) -> int:
    name, where = kind.name, f"at_ms >= {hour_ms} AND at_ms < {hour_ms + HOUR_MS} AND device = ?"
    source = hours(name) if width_ms == HOUR_MS else known(name)
    if width_ms == FIVE_MINUTES_MS:
        _know(cursor, kind, hour_ms, device, where)
    before: dict[str, Befores] = {}
    if counters:
        found = cursor.execute(_lasts(hours(name), counters, f"at_ms < {hour_ms} AND device = ?"), [device]).fetchall()
        for _, asset, *values in found:
            before[asset] = {name: last for name, last in zip(counters, values, strict=True) if last is not None}
    rows: dict[str, list[Row]] = {asset: [] for of, asset in late if of == device}
    for row in fetch(cursor, kind, source, f"{where} AND {READINGS} > 0", [device]):
        rows.setdefault(row.place.asset, []).append(row)
    into, written = _table(name, width_ms), 0
    cursor.execute(f"DELETE FROM {into} WHERE {where}", [device])
    for asset, was in rows.items():
        made = five_minutes(kind, late.get((device, asset), ()), before.get(asset, {}), was, width_ms)
        written += insert(cursor, kind, into, made)
    return written


def _know(cursor: Cursor, kind: Kind, hour_ms: int, device: str, where: str) -> None:
    """Write down what five minutes were when their raw readings went, before anything is added to them."""
    name = known(kind.name)
    if not cursor.execute(f"SELECT 1 FROM {name} WHERE {where} LIMIT 1", [device]).fetchall():
        cursor.execute(f"INSERT INTO {name} BY NAME SELECT * FROM {five(kind.name)} WHERE {where}", [device])
        insert(cursor, kind, name, [Row(place=Place(device, ""), at_ms=hour_ms, cells={})])  # it is known now


def _roll_up(cursor: Cursor, kind: Kind, within: str) -> int:
    """The hours of five minutes; how many."""
    cursor.execute(f"DELETE FROM {hours(kind.name)} WHERE {within}")
    cells = [f"sum({READINGS}) AS {READINGS}", f"sum({COUNT_MARKED}) AS {COUNT_MARKED}"]
    for metric in kind.metrics.values():
        there = f'"{metric.name}.count" > 0'
        for cell in parts(metric):
            part, column = cell.removeprefix(f"{metric.name}."), quoted(cell)
            if part in ("min", "max"):
                cells.append(f"{part}({column}) AS {column}")
            elif part in ("first", "first_ms"):
                cells.append(f"arg_min({column}, at_ms) FILTER ({there}) AS {column}")
            elif part in ("last", "last_ms"):
                cells.append(f"arg_max({column}, at_ms) FILTER ({there}) AS {column}")
            elif part == "inner":  # all that is grown but from the reading before to the first
                border = f"arg_min({quoted(f'{metric.name}.increase')} - {column}, at_ms) FILTER ({there})"
                cells.append(f"sum({quoted(f'{metric.name}.increase')}) - {border} AS {column}")
            else:
                order = " ORDER BY at_ms" if part == "sum" else ""  # whole numbers have one sum, whatever the order
                cells.append(f"sum({column}{order}) AS {column}")
    place = ", ".join(PLACE)
    [(written,)] = cursor.execute(
        f"INSERT INTO {hours(kind.name)} BY NAME SELECT found.at_ms // {HOUR_MS} * {HOUR_MS} AS at_ms, {place}, "
        f"{', '.join(cells)} FROM {five(kind.name)} AS found WHERE {within} GROUP BY found.at_ms // {HOUR_MS}, {place}"
    ).fetchall()
    return int(written)


def _five_minutes(kind: Kind, counters: Sequence[str], raw: str) -> str:
    cells = [f"count(*) AS {READINGS}", f"nullif(count(*) FILTER (quality & {MARKED} <> 0), 0) AS {COUNT_MARKED}"]
    cells += [cell for metric in kind.metrics.values() for cell in _cells(metric)]
    place = ", ".join(PLACE)
    found = f"SELECT *, row_number() OVER (PARTITION BY {SERIES} ORDER BY measured_at_ms, seq, stream) AS {ORDER} {raw}"
    for name in counters:
        column, before, difference = quoted(name), quoted(f"{name}.before"), quoted(f"{name}.difference")
        found = (
            f"SELECT *, CASE WHEN {column} IS NULL THEN NULL WHEN {before} IS NULL THEN 0 "
            f"WHEN {column} >= {before} THEN {column} - {before} ELSE {column} END AS {difference} FROM ("
            f"SELECT found.*, coalesce(lag(found.{column} IGNORE NULLS) OVER (PARTITION BY found.device, found.asset "
            f"ORDER BY found.{ORDER}), befores.{column}) AS {before} "
            f"FROM ({found}) AS found LEFT JOIN befores USING ({SERIES}))"
        )
    return (
        f"INSERT INTO {five(kind.name)} BY NAME "
        f"SELECT measured_at_ms // {FIVE_MINUTES_MS} * {FIVE_MINUTES_MS} AS at_ms, {place}, {', '.join(cells)} "
        f"FROM ({found}) GROUP BY measured_at_ms // {FIVE_MINUTES_MS}, {place}"
    )


def _cells(metric: Metric) -> Iterator[str]:
    column, there = quoted(metric.name), f"{quoted(metric.name)} IS NOT NULL"
    difference = quoted(f"{metric.name}.difference")
    in_order = f"ORDER BY {ORDER}"
    ways = {
        "count": f"nullif(count({column}), 0)",
        "min": f"min({column})",
        "max": f"max({column})",
        "sum": f"sum({column} {in_order})",
        "first": f"arg_min({column}, {ORDER}) FILTER ({there})",
        "first_ms": f"min(measured_at_ms) FILTER ({there})",
        "last": f"arg_max({column}, {ORDER}) FILTER ({there})",
        "last_ms": f"max(measured_at_ms) FILTER ({there})",
        "increase": f"sum({difference})",
        "inner": f"sum({difference}) - arg_min({difference}, {ORDER}) FILTER ({there})",
    }
    for cell in parts(metric):
        part = cell.removeprefix(f"{metric.name}.")
        word = part.removeprefix("is.").replace("'", "''")
        way = ways.get(part) or f"nullif(count(*) FILTER ({column} = '{word}'), 0)"
        yield f"{way} AS {quoted(cell)}"


# -- what lies before and after


def _befores(cursor: Cursor, kind: str, counters: Sequence[str], start_ms: int, only: str, raw: str) -> None:
    """The temporary table `befores`: what the counters of each device and asset showed last before a moment.

    Only who has a counter in these hours and none in the day before is looked for in the hours of all time.
    """
    near = _lasts(five(kind), counters, f"at_ms >= {start_ms - NEAR_MS} AND at_ms < {start_ms}{only}")
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE befores AS {near}")
    columns = [quoted(name) for name in counters]
    lacking = " OR ".join(f"(count(found.{one}) > 0 AND any_value(befores.{one}) IS NULL)" for one in columns)
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE lacking AS SELECT found.device, found.asset FROM (SELECT * {raw}) AS found "
        f"LEFT JOIN befores USING ({SERIES}) GROUP BY found.device, found.asset HAVING {lacking}"
    )
    if cursor.execute("SELECT count(*) FROM lacking").fetchall() == [(0,)]:
        return
    far = _lasts(hours(kind), counters, f"at_ms < {start_ms} AND ({SERIES}) IN (SELECT ({SERIES}) FROM lacking)")
    both = ", ".join(f"coalesce(near.{quoted(name)}, far.{quoted(name)}) AS {quoted(name)}" for name in counters)
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE befores AS SELECT {SERIES}, {both} FROM befores AS near "
        f"FULL JOIN ({far}) AS far USING ({SERIES})"
    )


def _lasts(name: str, counters: Sequence[str], where: str) -> str:
    found = ", ".join(
        f"arg_max({quoted(f'{c}.last')}, {quoted(f'{c}.last_ms')}) FILTER ({quoted(f'{c}.count')} > 0) AS {quoted(c)}"
        for c in counters
    )
    return f"SELECT {SERIES}, {found} FROM {name} WHERE {where} GROUP BY {SERIES}"


def _followers(
    cursor: Cursor, kind: str, counters: Sequence[str], end_ms: int, within: str, width_ms: int
) -> list[tuple[int, str]]:
    """The next hour with a counter, of each device whose counter now ends these hours otherwise than in `lasts`."""
    differs = " OR ".join(f"was.{quoted(name)} IS DISTINCT FROM is_.{quoted(name)}" for name in counters)
    cursor.execute(
        f"CREATE OR REPLACE TEMP TABLE changed AS SELECT {SERIES} FROM lasts AS was "
        f"FULL JOIN ({_lasts(_table(kind, width_ms), counters, within)}) AS is_ USING ({SERIES}) WHERE {differs}"
    )
    marks: set[tuple[int, str]] = set()
    near_ms = end_ms + NEAR_MS if width_ms == FIVE_MINUTES_MS else end_ms
    for name, where in (
        (five(kind), f"at_ms >= {end_ms} AND at_ms < {near_ms}"),
        (hours(kind), f"at_ms >= {near_ms}"),
    ):
        if cursor.execute("SELECT count(*) FROM changed").fetchall() == [(0,)]:
            break
        firsts = ", ".join(f"min(at_ms) FILTER ({quoted(f'{c}.count')} > 0)" for c in counters)
        rows = cursor.execute(
            f"SELECT {SERIES}, {firsts} FROM {name} WHERE {where} AND ({SERIES}) IN (SELECT ({SERIES}) FROM changed) "
            f"GROUP BY {SERIES}"
        ).fetchall()
        done = []
        for device, asset, *found in rows:
            marks |= {(hour_of(at_ms), device) for at_ms in found if at_ms is not None}
            if None not in found:
                done.append((device, asset))
        if done:
            cursor.register("done", pa.table(dict(zip(("device", "asset"), zip(*done, strict=True), strict=True))))
            cursor.execute(f"DELETE FROM changed WHERE ({SERIES}) IN (SELECT ({SERIES}) FROM done)")
            cursor.unregister("done")
    return sorted(marks)
