"""`nabd export`: readings of a range of time as Parquet, CSV or line protocol, out of a running or a stopped city."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

from adapters.clock import CityClock
from adapters.export_formats import FORMATS
from adapters.platform_client import PlatformClient, PlatformFault
from adapters.platform_extracts import PlatformExtracts
from adapters.stores.arrow_columns import metrics_of
from adapters.stores.duckdb_asking import change
from adapters.stores.duckdb_store import DuckStore
from contract.document import nearest
from contract.extracts import Extracts, Wanted, allowed_quality
from contract.kind import Kinds
from contract.kind_file import load_kinds
from contract.ports import StoreFault
from nabd import settings
from nabd.backing_up import STORE, nobody_runs
from nabd.city_files import read_sites
from nabd.data_folder import known_format, read_run, refuse_half_restored
from nabd.export_target import STDOUT, is_one_file, standard_output, whole
from nabd.fault import Refused
from nabd.progress import Progress, progress
from nabd.storing import extracts_of, open_influxdb
from nabd.time_arguments import time_ms

if TYPE_CHECKING:
    from adapters.stores.influx_store import InfluxStore

MEMORY = "200MB"  # of DuckDB: slices need little, and what it was given more it would fill with the file
ANSWER_S_MAX = 600.0  # a platform may count for a while before it answers


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, as it was given."""

    start: str
    end: str
    form: str
    out: str
    kinds: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    quality: tuple[str, ...] = ()


def run(data: Path, config: Path | None, asked: Export) -> None:
    """Raises Refused; then nothing stands under the name of `out`, and standard output has no whole file."""
    kinds = load_kinds()
    wanted = _wanted(data, asked)
    chosen = _kinds(asked, kinds)
    try:
        with _source(data, config, kinds) as source:
            plan = _metrics_by_kind(source, chosen, asked.metrics, named=bool(asked.kinds))
            _check_out(asked, list(plan))
            readings = _export(source, kinds, wanted, plan, asked)
    except (StoreFault, PlatformFault) as fault:
        left = "what was written to standard output is not whole"
        raise Refused(f"{fault}\n{left if asked.out == STDOUT else f'nothing was exported to {asked.out}'}") from None
    click.echo(f"{asked.out}: {readings} readings of {', '.join(plan)}", err=asked.out == STDOUT)


def _export(source: Extracts, kinds: Kinds, wanted: Wanted, plan: dict[str, tuple[str, ...]], asked: Export) -> int:
    asks = {kind: msgspec.structs.replace(wanted, metrics=metrics) for kind, metrics in plan.items()}
    with ExitStack() as stack:
        if asked.out == STDOUT:
            place: Path | BinaryIO = stack.enter_context(standard_output())
        else:
            place = stack.enter_context(whole(asked.out))
        total = sum(source.count(kind, one) for kind, one in asks.items())
        bar = stack.enter_context(progress("exporting", total))
        if isinstance(place, Path) and not is_one_file(asked.out, asked.form):
            place.mkdir()
            done = 0
            for kind, one in asks.items():
                with (place / f"{kind}.{asked.form}").open("xb") as sink:
                    done += _write(source, kinds, kind, one, asked.form, sink, bar)
            return done
        single: BinaryIO = stack.enter_context(place.open("xb")) if isinstance(place, Path) else place
        return sum(_write(source, kinds, kind, one, asked.form, single, bar) for kind, one in asks.items())


def _write(source: Extracts, kinds: Kinds, kind: str, wanted: Wanted, form: str, sink: BinaryIO, bar: Progress) -> int:
    file = FORMATS[form](sink, kind, source.schema(kind, wanted.metrics), kinds)
    done = 0
    try:
        for table in source.tables(kind, wanted):
            file.write(table)
            done += table.num_rows
            bar.update(table.num_rows)
        file.close()
    except BaseException:
        file.abandon()
        raise
    return done


# -- what is asked for


def _wanted(data: Path, asked: Export) -> Wanted:
    now_ms = CityClock(known_format(data).clock).now_ms()
    zone = read_sites(data / "site" / "sites")[0].timezone
    start_ms = time_ms("--from", asked.start, now_ms=now_ms, zone=zone)
    end_ms = time_ms("--to", asked.end, now_ms=now_ms, zone=zone)
    if start_ms >= end_ms:
        raise Refused(f"--from {asked.start}: must lie before --to {asked.end}, which is not included")
    try:
        allowed = allowed_quality(asked.quality)
    except ValueError as error:
        raise Refused(f"--quality: {error}") from None
    return Wanted(
        start_ms=start_ms, end_ms=end_ms, assets=asked.assets, devices=asked.devices, zones=asked.zones, allowed=allowed
    )


def _kinds(asked: Export, kinds: Kinds) -> Sequence[str]:
    for kind in asked.kinds:
        if kind not in kinds:
            raise Refused(f"--kind {kind}: is not a kind{nearest(kind, kinds)}")
    return list(dict.fromkeys(asked.kinds)) or list(kinds)


def _metrics_by_kind(
    source: Extracts, kinds: Sequence[str], metrics: tuple[str, ...], *, named: bool
) -> dict[str, tuple[str, ...]]:
    """Kind → its share of the metrics; a kind that was not asked for by name and has none of them is left out."""
    if not metrics:
        return dict.fromkeys(kinds, ())
    held = {kind: metrics_of(source.schema(kind)) for kind in kinds}
    known = [name for names in held.values() for name in names]
    for metric in metrics:
        if metric not in known:
            raise Refused(f"--metric {metric}: neither of {', '.join(kinds)} has it{nearest(metric, known)}")
    plan = {kind: tuple(dict.fromkeys(one for one in metrics if one in names)) for kind, names in held.items()}
    for kind, share in plan.items():
        if named and not share:
            raise Refused(f"--kind {kind}: has none of {', '.join(metrics)}; leave one of them out")
    return {kind: share for kind, share in plan.items() if share}


def _check_out(asked: Export, kinds: Sequence[str]) -> None:
    if len(kinds) > 1 and asked.form != "lp" and is_one_file(asked.out, asked.form):
        raise Refused(
            f"--out {asked.out}: {', '.join(kinds)} have columns of their own, and a file has one kind's; name one "
            f"--kind, or a folder (without .{asked.form}), which gets a file a kind"
        )


# -- where it comes from


@contextmanager
def _source(data: Path, config: Path | None, kinds: Kinds) -> Iterator[Extracts]:
    """Of the platform that runs on `data`, or of the store itself while nobody runs. Raises Refused, StoreFault."""
    refuse_half_restored(data)
    run = read_run(data)
    with ExitStack() as stack:
        if run is not None:
            yield PlatformExtracts(stack.enter_context(closing(PlatformClient(run.url, timeout_s=ANSWER_S_MAX))))
            return
        stack.enter_context(nobody_runs(data))
        store = stack.enter_context(closing(open_stopped(data, config, kinds)))
        if isinstance(store, DuckStore):
            change(store, f"SET memory_limit = '{MEMORY}'")
        yield extracts_of(store, kinds)


def open_stopped(data: Path, config: Path | None, kinds: Kinds) -> "DuckStore | InfluxStore":
    """The store of a city that nobody runs, as its settings say. Raises Refused, StoreFault."""
    chosen = settings.load(data, config, {})
    if chosen.store_kind != "duckdb":
        return open_influxdb(chosen, data, kinds, log_id=known_format(data).log_id)
    if not (data / STORE).is_file():
        raise Refused(f"{data / STORE}: is not there; has this city ever run? nabd data rebuild makes it from the log")
    return DuckStore(data / STORE, kinds)
