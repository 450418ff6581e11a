"""What every command does with what the user can mend."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from contract.document import DocumentFault
from nabd import fault

Command = TypeVar("Command", bound=Callable[..., Any])


def refuse_clearly(command: Command) -> Command:
    """Turn what the user can mend into one message and exit code 2."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except (fault.Refused, DocumentFault) as refused:
            click.echo(f"nabd: {refused}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            sys.exit(130)

    return run  # type: ignore[return-value]  # wraps() keeps the command's own signature for click
