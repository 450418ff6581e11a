"""Options that commands of several groups have, each said once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def data_folder_option(meaning: str) -> Callable[[Any], Any]:
    """`--data`, with what the folder is to this command."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("nabd-data"),
        envvar="NABD_DATA",
        show_default=True,
        help=meaning,
    )


data_option = data_folder_option("Folder of the log, the stores and the city's own rules and sites.")
config_option = click.option("--config", type=click.Path(path_type=Path), help="Settings file; default DATA/nabd.toml.")
