"""`nabd data verify`: recounts the store against the ledger, by name.

A running DuckDB is recounted in a copy as of one moment, which the platform makes as for a backup: so counting, which
takes a while, is nothing that it would wait for. An InfluxDB is asked by this process itself.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from adapters.clock import CityClock, real_ms
from adapters.log.log_file import LogFault
from adapters.log.reading import LogReader
from adapters.platform_client import PlatformClient, PlatformFault
from adapters.stores.duckdb_names import DuckNames
from adapters.stores.duckdb_store import DuckStore
from contract.extracts import Names
from contract.kind import Kinds
from contract.kind_file import load_kinds
from contract.ports import StoreFault
from nabd import settings
from nabd.backing_up import COPY_S_MAX, LOG, asked_for_copy, nobody_runs
from nabd.data_folder import known_format, read_run, refuse_half_restored
from nabd.exporting import open_stopped
from nabd.fault import Refused
from nabd.progress import progress
from nabd.recounting import Expected, Fault, Recount, shown

if TYPE_CHECKING:
    from adapters.stores.influx_store import InfluxStore

LEDGER = "ledger"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What --json prints."""

    good: bool
    store_position: int
    log_first: int
    log_last: int
    counts: dict[str, int]
    faults: list[Fault]
    faults_left_out: int


def run(data: Path, config: Path | None, *, most: int, as_json: bool) -> int:
    """0 when the store holds what it should, 1 when not. Raises Refused when that cannot be known."""
    refuse_half_restored(data)
    clock, kinds = CityClock(known_format(data).clock), load_kinds()
    try:
        with ExitStack() as stack:
            store = stack.enter_context(_store(data, config, kinds))
            log = stack.enter_context(closing(LogReader(data / LOG)))
            report = _recount(store, _names(store, kinds), log, clock, most)
    except (StoreFault, LogFault, PlatformFault) as fault:
        raise Refused(str(fault)) from None
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(report), indent=1))
    else:
        _tell(report, "missing or doubled" if isinstance(store, DuckStore) else "missing")
    return 0 if report.good else 1


def _recount(store: "DuckStore | InfluxStore", held: Names, log: LogReader, clock: CityClock, most: int) -> Report:
    """The order matters while the platform runs: first the store's position, then the log, then the store."""
    position, total = store.position(), store.count()
    expected = Expected()
    ledger_upto = log.consumers().get(LEDGER, 0)
    expected.take_ledger(log.ledger())
    expected.take_entries(log.entries(min(position, ledger_upto)), ledger_upto=ledger_upto, stored_upto=position)
    recount = Recount(expected, retires=bool(held.keeps_from_ms(clock.now_ms(), real_ms())))
    with progress("counting", total) as bar:
        found = held.held(bar.update)
        expected.take_quarantine(log.turned_away())
        recount.take(found)
    if recount.unexpected:
        recount.came_since(log.entries(max(expected.last, position)))
    if recount.retired:  # asked once more: what was deleted while it was counted is not missing
        recount.still_dated(log.entries(0), held.keeps_from_ms(clock.now_ms(), real_ms()))
    faults = recount.faults()
    listed = list(islice(faults, most))
    left_out = sum(1 for _ in faults)
    return Report(
        good=not listed and not left_out,
        store_position=position,
        log_first=log.first(),
        log_last=log.last(),
        counts=recount.counts(),
        faults=listed,
        faults_left_out=left_out,
    )


def _tell(report: Report, mended: str) -> None:
    """`mended`: what a rebuild mends; nothing is ever deleted from a bucket."""
    for line in shown(report.counts):
        click.echo(line)
    for fault in report.faults:
        spans = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in fault.ranges)
        more = ", …" if fault.readings > sum(last - first + 1 for first, last in fault.ranges) else ""
        click.echo(f"{fault.what}: {fault.device} stream {fault.stream}: {fault.readings} readings, seq {spans}{more}")
    if report.faults_left_out:
        click.echo(f"and {report.faults_left_out} streams more; --most lists more of them")
    if report.good:
        click.echo("the store holds every reading once")
        return
    totals = ", ".join(f"{report.counts[what]} {what}" for what in ("missing", "doubled", "unexpected"))
    click.echo(f"WRONG: {totals}; nabd data rebuild makes what is {mended} right, as far as the log goes back")


def _names(store: "DuckStore | InfluxStore", kinds: Kinds) -> Names:
    if isinstance(store, DuckStore):
        return DuckNames(store)
    from adapters.stores.influx_names import InfluxNames

    return InfluxNames(store.link, kinds)


@contextmanager
def _store(data: Path, config: Path | None, kinds: Kinds) -> Iterator["DuckStore | InfluxStore"]:
    """The store itself, or a copy of a DuckDB that runs. Raises Refused, StoreFault, PlatformFault."""
    run = read_run(data)
    with ExitStack() as stack:
        if run is None:
            stack.enter_context(nobody_runs(data))
        elif settings.load(data, config, {}).store_kind == "duckdb":
            client = stack.enter_context(closing(PlatformClient(run.url, timeout_s=COPY_S_MAX)))
            copy = stack.enter_context(asked_for_copy(client, data))
            yield stack.enter_context(closing(DuckStore(copy, kinds)))
            return
        yield stack.enter_context(closing(open_stopped(data, config, kinds)))
