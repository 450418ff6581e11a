"""`nabd export`, `nabd data rebuild` and `nabd data verify`: the readings as a whole."""

import sys
from pathlib import Path
from typing import Any

import click

from nabd.clearly import refuse_clearly
from nabd.cli_options import config_option, data_option


@click.command()
@click.option("--from", "start", required=True, metavar="TIME", help="The first moment.")
@click.option("--to", "end", required=True, metavar="TIME", help="The end, not included.")
@click.option("--format", "form", required=True, type=click.Choice(["parquet", "csv", "lp"]))
@click.option("--out", required=True, metavar="FILE|FOLDER|-", help="What must not be there yet; - is standard output.")
@click.option("--kind", "kinds", multiple=True, help="Only this kind, repeatable.  [default: all]")
@click.option("--asset", "assets", multiple=True, help="Only of this asset, repeatable.")
@click.option("--device", "devices", multiple=True, help="Only of this device, repeatable.")
@click.option("--zone", "zones", multiple=True, help="Only what was in this zone then, repeatable.")
@click.option("--metric", "metrics", multiple=True, help="Only readings that have it, and no other column; repeatable.")
@click.option("--quality", multiple=True, metavar="WORD", help="Only with nothing else against them, such as good.")
@data_option
@config_option
@refuse_clearly
def export(data: Path, config: Path | None, **asked: Any) -> None:
    """Write the readings of a range of measured time as Parquet, CSV or line protocol.

    A TIME is ISO 8601 (2026-11-24T17:00Z; without an offset the city's own), a day of the city's zone (2026-11-24, its
    first moment), now, or counted back from now (-7d). A name that ends in .parquet, .csv or .lp is a file of one kind
    (lp: of any); another is a new folder with a file a kind. All of it is there in the end, or nothing. The platform
    may run or not.
    """
    from nabd import exporting

    exporting.run(data, config, exporting.Export(**asked))


@click.command("rebuild")
@click.option(
    "--from-log-only", is_flag=True, help="Leave behind what the log no longer holds; the old file is put aside."
)
@data_option
@config_option
@refuse_clearly
def data_rebuild(data: Path, config: Path | None, from_log_only: bool) -> None:
    """Make the store anew from the log, while the platform is stopped.

    What the log no longer holds is taken over from the present store, each reading once. DuckDB: a new file takes the
    old one's place in one step at the end. InfluxDB: every reading of the log is written again over itself.
    """
    from nabd import rebuilding

    rebuilding.run(data, config, from_log_only=from_log_only)


@click.command("verify")
@click.option("--most", type=click.IntRange(0, 100_000), default=100, show_default=True, help="Streams to list.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@data_option
@config_option
@refuse_clearly
def data_verify(data: Path, config: Path | None, most: int, as_json: bool) -> None:
    """Recount the store against the ledger: is every reading there, once, and nothing besides?

    Ends with 0 when it is, with 1 when readings are missing, doubled or unexpected. The platform may run or not; the
    log is read, and nothing is changed.
    """
    from nabd import verifying

    sys.exit(verifying.run(data, config, most=most, as_json=as_json))
