"""The command group `nabd dashboards`."""

import sys
from pathlib import Path

import click

from nabd.clearly import refuse_clearly

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("deploy/grafana"),
    show_default=True,
    help="Folder of the files: dashboards/ and provisioning/ below it.",
)
console_option = click.option(
    "--console-url",
    envvar="NABD_CONSOLE_URL",
    default="http://127.0.0.1:8080",
    show_default=True,
    show_envvar=True,
    help="Where browsers reach Nabd's console; links lead there.",
)
url_option = click.option("--url", default="http://127.0.0.1:3000", show_default=True, help="The Grafana server.")
token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File with the token of a service account that has the role Editor.",
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    show_default=True,
    help="Seconds an answer may take.",
)


@click.group()
def dashboards() -> None:
    """Make Grafana's dashboards and bring them there."""


@dashboards.command("build")
@out_option
@console_option
@refuse_clearly
def dashboards_build(out: Path, console_url: str) -> None:
    """Write dashboards and provisioning for every language."""
    from nabd import dashboarding

    sys.exit(dashboarding.make(out, console_url))


@dashboards.command("check")
@out_option
@console_option
@refuse_clearly
def dashboards_check(out: Path, console_url: str) -> None:
    """Say which files are not what their source says."""
    from nabd import dashboarding

    sys.exit(dashboarding.check(out, console_url))


@dashboards.command("diff")
@url_option
@token_option
@timeout_option
@console_option
@refuse_clearly
def dashboards_diff(url: str, token_file: Path, timeout_s: float, console_url: str) -> None:
    """Show how a running Grafana differs from the source: what is there → what would be."""
    from nabd import dashboarding

    sys.exit(dashboarding.show(url, token_file, timeout_s, console_url))


@dashboards.command("push")
@url_option
@token_option
@timeout_option
@console_option
@click.option(
    "--backup",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("dashboards-replaced"),
    show_default=True,
    help="Folder for a copy of each edited dashboard that is replaced.",
)
@click.option("--force", multiple=True, metavar="UID", help="Replace this one though it was edited; repeatable.")
@refuse_clearly
def dashboards_push(
    url: str, token_file: Path, timeout_s: float, console_url: str, backup: Path, force: tuple[str, ...]
) -> None:
    """Bring the dashboards to a running Grafana; one edited there by hand is left alone."""
    from nabd import dashboarding

    sys.exit(dashboarding.push(url, token_file, timeout_s, console_url, backup, force))
