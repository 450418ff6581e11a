"""What the store lacks for good, told until somebody has accepted it: `nabd data accept-loss`."""

from contextlib import closing
from pathlib import Path

import click

from adapters.platform_client import PlatformFault
from contract.losses import Loss
from nabd.fault import Refused
from nabd.registering import client_of


def sentence(loss: Loss | None) -> str:
    """For /healthz, the console and the doctor; empty when nothing is lost."""
    if loss is None:
        return ""
    return (
        f"lacks what the log held from position {loss.first} to {loss.last} and holds no longer: put back a backup of "
        "the store that reaches further, or copy the readings from an older store (nabd data copy), then, or when they "
        "are lost: nabd data accept-loss"
    )


def accept(data: Path, url: str | None) -> None:
    """Ask the running platform to tell it no longer. Raises Refused."""
    try:
        with closing(client_of(data, url)) as client:
            accepted = client.post("store/accept-loss", {})
    except PlatformFault as fault:
        raise Refused(str(fault)) from None
    if accepted["first"] is None:
        click.echo("the store lacks nothing that is not accepted already")
    else:
        click.echo(f"accepted: positions {accepted['first']} to {accepted['last']} of the log are not in the store")
