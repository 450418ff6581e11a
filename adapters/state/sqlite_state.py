"""Implements contract.ports.State: registry, alarms, intents, leases and audit in one SQLite file.

One transaction a commit: all effects of a batch of log entries, the position they bring the state to, and now and
then the deciders' snapshot. So after any crash the state is exactly that of its position, and a replay goes on from
there. Writing is for one thread at a time (a lock sees to it), reading for any; a reader sees whole commits only.
"""

import errno
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, Table, case, delete, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert
from sqlalchemy.exc import DatabaseError

from adapters.state import history, rows, schema
from adapters.state.connecting import readers, writer
from adapters.state.tally_book import SqliteTallyBook
from adapters.state.upgrading import StateFault, upgrade
from contract import full_disk
from contract.decisions import OVER, AlarmState, Decision, IntentState, Lease, Severity
from contract.ports import AlarmChange, AlarmRow, Device, Effects, Firing, LeaseStep
from contract.records import Registered

PRUNED_AT_ONCE = 5_000
"""Rows deleted in one transaction, so that a commit never waits long for a prune."""

NAMES_AT_ONCE = 500
FOREVER_MS = 2**53

__all__ = ["SqliteState", "StateFault"]


class SqliteState:
    """See above. `path` is made, with its tables, when it is not there."""

    def __init__(self, path: Path | str) -> None:
        """Raises StateFault for a file of a newer Nabd, one that is no database, or one that cannot be opened."""
        self.path = Path(path)
        self._write_lock = threading.Lock()
        self._writer = writer(self.path)
        self._readers = readers(self.path)
        self.tally = SqliteTallyBook(self._writing, self._reading)
        try:
            with self._writer.begin() as connection:
                upgrade(connection, self.path)
        except (DatabaseError, sqlite3.DatabaseError) as error:
            self.close()
            cause = getattr(error, "orig", None) or error
            if getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
                raise StateFault(
                    f"{self.path}: cannot be opened: its disk is full; make room on it, then start again"
                ) from None
            raise StateFault(
                f"{self.path}: cannot be opened as the state database: {cause}; check that the folder exists and may "
                "be written and that nobody else holds the file, or put back a copy of the data folder"
            ) from None
        except StateFault:
            self.close()
            raise

    def close(self) -> None:
        self._readers.dispose()
        self._writer.dispose()

    # ---- writing

    def commit(self, effects: Effects, position: int, snapshot: bytes | None = None) -> None:
        """All of it or nothing, on the disk when it returns. The same effects again change nothing.

        Raises ValueError for a position below the committed one, OSError when the disk or the file refuses.
        """
        with self._writing() as connection:
            before = _position(connection)
            if position < before:
                raise ValueError(f"position {position} is below {before}, which is committed: positions never go back")
            for at_ms, registered in effects.registered:
                _register(connection, at_ms, registered)
            _write_alarms(connection, effects, position)
            _write_last(connection, schema.intents, "intent", [rows.intent_row(state) for state in effects.intents])
            if effects.decisions:
                audit = insert(schema.decisions).prefix_with("OR IGNORE")
                connection.execute(audit, [rows.decision_row(decision) for decision in effects.decisions])
            _write_last(connection, schema.leases, "device", [rows.lease_row(lease) for lease in effects.leases])
            _write_last(connection, schema.progress, "only", [{"only": 1, "position": position}])
            if snapshot is not None:
                _write_last(connection, schema.snapshots, "only", [{"only": 1, "position": position, "body": snapshot}])

    def prune(self, before_ms: int) -> int:
        """Drop the audit, ended intents and resolved alarms from before `before_ms`; return how many rows went.

        They are counted in `dropped`, and their pages go back to the disk.
        """
        decisions, intents, alarms = schema.decisions.c, schema.intents.c, schema.alarms.c
        number = self._prune(schema.decisions, decisions.number, decisions.at_ms < before_ms)
        number += self._prune(schema.intents, intents.intent, (intents.at_ms < before_ms) & intents.step.in_(OVER))
        number += self._prune(
            schema.alarms,
            alarms.alarm,
            (alarms.state == AlarmState.RESOLVED.value) & (alarms.resolved_at_ms < before_ms),
        )
        with self._write_lock, self._told("written"), self._writer.connect() as connection:
            # A script, because the driver takes one step of a plain statement, and each step frees one page.
            connection.connection.cursor().executescript("PRAGMA incremental_vacuum")
        return number

    def _prune(self, table: Table, key: Any, condition: Any) -> int:
        number = 0
        while True:
            with self._writing() as connection:
                old = select(key).where(condition).limit(PRUNED_AT_ONCE).scalar_subquery()
                gone = connection.execute(delete(table).where(key.in_(old))).rowcount
                if gone:
                    counting = upsert(schema.dropped).values(what=table.name, count=gone)
                    connection.execute(
                        counting.on_conflict_do_update(
                            index_elements=["what"], set_={"count": schema.dropped.c.count + gone}
                        )
                    )
            number += gone
            if gone < PRUNED_AT_ONCE:
                return number

    # ---- reading

    def position(self) -> int:
        with self._reading() as connection:
            return _position(connection)

    def snapshot(self) -> tuple[int, bytes] | None:
        row = self._first(select(schema.snapshots.c.position, schema.snapshots.c.body))
        return (row.position, row.body) if row else None

    def dropped(self) -> Mapping[str, int]:
        """Table → rows pruned since the database was made."""
        return {row.what: row.count for row in self._all(select(schema.dropped).order_by(schema.dropped.c.what))}

    def devices(
        self,
        *,
        kind: str | None = None,
        commune: str | None = None,
        zone: str | None = None,
        text: str | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> tuple[int, Sequence[Device]]:
        """`text` is looked for in device, asset, name and zone, upper or lower case."""
        devices, assets = schema.devices.c, schema.assets.c
        query = _devices()
        for column, value in ((devices.kind, kind), (assets.commune, commune), (assets.zone, zone)):
            if value is not None:
                query = query.where(column == value)
        if text:
            places = (devices.device, assets.asset, assets.name, assets.zone)
            query = query.where(or_(*(place.icontains(text, autoescape=True) for place in places)))
        count, page = self._page(query, devices.device, offset=offset, limit=limit)
        return count, [rows.device_of(row) for row in page]

    def device(self, device: str) -> Device | None:
        row = self._first(_devices().where(schema.devices.c.device == device))
        return rows.device_of(row) if row else None

    def device_at(self, device: str, at_ms: int) -> tuple[Device | None, int, int]:
        """A device as it was bound at that moment, with the facts its asset has now, and from when until before when
        that holds. Before its first binding it counts as it was bound first; between two it sat on nothing. None
        when it is not registered."""
        known = self.device(device)
        bindings = schema.bindings.c
        query = select(bindings.asset, bindings.from_ms, bindings.until_ms).where(bindings.device == device)
        start_ms = 0
        for bound in self._all(query.order_by(bindings.binding)):
            until_ms = FOREVER_MS if bound.until_ms is None else bound.until_ms
            if start_ms <= at_ms < until_ms and (bound.from_ms <= at_ms or start_ms == 0):
                facts = self._first(select(schema.assets).where(schema.assets.c.asset == bound.asset))
                asked = rows.on_asset(known, facts) if known is not None and facts is not None else known
                return asked, min(at_ms, bound.from_ms), until_ms
            start_ms = until_ms
        return rows.on_nothing(known) if known is not None else None, at_ms, at_ms + 1

    def bindings(self, asset: str) -> Sequence[tuple[str, int, int | None]]:
        bindings = schema.bindings.c
        query = select(bindings.device, bindings.from_ms, bindings.until_ms)
        query = query.where(bindings.asset == asset).order_by(bindings.binding)
        return [(row.device, row.from_ms, row.until_ms) for row in self._all(query)]

    def alarms(
        self,
        *,
        open_only: bool = False,
        pending: bool = True,
        unseen: bool = False,
        asset: str | None = None,
        severity: Severity | None = None,
        kind: str | None = None,
        gravest_first: bool = False,
        offset: int = 0,
        limit: int = 100,
    ) -> tuple[int, Sequence[AlarmRow]]:
        alarms = schema.alarms.c
        query = select(schema.alarms)
        if open_only:
            query = query.where(alarms.state == AlarmState.FIRING.value)
        elif not pending:
            query = query.where(alarms.state != AlarmState.PENDING.value)
        if unseen:
            query = query.where(alarms.acknowledged_at_ms.is_(None))
        for column, value in ((alarms.asset, asset), (alarms.severity, severity), (alarms.kind, kind)):
            if value is not None:
                query = query.where(column == value)
        order: list[Any] = [alarms.since_ms.desc(), alarms.alarm]
        if gravest_first:
            gravity = {one.value: number for number, one in enumerate(Severity)}
            order = [alarms.acknowledged_at_ms.is_not(None), case(gravity, value=alarms.severity).desc(), *order]
        count, page = self._page(query, *order, offset=offset, limit=limit)
        return count, [rows.alarm_of(row) for row in page]

    def firing(self) -> Firing:
        alarms = schema.alarms.c
        fires = alarms.state == AlarmState.FIRING.value
        counts = select(
            alarms.severity, func.count().label("number"), func.count(alarms.acknowledged_at_ms).label("seen")
        )
        with self._reading() as connection:
            counted = connection.execute(counts.where(fires).group_by(alarms.severity)).all()
            assets = connection.execute(select(alarms.asset).distinct().where(fires)).scalars().all()
        return Firing(
            by_severity={Severity(row.severity): row.number for row in counted},
            unseen=sum(row.number - row.seen for row in counted),
            assets=frozenset(assets),
        )

    def alarm(self, alarm: str) -> AlarmRow | None:
        row = self._first(select(schema.alarms).where(schema.alarms.c.alarm == alarm))
        return rows.alarm_of(row) if row else None

    def intents(
        self,
        *,
        asset: str | None = None,
        limit: int = 100,
        wish: str | None = None,
        wished: bool = False,
        living_first: bool = False,
    ) -> Sequence[IntentState]:
        intents = schema.intents.c
        query = select(schema.intents)
        if asset is not None:
            query = query.where(intents.asset == asset)
        if wish is not None:
            query = query.where((intents.wish == wish) | (intents.intent == wish))
        if wished:  # a range of the index by wish: rules' intents, which are many more, are not looked at
            query = query.where(intents.wish > "")
        if living_first:
            query = query.order_by(intents.step.in_(OVER))
        query = query.order_by(intents.at_ms.desc(), intents.intent).limit(limit)
        return [rows.intent_of(row) for row in self._all(query)]

    def decisions(self, *, asset: str | None = None, limit: int = 100) -> Sequence[Decision]:
        decisions = schema.decisions.c
        query = select(schema.decisions)
        if asset is not None:
            query = query.where(decisions.asset == asset)
        return [rows.decision_of(row) for row in self._all(query.order_by(decisions.number.desc()).limit(limit))]

    def leases(self, *, device: str | None = None) -> Sequence[Lease]:
        query = select(schema.leases).order_by(schema.leases.c.device)
        if device is not None:
            query = query.where(schema.leases.c.device == device)
        return [rows.lease_of(row) for row in self._all(query)]

    def ends(self) -> tuple[int, int]:
        with self._reading() as connection:
            number = connection.execute(select(func.max(schema.decisions.c.number))).scalar()
            return _position(connection), number or 0

    def alarm_changes(self, after: tuple[int, str], limit: int) -> Sequence[AlarmChange]:
        return [history.alarm_change_of(row) for row in self._all(history.alarm_changes(after, limit))]

    def lease_steps(self, after: int, limit: int) -> Sequence[LeaseStep]:
        return [history.lease_step_of(row) for row in self._all(history.lease_steps(after, limit))]

    # ---- in short

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._write_lock, self._told("written"), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._told("read"), self._readers.begin() as connection:
            yield connection

    @contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """What SQLite says of disk, lock and file becomes OSError: it passes, or its sentence says what to mend."""
        try:
            yield
        except (DatabaseError, sqlite3.DatabaseError) as error:
            cause = getattr(error, "orig", None) or error
            if type(cause) not in (sqlite3.OperationalError, sqlite3.DatabaseError):  # of damage it says the latter
                raise  # a constraint, a statement: a fault of ours
            full = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            if full:
                raise OSError(errno.ENOSPC, full_disk.sentence(self.path, cause)) from None
            raise OSError(errno.EIO, f"the state database cannot be {doing}: {self.path}: {cause}") from None

    def _all(self, query: Select[Any]) -> Sequence[Any]:
        with self._reading() as connection:
            return connection.execute(query).all()

    def _first(self, query: Select[Any]) -> Any:
        with self._reading() as connection:
            return connection.execute(query).first()

    def _page(self, query: Select[Any], *order: Any, offset: int, limit: int | None) -> tuple[int, Sequence[Any]]:
        """(how many match, one page), both of the same moment."""
        with self._reading() as connection:
            count = connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()
            page = connection.execute(query.order_by(*order).offset(offset).limit(limit)).all()
        return count, page


def _position(connection: Connection) -> int:
    position = connection.execute(select(schema.progress.c.position)).scalar()
    return int(position) if position is not None else 0


def _devices() -> Select[Any]:
    devices, assets = schema.devices, schema.assets
    return select(
        devices.c.device, devices.c.kind, devices.c.asset, devices.c.registered_at_ms, assets.c.commune,
        assets.c.zone, assets.c.name, assets.c.lat, assets.c.lon, assets.c.settings,
    ).select_from(devices.outerjoin(assets, devices.c.asset == assets.c.asset))  # fmt: skip


def _write_last(connection: Connection, table: Table, key: str, values: list[dict[str, Any]]) -> None:
    """Upsert rows by their key; of several with one key the last counts."""
    if not values:
        return
    last = {row[key]: row for row in values}
    statement = upsert(table)
    changes = {column.name: statement.excluded[column.name] for column in table.c if column.name != key}
    connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=changes), list(last.values()))


