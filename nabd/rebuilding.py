"""`nabd data rebuild`: makes the store anew from the log, and loses nothing that the log cannot give back.

Theory of operation. DuckDB: a new file beside is filled from the log; then it takes over from the old one every reading
that it lacks by name (what was cut from the log, or copied in), and is renamed over it in one step. Killed at any
moment, the old store is as it was, and a file beside it is left that the next rebuild removes. InfluxDB: every entry of
the log is written again, which overwrites each point by itself; broken off, the platform goes on from where it was.

Of a time whose raw readings the store has deleted as too old, the log may still have some. The store's aggregates count
them already, and keep what they say: the store is told up to which position, durably, before anything is written, and
leaves these out. What the log has behind that position is late, and written like everything late.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.clock import CityClock
from adapters.log.sqlite_log import LogFault, SqliteLog
from adapters.on_disk import to_disk
from adapters.stores.duckdb_rebuild import adopt, fold_in, left_behind
from adapters.stores.duckdb_store import DuckStore
from contract.aggregates import FOREVER_MS, Gone
from contract.kind import Kinds
from contract.kind_file import load_kinds
from contract.ports import LogFull, PutAway, StoreFault
from contract.quarantine import STORE_REFUSED, Quarantined
from contract.records import Entry
from nabd import settings
from nabd.backing_up import LOG, STORE, nobody_runs
from nabd.data_folder import known_format, read_run, refuse_half_restored
from nabd.fault import Refused
from nabd.progress import progress
from nabd.settings import Settings
from nabd.storing import open_influxdb, open_log

if TYPE_CHECKING:
    from adapters.stores.influx_store import InfluxStore

BATCH = 20_000  # entries
NEW = f"{STORE}.rebuild"
ASIDE = f"{STORE}.before-rebuild"


def run(data: Path, config: Path | None, *, from_log_only: bool) -> None:
    """Raises Refused, with how things stand then."""
    known = known_format(data)
    refuse_half_restored(data)
    if (run := read_run(data)) is not None:
        raise Refused(
            f"data folder {data}: nabd up runs on it (process {run.pid}); stop it first: devices hold their readings "
            "until it is back"
        )
    kinds, chosen = load_kinds(), settings.load(data, config, {})
    clock = CityClock(known.clock)
    with nobody_runs(data), closing(_open_log(data, chosen)) as log:
        _tell_of(log, data)
        if chosen.store_kind == "duckdb":
            _rebuild_file(data, kinds, log, clock, from_log_only=from_log_only)
        elif from_log_only:
            raise Refused(
                "--from-log-only: Nabd empties no bucket; without it every reading of the log is written again, and "
                "the rest stays"
            )
        else:
            with closing(open_influxdb(chosen, data, kinds, log_id=known.log_id)) as store:
                _rewrite(store, log, clock)


def _open_log(data: Path, chosen: Settings) -> SqliteLog:
    if not (data / LOG).is_file():
        raise Refused(f"{data / LOG}: is not there; restore it from a backup: a store is made from it")
    try:
        return open_log(chosen, data)
    except LogFault as fault:
        raise Refused(str(fault)) from None


def _tell_of(log: SqliteLog, data: Path) -> None:
    oldest = log.read(0, 1)
    if not oldest:
        click.echo(f"{data / LOG}: holds nothing yet")
        return
    since = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=oldest[0].at_ms)).strftime("%Y-%m-%d %H:%M")
    behind = "from its beginning" if oldest[0].position == 1 else f"what was kept before {since} UTC is no longer in it"
    click.echo(f"{data / LOG}: positions {oldest[0].position} to {log.last()}; {behind}")


def _batches(log: SqliteLog) -> Iterator[Sequence[Entry]]:
    """Everything the log holds, oldest first, with a bar."""
    entries = log.read(0, BATCH)
    total = log.last() - entries[0].position + 1 if entries else 0
    with progress("reading the log", total, "entries") as bar:
        while entries:
            yield entries
            bar.update(len(entries))
            entries = log.read(entries[-1].position, BATCH)


def _put_away_in(log: SqliteLog, clock: CityClock) -> PutAway:
    """What a store can never hold goes where the platform puts it, once."""

    def put_away(refused: Sequence[Quarantined]) -> None:
        log.append([], clock.now_ms(), quarantine=refused, once=STORE_REFUSED)

    return put_away


# -- DuckDB


def _rebuild_file(data: Path, kinds: Kinds, log: SqliteLog, clock: CityClock, *, from_log_only: bool) -> None:
    old, new, aside = data / STORE, data / NEW, data / ASIDE
    if from_log_only and old.exists() and aside.exists():
        raise Refused(f"{aside}: is there from a rebuild before; move it away first")
    try:
        counted: tuple[int, Mapping[str, Gone]] = (0, {})
        if old.exists() and not from_log_only:
            counted = _make_sound(old, kinds)
        _forget(new)
        try:
            with closing(DuckStore(new, kinds)) as store:
                _take_counted(store, *counted)
                for entries in _batches(log):
                    store.write(entries, clock.now_ms(), _put_away_in(log, clock))
                logged = store.held(0, FOREVER_MS)
                kept = _adopt(store, old) if old.exists() and not from_log_only else {}
                passed_over = store.passed_over
            fold_in(new)
            _swap(old, new, aside if from_log_only and old.exists() else None)
        finally:
            _forget(new)
    except (StoreFault, LogFull) as fault:
        raise Refused(f"{fault}\nthe store is as it was") from None
    except OSError as error:
        raise Refused(f"{error.filename or new}: {error.strerror}; the store is as it was: make room") from None
    for kind in sorted({*logged, *kept}):
        if logged.get(kind, 0) or kept.get(kind, 0):
            click.echo(f"{kind}: {logged.get(kind, 0)} readings from the log, {kept.get(kind, 0)} kept from the store")
    if passed_over:
        click.echo(f"{passed_over} readings in the log are of kinds that are not loaded; they stay there")
    if aside.exists():
        click.echo(f"{aside}: the store as it was; remove it when you need nothing of it")


def _make_sound(old: Path, kinds: Kinds) -> tuple[int, Mapping[str, Gone]]:
    """Bring the old store to the present layout and to one file; as `left_behind`. Raises Refused."""
    try:
        counted = left_behind(old, kinds)
        fold_in(old)
    except StoreFault as fault:
        raise Refused(
            f"{fault}\nso what the log no longer holds cannot be kept: restore it, or leave that behind with "
            f"--from-log-only, which puts the old file aside as {ASIDE}"
        ) from None
    return counted


def _take_counted(store: DuckStore, upto: int, gone: Mapping[str, Gone]) -> None:
    store.aggregates.take_counted(upto)
    for kind in gone:
        store.aggregates.take_gone(kind, gone[kind])


def _adopt(store: DuckStore, old: Path) -> dict[str, int]:
    return {kind: taken for kind, _, taken in adopt(store, old)}


def _swap(old: Path, new: Path, aside: Path | None) -> None:
    """`new` in the place of `old`, in one step. An unread write-ahead log of `old` must never meet the new file."""
    to_disk(new)
    journal = _journal(old)
    if aside is not None:
        os.link(old, aside)
        if journal.exists():
            journal.replace(_journal(aside))
    if journal.exists() or _journal(new).exists():
        raise StoreFault(f"{journal}: is still there; open the store once with the Nabd that made it")
    new.replace(old)
    to_disk(old.parent)


def _forget(new: Path) -> None:
    for file in (new, _journal(new)):
        with suppress(FileNotFoundError):
            file.unlink()


def _journal(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


# -- InfluxDB


def _rewrite(store: "InfluxStore", log: SqliteLog, clock: CityClock) -> None:
    written = 0
    try:
        store.aggregates.take_counted(store.position())
        for entries in _batches(log):
            written += store.write(entries, clock.now_ms(), _put_away_in(log, clock))
    except (StoreFault, LogFull, OSError) as fault:
        raise Refused(
            f"{fault}\n{written} readings were written again; run it once more, nothing is lost or doubled"
        ) from None
    click.echo(f"{written} readings written again; what the bucket has besides stays as it is")
