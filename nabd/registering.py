"""`nabd devices`: asks the running platform."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from adapters.platform_client import PlatformClient, PlatformFault
from nabd.data_folder import read_run
from nabd.fault import Refused


def client_of(data: Path, url: str | None) -> PlatformClient:
    """The platform at `url`, or the one that runs on `data`. Raises Refused."""
    if url is not None:
        return PlatformClient(url)
    run = read_run(data)
    if run is None:
        raise Refused(f"no platform runs on data folder {data}; start nabd up there, or name one with --url")
    return PlatformClient(run.url)


def list_devices(data: Path, url: str | None, filters: Mapping[str, Any], *, waiting: bool) -> None:
    try:
        client = client_of(data, url)
        if waiting:
            for device in client.get("deferred")["items"]:
                click.echo(
                    f"{device['device']}\t{device['kind'] or 'unknown kind'}\t{device['readings']} readings wait"
                )
            return
        for device in client.devices(**filters):
            click.echo("\t".join(str(device[key]) for key in ("id", "kind", "commune", "zone", "asset")))
    except PlatformFault as fault:
        raise Refused(str(fault)) from None


def add_device(data: Path, url: str | None, device: str, facts: Mapping[str, Any], settings: tuple[str, ...]) -> None:
    body: dict[str, Any] = {"id": device, **{key: value for key, value in facts.items() if value not in (None, "")}}
    body["settings"] = dict(_setting(text) for text in settings)
    try:
        added = client_of(data, url).add_device(body)
    except PlatformFault as fault:
        raise Refused(str(fault)) from None
    click.echo(f"{added['id']} is registered as {added['kind']} on {added['asset']} in {added['commune']}")


def _setting(text: str) -> tuple[str, float | str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Refused(f"--set {text!r}: write NAME=VALUE, for example --set rated_power_w=90")
    try:
        return name, float(value)
    except ValueError:
        return name, value
