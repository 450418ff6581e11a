"""Implements contract.tally.TallyBook, in the state database: counts, gaps and ends of streams."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, and_, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert as upsert

from adapters.state import schema
from contract.tally import By, DayCount, Gap, Key, News, Place, Scope, StreamEnd

KEYS_AT_ONCE = 400
ENDS_MAX = 64
GAPS_AT_ONCE = 2_000
PRUNED_AT_ONCE = 5_000
PLACE = ("device", "asset", "kind", "commune", "zone")

StreamKey = tuple[str, str]
Connecting = Callable[[], AbstractContextManager[Connection]]


class SqliteTallyBook:
    """`writing` and `reading` open a transaction of the state database; OSError is theirs to raise."""

    def __init__(self, writing: Connecting, reading: Connecting) -> None:
        self._writing, self._reading = writing, reading

    # ---- writing

    def begin(self, at_ms: int, first: int, last: int) -> None:
        row = {"only": 1, "position": 0, "began_ms": at_ms, "log_first": first, "log_last": last}
        with self._writing() as connection:
            connection.execute(upsert(schema.tally_progress).on_conflict_do_nothing(), [row])

    def commit(self, news: News, position: int) -> None:
        """All of it or nothing. Raises ValueError for a position below the committed one, OSError."""
        progress = schema.tally_progress
        with self._writing() as connection:
            before = connection.execute(select(progress.c.position)).scalar_one()
            if position < before:
                raise ValueError(f"position {position} is below {before}, which is counted: positions never go back")
            _count(connection, news.counts)
            _put(connection, schema.tally_streams, [_end_row(end) for end in news.ends])
            _replace_gaps(connection, news)
            connection.execute(update(progress).values(position=position))

    def prune(self, before_day: int, before_ms: int) -> int:
        days, gaps = schema.tally_days, schema.tally_gaps
        number = self._prune(days, days.c.day < before_day)
        return number + self._prune(gaps, gaps.c.closed_ms < before_ms)

    def _prune(self, table: Table, condition: Any) -> int:
        keys = tuple_(*table.primary_key.columns)
        number = 0
        while True:
            with self._writing() as connection:
                old = select(*table.primary_key.columns).where(condition).limit(PRUNED_AT_ONCE)
                gone = connection.execute(delete(table).where(keys.in_(old))).rowcount
            number += gone
            if gone < PRUNED_AT_ONCE:
                return number

    # ---- reading

    def began(self) -> tuple[int, int, int] | None:
        progress = schema.tally_progress.c
        rows = self._all(select(progress.began_ms, progress.log_first, progress.log_last))
        return (rows[0].began_ms, rows[0].log_first, rows[0].log_last) if rows else None

    def position(self) -> int:
        rows = self._all(select(schema.tally_progress.c.position))
        return int(rows[0].position) if rows else 0

    def streams(self, keys: Collection[StreamKey]) -> Mapping[StreamKey, tuple[StreamEnd, Sequence[Gap]]]:
        wanted = sorted(keys)
        ends: dict[StreamKey, StreamEnd] = {}
        gaps: dict[StreamKey, list[Gap]] = {}
        for first in range(0, len(wanted), KEYS_AT_ONCE):
            some = wanted[first : first + KEYS_AT_ONCE]
            for row in self._all(select(schema.tally_streams).where(_named(schema.tally_streams, some))):
                ends[row.device, row.stream] = _end_of(row)
            table = schema.tally_gaps
            query = select(table).where(_named(table, some), table.c.closed_ms.is_(None))
            for row in self._all(query.order_by(table.c.first)):
                gaps.setdefault((row.device, row.stream), []).append(_gap_of(row))
        return {key: (end, gaps.get(key, ())) for key, end in ends.items()}

    def ends(self, device: str) -> Sequence[StreamEnd]:
        table = schema.tally_streams
        query = select(table).where(table.c.device == device).order_by(table.c.heard_ms.desc(), table.c.stream)
        return [_end_of(row) for row in self._all(query.limit(ENDS_MAX))]

    def stored(self, by: By, scope: Scope, days: range) -> Mapping[Key, int]:
        counts, places = schema.tally_days, schema.tally_places
        names = ("commune", "zone") if by is By.ZONE else (by.value,)
        within = _within(places, scope)
        # First by the numbers of the places, which are few and short; their names come afterwards.
        each = select(counts.c.place, counts.c.day, counts.c.stored)
        each = each.where(counts.c.day >= days.start, counts.c.day < days.stop)
        if within:
            each = each.where(counts.c.place.in_(select(places.c.place).where(*within)))
        of_each = each.subquery()
        total = func.sum(of_each.c.stored)
        if by is By.DAY:
            rows = self._all(select(of_each.c.day, total.label("stored")).group_by(of_each.c.day))
            return {int(row.day): int(row.stored) for row in rows}
        summed = select(of_each.c.place, total.label("stored")).group_by(of_each.c.place).subquery()
        columns = [places.c[name] for name in names]
        query = select(*columns, func.sum(summed.c.stored)).join(summed, summed.c.place == places.c.place)
        return {tuple(row[:-1]): int(row[-1]) for row in self._all(query.group_by(*columns))}

    def gaps(self, scope: Scope, start_ms: int, end_ms: int, *, closed: bool = False) -> Iterator[Gap]:
        table = schema.tally_gaps
        earlier = func.min(func.coalesce(table.c.from_ms, table.c.to_ms), table.c.to_ms)
        later = func.max(func.coalesce(table.c.from_ms, table.c.to_ms), table.c.to_ms)
        state = table.c.closed_ms.is_not(None) if closed else table.c.closed_ms.is_(None)
        query = select(table).where(state, earlier < end_ms, later >= start_ms, *_within(table, scope))
        query = query.order_by(table.c.opened_ms.desc(), table.c.device, table.c.stream, table.c.first)
        with self._reading() as connection:
            for rows in connection.execution_options(yield_per=GAPS_AT_ONCE).execute(query).partitions():
                yield from map(_gap_of, rows)

    def gap_devices(self, scope: Scope) -> Sequence[str]:
        table = schema.tally_gaps
        query = select(table.c.device).distinct().where(table.c.closed_ms.is_(None), *_within(table, scope))
        return [row.device for row in self._all(query.order_by(table.c.device))]

    def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._reading() as connection:
            return connection.execute(query).all()


def _count(connection: Connection, counts: Sequence[DayCount]) -> None:
    if not counts:
        return
    days, places = schema.tally_days, schema.tally_places
    distinct = {one.place: _place_row(one.place) for one in counts}
    connection.execute(upsert(places).on_conflict_do_nothing(), list(distinct.values()))
    named = select(places.c.place).where(*(places.c[name] == bindparam(f"p_{name}") for name in PLACE))
    statement = upsert(days).values(day=bindparam("p_day"), place=named.scalar_subquery(), stored=bindparam("p_stored"))
    more = {"stored": days.c.stored + statement.excluded.stored}
    statement = statement.on_conflict_do_update(index_elements=["day", "place"], set_=more)
    rows = [
        {
            "p_day": one.day,
            "p_stored": one.stored,
            **{f"p_{name}": value for name, value in distinct[one.place].items()},
        }
        for one in counts
    ]
    connection.execute(statement, rows)


def _replace_gaps(connection: Connection, news: News) -> None:
    """The open gaps of a stream are few, so that they are written anew whenever one of them changes."""
    table = schema.tally_gaps
    if news.open:
        of_stream = and_(table.c.device == bindparam("d"), table.c.stream == bindparam("s"))
        keys = [{"d": device, "s": stream} for device, stream in news.open]
        connection.execute(delete(table).where(of_stream, table.c.closed_ms.is_(None)), keys)
    _put(connection, table, [_gap_row(gap) for gap in news.closed])
    _put(connection, table, [_gap_row(gap) for gaps in news.open.values() for gap in gaps])


def _put(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(upsert(table).prefix_with("OR REPLACE"), rows)


def _named(table: Table, keys: Sequence[StreamKey]) -> Any:
    return tuple_(table.c.device, table.c.stream).in_(keys)


def _within(table: Table, scope: Scope) -> list[Any]:
    wanted = {name: getattr(scope, name) for name in PLACE}
    return [table.c[name] == value for name, value in wanted.items() if value is not None]


def _place_row(place: Place) -> dict[str, Any]:
    return {name: getattr(place, name) for name in PLACE}


def _end_row(end: StreamEnd) -> dict[str, Any]:
    return {name: getattr(end, name) for name in end.__struct_fields__}


def _end_of(row: Row[Any]) -> StreamEnd:
    return StreamEnd(**{name: getattr(row, name) for name in StreamEnd.__struct_fields__})


def _gap_row(gap: Gap) -> dict[str, Any]:
    rest = {name: getattr(gap, name) for name in gap.__struct_fields__ if name != "place"}
    return rest | _place_row(gap.place)


def _gap_of(row: Row[Any]) -> Gap:
    return Gap(
        place=Place(row.device, row.asset, row.kind, row.commune, row.zone),
        stream=row.stream,
        first=row.first,
        last=row.last,
        from_ms=row.from_ms,
        to_ms=row.to_ms,
        opened_ms=row.opened_ms,
        closed_ms=row.closed_ms,
    )
