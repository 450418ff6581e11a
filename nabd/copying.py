"""`nabd data copy`: moves the history of readings from one store into another.

Day by day, in batches, from the oldest on. Each reading is stored once by its name, so that a copy that was interrupted
is simply run again; `--since` leaves out the days that are done.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.stores.duckdb_store import DuckStore
from contract.aggregates import FIVE_MINUTES_MS, FOREVER_MS, HOUR_MS
from contract.kind_file import load_kinds
from contract.ports import Archive, StoreFault
from nabd import settings
from nabd.data_folder import known_format
from nabd.fault import Refused
from nabd.storing import open_influxdb

if TYPE_CHECKING:
    from adapters.stores.influx_store import InfluxStore

    Copied = DuckStore | InfluxStore

DAY_MS = 86_400_000
BATCH = 5_000
DUCKDB = "duckdb:"
"""Before the path of a file."""


def run(data: Path, config: Path | None, source: str, target: str, since: str) -> int:
    """Copy, and compare how many readings both have; 1 when the target has fewer. Raises Refused."""
    if source == target:
        raise Refused(f"--from and --to: both are {source}; name two stores")
    since_ms = _since_ms(since)
    with ExitStack() as stack:
        try:
            old, new = (
                stack.enter_context(closing(_open(name, data, config, is_source=number == 0)))
                for number, name in enumerate((source, target))
            )
            _count_the_late(old)
            if _log_of(source, data) == _log_of(target, data):  # it brings again what the old store has counted
                new.aggregates.take_counted(max(old.position(), old.aggregates.counted_upto))
            _copy_aggregates(old, new)
            copied = _copy(old, new, since_ms)
            held = _held(old, new, since_ms)
        except StoreFault as fault:
            raise Refused(str(fault)) from None
    click.echo(f"{copied} readings copied")
    return _compare(held[0], held[1], source, target)


def _copy(source: Archive, target: Archive, since_ms: int) -> int:
    """How many readings went over. Raises Refused when it stops in the midst, with what goes on from there."""
    copied, day = 0, ""
    total = sum(source.held(since_ms, FOREVER_MS).values())
    with click.progressbar(length=total, label="copying", show_pos=True, width=30) as bar:
        try:
            for start_ms, end_ms in _days(source.span(), since_ms):
                day = _text(start_ms)
                readings = source.history(start_ms, end_ms)
                while batch := list(islice(readings, BATCH)):
                    target.take(batch)
                    copied += len(batch)
                    bar.update(len(batch))
        except (StoreFault, KeyboardInterrupt) as end:
            if not day:
                raise
            cause = str(end) or "interrupted"
            raise Refused(
                f"copying ended on {day} after {copied} readings: {cause}\n"
                f"nothing is lost or doubled; go on with --since {day}"
            ) from None
    return copied


def _copy_aggregates(source: "Copied", target: "Copied") -> None:
    """What is left of readings that are gone; all other aggregates are made anew where the platform runs.

    Before the readings, for once a target says that its own are gone up to a time, it takes none of that time twice.
    Raises StoreFault, and Refused when the target holds readings of that time itself, or has deleted its own.
    """
    for kind in load_kinds():
        gone = source.aggregates.gone(kind)
        before_ms, deleted_ms = gone.raw_ms, target.aggregates.gone(kind).raw_ms
        if before_ms <= deleted_ms:
            _expect_counted(source, target, kind, before_ms, deleted_ms)
            continue
        if target.held(0, before_ms)[kind]:
            raise Refused(
                f"{kind}: the source has only aggregates before {_text(before_ms)}, and the target has readings of "
                "that time, which may be the same; copy into a new store"
            )
        rows = 0
        for every_ms in (FIVE_MINUTES_MS, HOUR_MS):
            found = source.aggregates.aggregates(kind, every_ms, before_ms)
            while batch := list(islice(found, BATCH)):
                target.aggregates.take_aggregates(kind, every_ms, batch)
                rows += len(batch)
        lacking = source.aggregates.counts(kind, before_ms) - target.aggregates.counts(kind, before_ms)
        if lacking > 0:
            raise StoreFault(f"{kind}: aggregates of {lacking} readings are missing there: run it again")
        target.aggregates.take_gone(kind, gone)
        click.echo(f"{kind}: {rows} aggregates from before {_text(before_ms)}, where readings are gone, copied")


def _count_the_late(source: "Copied") -> None:
    """Late readings of a time that is gone are no history and are not copied: they go over in its aggregates."""
    gone_ms = max(source.aggregates.gone(kind).raw_ms for kind in load_kinds())
    while (oldest_ms := source.aggregates.behind(FOREVER_MS).oldest_ms) is not None and oldest_ms < gone_ms:
        source.aggregates.downsample(FOREVER_MS)


def _expect_counted(source: "Copied", target: "Copied", kind: str, before_ms: int, deleted_ms: int) -> None:
    """Raises Refused when a target that takes no reading of before `deleted_ms` does not count the source's.

    `before_ms`: up to when the source has them only as aggregates.
    """
    here = source.aggregates.counts(kind, before_ms)
    if before_ms < deleted_ms:
        here += source.held(before_ms, deleted_ms)[kind]
    there = target.aggregates.counts(kind, deleted_ms)
    if there < here:
        raise Refused(
            f"{kind}: the target has deleted readings from before {_text(deleted_ms)} and takes no more of that time; "
            f"its aggregates count {there} readings and the source has {here}; copy into a new store"
        )


def _held(source: "Copied", target: "Copied", since_ms: int) -> list[Mapping[str, int]]:
    """How many readings of each kind both have of the time of which neither has deleted any."""
    from_ms = {
        kind: max(since_ms, *(store.aggregates.gone(kind).raw_ms for store in (source, target)))
        for kind in load_kinds()
    }
    found: list[Mapping[str, int]] = []
    for store in (source, target):
        held = {start_ms: store.held(start_ms, FOREVER_MS) for start_ms in sorted({*from_ms.values()})}
        found.append({kind: held[start_ms][kind] for kind, start_ms in from_ms.items()})
    return found


def _days(span: tuple[int, int] | None, since_ms: int) -> Iterator[tuple[int, int]]:
    """The days (UTC) in which there may be readings, oldest first; the first begins at `since_ms` at the earliest."""
    if span is None:
        return
    first_ms = max(span[0], since_ms)
    for start_ms in count(first_ms - first_ms % DAY_MS, DAY_MS):
        if start_ms > span[1]:
            return
        yield max(start_ms, since_ms), start_ms + DAY_MS


def _compare(source: Mapping[str, int], target: Mapping[str, int], source_name: str, target_name: str) -> int:
    wrong = 0
    for kind in source:
        here, there = source[kind], target[kind]
        if not here and not there:
            continue
        note = ""
        if there < here:
            wrong += 1
            note = f"  {here - there} are missing there: run it again"
        elif there > here:
            note = f"  {there - here} were there besides"
        click.echo(f"{kind}: {here} in {source_name}, {there} in {target_name}{note}")
    return 1 if wrong else 0


def _open(name: str, data: Path, config: Path | None, *, is_source: bool) -> "DuckStore | InfluxStore":
    """Raises Refused, StoreFault."""
    kinds = load_kinds()
    if name == "influxdb":
        return open_influxdb(settings.load(data, config, {}), data, kinds, log_id=_log_of(name, data))
    path = Path(name.removeprefix(DUCKDB))
    if not name.startswith(DUCKDB) or not str(path).strip("."):
        raise Refused(f"{name!r} is no store; write influxdb, or duckdb: and the path of a file")
    if is_source and not path.is_file():
        raise Refused(f"--from {name}: there is no file {path}; the readings of a data folder are DATA/store.duckdb")
    return DuckStore(path, kinds)


def _log_of(store: str, data: Path) -> str:
    """The name of the log that fills a store: the one in its folder, or of this city where there is none."""
    beside = Path(store.removeprefix(DUCKDB)).parent if store.startswith(DUCKDB) else data
    for folder in (beside, data):
        if (folder / "format.json").is_file():
            return known_format(folder).log_id
    return ""


def _since_ms(text: str) -> int:
    if not text:
        return 0
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Refused(f"--since {text!r}: not a day; write for example 2026-11-24") from None
    return max(0, round(day.timestamp() * 1000))


def _text(ms: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).strftime("%Y-%m-%d")
