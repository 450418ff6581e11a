"""The command group `nabd quarantine`."""

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from nabd.clearly import refuse_clearly
from nabd.cli_options import data_folder_option

data_option = data_folder_option("Folder on which the platform runs.")
url_option = click.option("--url", help="The platform; default: the one running on DATA.")
json_option = click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
filters = (
    click.option("--since", help="Only what came then or later, RFC 3339: 2026-11-24T00:00:00Z."),
    click.option("--device", help="Only what this device sent."),
    click.option("--code", help="Only what was turned away for this reason, such as out_of_range."),
)


selection = (
    click.option("--by", default="", help="Your name, for the audit.  [default: the system's user]"),
    click.option("--all", "every", is_flag=True, help="All rows there are now."),
    *filters,
    url_option,
    data_option,
    click.argument("numbers", nargs=-1, type=click.IntRange(1, 2**53)),
)


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in filters:
        command = option(command)
    return command


def selected(command: Callable[..., Any]) -> Callable[..., Any]:
    """What an act is done to, and by whom."""
    for option in selection:
        command = option(command)
    return command


def chosen(**given: Any) -> dict[str, Any]:
    """The filters that were given."""
    return {key: value for key, value in given.items() if value}


@click.group()
def quarantine() -> None:
    """Look at what could not be read, replay it, or drop it."""


@quarantine.command("list")
@data_option
@url_option
@filtered
@click.option("--limit", type=click.IntRange(1, 1_000), default=50, show_default=True, help="Rows of a page.")
@click.option("--before", type=click.IntRange(1, 2**53), help="The page behind this number.")
@json_option
@refuse_clearly
def quarantine_list(
    data: Path, url: str | None, code: str, device: str, since: str, limit: int, before: int | None, as_json: bool
) -> None:
    """One line a row, newest first: number, time, device, code, how often, why."""
    from nabd import quarantine_shell

    wanted = chosen(code=code, device=device, since=since, before=before)
    quarantine_shell.show_list(data, url, {**wanted, "limit": limit}, as_json=as_json)


@quarantine.command("show")
@click.argument("number", type=click.IntRange(1, 2**53))
@data_option
@url_option
@click.option("--raw", is_flag=True, help="Nothing but the bytes, as they came; redirect them into a file.")
@json_option
@refuse_clearly
def quarantine_show(number: int, data: Path, url: str | None, raw: bool, as_json: bool) -> None:
    """One row: why it is there, and what came, as hex where it is no text."""
    from nabd import quarantine_shell

    quarantine_shell.show_one(data, url, number, raw=raw, as_json=as_json)


@quarantine.command("replay")
@selected
@json_option
@refuse_clearly
def quarantine_replay(
    numbers: tuple[int, ...], data: Path, url: str | None, code: str, device: str, since: str, every: bool, by: str,
    as_json: bool,
) -> None:  # fmt: skip
    """Store what reads now; what does not stays with its new reason. Never twice, and never over what is kept."""
    from nabd import quarantine_shell

    wanted = chosen(code=code, device=device, since=since)
    quarantine_shell.replay(data, url, numbers, wanted, every=every, by=by or getpass.getuser(), as_json=as_json)


@quarantine.command("drop")
@selected
@click.option("--yes", is_flag=True, help="Do not ask.")
@refuse_clearly
def quarantine_drop(
    numbers: tuple[int, ...], data: Path, url: str | None, code: str, device: str, since: str, every: bool, by: str,
    yes: bool,
) -> None:  # fmt: skip
    """Let go of rows for good: what they held counts as gone. `show --raw` exports one first."""
    from nabd import quarantine_shell

    wanted = chosen(code=code, device=device, since=since)
    quarantine_shell.drop(data, url, numbers, wanted, every=every, by=by or getpass.getuser(), yes=yes)