def _write_alarms(connection: Connection, effects: Effects, position: int) -> None:
    """A change leaves an alarm's place and acknowledgement alone; the first acknowledgement stays."""
    alarms = schema.alarms.c
    if effects.alarms:
        last = {alarm.alarm: rows.alarm_row(alarm) | {"changed": position} for alarm in effects.alarms}
        places = _places(connection, {alarm.asset for alarm in effects.alarms})
        for row in last.values():
            row["commune"], row["zone"] = places.get(row["asset"], ("", ""))
        statement = upsert(schema.alarms)
        kept = ("alarm", "acknowledged_by", "acknowledged_at_ms", "commune", "zone")
        changes = {column.name: statement.excluded[column.name] for column in alarms if column.name not in kept}
        connection.execute(statement.on_conflict_do_update(index_elements=["alarm"], set_=changes), list(last.values()))
    for alarm, by, at_ms in effects.acknowledged:
        connection.execute(
            update(schema.alarms)
            .where(alarms.alarm == alarm, alarms.acknowledged_at_ms.is_(None))
            .values(acknowledged_by=by, acknowledged_at_ms=at_ms, changed=position)
        )


def _places(connection: Connection, wanted: set[str]) -> dict[str, tuple[str, str]]:
    """Asset → (commune, zone), asked in lists as long as SQLite takes."""
    assets, names = schema.assets.c, sorted(wanted)
    places: dict[str, tuple[str, str]] = {}
    for first in range(0, len(names), NAMES_AT_ONCE):
        query = select(assets.asset, assets.commune, assets.zone).where(
            assets.asset.in_(names[first : first + NAMES_AT_ONCE])
        )
        places |= {row.asset: (row.commune, row.zone) for row in connection.execute(query)}
    return places


def _register(connection: Connection, at_ms: int, registered: Registered) -> None:
    """The whole new truth of a device: its asset's facts, and from when to when it sits on which."""
    devices, bindings = schema.devices.c, schema.bindings.c
    _write_last(connection, schema.assets, "asset", [rows.asset_row(registered)])
    known = connection.execute(select(devices.asset).where(devices.device == registered.device)).first()
    rebinds = known is None or known.asset != registered.asset
    if rebinds:
        # Whoever sat there leaves, and this device leaves where it sat.
        meets = or_(bindings.asset == registered.asset, bindings.device == registered.device)
        connection.execute(update(schema.bindings).where(meets, bindings.until_ms.is_(None)).values(until_ms=at_ms))
        connection.execute(update(schema.devices).where(devices.asset == registered.asset).values(asset=None))
    statement = upsert(schema.devices).values(
        device=registered.device, kind=registered.kind, asset=registered.asset, registered_at_ms=at_ms
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["device"], set_={"kind": registered.kind, "asset": registered.asset}
        )
    )
    if rebinds:
        connection.execute(
            insert(schema.bindings).values(asset=registered.asset, device=registered.device, from_ms=at_ms)
        )
